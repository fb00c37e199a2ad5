"""The loop over epochs and batches; may import `optimizers` and what lies below it, `nn` and `data`."""
