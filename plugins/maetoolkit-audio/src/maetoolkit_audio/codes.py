"""AudioCodes: discrete targets from a random projection that is never trained.

Axes: T tokens, P numbers of a patch, D of a code, K codes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import NonNegativeInt, PositiveInt

from maetoolkit.modalities.derived import Derived

if TYPE_CHECKING:
    import numpy as np
    import torch
    from jaxtyping import Int
    from torch import Tensor, nn

SURE = 1e4  # a logit that leaves the other codes no probability


class AudioCodes(Derived):
    """Predicts which vector of a random codebook each patch is nearest to; an output of another entry, cross-entropy.

    A patch is projected by a random matrix to `code_dim` numbers; its code is the nearest of `num_codes` random
    vectors by angle. Matrix and codebook are fixed by `codebook` and the patch's shape alone, so they are the same in
    every process and on every machine. BEST-RQ (Chiu et al. 2022), section 3.1; BEATs (Chen et al. 2022), section 3.2.
    """

    type: Literal["audio_codes"] = "audio_codes"
    of: str | None = "audio"
    num_codes: PositiveInt = 1024
    code_dim: PositiveInt = 16
    codebook: NonNegativeInt = 0

    reconstructs: ClassVar[bool] = False

    def target(self, values: Tensor) -> Int[Tensor, "T"]:
        """The code of every patch (T, ...)."""
        import torch

        flat = values.flatten(1)
        exact = torch.float32 if flat.device.type == "mps" else torch.float64  # so that no rounding can flip a code
        projection, vectors = _tensors(self.codebook, flat.shape[1], self.code_dim, self.num_codes, flat.device, exact)
        return (flat.to(exact) @ projection @ vectors.T).argmax(1)

    def build_head(self, dim: int, content: tuple[int, ...]) -> nn.Module:
        """Logits (T, K)."""
        from maetoolkit.layers.projection import PatchHead

        return PatchHead(dim, (self.num_codes,))

    def token_loss(self, prediction: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """Cross-entropy of each token; one that holds nothing valid does not count."""
        from torch.nn.functional import cross_entropy

        count = self.token_count(target, valid)
        entropy = cross_entropy(prediction.float(), target, reduction="none")
        return entropy.where(count > 0, 0.0), count

    def token_count(self, target: Tensor, valid: Tensor | None) -> Tensor:
        """1 for each token with anything valid."""
        import torch

        if valid is None:
            return torch.ones(len(target), dtype=torch.float32, device=target.device)
        return (valid.flatten(1).any(1) if valid.ndim > 1 else valid).float()

    def ideal(self, target: Tensor) -> Tensor:
        """The right code without a doubt."""
        from torch.nn.functional import one_hot

        return one_hot(target, self.num_codes).float() * SURE


@lru_cache(maxsize=8)
def random_projection(codebook: int, num_inputs: int, code_dim: int, num_codes: int) -> tuple[np.ndarray, np.ndarray]:
    """The matrix (P, D) and the unit vectors (K, D) of a codebook, float64."""
    import numpy as np

    from maetoolkit.randomness import generator

    draw = generator("random projection", codebook, num_inputs, code_dim, num_codes)
    projection = draw.standard_normal((num_inputs, code_dim))
    vectors = draw.standard_normal((num_codes, code_dim))
    return projection, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@lru_cache(maxsize=8)
def _tensors(
    codebook: int, num_inputs: int, code_dim: int, num_codes: int, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    import torch

    projection, vectors = random_projection(codebook, num_inputs, code_dim, num_codes)
    return torch.from_numpy(projection).to(device, dtype), torch.from_numpy(vectors).to(device, dtype)
