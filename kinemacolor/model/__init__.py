"""The networks, in PyTorch (extra ``train``): weights and equations only, no state of any film."""
