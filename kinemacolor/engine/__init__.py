"""Colorization engines: protocol, registry, the matching and network engines, and what they share."""
