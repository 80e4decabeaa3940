"""Scripts that a peer's own Python runs in a checkout of the peer; ``contract.py`` is what they share."""
