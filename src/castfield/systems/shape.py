"""The fitted head as a prior of the density.

Footage of a face from the front says little about depth: density anywhere along a ray explains it equally well. So the
field starts from the fitted mesh, with hair on it (`systems.hair`), and learns what differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from castfield.clip import Track
from castfield.fields.fast import has_kernels
from castfield.fields.planes import CELLS, cell_centres
from castfield.rigs import Rig

OUTSIDE = ("skin", "scalp", "brows", "ears", "neck", "lips", "eyes")
"""Parts that make up the outside of a head; teeth and tongue lie within it."""
INSIDE_LOGIT = 4.0
"""Prior within the head, as an addition to the network's raw density."""
OUTSIDE_LOGIT = -5.0
"""Prior in the air near the head: what stands out from it is learned against it."""
SLOPE = 1 / 0.0065
"""How fast the one turns into the other, per metre."""
FAR_SLOPE = 20.0
"""How much less likely it becomes with every further metre, so that density grows near the head and not before the camera."""
AIR = 0.1
"""Distance from the head, metres, at which cells are taken to lie that the masks rule out."""


@dataclass(frozen=True)
class Surface:
    """The fitted head at rest: under the clip's mean expression."""

    rest: Tensor
    """(d,) that expression."""
    vertices: Tensor
    """(V, 3) metres."""
    normals: Tensor
    """(V, 3)."""


def surface_at_rest(rig: Rig, track: Track) -> Surface:
    """The head that was fitted to a clip."""
    rest = torch.from_numpy(track.expression[track.valid]).mean(0)
    vertices = rig.vertices(torch.from_numpy(np.array(track.identity)), rest, head_only=True)
    return Surface(rest, vertices, vertex_normals(vertices, rig.faces[: rig.head_faces]))


def head_distance(rig: Rig, surface: Surface, centres: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Distance (48^3,) of the cells' `centres` (48^3, 3) from the head, metres, negative inside, and the vertex that is nearest, (48^3,).

    inside (48^3,) bool: cells that may hold the head. Those far from all of them are air, whatever the mesh says, and nearest to -1.
    """
    cubes, distance, nearest = _cubes(), torch.full((len(centres),), AIR), torch.full((len(centres),), -1)
    chosen = cubes[inside[cubes].any(1)].view(-1)
    found = signed_distance(rig, surface, centres.index_select(0, chosen))
    for known, new in zip((distance, nearest), found, strict=True):
        known.index_copy_(0, chosen, new)
    return torch.where(enclosed(distance < 0), -distance.abs(), distance), nearest


def enclosed(solid: Tensor) -> Tensor:
    """Which cells (48^3,) bool lie between solid ones along two axes at least: those, and what is hollow behind eyes and lips."""
    held, count = solid.view(CELLS, CELLS, CELLS).numpy(), np.zeros((CELLS, CELLS, CELLS), np.uint8)
    if has_kernels():
        from castfield.systems import shape_kernels as kernels

        kernels.enclosed(held, count)
    else:
        for axis in range(3):
            before = np.logical_or.accumulate(held, axis)
            behind = np.flip(np.logical_or.accumulate(np.flip(held, axis), axis), axis)
            count += before & behind
    return torch.from_numpy(count >= 2).view(-1)


def front(distance: Tensor) -> Tensor:
    """Where the front of the head lies for each line of cells along z: (48, 48) of y and x, metres; beside it, where it is nearest."""
    return torch.from_numpy(depths()[front_cells(distance)])


def front_cells(distance: Tensor) -> np.ndarray:
    """(48, 48) of y and x: which cell along z is the head's front; beside it, the nearest one."""
    cells = distance.view(CELLS, CELLS, CELLS).numpy()
    first = CELLS - 1 - (cells[::-1] < 0).argmax(0)
    return np.where((cells < 0).any(0), first, cells.argmin(0))


def density_prior(distance: Tensor) -> Tensor:
    """Additive prior of the raw density where the head is at this distance, metres, negative inside."""
    near = (-distance * SLOPE).clamp(OUTSIDE_LOGIT, INSIDE_LOGIT)
    return near - FAR_SLOPE * (distance + OUTSIDE_LOGIT / SLOPE).clamp_min(0)


def signed_distance(rig: Rig, surface: Surface, points: Tensor) -> tuple[Tensor, Tensor]:
    """Distance (N,) of points (N, 3) to the nearest vertex of the head's outside, metres, negative inside; and which vertex that is, (N,).

    The sign is that of the nearest vertex's normal, which is right but for a few cells in sharp folds. Fast where a point lies beside
    the one before it.
    """
    parts = torch.tensor([rig.part_names.index(name) for name in OUTSIDE if name in rig.part_names])
    chosen = torch.isin(rig.parts[: len(surface.vertices)], parts).nonzero()[:, 0]
    distance, nearest = from_nearest(points, surface.vertices[chosen], surface.normals[chosen])
    return distance, chosen[nearest]


def from_nearest(points: Tensor, vertices: Tensor, normals: Tensor) -> tuple[Tensor, Tensor]:
    """Distance (N,) of points (N, 3) from the nearest one of the vertices (V, 3), negative behind its normal (V, 3); and which, (N,)."""
    places, surface, outwards = (each.contiguous().numpy() for each in (points, vertices, normals))
    if has_kernels():
        from castfield.systems import shape_kernels as kernels

        nearest, distance = np.empty(len(places), np.int64), np.empty(len(places), np.float32)
        kernels.nearest(places, surface, nearest)
        kernels.signed_distance(places, surface, outwards, nearest, distance)
        return torch.from_numpy(distance), torch.from_numpy(nearest)
    # A tree finds in a tenth of a second what all pairs of distances take two for.
    nearest = cKDTree(surface).query(places)[1]
    (x, y, z), (u, v, w) = (places - surface[nearest]).T, outwards[nearest].T
    distance = np.sqrt(x * x + y * y + z * z)  # PyTorch's square root of many is not always the rounded one
    return torch.from_numpy(np.where(x * u + y * v + z * w < 0, -distance, distance)), torch.from_numpy(nearest)


@cache
def depths() -> np.ndarray:
    """(48,) z of the cells' centres, metres."""
    return cell_centres()[:: CELLS * CELLS, 2].numpy()


@cache
def _cubes() -> Tensor:
    """(12^3, 4^3) the box's cells by cubes of 4^3, in an order in which those of a cube of 8^3 follow each other."""
    cells = torch.arange(CELLS**3).view([CELLS // 8, 2, 4] * 3)
    return cells.permute(0, 3, 6, 1, 4, 7, 2, 5, 8).reshape(-1, 4**3)


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Area-weighted unit normals (V, 3) of a mesh with vertices (V, 3) and faces (F, 3), pointing outwards."""
    a, b, c = vertices[faces].unbind(1)
    normal = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(vertices)
    for corner in range(3):
        total.index_add_(0, faces[:, corner], normal)
    return torch.nn.functional.normalize(total, dim=1)
