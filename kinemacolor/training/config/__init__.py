"""Recipes and their sections."""
