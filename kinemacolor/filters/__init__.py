"""Filters on lightness and chroma that stand around the network."""
