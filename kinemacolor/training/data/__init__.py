"""Films and photos as samples to learn from."""
