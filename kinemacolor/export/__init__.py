"""Export of networks to ONNX graphs, and the files that ship with the package."""
