"""The field's benchmark: instances from real layers, all solvers at equal time, and what came of it."""
