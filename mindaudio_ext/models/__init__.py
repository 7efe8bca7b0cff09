"""Whole models, waveform in and waveforms out, and what is done with one: evaluation, streaming, cost."""
