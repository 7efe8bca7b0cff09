"""Public models by name, `hf:ORG/NAME[@REVISION]`: found in caches, or fetched; converted once; kept."""
