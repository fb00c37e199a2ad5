"""Pictures and pages of runs, and the paper's figures; may import `runs` and `runtime`."""
