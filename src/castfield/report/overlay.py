"""The fit laid over the footage, as a video for the page: footage, points tracked and fitted, mesh, masks."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch

from castfield import media
from castfield.clip import Landmarks, Track
from castfield.layout import Layout
from castfield.report.pictures import uri
from castfield.rigs import Rig
from castfield.systems.shape import OUTSIDE

CLAY = np.array([214.0, 222.0, 230.0])
LIGHT = np.array([-0.35, -0.55, -0.76])
"""Towards the light, in camera space: from above, the left and the front."""
COVER = 0.8
"""Opacity of the mesh."""
TRACKED, FITTED = (255, 110, 30), (255, 255, 255)
DOT = 0.45
"""Radius of a point in pixels."""
HEAD, TORSO = np.array([64.0, 200.0, 190.0]), np.array([168.0, 140.0, 240.0])
TINT, DIM = 0.55, 0.35
"""How much of a mask's colour covers the person, and what is left of the background's light."""
PANEL = 256
"""Greatest side of a panel in pixels."""
MOST_FACES, CELL = 20000, 0.004
"""A mesh of more faces is drawn with a vertex for each cube of so many metres."""
SHIFT = 4
"""Bits behind the point of OpenCV's coordinates."""


def overlay(layout: Layout, rig: Rig, clip: str, track: Track, seconds: float) -> str:
    """`data:` URI of an H.264 video of the clip's first `seconds`: four panels as large as the frames."""
    count = min(len(track), max(1, round(seconds * media.FPS)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "overlay.mp4"
        media.encode_mp4(path, panels(layout, rig, clip, track, count), count=count, crf=27)
        return uri("video/mp4", path.read_bytes())


def panels(layout: Layout, rig: Rig, clip: str, track: Track, count: int) -> Iterator[np.ndarray]:
    """The first `count` frames, (2 S, 2 S, 3) uint8 each, S at most PANEL: above footage and points, below mesh and masks."""
    path = layout.landmarks / f"{clip}.npz"
    seen = Landmarks.load(path) if path.exists() else None
    side = min(track.size, PANEL)
    zoom = side / track.size
    mesh = Mesh(rig, track, zoom)
    frames, masks = (media.stream(folder / f"{clip}.mkv") for folder in (layout.frames, layout.masks))
    for t, (frame, mask) in enumerate(islice(zip(frames, masks, strict=False), count)):
        frame, mask = (cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA) for picture in (frame, mask))
        pointed = frame.copy()
        if seen is not None and seen.found[t]:
            _dots(pointed, zoom * seen.points[t, :, :2], TRACKED)
        _dots(pointed, zoom * track.landmarks[t], FITTED)
        laid = mesh.over(frame, t)
        if not track.valid[t]:  # no usable face: what is drawn is a guess, and loses its colours
            pointed, laid = _greyed(pointed), _greyed(laid)
        yield np.concatenate([np.concatenate([frame, pointed], 1), np.concatenate([laid, masked(frame, mask)], 1)])


class Mesh:
    """The outside of a clip's fitted head, drawn shaded, far faces first, in pictures `zoom` times as large as the frames."""

    def __init__(self, rig: Rig, track: Track, zoom: float) -> None:
        self.rig, self.track, self.zoom = rig, track, zoom
        self.identity = torch.from_numpy(track.identity)
        self.faces = coarser(rig.neutral.numpy(), rig.faces[: rig.head_faces][rig.faces_of(*OUTSIDE)[: rig.head_faces]].numpy())

    def over(self, frame: np.ndarray, t: int) -> np.ndarray:
        """The mesh of frame `t` over a frame (S, S, 3) uint8."""
        track = self.track
        with torch.no_grad():
            head = self.rig.vertices(self.identity, torch.from_numpy(track.expression[t]), head_only=True).double().numpy()
        camera = head @ track.rotation[t].astype(np.float64).T + track.translation[t]
        pixels = self.zoom * (track.focal * camera[:, :2] / np.maximum(camera[:, 2:], 1e-3) + track.size / 2)
        a, b, c = (camera[self.faces[:, k]] for k in range(3))
        normal = np.cross(b - a, c - a)
        facing = (normal * a).sum(1) < 0  # towards the camera, which stands at the origin
        normal = normal[facing] / np.maximum(np.linalg.norm(normal[facing], axis=1, keepdims=True), 1e-12)
        light = 0.3 + 0.7 * np.clip(normal @ LIGHT, 0, 1)
        order = np.argsort(-camera[self.faces[facing], 2].mean(1), kind="stable")
        # Pixel centres lie at whole numbers for OpenCV, at halves here.
        corners = np.rint((pixels[self.faces[facing]] - 0.5) * 2**SHIFT).astype(np.int32)
        drawn, cover = frame.copy(), np.zeros(frame.shape[:2], np.uint8)
        for k in order:
            grey = CLAY * light[k]
            cv2.fillConvexPoly(drawn, corners[k], (grey[0], grey[1], grey[2]), cv2.LINE_AA, SHIFT)
        cv2.fillPoly(cover, list(corners), (255,), cv2.LINE_8, SHIFT)
        share = COVER * (cover > 0)[..., None]
        return np.rint(frame + share * (drawn.astype(np.float32) - frame)).astype(np.uint8)


def coarser(neutral: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """The faces (F, 3) of a mesh too fine to be drawn in time, as those between one vertex (V, 3) of every cell; others as they are."""
    if len(faces) <= MOST_FACES:
        return faces
    _, first, cell = np.unique(np.floor(neutral / CELL).astype(np.int64), axis=0, return_index=True, return_inverse=True)
    merged = first[cell.reshape(-1)][faces]
    apart = (merged[:, 0] != merged[:, 1]) & (merged[:, 1] != merged[:, 2]) & (merged[:, 2] != merged[:, 0])
    return merged[apart]


def masked(frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A frame with head and torso tinted and the background dimmed; mask (S, S, 3) uint8 as in `data/masks`."""
    picture = frame.astype(np.float32)
    head, torso, behind = (mask[..., k : k + 1].astype(np.float32) / 255 for k in range(3))
    light = picture.mean(2, keepdims=True) / 255 * 0.8 + 0.3
    tinted = picture + TINT * (head * (HEAD * light - picture) + torso * (TORSO * light - picture))
    return np.clip(np.rint(tinted * (1 - (1 - DIM) * behind)), 0, 255).astype(np.uint8)


def _dots(picture: np.ndarray, points: np.ndarray, colour: tuple[int, int, int]) -> None:
    """Draw points (N, 2) in pixels."""
    for x, y in points[np.isfinite(points).all(1)]:
        centre = round(float(x - 0.5) * 2**SHIFT), round(float(y - 0.5) * 2**SHIFT)
        cv2.circle(picture, centre, round(DOT * 2**SHIFT), colour, -1, cv2.LINE_AA, SHIFT)


def _greyed(picture: np.ndarray) -> np.ndarray:
    return np.repeat(picture.mean(2, keepdims=True).astype(np.uint8), 3, 2)
