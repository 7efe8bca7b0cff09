"""Audio files, Kaldi directories and MindRecord, read and written."""
