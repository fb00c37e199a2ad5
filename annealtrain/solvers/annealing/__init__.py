"""annealing."""
