"""What a run leaves in its folder, and many runs as one table; may import `runtime`."""
