"""How good a colourized film is, in figures."""
