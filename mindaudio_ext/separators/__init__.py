"""What estimates the masks: one file, one separator."""
