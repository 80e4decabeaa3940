"""The run: loop, state, checkpoints, logs."""
