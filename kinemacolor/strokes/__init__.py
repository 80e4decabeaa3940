"""Colors painted as strokes: the records of strokes, and the colors of a whole picture that they mean."""
