"""Where a film's cuts are, and lists of shots."""
