"""Learning-rate schedules, one in each file, which bears its name."""
