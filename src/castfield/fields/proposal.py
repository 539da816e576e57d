"""Where in canonical space a person is: a coarse grid that tells the sampler where to look (empty-space skipping)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from castfield.fields.planes import BOX_HIGH, BOX_LOW, CELLS, to_unit

FLOOR = 3.0
"""Density per metre that every cell of the hull keeps in the proposal, so that nothing is ruled out for good."""


class Proposal(nn.Module):
    """Running average of the density per person, and the hull that their masks leave; no gradients.

    `density` (people, 48, 48, 48) per metre and `hull` (people, 48, 48, 48) in {0, 1}, indexed by z, y, x.
    """

    density: Tensor
    hull: Tensor
    guide: Tensor

    def __init__(self, people: int) -> None:
        super().__init__()
        shape = (people, CELLS, CELLS, CELLS)
        self.register_buffer("density", torch.full(shape, 30.0))
        self.register_buffer("hull", torch.ones(shape, dtype=torch.uint8))
        self.register_buffer("guide", torch.full(shape, 30.0 + FLOOR), persistent=False)
        self.register_load_state_dict_post_hook(lambda proposal, keys: proposal.refresh())

    def start(self, person: int, density: Tensor, inside: Tensor) -> None:
        """What is known beforehand: densities (48^3,) per metre, and (48^3,) bool which cells the masks do not rule out."""
        self.density[person] = density.reshape(CELLS, CELLS, CELLS)
        self.set_hull(person, inside)

    def set_hull(self, person: int, inside: Tensor) -> None:
        """inside (48^3,) bool: cells that the person's masks do not rule out."""
        self.hull[person] = inside.reshape(CELLS, CELLS, CELLS).to(self.hull)
        self.refresh(person)

    def update(self, person: int, density: Tensor, keep: float = 0.8) -> None:
        """Blend in new densities (48^3,) at the cells."""
        self.density[person].mul_(keep).add_(density.reshape(CELLS, CELLS, CELLS), alpha=1 - keep)
        self.refresh(person)

    def refresh(self, person: int | None = None) -> None:
        """Recompute what `along` looks up: the average blurred by a cell each way, plus the floor, inside the hull."""
        chosen = slice(None) if person is None else slice(person, person + 1)
        blurred = torch.nn.functional.avg_pool3d(self.density[chosen, None], 3, 1, 1, count_include_pad=False)[:, 0]
        self.guide[chosen] = (blurred + FLOOR) * self.hull[chosen]

    def along(self, points: Tensor, people: Tensor) -> Tensor:
        """Expected density (G, P) at points (G, P, 3) metres of people (G,); nearest cell, 0 outside the box."""
        unit = to_unit(points, points.new_tensor(BOX_LOW), points.new_tensor(BOX_HIGH))
        cell = ((unit + 1) * (CELLS / 2)).floor().long()
        inside = ((cell >= 0) & (cell < CELLS)).all(-1)
        x, y, z = cell.clamp(0, CELLS - 1).unbind(-1)
        flat = ((people[:, None] * CELLS + z) * CELLS + y) * CELLS + x
        return self.guide.reshape(-1)[flat] * inside
