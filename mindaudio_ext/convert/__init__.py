"""Checkpoints of other toolkits become experiments, and experiments Asteroid's checkpoints."""
