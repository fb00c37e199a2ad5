"""A layer's loss as Hamiltonians of n-bit weights, and files of them; may import `runtime`."""
