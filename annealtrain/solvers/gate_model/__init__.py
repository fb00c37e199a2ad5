"""gate_model."""
