"""Scores of estimates against references: one file, one metric. None needs MindSpore."""
