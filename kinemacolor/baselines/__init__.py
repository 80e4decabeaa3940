"""Baselines: colorizers that learn nothing, each an engine in a file of its own.

A trained network has to beat them. Each shows the effect of a single idea: no color at all, one tint, color by
lightness and texture, or color carried along the motion.
"""
