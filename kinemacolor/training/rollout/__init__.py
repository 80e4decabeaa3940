"""Windows and recorded inputs colored with gradients, and the batches they come in."""
