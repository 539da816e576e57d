"""The fast field: feature planes near the fitted head, a small network, and a proposal that says where to sample.

Each person has planes of their own (`identity: planes`) or all share one set (`identity: conditioning`, where identity enters
only through M(e, i), as in the paper). Expression moves the places that are looked up, as the rig says (`fields.motion`), and the
features: a handful of further planes, shared by the cast, are mixed by tanh(linear[M(e, i), l]). The network sees the features and,
as a bias of its first layer, M(e, i) and l. To its raw density a prior is added that comes from the fitted head (`systems.shape`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from castfield.config import GridConfig
from castfield.fields.blank import blank, move
from castfield.fields.fast import cpu_kernels
from castfield.fields.fused import WIDTHS, mix_planes, raw_density_and_colour
from castfield.fields.motion import at_rest
from castfield.fields.planes import CELLS, look_up_all, look_up_grid, texels

DENSITY_SCALE = 100.0
"""Densities are this many times the softplus of the network's output, per metre: a head is opaque within centimetres."""
DENSITY_SHIFT = 1.0
SPREAD = 0.05
"""Standard deviation of the expression planes in the beginning; people's own begin at zero but for their colours (`GridField.paint`)."""
MARGIN = 0.02
"""How far from black and white a colour begins at least: their raw values would be infinite."""
COLOUR_GAIN = 0.25
"""Raw colour that one unit of a feature makes in the beginning: small, so that a first step of Adam does not break it."""


def to_density(raw: Tensor) -> Tensor:
    """Raw output -> density per metre."""
    return torch.nn.functional.softplus(raw - DENSITY_SHIFT) * DENSITY_SCALE


@dataclass
class Prepared:
    """What is the same for all points of a frame, gathered for B frames of G people (B = G x frames each, grouped)."""

    people: Tensor
    """(G,) whose planes they are."""
    moved: Tensor
    """(B, texels, C): the expression planes, mixed."""
    bias: Tensor
    """(B, width) of the network's first layer."""
    motion: Tensor | None = None
    """(B, S, S, 2): how the heads are moved (`fields.motion`); None where they are at rest."""


class GridField(nn.Module):
    """Planes of `people` people (1 where they share), conditioned on M(e, i) of length `condition` and l of length `latent`."""

    prior: Tensor

    def __init__(self, people: int, condition: int, latent: int, config: GridConfig) -> None:
        super().__init__()
        self.config = config
        c = config.channels
        self.people = nn.ParameterList(blank(people, texels(config.resolutions), c, whole=False).unbind())
        self.expression = nn.Parameter(torch.randn(config.expression_planes, texels((config.expression_resolution,)), c) * SPREAD)
        self.mix = nn.Linear(condition + latent, config.expression_planes)
        self.entry = nn.Linear(c * (len(config.resolutions) + 1), config.width)
        self.entry_condition = nn.Linear(condition + latent, config.width, bias=False)
        self.hidden = nn.Linear(config.width, config.width)
        self.out = nn.Linear(config.width, 4)
        self.register_buffer("prior", blank(people, CELLS, CELLS, CELLS, kind=np.float16))
        self._hand_colours_through()

    @torch.no_grad()
    def _hand_colours_through(self) -> None:
        """Begin as a network whose colour is what three channels of the finest level hold.

        A number passes a rectifier in two units: what is positive of it in one, what is negative in the other.
        """
        both, first = torch.cat([torch.eye(3), -torch.eye(3)]), self.config.channels * (len(self.config.resolutions) - 1)
        units = len(both)
        for of_units in (self.entry.weight, self.entry.bias, self.entry_condition.weight, self.hidden.bias):
            of_units[:units] = 0
        self.entry.weight[:units, first : first + 3] = both * COLOUR_GAIN
        self.hidden.weight[:units] = torch.eye(units, self.config.width)
        self.out.weight[1:], self.out.bias[1:] = 0, 0
        self.out.weight[:, :units] = torch.cat([torch.zeros(1, units), both.T])

    @torch.no_grad()
    def paint(self, person: int, colour: Tensor, weight: float = 1.0) -> None:
        """Have somebody look from the front as in colour, (side, side, 3) RGB in [0, 1] with the finest level's side.

        weight: how far their colours move there from what they are.
        """
        finest, count = texels(self.config.resolutions[:-1]), colour.shape[0] * colour.shape[1]
        move(self.people[person][finest : finest + count, :3], torch.logit(colour.view(-1, 3), MARGIN) / COLOUR_GAIN, weight)

    def prepare(self, people: Tensor, condition: Tensor, latent: Tensor, motion: Tensor | None = None) -> Prepared:
        """people (G,) whose planes to use, condition (B, o), latent (B, L), motion (B, S, S, 2), with each person's frames side by side."""
        both = torch.cat([condition, latent], -1)
        moved = mix_planes(torch.tanh(self.mix(both)), self.expression)
        return Prepared(people, moved, self.entry_condition(both) + self.entry.bias, motion)

    def forward(self, unit: Tensor, prepared: Prepared) -> tuple[Tensor, Tensor]:
        """What is learned of the raw density and of the raw colour (B, P, 4), and the prior of the density (B, P).

        unit (B, P, 3): points of the box in [-1, 1]^3, without gradients; they are looked up where they lie at rest.
        """
        unit = unit if prepared.motion is None else at_rest(unit, prepared.motion)
        config, people = self.config, [self.people[p] for p in prepared.people.tolist()]
        prior = look_up_grid(self.prior, prepared.people, unit)
        if cpu_kernels(unit) and config.width % WIDTHS == 0:
            weights = (self.entry.weight, self.hidden.weight, self.hidden.bias, self.out.weight, self.out.bias)
            return raw_density_and_colour(
                unit, prepared.bias, weights, prepared.moved, people, config.resolutions, config.expression_resolution
            ), prior
        features = look_up_all(people, config.resolutions, prepared.moved, config.expression_resolution, unit)
        # In place where autograd allows it: at this width the network waits for memory.
        hidden = torch.baddbmm(prepared.bias[:, None], features, self.entry.weight.T.expand(len(features), -1, -1)).relu_()
        return self.out(self.hidden(hidden).relu_()), prior

    def density(self, unit: Tensor, prepared: Prepared) -> Tensor:
        """(B, P) per metre at unit (B, P, 3)."""
        raw, prior = self(unit, prepared)
        return to_density(raw[..., 0] + prior)

    def plane_parameters(self) -> list[nn.Parameter]:
        """The planes, which learn at a rate of their own."""
        return [*self.people.parameters(), self.expression]

    def network_parameters(self) -> list[nn.Parameter]:
        """Everything but the planes."""
        planes = {id(p) for p in self.plane_parameters()}
        return [p for p in self.parameters() if id(p) not in planes]
