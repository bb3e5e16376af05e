"""Modules with weights that know no modality by name."""
