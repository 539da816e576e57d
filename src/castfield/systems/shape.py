"""The fitted head as a prior of the density.

Footage of a face from the front says little about depth: density anywhere along a ray explains it equally well. So the
field starts from the fitted mesh, and learns what differs from it: hair, above all.
"""

from __future__ import annotations

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from castfield.clip import Track
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


def density_prior(rig: Rig, track: Track, centres: Tensor) -> Tensor:
    """Additive prior of the raw density at `centres` (N, 3) metres: (N,), from the mesh under the clip's mean expression."""
    identity, expression = torch.from_numpy(track.identity), torch.from_numpy(track.expression[track.valid]).mean(0)
    distance = signed_distance(rig, rig.vertices(identity, expression, head_only=True), centres)
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
    # A tree finds in a tenth of a second what all pairs of distances take two for.
    nearest = torch.from_numpy(cKDTree(surface.double().numpy()).query(points.double().numpy())[1])
    away = points - surface[nearest]
    return away.norm(dim=1) * torch.where((away * normals[nearest]).sum(1) < 0, -1.0, 1.0)


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Area-weighted unit normals (V, 3) of a mesh with vertices (V, 3) and faces (F, 3), pointing outwards."""
    a, b, c = vertices[faces].unbind(1)
    normal = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(vertices)
    for corner in range(3):
        total.index_add_(0, faces[:, corner], normal)
    return torch.nn.functional.normalize(total, dim=1)
