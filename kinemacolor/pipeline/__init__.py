"""The path of a film, from settings to the finished file."""
