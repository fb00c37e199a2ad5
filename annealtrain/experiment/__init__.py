"""From a configuration to the objects of a run, all checked; may import every room but `commands` and `reports`."""
