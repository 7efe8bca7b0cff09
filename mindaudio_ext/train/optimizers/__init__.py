"""Optimizers, one in each file, which bears its name."""
