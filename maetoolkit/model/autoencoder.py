"""MaskedAutoencoder: cut, mask, encode, decode, score. Axes: B samples, N tokens of a field, T chosen ones, D width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maetoolkit.masking.dirichlet import Dirichlet
from maetoolkit.masking.plan import Layout, MaskPlan
from maetoolkit.masking.route import Route, Router
from maetoolkit.masking.sampler import Masking, MaskSampler
from maetoolkit.modality import ModalitySet
from maetoolkit.model.balance import Score
from maetoolkit.model.decoder import CrossDecoder, DecoderDescription
from maetoolkit.model.encoder import EncoderDescription, ViT
from maetoolkit.model.objective import ObjectiveDescription, WeightedSum
from maetoolkit.model.outputs import Encoded, Output, Reconstruction, everything_else, everything_visible
from maetoolkit.model.positions import gather, positions_of
from maetoolkit.model.pretrained import initialise_from
from maetoolkit.randomness import Draw
from maetoolkit.tokens import Batch, Field, Packed, Patches, map_tensors


@dataclass(frozen=True)
class Ready:
    """A batch cut into patches, with its plan and route."""

    patches: Mapping[str, Patches]
    plan: MaskPlan
    route: Route
    draw: Draw


class MaskedAutoencoder(nn.Module):
    """Hides most of what it is given and learns by predicting the hidden part, for any set of modalities.

    MAE (He et al. 2022), MultiMAE (Bachmann et al. 2022) and M3AE (Geng et al. 2022) are settings of it.
    Raises ValueError where the settings do not fit the modalities.
    """

    calls: Tensor

    def __init__(
        self,
        modalities: ModalitySet,
        encoder: EncoderDescription | None = None,
        decoder: DecoderDescription | None = None,
        masking: Masking | None = None,
        objective: ObjectiveDescription | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        encoder, decoder = encoder or ViT(), decoder or CrossDecoder()
        objective, self.masking = objective or WeightedSum(), masking or Dirichlet()
        self.masking.check(modalities)
        objective.check(modalities)
        self.modalities, self.seed = modalities, seed
        self.sampler: MaskSampler = self.masking.build()
        self.encoder = encoder.build()
        dim, given = self.encoder.dim, modalities.inputs
        self.tokenizers = nn.ModuleDict({name: modalities[name].build_tokenizer(dim) for name in given})
        self.positions = nn.ModuleDict({name: modalities[name].build_position(dim, "encoder") for name in given})
        self.decoder = decoder.build(modalities, dim)
        sources = modalities.sources
        self.heads = nn.ModuleDict(
            {
                name: modalities[name].build_head(decoder.dim, modalities[source].content)
                for name, source in sources.items()
            }
        )
        self.full_precision = frozenset(getattr(decoder, "fp32", ()))
        self.objective = objective.build(modalities.outputs)
        stacks = decoder.stacks(modalities.outputs)
        self.router = Router(given, sources, encoder.num_global_tokens, stacks, decoder.with_globals)
        if getattr(encoder, "init", None):
            initialise_from(self, encoder.init)  # type: ignore[attr-defined]
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self._num_calls = 0

    def forward(
        self,
        batch: Batch | Mapping[str, Field | Tensor],
        plan: MaskPlan | None = None,
        progress: float = 0.0,
        totals: Mapping[str, Tensor] | None = None,
        share: float = 1.0,
    ) -> Output:
        """One pass, from a batch to its loss.

        A plan that came with the batch is used, otherwise one is drawn. With `totals`, the divisors of a whole step
        (sums of `count`), the losses of its micro-batches add up to the step's; `share` is this batch's part of it.
        """
        ready = self.cut(batch, plan, progress)
        latent = self.encoder(self.embed(ready.patches, ready.route), self.encoder.draw_keep(ready.draw, self.device))
        features = self.decoder(latent, ready.patches, ready.route)
        predictions = self.predictions(features)
        scores = self.score(predictions, ready)
        loss, losses = self.objective(scores, ready.route.num_samples, totals, share)
        return Output(loss, losses, predictions, scores, ready.plan, ready.route)

    def cut(
        self, batch: Batch | Mapping[str, Field | Tensor], plan: MaskPlan | None = None, progress: float = 0.0
    ) -> Ready:
        """Prepare and cut every field, and find or draw the plan; a field that is missing is wholly absent."""
        batch = self._as_batch(batch)
        patches = self._patches(batch)
        draw = batch.draw or self._next_draw(len(batch))
        if plan is None and batch.plan is None:
            layout = Layout.of(self.modalities, batch.fields)
            content = patches if self.sampler.needs_content else None
            plan = self.sampler(layout, draw, progress, patches=content)
        elif plan is not None:
            plan = plan.among(Layout.of(self.modalities, batch.fields))
            batch = replace(batch, route=None)
        used = plan or batch.plan
        assert used is not None
        route = batch.route or self.router(map_tensors(used, lambda flags: flags.cpu()))
        return Ready(patches, used, map_tensors(route, lambda index: index.to(self.device, non_blocking=True)), draw)

    def embed(self, patches: Mapping[str, Patches], route: Route) -> Packed:
        """Tokenize the visible patches alone, and bring them into one sequence per sample behind the global tokens."""
        parts = [self.encoder.global_tokens.expand(route.num_samples, -1, -1).flatten(0, 1)]
        for name, tokenizer in self.tokenizers.items():
            content = gather(patches[name].values, route.visible[name])
            parts.append(tokenizer(content) + positions_of(self.positions[name], patches[name], route.visible[name]))
        return Packed(torch.cat(parts).index_select(0, route.order), route.segments)

    def predictions(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Every head on its features, in the precision that its decoder ran in."""
        found, device = {}, self.device.type
        for name, head in self.heads.items():
            half = name not in self.full_precision and torch.is_autocast_enabled(device)
            with torch.autocast(device, dtype=torch.get_autocast_dtype(device), enabled=half):
                found[name] = head(features[name])
        return found

    def score(self, predictions: Mapping[str, Tensor], ready: Ready) -> dict[str, Score]:
        """Compare predictions with their targets; tokens that do not exist count nothing."""
        scores = {}
        for name, prediction in predictions.items():
            modality, patches, index = (
                self.modalities[name],
                self._source(name, ready.patches),
                ready.route.target[name],
            )
            target, valid, exists = self._targets(name, patches, index)
            total, count = modality.token_loss(prediction, target, valid)
            scores[name] = Score(total.where(exists, 0.0), count.where(exists, 0.0), ready.route.sample[name])
        return scores

    @torch.no_grad()
    def count(self, batch: Batch, progress: float = 0.0) -> dict[str, Float[Tensor, ""]]:
        """The divisor of every output's loss for this batch, before any prediction; adds up over a step."""
        ready = self.cut(batch, None, progress)
        divisors = {}
        for name in self.modalities.outputs:
            target, valid, exists = self._targets(name, self._source(name, ready.patches), ready.route.target[name])
            count = self.modalities[name].token_count(target, valid).where(exists, 0.0)
            divisors[name] = self.objective.divisor(count, ready.route.sample[name], ready.route.num_samples)
        return divisors

    def encode(self, batch: Batch | Mapping[str, Field | Tensor], layers: Sequence[int] | None = None) -> Encoded:
        """Features of everything that is present, never masked; any subset of the inputs will do.

        `layers` names the blocks (from 0, negative from the end) whose output is kept too.
        Raises ValueError where a sample has nothing present.
        """
        batch = self._as_batch(batch)
        patches = self._patches(batch)
        plan = everything_visible(Layout.of(self.modalities, batch.fields))
        route = map_tensors(self.router(plan), lambda index: index.to(self.device))
        states = self.encoder.layers(self.embed(patches, route))
        if wrong := [number for number in layers or () if not -len(states) <= number < len(states)]:
            raise ValueError(f"layers: the encoder has blocks 0 to {len(states) - 1}, found {wrong[0]}")
        chosen = tuple(states[number] for number in layers or ())
        grids = {name: patches[name].grid for name in self.modalities.inputs}
        return Encoded(states[-1], route, self.encoder.global_tokens.shape[1], grids, chosen)

    @torch.no_grad()
    def reconstruct(self, batch: Batch | Mapping[str, Field | Tensor], plan: MaskPlan | None = None) -> Reconstruction:
        """Predictions laid out over the whole token grid, in the domain of the patch values, for people to look at."""
        ready = self.cut(batch, plan)
        route = ready.route
        features = self.decoder(self.encoder(self.embed(ready.patches, route)), ready.patches, route)
        predictions = self.predictions(features)
        scores = self.score(predictions, ready)
        _, losses = self.objective(scores, route.num_samples)
        predicted, token_loss = {}, {}
        for name, prediction in predictions.items():
            patches, index, modality = self._source(name, ready.patches), route.target[name], self.modalities[name]
            values = modality.to_values(prediction.float(), gather(patches.values, index))
            blank = torch.zeros_like(patches.values).flatten(0, 1)
            predicted[name] = blank.index_copy(0, index, values.to(blank.dtype)).unflatten(0, patches.values.shape[:2])
            mean = scores[name].total / scores[name].count.clamp(min=1)
            per_token = mean.new_zeros(patches.present.numel()).index_copy(0, index, mean)
            token_loss[name] = per_token.unflatten(0, patches.present.shape)
        return Reconstruction(ready.patches, predicted, ready.plan, losses, token_loss)

    def predict(self, batch: Batch | Mapping[str, Field | Tensor]) -> dict[str, Tensor]:
        """Every field that was not given, made from all that was: whole entries (B, ...), in prepared values."""
        batch = self._as_batch(batch)
        plan = everything_else(Layout.of(self.modalities, batch.fields))
        done = self.reconstruct(batch, plan)
        wholes = {}
        for name, flags in plan.target.items():
            modality = self.modalities[name]
            if modality.of is None and bool(flags.any()):
                wholes[name] = modality.unpatchify(done.predicted[name], done.patches[name].grid)
        return wholes

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.encoder.global_tokens.device

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that are not decayed besides biases and norms: tokens, positions, embeddings, balance."""
        kept, names = ("_token", "embedding", "position", "log_variance"), set(self.modalities)
        paths = {n: ".".join(p for p in n.split(".") if p not in names) for n, _ in self.named_parameters()}
        return {name for name, path in paths.items() if any(word in path for word in kept)}

    def compile_blocks(self) -> None:
        """Compile every transformer block in place; state dicts keep their names."""
        from maetoolkit.layers.block import PackedBlock

        for module in self.modules():
            if isinstance(module, PackedBlock):
                module.compile()

    def _as_batch(self, batch: Batch | Mapping[str, Field | Tensor]) -> Batch:
        if not isinstance(batch, Batch):
            for name in batch:
                if self.modalities[name].of is not None:
                    raise ValueError(f"{name!r} has no data of its own: it is made from {self.modalities[name].of!r}")
            fields = {name: value if isinstance(value, Field) else Field.of(value) for name, value in batch.items()}
            for name, field in fields.items():
                try:
                    self.modalities[name].check(field)
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from None
            sizes = {name: len(field) for name, field in fields.items()}
            if not sizes or len(set(sizes.values())) != 1:
                raise ValueError(f"expected fields of one batch size, found {sizes}")
            batch = Batch(fields, tuple(str(i) for i in range(next(iter(sizes.values())))))
        return batch

    def _patches(self, batch: Batch) -> dict[str, Patches]:
        device, patches = self.device, {}
        for name in self.modalities.fields:
            modality = self.modalities[name]
            field = batch.fields[name] if name in batch.fields else modality.collate([None] * len(batch))
            field = map_tensors(field, lambda tensor: tensor.to(device, non_blocking=True))
            patches[name] = modality.patchify(modality.prepare(field))
        return patches

    def _next_draw(self, num_samples: int) -> Draw:
        self.calls += 1
        self._num_calls += 1
        return Draw.of(self.seed, [str(i) for i in range(num_samples)], self._num_calls)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: object) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._num_calls = int(self.calls)

    def _source(self, name: str, patches: Mapping[str, Patches]) -> Patches:
        return patches[self.modalities.source(name)]

    def _targets(self, name: str, patches: Patches, index: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        exists = gather(patches.present, index)
        values = gather(patches.values, index)
        values = values.where(
            exists.view(-1, *[1] * (values.ndim - 1)), torch.zeros((), dtype=values.dtype, device=values.device)
        )
        valid = None if patches.valid is None else gather(patches.valid, index)
        return self.modalities[name].target(values).detach(), valid, exists
