"""What separators are built of: norms, recurrent layers, attention, chunks."""
