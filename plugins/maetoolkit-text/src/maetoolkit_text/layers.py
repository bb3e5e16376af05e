"""Modules between token ids and the transformer. Axes: T tokens, D width, V vocabulary."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from maetoolkit.layers.initialise import xavier_
from maetoolkit.layers.position import GridPosition


class WordEmbedding(nn.Module):
    """A learned vector per token id, drawn from a normal distribution."""

    def __init__(self, vocab_size: int, dim: int, std: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, dim)
        nn.init.normal_(self.embedding.weight, std=std)

    def forward(self, ids: Int[Tensor, "T 1"]) -> Float[Tensor, "T D"]:
        """Vectors of tokens."""
        return self.embedding(ids[:, 0])


class SequencePosition(GridPosition):
    """Places in a sequence of at most `length` tokens; a shorter sequence is its beginning, and is not stretched."""

    def __init__(self, dim: int, length: int, learned: bool) -> None:
        super().__init__(dim, (length,), learned=learned)

    def forward(self, positions: Int[Tensor, "T 1"], grid: tuple[int, ...] | None) -> Float[Tensor, "T D"]:
        """Embeddings of places."""
        return super().forward(positions, self.grid)


class WordHead(nn.Module):
    """Scores over the vocabulary: one linear map, behind one hidden layer where `hidden` (as BERT's, with its norm)."""

    def __init__(self, dim: int, vocab_size: int, hidden: bool) -> None:
        super().__init__()
        layers = [xavier_(nn.Linear(dim, dim)), nn.GELU(), nn.LayerNorm(dim, eps=1e-6)] if hidden else []
        self.hidden = nn.Sequential(*layers)
        self.proj = xavier_(nn.Linear(dim, vocab_size))

    def forward(self, features: Float[Tensor, "T D"]) -> Float[Tensor, "T V"]:
        """Logits (T, V)."""
        return self.proj(self.hidden(features))
