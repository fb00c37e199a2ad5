"""A torch.optim.Optimizer that anneals layers of a module, for loops of one's own: `annealtrain.torch` hands it on."""
