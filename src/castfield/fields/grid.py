"""The fast field: feature planes near the fitted head, a small network, and a proposal that says where to sample.

Each person has planes of their own (`identity: planes`) or all share one set (`identity: conditioning`, where identity enters
only through M(e, i), as in the paper). Expression moves the features: a handful of further planes, shared by the cast, are
mixed by tanh(linear[M(e, i), l]). The network sees the features and, as a bias of its first layer, M(e, i) and l. To its raw density
a prior is added that comes from the fitted head (`systems.shape`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from castfield.config import GridConfig
from castfield.fields.planes import BOX_HIGH, BOX_LOW, CELLS, PlaneLevel, depth_texels, look_up, to_unit

DENSITY_SCALE = 100.0
"""Densities are this many times the softplus of the network's output, per metre: a head is opaque within centimetres."""
DENSITY_SHIFT = 1.0


def to_density(raw: Tensor) -> Tensor:
    """Raw output -> density per metre."""
    return torch.nn.functional.softplus(raw - DENSITY_SHIFT) * DENSITY_SCALE


@dataclass
class Prepared:
    """What is the same for all points of a frame, gathered for B frames of G people (B = G x frames each, grouped)."""

    groups: int
    fronts: list[Tensor]
    """Per level (G, C, r, r)."""
    sides: list[Tensor]
    """Per level (G, 2, C, r, q)."""
    moved_front: Tensor
    """(B, C, s, s): the expression planes, mixed."""
    moved_side: Tensor
    """(B, 2, C, s, t)."""
    bias: Tensor
    """(B, width)."""
    prior: Tensor
    """(G, 1, D, D, D): what is added to the raw density."""


class GridField(nn.Module):
    """Planes of `people` people (1 where they share), conditioned on M(e, i) of length `condition` and l of length `latent`."""

    box_low: Tensor
    box_high: Tensor
    prior: Tensor

    def __init__(self, people: int, condition: int, latent: int, config: GridConfig) -> None:
        super().__init__()
        self.config = config
        c, s, b = config.channels, config.expression_resolution, config.expression_planes
        self.people = nn.ModuleList(nn.ModuleList(PlaneLevel(c, r) for r in config.resolutions) for _ in range(people))
        self.expression_front = nn.Parameter(torch.randn(b, c, s, s) * 0.05)
        self.expression_side = nn.Parameter(torch.randn(b, 2, c, s, depth_texels(s)) * 0.05)
        self.mix = nn.Linear(condition + latent, b)
        self.entry = nn.Linear(c * (len(config.resolutions) + 1), config.width)
        self.entry_condition = nn.Linear(condition + latent, config.width, bias=False)
        self.hidden = nn.Linear(config.width, config.width)
        self.out = nn.Linear(config.width, 4)
        self.register_buffer("box_low", torch.tensor(BOX_LOW))
        self.register_buffer("box_high", torch.tensor(BOX_HIGH))
        self.register_buffer("prior", torch.zeros(people, CELLS, CELLS, CELLS))

    def prepare(self, people: Tensor, condition: Tensor, latent: Tensor) -> Prepared:
        """people (G,) whose planes to use, condition (B, o), latent (B, L), with the frames of each person side by side."""
        levels = range(len(self.config.resolutions))
        chosen = [self.people[p] for p in people.tolist()]
        both = torch.cat([condition, latent], -1)
        mix = torch.tanh(self.mix(both))
        moved_front, moved_side = (
            (mix @ planes.flatten(1)).unflatten(1, planes.shape[1:]) for planes in (self.expression_front, self.expression_side)
        )
        return Prepared(
            len(chosen),
            [torch.stack([person[level].front for person in chosen]) for level in levels],
            [torch.stack([person[level].side for person in chosen]) for level in levels],
            moved_front,
            moved_side,
            self.entry_condition(both),
            self.prior[people][:, None],
        )  # fmt: skip

    def forward(self, points: Tensor, prepared: Prepared) -> tuple[Tensor, Tensor]:
        """points (B, P, 3) metres in head space -> density (B, P) per metre and colour (B, P, 3) in [0, 1]."""
        learned, prior, colour = self.parts(points, prepared)
        return to_density(learned + prior), torch.sigmoid(colour)

    def parts(self, points: Tensor, prepared: Prepared) -> tuple[Tensor, Tensor, Tensor]:
        """What is learned of the raw density (B, P), its prior (B, P), and the raw colour (B, P, 3)."""
        frames, count = points.shape[:2]
        unit = to_unit(points, self.box_low, self.box_high)
        grouped = unit.reshape(prepared.groups, -1, 3)
        features = [look_up(front, side, grouped) for front, side in zip(prepared.fronts, prepared.sides, strict=True)]
        features = [f.reshape(frames, count, -1) for f in features]
        features.append(look_up(prepared.moved_front, prepared.moved_side, unit))
        hidden = torch.relu(self.entry(torch.cat(features, -1)) + prepared.bias[:, None])
        out = self.out(torch.relu(self.hidden(hidden)))
        prior = torch.nn.functional.grid_sample(prepared.prior, grouped[:, None, None], padding_mode="border", align_corners=False)
        return out[..., 0], prior.reshape(frames, count), out[..., 1:]

    def plane_parameters(self) -> list[nn.Parameter]:
        """The planes, which learn at a rate of their own."""
        return [*self.people.parameters(), self.expression_front, self.expression_side]

    def network_parameters(self) -> list[nn.Parameter]:
        """Everything but the planes."""
        planes = {id(p) for p in self.plane_parameters()}
        return [p for p in self.parameters() if id(p) not in planes]
