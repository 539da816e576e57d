"""Where in canonical space a person is: a coarse grid that tells the sampler where to look (empty-space skipping)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from castfield.fields.blank import blank
from castfield.fields.fast import cpu_kernels, has_kernels
from castfield.fields.planes import BOX_HIGH, BOX_LOW, CELLS, cell_centres, to_unit
from castfield.geometry import project
from castfield.rendering.march import expected_samples
from castfield.rendering.rays import Rays, box_bounds

PROBES = 40
"""Places along a ray where the proposal is looked up."""
FLOOR = 3.0
"""Density per metre that every cell of the hull keeps in the proposal, so that nothing is ruled out for good."""
AIR = 1.0
"""Density per metre below which a cell counts as air when pictures are rendered: less than a hundredth of opacity a cell."""
MOST = 1e4
"""Density per metre up to which it is told: a tenth of a millimetre of it hides what lies behind."""
KEEP = 0.8
"""Share that a cell's average keeps when its density is looked at again."""


class Proposal(nn.Module):
    """Running average of the density per person, and the hull that their masks leave; nobody is anywhere until `start`. No gradients.

    `density` (people, 48, 48, 48) per metre, float16, and `hull` (people, 48, 48, 48) in {0, 1}, indexed by z, y, x.
    """

    density: Tensor
    hull: Tensor
    guide: Tensor

    def __init__(self, people: int) -> None:
        super().__init__()
        shape = (people, CELLS, CELLS, CELLS)
        self.register_buffer("density", blank(*shape, kind=np.float16))
        self.register_buffer("hull", blank(*shape, kind=np.uint8))
        self.register_buffer("guide", blank(*shape, kind=np.float16), persistent=False)
        self.register_load_state_dict_post_hook(lambda proposal, keys: proposal.refresh())

    def start(self, person: int, density: Tensor, inside: Tensor) -> None:
        """What is known beforehand: densities (48^3,) per metre, and (48^3,) bool which cells the masks do not rule out."""
        self.density[person] = density.reshape(CELLS, CELLS, CELLS).clamp(max=MOST)
        self.set_hull(person, inside)

    def set_hull(self, person: int, inside: Tensor) -> None:
        """inside (48^3,) bool: cells that the person's masks do not rule out."""
        self.hull[person] = inside.reshape(CELLS, CELLS, CELLS).to(self.hull)
        self.refresh(person)

    def update(self, person: int, cells: Tensor, density: Tensor, keep: float = KEEP) -> None:
        """Blend in new densities (N,) at some of the cells (N,)."""
        known = self.density[person].view(-1)
        known[cells] = torch.lerp(density.clamp(max=MOST), known[cells].float(), keep).half()
        self.refresh(person)

    def refresh(self, person: int | None = None) -> None:
        """Recompute what `along` looks up: the average blurred by a cell each way, plus the floor, inside the hull."""
        for one in range(len(self.density)) if person is None else (person,):
            density, hull, guide = self.density[one], self.hull[one], self.guide[one]
            if density.device.type == "cpu" and has_kernels():
                from castfield.fields import kernels

                kernels.guide(density.numpy().view(np.uint16), hull.numpy(), np.float32(FLOOR), guide.numpy().view(np.uint16))
            else:
                guide.copy_(_blurred(density.float()).add_(FLOOR).mul_(hull))

    @torch.no_grad()
    def samples(self, rays: Rays, people: Tensor, count: int, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        """Samples near the surface that is expected of people (F,): places in the box, (F, R count, 3) in [-1, 1]^3, and the lengths
        (F, R, count) in metres that they stand for.

        noise (F, R, count) in [0, 1), or None for the middle of each part. A ray along which nothing is expected has
        samples of length 0: it shows the background.
        """
        frames, each = rays.shape
        if fast := cpu_kernels(rays.direction):
            lengths, unit = rays.direction.new_empty(*rays.shape, count), rays.direction.new_empty(frames, each * count, 3)
            noise = rays.direction.new_full(lengths.shape, 0.5) if noise is None else noise
            vectors = [v.reshape(-1, 3).numpy() for v in (rays.origin, rays.direction)]
            box = [np.array(corner, np.float32) for corner in (BOX_LOW, BOX_HIGH)]
            along = [a.reshape(-1, count).numpy() for a in (noise, lengths)]
            fast.propose(
                *vectors, people.numpy(), self.guide.numpy().view(np.uint16), *box, PROBES, *along, unit.view(-1, count, 3).numpy()
            )
            return unit, lengths
        near, far = box_bounds(rays, rays.direction.new_tensor(BOX_LOW), rays.direction.new_tensor(BOX_HIGH))

        def expect(points: Tensor) -> Tensor:
            return self.along(points.flatten(1, 2), people).unflatten(1, points.shape[1:3])

        depth, lengths = expected_samples(expect, rays, near, far, count, PROBES, noise)
        return to_unit(rays.at(depth).flatten(1, 2)), lengths

    def along(self, points: Tensor, people: Tensor) -> Tensor:
        """Expected density (G, P) at points (G, P, 3) metres of people (G,); nearest cell, 0 outside the box."""
        low, high = points.new_tensor(BOX_LOW), points.new_tensor(BOX_HIGH)
        scale = CELLS / (high - low)
        place = points * scale - low * scale
        inside = ((place >= 0) & (place < CELLS)).all(-1)
        # 32-bit indices: half the memory traffic of PyTorch's usual ones, on the path that every ray takes.
        x, y, z = place.to(torch.int32).clamp_(0, CELLS - 1).unbind(-1)
        flat = ((people[:, None].to(torch.int32) * CELLS + z) * CELLS + y) * CELLS + x
        return self.guide.reshape(-1).index_select(0, flat.reshape(-1)).reshape(flat.shape).float() * inside

    def silhouette(self, person: int, rotation: Tensor, translation: Tensor, focal: Tensor, size: int) -> Tensor:
        """Pixels that may show the person: (F, S, S) bool for poses (F, 3, 3), (F, 3) and focal (F,) pixels.

        Every cell of the hull with more than air in or beside it is splatted as a square that holds it, so that no ray
        which meets such a cell is missed.
        """
        points = cell_centres().to(self.hull.device)[(self.guide[person] > FLOOR + AIR).reshape(-1)]
        if not len(points):
            return torch.zeros(len(rotation), size, size, dtype=torch.bool, device=points.device)
        at = project(points, rotation, translation, focal, points.new_full((2,), size / 2))
        # One pixel beyond the picture on each side collects what reaches in from outside.
        column, line = at.floor().long().clamp(-1, size).unbind(-1)
        padded = torch.zeros(len(rotation), size + 2, size + 2, device=points.device)
        frame = torch.arange(len(rotation), device=points.device)[:, None].expand_as(line)
        padded[frame, line + 1, column + 1] = 1
        depth = (points @ rotation.transpose(-1, -2) + translation[:, None])[..., 2].min().clamp_min(0.05)
        low, high = points.new_tensor(BOX_LOW), points.new_tensor(BOX_HIGH)
        reach = int(torch.ceil(focal.max() * (high - low).norm() / (2 * CELLS) / depth)) + 1
        # A square is the product of two lines, which together are far shorter.
        lines = torch.nn.functional.max_pool2d(padded[:, None], (1, 2 * reach + 1), 1, (0, reach))
        grown = torch.nn.functional.max_pool2d(lines, (2 * reach + 1, 1), 1, (reach, 0))[:, 0]
        return grown[:, 1:-1, 1:-1] > 0


def _blurred(grid: Tensor) -> Tensor:
    """The mean (D, D, D) of each cell of a grid and those beside it."""
    for axis in range(3):  # a cube is the product of three lines
        own, counts = grid, grid.new_full((len(grid),), 1 / 3)
        counts[0] = counts[-1] = 1 / 2
        grid = own.clone()
        for to, source in ((0, 1), (1, 0)):
            grid.narrow(axis, to, len(grid) - 1).add_(own.narrow(axis, source, len(grid) - 1))
        grid.mul_(counts.view([-1 if axis == k else 1 for k in range(3)]))
    return grid
