"""Which frames of a film to paint."""
