"""The paper's field (MI-NeRF, section 3.3 and appendix E; branches as in NeRFace): F(M(e, i), l, x, v) -> (c, sigma)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from castfield.config import MLPConfig
from castfield.fields.encodings import encode, encoded_dim

RADIUS = 0.3
"""Rays are marched this far before and behind the head's origin, metres; positions are encoded in this unit."""


class RadianceMLP(nn.Module):
    """One of the two networks, coarse or fine.

    `layers` linear layers of `width` with ReLU; the encoded point and the condition enter at the first and, as in NeRF
    and NeRFace, once more after half of them. One linear layer gives the density. The colour branch sees the last hidden
    layer and the encoded direction: `colour_layers` of `colour_width`, then RGB.
    """

    def __init__(self, condition: int, config: MLPConfig) -> None:
        super().__init__()
        self.config = config
        point = encoded_dim(3, config.frequencies_x) + condition
        self.skip = config.layers // 2
        entry = [point if j == 0 else config.width + (point if j == self.skip else 0) for j in range(config.layers)]
        self.layers = nn.ModuleList(nn.Linear(size, config.width) for size in entry)
        self.density = nn.Linear(config.width, 1)
        first = config.width + encoded_dim(3, config.frequencies_v)
        sizes = [first] + [config.colour_width] * (config.colour_layers - 1)
        self.colour_layers = nn.ModuleList(nn.Linear(size, config.colour_width) for size in sizes)
        self.colour = nn.Linear(config.colour_width, 3)

    def forward(self, points: Tensor, directions: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """points (F, R, S, 3) metres, directions (F, R, 3) unit, condition (F, C) -> density (F, R, S) per metre, colour (F, R, S, 3)."""
        shape = points.shape[:-1]
        entered = encode(points / RADIUS, self.config.frequencies_x)
        entered = torch.cat([entered, condition[:, None, None, :].expand(*shape, -1)], -1)
        hidden = entered
        for j, layer in enumerate(self.layers):
            if j == self.skip:
                hidden = torch.cat([entered, hidden], -1)
            hidden = torch.relu(layer(hidden))
        # Densities are per head radius, so that the numbers do not depend on the choice of metres.
        density = torch.relu(self.density(hidden)[..., 0]) / RADIUS
        toward = encode(directions, self.config.frequencies_v)[..., None, :].expand(*shape, -1)
        hidden = torch.cat([hidden, toward], -1)
        for layer in self.colour_layers:
            hidden = torch.relu(layer(hidden))
        return density, torch.sigmoid(self.colour(hidden))


class PaperField(nn.Module):
    """The coarse and the fine network."""

    def __init__(self, condition: int, config: MLPConfig) -> None:
        super().__init__()
        self.coarse, self.fine = RadianceMLP(condition, config), RadianceMLP(condition, config)
