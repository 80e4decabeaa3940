"""Films and photos as training samples."""
