"""A made scene with exact truth: an ellipsoid head whose mouth opens with the first expression, drawn analytically."""

from __future__ import annotations

import numpy as np
import torch

from castfield.clip import Track, split_frames
from castfield.images import ClipImages, bounding_box, grow
from castfield.rendering.rays import pixel_rays
from castfield.rigs import Rig

RADII = np.array([0.07, 0.10, 0.08])


def made_clip(name: str, frames: int = 20, size: int = 32, d: int = 4, seed: int = 0) -> ClipImages:
    """One person: colour by seed, head turning, mouth opening with expression 0; the background is a gradient."""
    random = np.random.default_rng(seed)
    time = np.arange(frames)
    expression = np.zeros((frames, d), np.float32)
    expression[:, 0] = 0.5 - 0.5 * np.cos(time * 0.7)
    expression[:, 1:] = 0.2 * random.random((frames, d - 1))
    yaw = 0.3 * np.sin(time * 0.4 + seed)
    rotation = np.stack([np.diag([1.0, -1.0, -1.0]) @ _turn(a) for a in yaw]).astype(np.float32)
    translation = np.tile(np.array([0.0, 0.0, 0.6], np.float32), (frames, 1))
    translation[:, 0] = 0.01 * np.sin(time * 0.3)
    focal = 2.0 * size
    line, column = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    pixels = torch.from_numpy(np.stack([column, line], -1).reshape(1, -1, 2) + 0.5).double()
    rays = pixel_rays(
        pixels.expand(frames, -1, -1), torch.from_numpy(rotation).double(), torch.from_numpy(translation).double(),
        torch.full((frames,), focal, dtype=torch.float64), size,
    )  # fmt: skip
    hit, point = _hit(rays.origin.numpy(), rays.direction.numpy())
    skin = np.array([0.9, 0.6, 0.5]) * (0.6 + 0.4 * random.random(3))
    colour = skin * (0.75 + 0.25 * np.sin(point[..., :1] * 60) * np.cos(point[..., 1:2] * 50))
    open_by = 0.006 + 0.03 * expression[:, 0, None]
    mouth = (np.abs(point[..., 0]) < 0.03) & (np.abs(point[..., 1] + 0.04) < open_by) & (point[..., 2] > 0)
    colour = np.where(mouth[..., None], [0.3, 0.05, 0.1], colour)
    back = np.broadcast_to(np.stack([column, line, 0 * line + size // 2], -1).reshape(1, -1, 3) / size, colour.shape)
    picture = np.where(hit[..., None], colour, back)
    as_bytes = lambda x: np.round(x * 255).astype(np.uint8).reshape(frames, size, size, -1)  # noqa: E731
    head = as_bytes(hit[..., None].astype(float))[..., 0]
    boxes = np.stack([bounding_box(grow(h)) for h in head]).astype(np.int32)
    track = Track(
        np.zeros(2, np.float32),
        expression,
        rotation,
        translation,
        focal,
        size,
        np.ones(frames, bool),
        np.zeros((frames, 478, 2), np.float32),
    )
    return ClipImages(name, size, as_bytes(picture), head, as_bytes(back), boxes, track, split_frames(frames))


def made_rig(d: int = 4, rings: int = 24) -> Rig:
    """The ellipsoid as a rig: two identity directions (wide, high), the first expression lowers the chin; every landmark lies in front."""
    up, around = np.meshgrid(np.linspace(0.02, np.pi - 0.02, rings), np.linspace(0, 2 * np.pi, rings, endpoint=False), indexing="ij")
    points = np.stack([np.sin(up) * np.sin(around), np.cos(up), np.sin(up) * np.cos(around)], -1).reshape(-1, 3) * RADII
    at = lambda r, c: r * rings + c % rings  # noqa: E731
    cells = [(r, c) for r in range(rings - 1) for c in range(rings)]
    faces = [f for r, c in cells for f in ((at(r, c), at(r + 1, c), at(r, c + 1)), (at(r, c + 1), at(r + 1, c), at(r + 1, c + 1)))]
    neutral = torch.from_numpy(points).float()
    chin = torch.zeros(d, *neutral.shape)
    chin[0, :, 1] = -0.02 * (neutral[:, 1] < -0.02)
    front = np.flatnonzero(points[np.array(faces)][..., 2].min(1) > 0.01)
    return Rig(
        neutral=neutral,
        identity_basis=0.05 * torch.stack([neutral * torch.tensor([1.0, 0, 0]), neutral * torch.tensor([0, 1.0, 0])]),
        expression_basis=chin,
        expression_range=torch.tensor([0.0, 1.0]).repeat(d, 1),
        expression_deviation=torch.full((d,), 0.6),
        expression_names=("jawOpen", *(f"other{k}" for k in range(1, d))),
        faces=torch.tensor(faces),
        parts=torch.zeros(len(neutral), dtype=torch.int64),
        face_parts=torch.zeros(len(faces), dtype=torch.int64),
        part_names=("skin",),
        head_vertices=len(neutral),
        head_faces=len(faces),
        head_weight=torch.ones(len(neutral)),
        neck_pivot=torch.tensor([0.0, -0.1, 0.0]),
        eye_centres=torch.tensor([[0.03, 0.02, 0.06], [-0.03, 0.02, 0.06]]),
        eye_radius=0.015,
        landmark_face=torch.from_numpy(front[np.arange(478) % len(front)]),
        landmark_barycentric=torch.full((478, 3), 1 / 3),
        landmark_spread_mm=torch.ones(478),
        landmark_valid=torch.ones(478, dtype=torch.bool),
    )


def _turn(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def _hit(origin: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where rays first meet the ellipsoid: (F, R) bool and points (F, R, 3)."""
    o, v = origin / RADII, direction / RADII
    a, b, c = (v * v).sum(-1), (o * v).sum(-1), (o * o).sum(-1) - 1
    root = b * b - a * c
    depth = (-b - np.sqrt(np.maximum(root, 0))) / a
    return (root > 0) & (depth > 0), origin + depth[..., None] * direction
