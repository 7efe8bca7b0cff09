"""What training minimises: one file, one loss."""
