"""Optical flow, and correspondence propagated along it."""
