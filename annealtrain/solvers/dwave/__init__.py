"""dwave."""
