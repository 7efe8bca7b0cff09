"""The training: its loop, step, state, schedulers and optimizers, and several processes."""
