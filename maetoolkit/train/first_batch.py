"""Trying every part of a recipe on its first samples before training, where a contract that is broken has an owner.

Nothing of this is in the hot path. Axes: B samples, N tokens of a field, T of them, D width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from maetoolkit.data.collate import geometries
from maetoolkit.errors import DataError
from maetoolkit.masking.plan import Layout, MaskPlan
from maetoolkit.model.positions import gather
from maetoolkit.randomness import Draw
from maetoolkit.tokens import Field, Patches
from maetoolkit.train.trial import Subject

if TYPE_CHECKING:
    from maetoolkit.train.run import Run

NUM_SAMPLES = 4
