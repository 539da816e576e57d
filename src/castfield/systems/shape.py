"""The fitted head as a prior of the density.

Footage of a face from the front says little about depth: density anywhere along a ray explains it equally well. So the
field starts from the fitted mesh, with hair on it (`systems.hair`), and learns what differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

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
APART = 0.004
"""Metres within which one vertex stands for all: lips and lids have many, and a cell is as long as two of these."""


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
    distance, nearest = signed_distance(rig, surface, centres, some_cubes(inside.numpy()))
    return closed(distance), nearest


def closed(distance: Tensor) -> Tensor:
    """Distances (48^3,) of which those between cells inside, along two axes at least, are inside: what is hollow behind eyes and lips."""
    if has_kernels():
        from castfield.systems import shape_kernels as kernels

        distance = distance.clone()
        kernels.close(distance.view(CELLS, CELLS, CELLS).numpy())
        return distance
    solid, count = (distance < 0).view(CELLS, CELLS, CELLS).numpy(), np.zeros((CELLS, CELLS, CELLS), np.uint8)
    for axis in range(3):
        before = np.logical_or.accumulate(solid, axis)
        behind = np.flip(np.logical_or.accumulate(np.flip(solid, axis), axis), axis)
        count += before & behind
    return torch.where(torch.from_numpy(count >= 2).view(-1), -distance.abs(), distance)


def front(distance: Tensor) -> Tensor:
    """Where the front of the head lies for each line of cells along z: (48, 48) of y and x, metres; beside it, where it is nearest."""
    return torch.from_numpy(depths()[front_cells(distance)[0]])


def front_cells(distance: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Which cell along z is the head's front, beside it the nearest one, and the least distance along z: (48, 48) of y and x."""
    cells = distance.view(CELLS, CELLS, CELLS).numpy()
    if has_kernels():
        from castfield.systems import shape_kernels as kernels

        at, least = np.empty((CELLS, CELLS), np.int64), np.empty((CELLS, CELLS), np.float32)
        kernels.front(cells, at, least)
        return at, least
    first = CELLS - 1 - (cells[::-1] < 0).argmax(0)
    return np.where((cells < 0).any(0), first, cells.argmin(0)), cells.min(0)


def density_prior(distance: Tensor) -> Tensor:
    """Additive prior of the raw density where the head is at this distance, metres, negative inside."""
    if has_kernels():
        from castfield.systems import shape_kernels as kernels

        prior = torch.empty_like(distance)
        line = np.array([SLOPE, OUTSIDE_LOGIT, INSIDE_LOGIT, FAR_SLOPE, OUTSIDE_LOGIT / SLOPE], np.float32)
        kernels.prior(distance.numpy(), *line, prior.numpy())
        return prior
    near = (-distance * SLOPE).clamp(OUTSIDE_LOGIT, INSIDE_LOGIT)
    return near - FAR_SLOPE * (distance + OUTSIDE_LOGIT / SLOPE).clamp_min(0)


def signed_distance(rig: Rig, surface: Surface, points: Tensor, rows: np.ndarray | None = None) -> tuple[Tensor, Tensor]:
    """Distance (N,) of points (N, 3) to the nearest vertex of the head's `outline`, metres, negative inside; and which one that is, (N,).

    The sign is that of the nearest vertex's normal, which is right but for a few cells in sharp folds. rows (M,) int32: of which points it
    is to be found, fast where one lies beside the one before it; the others are air, and nearest to -1. By default of all.
    """
    outside = outline(rig, len(surface.vertices))
    places, vertices, normals = points.contiguous().numpy(), surface.vertices.numpy()[outside], surface.normals.numpy()[outside]
    rows = np.arange(len(places), dtype=np.int32) if rows is None else rows
    distance, nearest = np.full(len(places), AIR, np.float32), np.full(len(places), -1, np.int32)
    from_nearest(places, rows, vertices, normals, outside, distance, nearest)
    return torch.from_numpy(distance), torch.from_numpy(nearest)


def from_nearest(
    points: np.ndarray, rows: np.ndarray, vertices: np.ndarray, normals: np.ndarray, names: np.ndarray, distance: np.ndarray,
    nearest: np.ndarray,
) -> None:  # fmt: skip
    """Write to some rows (M,) of distance (N,) and nearest (N,) how far points (N, 3) lie from the nearest one of the vertices (V, 3),
    negative behind its normal (V, 3), and its name, of names (V,)."""
    if has_kernels():
        from castfield.systems import shape_kernels as kernels

        kernels.nearest(points, rows, vertices, nearest)
        kernels.signed_distance(points, rows, vertices, normals, names, distance, nearest)
        return
    # A tree finds in a tenth of a second what all pairs of distances take two for.
    places = points[rows]
    found = cKDTree(vertices).query(places)[1]
    (x, y, z), (u, v, w) = (places - vertices[found]).T, normals[found].T
    length = np.sqrt(x * x + y * y + z * z)  # PyTorch's square root of many is not always the rounded one
    distance[rows], nearest[rows] = np.where(x * u + y * v + z * w < 0, -length, length), names[found]


def outline(rig: Rig, count: int) -> np.ndarray:
    """(W,) of the first `count` vertices, the head's: those of its outside, no two of them nearer than APART on the rig's mean head.

    Those that lie side by side follow each other.
    """
    return _outline(rig.neutral, rig.parts, tuple(rig.part_names), count)


@lru_cache(maxsize=1)
def _outline(neutral: Tensor, parts: Tensor, names: tuple[str, ...], count: int) -> np.ndarray:
    """Kept: a cast has one rig."""
    wanted, places = [names.index(name) for name in OUTSIDE if name in names], neutral.numpy()
    outside = np.flatnonzero(np.isin(parts[:count].numpy(), wanted))
    beside: list[list[int]] = [[] for _ in outside]
    for one, other in cKDTree(places[outside]).query_pairs(APART, output_type="ndarray"):
        beside[max(one, other)].append(min(one, other))
    stands = np.ones(len(outside), bool)
    for one, others in enumerate(beside):
        stands[one] = not stands[others].any()
    return _side_by_side(places, outside[stands])


def _side_by_side(places: np.ndarray, some: np.ndarray) -> np.ndarray:
    """The rows `some` (N,) of places (V, 3) in such an order that the first 2^k, and every further 2^k, lie together, whatever k."""
    if len(some) < 2:
        return some
    longest, first = np.ptp(places[some], axis=0).argmax(), 1 << ((len(some) - 1).bit_length() - 1)
    along = some[np.argsort(places[some, longest], kind="stable")]
    return np.concatenate([_side_by_side(places, part) for part in (along[:first], along[first:])])


@cache
def depths() -> np.ndarray:
    """(48,) z of the cells' centres, metres."""
    return cell_centres()[:: CELLS * CELLS, 2].numpy()


def some_cubes(inside: np.ndarray) -> np.ndarray:
    """The cells (M,) int32 of the cubes of 4^3 in which some cell is inside (48^3,), one cube after another."""
    cubes = _cubes()
    if has_kernels():
        from castfield.systems import shape_kernels as kernels

        rows = np.empty(cubes.size, np.int32)
        return rows[: kernels.choose(inside, cubes, rows)]
    return cubes[inside[cubes].any(1)].reshape(-1)


@cache
def _cubes() -> np.ndarray:
    """(12^3, 4^3) int32: the box's cells by cubes of 4^3."""
    cells = np.arange(CELLS**3, dtype=np.int32).reshape([CELLS // 4, 4] * 3)
    return np.ascontiguousarray(cells.transpose(0, 2, 4, 1, 3, 5)).reshape(-1, 4**3)


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Area-weighted unit normals (V, 3) of a mesh with vertices (V, 3) and faces (F, 3), pointing outwards."""
    places, corners, total = vertices.contiguous().numpy(), faces.contiguous().numpy(), np.zeros(vertices.shape, np.float32)
    if has_kernels():
        from castfield.systems import shape_kernels as kernels

        kernels.normals(places, corners, total)
        return torch.from_numpy(total)
    a, b, c = places[corners.T]
    across = np.cross(b - a, c - a)
    for corner in range(3):
        np.add.at(total, corners[:, corner], across)
    x, y, z = total.T
    return torch.from_numpy(total / np.maximum(np.sqrt(x * x + y * y + z * z), np.float32(1e-12))[:, None])
