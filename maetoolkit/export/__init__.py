"""Weights in and out: timm's layout, and those of the published models."""
