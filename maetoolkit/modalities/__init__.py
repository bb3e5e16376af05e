"""The built-in modalities."""

from maetoolkit.modalities.derived import Derived
from maetoolkit.modalities.features import Features
from maetoolkit.modalities.grid import GridModality
from maetoolkit.modalities.image import RGB, Depth, StandardizedRGB
from maetoolkit.modalities.semantic import Semantic

__all__ = ["RGB", "Depth", "Derived", "Features", "GridModality", "Semantic", "StandardizedRGB"]
