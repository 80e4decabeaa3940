"""Colorization engines: ``start`` turns references into a bank, ``step`` colors a block of frames."""
