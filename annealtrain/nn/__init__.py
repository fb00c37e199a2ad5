"""Layers and networks, their passes forward and back; may import `runtime`, and PyTorch and ONNX when used."""
