"""Shots of a film: detecting them, and lists of them in files."""
