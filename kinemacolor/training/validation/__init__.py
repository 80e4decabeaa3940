"""Validation on held-out clips, and parameters fitted to films outside the training loop."""
