"""Augmentations of training examples, a file each. NumPy alone, no MindSpore."""
