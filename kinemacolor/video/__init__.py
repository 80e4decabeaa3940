"""Films in and films out: reader, writer, segments, and what they know of a film."""
