"""Colored stills: their files, their places in the film, mirrored ones, and which shots they color."""
