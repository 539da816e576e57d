"""MI-NeRF: one field for many people, F(M(e, i), l, x, v) -> (c, sigma) (Chatziagapi, Chrysos, Samaras 2024).

This file says what the system is made of: interaction module, codes, field, where samples lie, and the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from castfield.config import GridConfig, MLPConfig, TrainConfig
from castfield.fields.blank import move
from castfield.fields.codes import Codes
from castfield.fields.grid import GridField, Prepared, to_density
from castfield.fields.interaction import build_module
from castfield.fields.mlp import RADIUS, PaperField
from castfield.fields.motion import NEIGHBOURS, Motion
from castfield.fields.planes import CELLS, places_in, to_unit
from castfield.fields.proposal import Proposal
from castfield.fields.smoothing import AttentionSmoothing
from castfield.images import ClipImages
from castfield.rendering.compositing import Rendering
from castfield.rendering.march import two_passes
from castfield.rendering.rays import Rays, pixel_rays, sphere_bounds
from castfield.systems.beforehand import Known
from castfield.systems.grid_rays import rendered, score
from castfield.training.batches import Batch, Plan
from castfield.training.schedule import ParameterGroup

PROPOSAL_EVERY = 4
"""Steps between two refreshes of the proposal, one person each."""
PROPOSAL_STRIDE = 4
"""Of so many cells one is looked at in a refresh: in a large cast it is the sooner everybody's turn."""

EXPRESSION_SPREAD = 0.3
"""Standard deviation to which the fast field scales each direction of expression over the cast."""
EXPRESSION_STILL = 0.03
"""Deviation below which a direction counts as noise and is not scaled up further."""


@dataclass(frozen=True)
class Spec:
    """Everything that a model's shape follows from."""

    module: str
    d: int
    """Expression dimension: the rig's."""
    frames: tuple[int, ...]
    """Training frames of each clip."""
    train: TrainConfig
    vertices: int = 1
    """Vertices of the rig that are seen to move."""
    heads: int = 1
    """Whose motion is mixed where all have one head: as many as the cast had clips."""


class MINeRF(nn.Module):
    """Module, codes and what both fields share. `PaperSystem` and `GridSystem` say how rays are rendered and scored."""

    window = 1
    expression_gain: Tensor

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        train = spec.train
        self.spec = spec
        latent = train.latent_dim if train.latent else 0
        self.module = build_module(spec.module, spec.d, k=train.k, N=train.N, o=train.o, latent=latent)
        self.codes = Codes(spec.frames, spec.d, latent)
        self.register_buffer("expression_gain", torch.ones(spec.d))

    @property
    def condition_dim(self) -> int:
        """Length of [M(e, i), l]."""
        return self.module.out_dim + self.codes.latent_dim

    def window_latents(self, people: Tensor, rows: Tensor) -> Tensor:
        """Latent codes (F, W, L) of training frames rows (F, W)."""
        return torch.stack([self.codes.latent(people, rows[:, j]) for j in range(rows.shape[1])], 1)

    def condition(self, people: Tensor, expression: Tensor, latent: Tensor, smooth: bool) -> tuple[Tensor, Tensor]:
        """M(e, i) (F, o) and l (F, L) of frames, from windows expression (F, W, d) and latent (F, W, L).

        Without `smooth` the middle of the window counts alone.
        """
        if not smooth:
            middle = expression.shape[1] // 2
            expression, latent = expression[:, middle : middle + 1], latent[:, middle : middle + 1]
        identity = self.codes.identity[people][:, None].expand(-1, expression.shape[1], -1)
        moved = self.module(expression * self.expression_gain, identity, latent)
        return self.smoothed(moved, latent) if smooth else (moved[:, 0], latent[:, 0])

    def smoothed(self, moved: Tensor, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Windows (F, W, o) and (F, W, L) -> (F, o) and (F, L)."""
        raise AttributeError("this field has no smoothing")

    def smooths(self, progress: float) -> bool:
        """Whether smoothing is on at this share of the steps."""
        return False

    def kept_parameters(self) -> list[nn.Parameter]:
        """What stays as it is when the model is adapted to one person: the interaction module (section 3.4)."""
        return list(self.module.parameters())

    def regularisation(self, latent: Tensor, people: Tensor) -> tuple[Tensor, Tensor]:
        """Mean of |l|^2 over the frames (F, L) and of |i|^2 over their clips."""
        return (latent * latent).sum(-1).mean(), (self.codes.identity[people] ** 2).sum(-1).mean()


class PaperSystem(MINeRF):
    """`field: mlp`. Hierarchical sampling, coarse and fine loss, attention smoothing in the second half."""

    rays_at_once = 1024
    """Rays that are rendered together, which bounds memory."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.config: MLPConfig = spec.train.mlp
        self.field = PaperField(self.condition_dim, self.config)
        self.window = self.config.window
        self.smooth_module = AttentionSmoothing(self.module.out_dim, self.window)
        self.smooth_latent = AttentionSmoothing(self.codes.latent_dim, self.window) if self.codes.latent_dim else None

    def plan(self) -> Plan:
        config = self.config
        return Plan(1, 1, config.rays, config.head_share, config.coarse + config.fine, self.window)

    def smooths(self, progress: float) -> bool:
        return progress >= self.config.smooth_after

    def smoothed(self, moved: Tensor, latent: Tensor) -> tuple[Tensor, Tensor]:
        return self.smooth_module(moved), self.smooth_latent(latent) if self.smooth_latent else latent[:, 0]

    def may_show(self, person: int, rotation: Tensor, translation: Tensor, focal: Tensor, size: int) -> Tensor:
        """(F, S, S) bool: False where a pixel cannot show the head. The network may place density anywhere."""
        return torch.ones(len(rotation), size, size, dtype=torch.bool, device=rotation.device)

    def prepare(self, people: Tensor, expression: Tensor, condition: Tensor, latent: Tensor) -> Tensor:
        """[M(e, i), l] (F, o + L)."""
        return torch.cat([condition, latent], -1)

    def march(self, people: Tensor, prepared: Tensor, rays: Rays, background: Tensor, noise: Tensor | None = None) -> Rendering:
        """Colours of rays (F, R) of `people` (F,), over background (F, R, 3); noise (F, R, coarse + fine) places the samples."""
        near, far = sphere_bounds(rays, RADIUS)
        coarse, fine = (
            lambda points: self.field.coarse(points, rays.direction, prepared),
            lambda points: self.field.fine(points, rays.direction, prepared),
        )
        return two_passes(coarse, fine, rays, near, far, background, (self.config.coarse, self.config.fine), noise)

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, Tensor]:
        """The paper's eq. 5, coarse plus fine, sums over rays; and the mean squared error of the fine colours."""
        people = batch.people
        window = self.window_latents(people, batch.rows)
        condition, latent = self.condition(people, batch.expression, window, self.smooths(progress))
        rays = pixel_rays(batch.pixels, batch.rotation, batch.translation, batch.focal, self.spec.train.size)
        prepared = self.prepare(people, batch.expression[:, 0], condition, latent)
        seen = self.march(people, prepared, rays, batch.background, batch.noise)
        if seen.coarse is None:
            raise TypeError("two passes give a coarse colour")
        fine, coarse = (seen.colour - batch.colour) ** 2, (seen.coarse - batch.colour) ** 2
        of_latent, of_identity = self.regularisation(window[:, window.shape[1] // 2], people)
        codes = self.config.latent_weight * of_latent + self.config.identity_weight * of_identity
        total = fine.sum() + coarse.sum() + codes * batch.part
        return total, fine.mean().detach() * batch.part

    def parameter_groups(self) -> list[ParameterGroup]:
        return [ParameterGroup(list(self.parameters()), self.config.lr, self.config.lr_end)]

    def before_step(self, step: int, random: np.random.Generator, images: Sequence[ClipImages]) -> None:
        """Nothing to prepare."""


class GridSystem(MINeRF):
    """`field: grid`. Few samples near the surface that a proposal expects; colour and mask loss."""

    rays_at_once = 4096
    """Rays that are rendered together, which bounds memory."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.config: GridConfig = spec.train.grid.scaled(spec.train.size)
        self.shared = spec.train.identity == "conditioning"
        people = len(spec.frames)
        self.field = GridField(1 if self.shared else people, self.module.out_dim, self.codes.latent_dim, self.config)
        heads = (1, NEIGHBOURS * spec.heads) if self.shared else (people, NEIGHBOURS)
        self.motion = Motion(heads[0], spec.d, spec.vertices, heads[1])
        self.proposal = Proposal(people)

    def plan(self) -> Plan:
        config = self.config
        rays = config.frame_rays(min(config.clips, len(self.spec.frames)))
        return Plan(
            config.frames, config.clips, rays, config.head_share, config.samples + 3,
            lips_share=config.lips_share, eyes_share=config.eyes_share,
        )  # fmt: skip

    def balance(self, expression: Tensor) -> None:
        """Scale expressions so that each direction moves as much as the others in the cast's frames (N, d).

        A rig in activations opens a speaking mouth by a tenth and closes an eye by one: unscaled, lips are learned last.
        """
        self.expression_gain.copy_(EXPRESSION_SPREAD / expression.std(0, unbiased=False).clamp_min(EXPRESSION_STILL))

    def may_show(self, person: int, rotation: Tensor, translation: Tensor, focal: Tensor, size: int) -> Tensor:
        """(F, S, S) bool: False where a pixel cannot show the person's hull."""
        return self.proposal.silhouette(person, rotation, translation, focal, size)

    def prepare(self, people: Tensor, expression: Tensor, condition: Tensor, latent: Tensor) -> Prepared:
        """Gather what is the same for all points of a frame; expression (F, d)."""
        motion = self.motion.maps(torch.zeros_like(people) if self.shared else people, expression)
        return self.field.prepare(self._groups(people), condition, latent, motion)

    def march(self, people: Tensor, prepared: Prepared, rays: Rays, background: Tensor, noise: Tensor | None = None) -> Rendering:
        """Colours of rays (F, R) of `people` (F,), over background (F, R, 3); noise (F, R, samples) places the samples."""
        unit, lengths = self.proposal.samples(rays, people, self.config.samples, noise)
        raw, prior = self.field(unit, prepared)
        return rendered(raw, prior, lengths, background)

    def start(self, person: int, known: Known) -> None:
        """Begin with what is known of a person."""
        # Where identity enters only through the module, all have the mean head: each moves the mean of those before.
        planes, weight = (0, 1 / (person + 1)) if self.shared else (person, 1.0)
        move(self.field.prior[planes], known.prior.view(CELLS, CELLS, CELLS).half(), weight)
        if known.colour is not None:
            self.field.paint(planes, known.colour, weight)
        if known.motion is not None:
            self.motion.start(planes, *known.motion, weight, person if self.shared else 0)
        self.proposal.start(person, to_density(known.prior), known.inside)

    def _groups(self, people: Tensor) -> Tensor:
        """Whose planes are looked up, once for each run of frames of one person."""
        if self.shared:
            people = torch.zeros_like(people)
        runs, lengths = people.unique_consecutive(return_counts=True)
        return runs if len(lengths.unique()) == 1 else people

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, Tensor]:
        """Mean squared error of colour, of opacity against the head mask, and the codes' norms; and the colour's error alone."""
        people, config = batch.people, self.config
        condition, latent = self.condition(people, batch.expression, self.window_latents(people, batch.rows), False)
        rays = pixel_rays(batch.pixels, batch.rotation, batch.translation, batch.focal, self.spec.train.size)
        noise, places = batch.noise[..., : config.samples].contiguous(), batch.noise[:, ::2, config.samples :]
        unit, lengths = self.proposal.samples(rays, people, config.samples, noise)
        # One look-up for the rays' samples and the random places: the planes' gradients are large.
        raw, prior = self.field(torch.cat([unit, 2 * places - 1], 1), self.prepare(people, batch.expression[:, 0], condition, latent))
        total, error = score(raw, prior, lengths, batch, config)
        of_latent, of_identity = self.regularisation(latent, people)
        total = total + config.latent_weight * of_latent / max(1, latent.shape[1]) + config.identity_weight * of_identity
        return total * batch.part, error * batch.part

    def kept_parameters(self) -> list[nn.Parameter]:
        """Where people have planes of their own, all but these and the identity code.

        What the cast taught about faces in motion stays: a second of one person says too little of it, and forgets it for that second.
        """
        if self.shared:
            return super().kept_parameters()
        own = {id(p) for p in (self.codes.identity, *self.field.people.parameters())}
        return [p for p in self.parameters() if id(p) not in own]

    def parameter_groups(self) -> list[ParameterGroup]:
        """What stands side by side shares a mean of squares: a texel's channels, and the numbers of a frame's latent code."""
        config, planes, tables = self.config, self.field.plane_parameters(), list(self.codes.tables)
        apart = {id(p) for p in (*planes, *tables)}
        others = [p for p in self.parameters() if id(p) not in apart]
        rate = config.lr_network, config.lr_network * config.lr_end
        return [
            ParameterGroup(planes, config.lr, config.lr * config.lr_end, config.channels),
            ParameterGroup(tables, *rate, max(1, self.codes.latent_dim)),
            ParameterGroup(others, *rate, warm=config.warm_steps),
        ]

    @torch.no_grad()
    def before_step(self, step: int, random: np.random.Generator, images: Sequence[ClipImages]) -> None:
        """Refresh the proposal of one person, in turn, with the density under the expression of one of their frames (d,)."""
        if step % PROPOSAL_EVERY:
            return
        person = (step // PROPOSAL_EVERY) % len(images)
        clip, device = images[person], self.codes.identity.device
        frame = clip.train_frames[random.integers(len(clip.train_frames))]
        expression = torch.tensor(clip.track.expression[frame], dtype=torch.float32, device=device)
        first = int(random.integers(PROPOSAL_STRIDE))
        cells = self.proposal.hull[person].cpu().flatten().nonzero()[first::PROPOSAL_STRIDE, 0]
        unit = to_unit(places_in(cells, torch.from_numpy(random.random((len(cells), 3), np.float32)))).to(device)
        index = torch.tensor([person], device=device)
        latent = self.codes.mean_latent(person)[None] if self.codes.latent_dim else self.codes.latent(index, index)
        condition, latent = self.condition(index, expression[None, None], latent[:, None], False)
        prepared = self.prepare(index, expression[None], condition, latent)
        # As many at once as PyTorch leaves to one thread: where it cuts a tensor for several, softplus gives other last bits.
        density = torch.cat([self.field.density(some[None], prepared)[0] for some in unit.split(1 << 15)])
        self.proposal.update(person, cells.to(device), density)
