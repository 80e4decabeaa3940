"""A training run: setup, loop, state, checkpoints and logs."""
