"""A web page on a local server in which a person opens a film, paints its key frames, tries them, and runs the film."""
