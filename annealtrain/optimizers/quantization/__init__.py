"""Networks whose weights lie on a grid of few levels, layer after layer; may import `solvers`, `nn` and below."""
