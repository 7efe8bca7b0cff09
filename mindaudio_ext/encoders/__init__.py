"""Encoders and their decoders, a file each: waveform to features, and features back to a waveform."""
