"""Learning to match from networks that were trained to match."""
