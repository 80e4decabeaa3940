"""Networks as ONNX graphs, and the files that ship."""
