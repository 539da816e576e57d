"""The fitted head as a prior of the density.

Footage of a face from the front says little about depth: density anywhere along a ray explains it equally well. So the
field starts from the fitted mesh, and learns what differs from it: hair, above all.
"""

from __future__ import annotations

from functools import cache

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from castfield.clip import Track
from castfield.fields.fast import has_kernels
from castfield.fields.planes import CELLS
from castfield.rigs import Rig

OUTSIDE = ("skin", "scalp", "brows", "ears", "neck", "lips", "eyes")
"""Parts that make up the outside of a head; teeth and tongue lie within it."""
INSIDE_LOGIT = 4.0
"""Prior within the head, as an addition to the network's raw density."""
OUTSIDE_LOGIT = -5.0
"""Prior in the air near the head: hair is learned against it."""
SLOPE = 1 / 0.005
"""How fast the one turns into the other, per metre."""
FAR_SLOPE = 20.0
"""How much less likely it becomes with every further metre, so that hair grows near the head and not before the camera."""
AIR = 0.1
"""Distance from the head, metres, at which cells are taken to lie that the masks rule out."""


def density_prior(rig: Rig, track: Track, centres: Tensor, inside: Tensor) -> Tensor:
    """Additive prior of the raw density at the cells' `centres` (48^3, 3) metres: (48^3,), from the mesh under the clip's mean expression.

    inside (48^3,) bool: cells that may hold the head. Those far from all of them are air, whatever the mesh says.
    """
    identity, expression = torch.from_numpy(track.identity), torch.from_numpy(track.expression[track.valid]).mean(0)
    cubes, distance = _cubes(), torch.full((len(centres),), AIR)
    chosen = cubes[inside[cubes].any(1)].view(-1)
    distance[chosen] = signed_distance(rig, rig.vertices(identity, expression, head_only=True), centres[chosen])
    near = (-distance * SLOPE).clamp(OUTSIDE_LOGIT, INSIDE_LOGIT)
    return near - FAR_SLOPE * (distance + OUTSIDE_LOGIT / SLOPE).clamp_min(0)


def signed_distance(rig: Rig, vertices: Tensor, points: Tensor) -> Tensor:
    """Distance (N,) of points (N, 3) to the nearest vertex of the head's outside, metres, negative inside.

    The sign is that of the nearest vertex's normal, which is right but for a few cells in sharp folds.
    """
    parts = torch.tensor([rig.part_names.index(name) for name in OUTSIDE if name in rig.part_names])
    chosen = torch.isin(rig.parts[: len(vertices)], parts)
    normals = vertex_normals(vertices, rig.faces[: rig.head_faces])[chosen]
    surface = vertices[chosen]
    found = nearest(points, surface)
    away = points - surface[found]
    return away.norm(dim=1) * torch.where((away * normals[found]).sum(1) < 0, -1.0, 1.0)


def nearest(points: Tensor, vertices: Tensor) -> Tensor:
    """Which of the vertices (V, 3) is nearest to each of the points (N, 3): (N,) int64. Fast where a point lies beside the one before."""
    points, vertices = points.double(), vertices.double()
    if has_kernels():
        from castfield.systems.shape_kernels import nearest as run

        found = torch.empty(len(points), dtype=torch.int64)
        run(points.T.contiguous().numpy(), vertices.T.contiguous().numpy(), found.numpy())
        return found
    # A tree finds in a tenth of a second what all pairs of distances take two for.
    return torch.from_numpy(cKDTree(vertices.numpy()).query(points.numpy())[1])


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
