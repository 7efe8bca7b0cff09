"""Speech separation on MindSpore: a plug-in for MindAudio. Importing it does not import MindSpore."""

__version__ = "0.1.0"
