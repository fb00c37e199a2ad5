"""Benchmarks, off by default: `make bench` (the kernel against its peers) and `make bench-train` (whole runs)."""
