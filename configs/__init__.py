"""The Hydra configuration that `annealtrain` composes its runs from."""
