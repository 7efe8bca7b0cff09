"""Corpora: from what is published or recorded to data directories."""
