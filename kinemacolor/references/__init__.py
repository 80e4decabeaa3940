"""Colored stills: read, placed in the film, turned upright, chosen for shots."""
