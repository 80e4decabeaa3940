"""Held-out clips, and what is fitted on films."""
