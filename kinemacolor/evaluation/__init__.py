"""How good a colorized film is, in figures."""
