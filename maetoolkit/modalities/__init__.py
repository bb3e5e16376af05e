"""The built-in modalities."""
