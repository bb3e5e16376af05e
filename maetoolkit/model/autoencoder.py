"""MaskedAutoencoder: cut, mask, encode, decode, score. Axes: B samples, N tokens of a field, T chosen ones, D width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maetoolkit.layers.initialise import token
from maetoolkit.masking.dirichlet import Dirichlet
from maetoolkit.masking.plan import Layout, MaskPlan
from maetoolkit.masking.route import Route, Router
from maetoolkit.masking.sampler import Masking, MaskSampler
from maetoolkit.modality import ModalitySet
from maetoolkit.model.balance import Score
from maetoolkit.model.decoder import CrossDecoder, DecoderDescription
from maetoolkit.model.encoder import EncoderDescription, ViT
from maetoolkit.model.intake import Given, Ready, as_batch, patches_of
from maetoolkit.model.objective import ObjectiveDescription, WeightedSum
from maetoolkit.model.outputs import Encoded, Output, Reconstruction, everything_else, everything_visible
from maetoolkit.model.positions import gather, positions_of, spread
from maetoolkit.model.pretrained import initialise_from
from maetoolkit.randomness import Draw
from maetoolkit.tokens import Batch, Packed, Patches, map_tensors


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
        decoder.check_masking(modalities, self.masking)
        objective.check(modalities)
        self.modalities, self.seed = modalities, seed
        self.sampler: MaskSampler = self.masking.build_for(modalities)
        self.encoder = encoder.build()
        dim, given = self.encoder.dim, modalities.inputs
        self.tokenizers = nn.ModuleDict({name: modalities[name].build_tokenizer(dim) for name in given})
        self.positions = nn.ModuleDict({name: modalities[name].build_position(dim, "encoder") for name in given})
        self.embeddings = nn.ParameterDict({name: token(dim) for name in (given if encoder.modality_embedding else ())})
        masked = given if self.masking.uses_mask_tokens else ()
        self.mask_tokens = nn.ParameterDict({name: token(dim) for name in masked})
        self.decoder = decoder.build(modalities, dim)
        width = int(self.decoder.dim)  # type: ignore[arg-type]
        self.heads = nn.ModuleDict(
            {name: modalities[name].build_head(width, self._content(name)) for name in modalities.outputs}
        )
        self.full_precision = frozenset(getattr(decoder, "fp32", ()))
        self.objective = objective.build(modalities.outputs)
        stacks = decoder.stacks(modalities.outputs)
        self.router = Router(given, modalities.sources, encoder.num_global_tokens, stacks, decoder.with_globals)
        if getattr(encoder, "init", None):
            initialise_from(self, encoder.init)  # type: ignore[attr-defined]
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self._num_calls = 0

    def forward(
        self,
        batch: Given,
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
        own = None
        if self.sampler.learns:
            own = self.sampler.observe(ready.patches, ready.plan, self._token_losses(scores, ready))
        if own is not None:
            own = share * own
            loss = loss + own
        return Output(loss, losses, predictions, scores, ready.plan, ready.route, own)

    def cut(self, batch: Given, plan: MaskPlan | None = None, progress: float = 0.0) -> Ready:
        """Prepare and cut every field, and find or draw the plan; a field that is missing is wholly absent.

        Raises ValueError where a sample has nothing present, or the plan puts mask tokens where the model has none.
        """
        batch = as_batch(batch, self.modalities)
        patches = patches_of(batch, self.modalities, self.device)
        draw = batch.draw or self._next_draw(len(batch))
        if plan is not None or batch.plan is None:
            layout = Layout.of(self.modalities, batch.fields)
            layout.require_something(batch.keys)
            content = patches if self.sampler.needs_content else None
            given = None if plan is None else _on_host(plan).among(layout)
            plan = given or self.sampler(layout, draw, progress, patches=content)
            batch = replace(batch, plan=plan, route=None)
        assert batch.plan is not None
        if batch.plan.in_place and not self.mask_tokens:
            raise ValueError("plan: in_place asks for mask tokens in the encoder; set masking.in_place=true")
        route = batch.route or self.router(_on_host(batch.plan))
        route = map_tensors(route, lambda index: index.to(self.device, non_blocking=True))
        return Ready(patches, batch.plan, route, draw, batch.targets, batch.weight)

    def planned(self, batch: Batch, progress: float = 0.0) -> Batch:
        """The batch with a plan, drawn now where it came without one, so that every later use of it sees the same."""
        if batch.plan is not None:
            return batch
        ready = self.cut(batch, None, progress)
        return replace(batch, plan=ready.plan, route=ready.route, draw=ready.draw)

    def embed(self, patches: Mapping[str, Patches], route: Route) -> Packed:
        """Tokenize the visible patches alone, and bring them into one sequence per sample behind the global tokens.

        Mask tokens stand for patches that the plan hides in place.
        """
        parts = [self.encoder.global_tokens.expand(route.num_samples, -1, -1).flatten(0, 1)]
        for name, tokenizer in self.tokenizers.items():
            kept = route.kept[name]
            tokens = tokenizer(gather(patches[name].values, route.content[name]))
            if name in route.seen:
                masked = self.mask_tokens[name].expand(len(kept), -1)
                tokens = masked.index_copy(0, route.seen[name], tokens.to(masked.dtype))
            tokens = tokens + positions_of(self.positions[name], patches[name], kept)
            parts.append(tokens + self.embeddings[name] if name in self.embeddings else tokens)
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
            target, valid, exists = self._targets(name, ready)
            total, count = self.modalities[name].token_loss(prediction, target, valid)
            sample = ready.route.sample[name]
            scores[name] = Score(total.where(exists, 0.0), count.where(exists, 0.0), sample, ready.weight)
        return scores

    @torch.no_grad()
    def count(self, batch: Batch, progress: float = 0.0) -> dict[str, Float[Tensor, ""]]:
        """The divisor of every output's loss for this batch, before any prediction; adds up over a step."""
        ready = self.cut(batch, None, progress)
        divisors = {}
        for name in self.modalities.outputs:
            target, valid, exists = self._targets(name, ready)
            count = self.modalities[name].token_count(target, valid).where(exists, 0.0)
            divisors[name] = self.objective.divisor(count, ready.route.sample[name], ready.route.num_samples)
        return divisors

    def encode(self, batch: Given, layers: Sequence[int] | None = None) -> Encoded:
        """Features of everything that is present, never masked; any subset of the inputs will do.

        `layers` names the blocks (from 0, negative from the end) whose output is kept too.
        Raises ValueError where a sample has nothing present.
        """
        batch = as_batch(batch, self.modalities)
        patches = patches_of(batch, self.modalities, self.device)
        plan = everything_visible(Layout.of(self.modalities, batch.fields))
        route = map_tensors(self.router(plan), lambda index: index.to(self.device))
        states = self.encoder.layers(self.embed(patches, route))
        if wrong := [number for number in layers or () if not -len(states) <= number < len(states)]:
            raise ValueError(f"layers: the encoder has blocks 0 to {len(states) - 1}, found {wrong[0]}")
        chosen = tuple(states[number] for number in layers or ())
        grids = {name: patches[name].grid for name in self.modalities.inputs}
        return Encoded(states[-1], route, self.encoder.global_tokens.shape[1], grids, chosen)

    @torch.no_grad()
    def reconstruct(self, batch: Given, plan: MaskPlan | None = None, progress: float = 0.0) -> Reconstruction:
        """Predictions laid out over the whole token grid, in the domain of the patch values, for people to look at.

        Mask tokens stand for what a given `plan` hides wherever they did in training.
        """
        if plan is not None:
            batch = as_batch(batch, self.modalities)
            held = [name for name in self.modalities.inputs if self.masking.holds(name)]
            plan = _on_host(plan).holding(Layout.of(self.modalities, batch.fields), held)
        ready = self.cut(batch, plan, progress)
        route = ready.route
        features = self.decoder(self.encoder(self.embed(ready.patches, route)), ready.patches, route)
        predictions = self.predictions(features)
        shown = {name: predictions[name] for name in self.modalities.reconstructed}
        scores = self.score(shown, ready)
        losses = self.objective(scores, route.num_samples)[1] if scores else {}
        predicted, confidence = {}, {}
        for name, prediction in shown.items():
            patches, index, modality = self._source(name, ready.patches), route.target[name], self.modalities[name]
            values = modality.to_values(prediction.float(), gather(patches.values, index))
            predicted[name] = spread(values.to(patches.values.dtype), index, patches.present.shape)
            sure = modality.confidence(prediction.float())
            if sure is not None:
                confidence[name] = spread(sure, index, patches.present.shape)
        token_loss = self._token_losses(scores, ready)
        return Reconstruction(ready.patches, predicted, ready.plan, losses, token_loss, confidence)

    def predict(self, batch: Given) -> dict[str, Tensor]:
        """Every field that was not given, made from all that was: whole entries (B, ...), in prepared values."""
        batch = as_batch(batch, self.modalities)
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

    def _next_draw(self, num_samples: int) -> Draw:
        self.calls += 1
        self._num_calls += 1
        return Draw.of(self.seed, [str(i) for i in range(num_samples)], self._num_calls)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: object) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._num_calls = int(self.calls)

    def _source(self, name: str, patches: Mapping[str, Patches]) -> Patches:
        return patches[self.modalities.source(name)]

    def _token_losses(self, scores: Mapping[str, Score], ready: Ready) -> dict[str, Float[Tensor, "B N"]]:
        """Mean loss of every scored token in its place, without gradient; zero elsewhere."""
        shapes = {name: self._source(name, ready.patches).present.shape for name in scores}
        means = {name: (score.total / score.count.clamp(min=1)).detach() for name, score in scores.items()}
        return {name: spread(mean, ready.route.target[name], shapes[name]) for name, mean in means.items()}

    def _content(self, name: str) -> tuple[int, ...]:
        teacher, source = self.modalities[name].taught_by(), self.modalities[self.modalities.source(name)]
        return source.content if teacher is None else (teacher.width(self.encoder.dim, source),)

    def _targets(self, name: str, ready: Ready) -> tuple[Tensor, Tensor | None, Tensor]:
        modality, patches, index = self.modalities[name], self._source(name, ready.patches), ready.route.target[name]
        exists, valid = gather(patches.present, index), None
        if modality.taught_by() is None:
            values = gather(patches.values, index)
            valid = None if patches.valid is None else gather(patches.valid, index)
        elif name in ready.targets:
            values = gather(ready.targets[name].to(self.device), index)
        else:
            raise ValueError(
                f"{name!r} is predicted from a teacher, whose features are not in the batch; "
                "add them with maetoolkit.model.teacher.Teachers(model)(batch), as the trainer does"
            )
        blank = torch.zeros((), dtype=values.dtype, device=values.device)
        values = values.where(exists.view(-1, *[1] * (values.ndim - 1)), blank)
        return modality.target(values).detach(), valid, exists


def _on_host(plan: MaskPlan) -> MaskPlan:
    found: MaskPlan = map_tensors(plan, lambda flags: flags.cpu())
    return found
