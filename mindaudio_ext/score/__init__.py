"""A separated set scored, and told in RESULTS.md and report.html."""
