"""How one batch changes a network's weights; may import `solvers` and what lies below it, and `nn`."""
