"""One file a command, and what commands share: Hydra's line, sweeps of runs, progress; may import every room."""
