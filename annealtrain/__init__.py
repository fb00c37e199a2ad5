"""Train neural networks layer by layer with annealing instead of backpropagation."""

__version__ = "0.1.0"
