"""Training (extra ``train``): from a folder of films to the weights of a network."""
