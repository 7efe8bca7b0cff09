"""Inference: a trained model over recordings, sets and streams."""
