"""The project's own annealing on the compiled kernel; may import what `solvers` may."""
