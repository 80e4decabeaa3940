"""A recipe and its sections."""
