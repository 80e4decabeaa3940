"""Training (extra ``train``): data, losses, and what else stands between a folder of films and a network's weights."""
