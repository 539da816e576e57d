"""Where on the mesh each landmark of the face tracker lies.

No table is made by hand. Heads of several people with several expressions are rendered from many sides and tracked;
for each landmark that point of the surface is taken whose projections, over all pictures, come nearest to what the
tracker saw. Because pictures with an open mouth, a smile and closed eyes take part, points of the upper lip cannot end
on the lower one. The mean distance that remains is the landmark's spread.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from castfield.errors import CastfieldError
from castfield.geometry import FRONTAL
from castfield.quiet import quiet
from castfield.rigs.base import LANDMARKS, Rig
from castfield.rigs.raycast import RayCaster

SIZE = 448
FOCAL = 1400.0
DISTANCE = 1.1
IRIS = slice(468, 478)
IRIS_RADIUS = 0.0062
BROWS = ((70, 63, 105, 66, 107, 55, 65, 52, 53, 46), (300, 293, 334, 296, 336, 285, 295, 282, 283, 276))
"""Outlines of the person's right and left brow among the tracker's landmarks."""
FIRST_PASS = 7
KNEE_MM = 2.0
"""Distances are counted squared below this and linearly above, so that a picture tracked badly has little say."""

COLOURS = {"lips": (165, 90, 85), "mouth": (90, 35, 35), "teeth": (235, 230, 220), "tongue": (175, 85, 85), "eyes": (240, 240, 240)}
SKIN = (205, 160, 138)
BROW = (95, 70, 55)

EXPRESSIONS: tuple[dict[str, float], ...] = (
    {"jawOpen": 0.15},
    {"jawOpen": 0.45},
    {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
    {"eyeBlinkLeft": 0.5, "eyeBlinkRight": 0.5},
    {"eyeWideLeft": 1.0, "eyeWideRight": 1.0, "browInnerUp": 1.0, "browOuterUpLeft": 1.0, "browOuterUpRight": 1.0},
    {"browDownLeft": 1.0, "browDownRight": 1.0},
    {"mouthSmileLeft": 0.6, "mouthSmileRight": 0.6, "jawOpen": 0.2},
    {"mouthFunnel": 0.6},
    {"mouthPucker": 0.6},
    {"mouthClose": 0.1},
    {"eyeLookInLeft": 0.8, "eyeLookOutRight": 0.8},
    {"eyeLookOutLeft": 0.8, "eyeLookInRight": 0.8},
)


@dataclass(frozen=True)
class View:
    """One picture to be rendered and tracked."""

    identity: np.ndarray
    expression: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray


def attach(rig: Rig, tolerance_mm: float) -> Rig:
    """The rig with its landmark correspondence; landmarks whose spread exceeds the tolerance are not valid.

    In a first, short pass the face is bare; it tells where the brows belong. With brows painted there, all is repeated.
    """
    everything = views(rig)
    with Tracker() as tracker, tqdm(total=len(everything) + FIRST_PASS, desc="rig: landmarks", unit="view") as bar:
        bare = _locate(rig, everything[:FIRST_PASS], tracker, bar)
        return _locate(paint_brows(bare), everything, tracker, bar, tolerance_mm)


def _locate(rig: Rig, pictures: list[View], tracker: Tracker, bar: tqdm, tolerance_mm: float = np.inf) -> Rig:
    """Render, track, and choose the points."""
    camera = Camera(rig)
    seen, kept = [], []
    for view in pictures:
        points = tracker(camera.render(view))
        bar.update()
        if points is not None:
            seen.append(points)
            kept.append(view)
    if len(kept) < 0.8 * len(pictures):
        raise CastfieldError("the tracker does not find the rendered heads", expected=f"{len(pictures)} views", found=len(kept))
    return locate(rig, kept, np.stack(seen), tolerance_mm)


def paint_brows(rig: Rig) -> Rig:
    """The rig with the part `brows`: skin inside the tracker's outlines of the brows, seen from the front."""
    brows = brow_map(rig)[tuple(_brow_cell(rig.neutral[rig.faces].mean(1).numpy()).T)]
    parts = rig.face_parts.clone()
    parts[torch.from_numpy(brows) & (parts == rig.part_names.index("skin"))] = rig.part_names.index("brows")
    vertex = rig.parts.clone()
    vertex[rig.faces[parts == rig.part_names.index("brows")]] = rig.part_names.index("brows")
    return replace(rig, face_parts=parts, parts=vertex)


BROW_CELL = 0.0005


def brow_map(rig: Rig) -> np.ndarray:
    """(480, 480) bool: where on the frontal plane of the neutral head the brows are; cells of half a millimetre."""
    cv2: Any = importlib.import_module("cv2")
    points = _brow_cell(rig.landmarks(torch.zeros(rig.identity_dim), torch.zeros(rig.d)).numpy())
    out = np.zeros((480, 480), dtype=np.uint8)
    for outline in BROWS:
        cv2.fillPoly(out, [np.ascontiguousarray(points[list(outline), ::-1].astype(np.int32))], 1)
    return out > 0


def _brow_cell(points: np.ndarray) -> np.ndarray:
    """Row and column (N, 2) of points (N, 3) in `brow_map`."""
    return np.clip(points[..., 1::-1] / BROW_CELL + 240, 0, 479).astype(np.int64)


def views(rig: Rig) -> list[View]:
    """Neutral heads from 21 sides, three further people from nine, and every expression from five."""
    rng = np.random.default_rng(0)
    grid = [(yaw, pitch) for pitch in (0.0, -0.25, 0.25) for yaw in (-0.5, -0.33, -0.17, 0.0, 0.17, 0.33, 0.5)]
    nine = [(yaw, pitch) for pitch in (-0.2, 0.0, 0.2) for yaw in (-0.3, 0.0, 0.3)]
    five = [(0.0, 0.0), (-0.3, 0.0), (0.3, 0.0), (0.0, -0.2), (0.0, 0.2)]
    rest = np.zeros(rig.d)
    out = [_view(np.zeros(rig.identity_dim), rest, *side) for side in grid]
    for _ in range(3):
        identity = 0.7 * rng.standard_normal(rig.identity_dim)
        out += [_view(identity, rest, *side) for side in nine]
    for activations in EXPRESSIONS:
        expression = np.array([activations.get(name, 0.0) for name in rig.expression_names])
        out += [_view(np.zeros(rig.identity_dim), expression, *side) for side in five]
    return out


def _view(identity: np.ndarray, expression: np.ndarray, yaw: float, pitch: float) -> View:
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    turn = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]]) @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    rotation = FRONTAL @ turn
    return View(identity, expression, rotation, np.array([0.0, 0.0, DISTANCE]) - rotation @ (0.0, -0.01, 0.04))


class Camera:
    """Renders the rig plainly: skin, darker lips, white eyes with dark irises; lashes left out."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        shown = rig.face_parts != rig.part_names.index("lashes")
        self.faces = rig.faces[shown].numpy()
        self.caster = RayCaster(self.faces)
        palette = np.array([COLOURS.get(name, SKIN) for name in rig.part_names], dtype=np.float32)
        self.colour = palette[rig.face_parts[shown].numpy()]
        part = rig.face_parts[shown].numpy()
        self.is_eye = part == rig.part_names.index("eyes")
        self.is_skin = np.isin(part, [rig.part_names.index(name) for name in ("skin", "brows", "scalp")])
        painted = bool((rig.face_parts == rig.part_names.index("brows")).any())
        self.brows = brow_map(rig) if painted else np.zeros((480, 480), dtype=bool)

    def vertices(self, view: View) -> np.ndarray:
        """(V, 3) of the person with the expression."""
        with torch.no_grad():
            return self.rig.vertices(torch.from_numpy(view.identity).float(), torch.from_numpy(view.expression).float()).numpy()

    def render(self, view: View, oversampling: int = 1) -> np.ndarray:
        """(SIZE, SIZE, 3) uint8."""
        vertices = self.vertices(view)
        side = SIZE * oversampling
        hits = self.caster.cast(vertices, view.rotation, view.translation, FOCAL * oversampling, (side / 2, side / 2), (side, side))
        picture = self.colour[hits.face]
        rest = hits.interpolate(self.faces, self.rig.neutral.numpy())  # the iris is painted in the neutral head
        centres = self.rig.eye_centres.numpy()[(rest[..., 0] < 0).astype(int)]
        off_axis = np.linalg.norm((rest - centres)[..., :2], axis=-1)
        iris = self.is_eye[hits.face] & (off_axis < IRIS_RADIUS) & (rest[..., 2] > centres[..., 2])
        picture[self.brows[tuple(_brow_cell(rest).transpose(2, 0, 1))] & self.is_skin[hits.face]] = BROW
        picture[iris] = np.where(off_axis[iris, None] < IRIS_RADIUS * 0.45, 15, (75, 55, 40))
        normals = hits.interpolate(self.faces, vertex_normals(vertices, self.faces)) @ view.rotation.T
        light = 0.45 + 0.55 * np.abs(normals @ np.array([0.2, -0.35, -0.915]))
        picture = picture * light[..., None]
        picture[hits.face < 0] = (120, 135, 150)
        picture = picture.reshape(SIZE, oversampling, SIZE, oversampling, 3).mean((1, 3))
        return np.clip(picture, 0, 255).astype(np.uint8)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals (V, 3)."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    face = np.cross(b - a, c - a)
    normals = np.stack([np.bincount(faces.ravel(), np.repeat(face[:, i], 3), len(vertices)) for i in range(3)], -1)
    return normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)


def locate(rig: Rig, pictures: list[View], seen: np.ndarray, tolerance_mm: float) -> Rig:
    """Choose a point of the surface for each landmark. seen: (S, 478, 2) pixels, tracked in the S pictures."""
    camera = Camera(rig)
    shapes = np.stack([camera.vertices(view) for view in pictures])
    faces, parts = rig.faces.numpy(), rig.face_parts.numpy()
    front = (rig.neutral.numpy()[:, 2] > -0.02)[faces].all(1)
    skin = front & np.isin(parts, [rig.part_names.index(n) for n in ("skin", "scalp", "ears", "lips", "brows", "neck")])
    eyes = parts == rig.part_names.index("eyes")
    face = np.zeros(LANDMARKS, dtype=np.int64)
    barycentric = np.zeros((LANDMARKS, 3))
    spread = np.zeros(LANDMARKS)
    lattice = _lattice(8)
    for allowed, points in ((skin, range(IRIS.start)), (eyes, range(IRIS.start, IRIS.stop))):
        index = np.flatnonzero(allowed)
        corners = np.unique(faces[index])
        projected = _project(shapes[:, corners], pictures)
        for landmark in points:
            goal = seen[:, landmark]
            nearest = corners[np.argsort(_cost(projected, goal))[:8]]  # coarsely, then finely in the faces around
            near = index[np.isin(faces[index], nearest).any(1)]
            inside = np.einsum("bk,sfkc->sfbc", lattice, shapes[:, faces[near]])
            candidates = _project(inside.reshape(len(pictures), -1, 3), pictures)
            best = int(_cost(candidates, goal).argmin())
            face[landmark], barycentric[landmark] = near[best // len(lattice)], lattice[best % len(lattice)]
            spread[landmark] = _distance(candidates[:, [best]], goal).mean()
    return replace(
        rig,
        landmark_face=torch.from_numpy(face),
        landmark_barycentric=torch.from_numpy(barycentric).float(),
        landmark_spread_mm=torch.from_numpy(spread).float(),
        landmark_valid=torch.from_numpy(spread <= tolerance_mm),
    )


def _lattice(steps: int) -> np.ndarray:
    """Barycentric coordinates (B, 3) of a regular lattice on a triangle, corners included."""
    grid = [(i, j, steps - i - j) for i in range(steps + 1) for j in range(steps + 1 - i)]
    return np.array(grid, dtype=np.float32) / steps


def _project(points: np.ndarray, pictures: list[View]) -> np.ndarray:
    """Points (S, N, 3) of each picture: (S, N, 3) pixels and millimetres a pixel."""
    out = np.empty(points.shape, dtype=np.float32)
    for row, shape, view in zip(out, points, pictures, strict=True):
        camera = shape @ view.rotation.T + view.translation
        row[:, :2] = FOCAL * camera[:, :2] / camera[:, 2:] + SIZE / 2
        row[:, 2] = 1000 * camera[:, 2] / FOCAL
    return out


def _distance(candidates: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Millimetres (S, N) between candidates (S, N, 3) and what the tracker saw (S, 2)."""
    x, y = (candidates[..., i] - goal[:, None, i] for i in (0, 1))
    return np.sqrt(x * x + y * y) * candidates[..., 2]


def _cost(candidates: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Robust mean distance (N,) over the pictures."""
    return np.sqrt(_distance(candidates, goal) ** 2 + KNEE_MM**2).mean(0)


class Tracker:
    """MediaPipe's face mesh as a function from a picture to points (478, 2) in pixels, or None without a face."""

    def __enter__(self) -> Tracker:
        solutions: Any = importlib.import_module("mediapipe.python.solutions.face_mesh")
        with quiet():  # it speaks at its start and at its first picture
            self._mesh = solutions.FaceMesh(static_image_mode=True, refine_landmarks=True, max_num_faces=1)
            self._mesh.process(np.zeros((SIZE, SIZE, 3), np.uint8))
        return self

    def __exit__(self, *_: object) -> None:
        self._mesh.close()

    def __call__(self, picture: np.ndarray) -> np.ndarray | None:
        found = self._mesh.process(picture).multi_face_landmarks
        if not found:
            return None
        return np.array([(p.x * SIZE, p.y * SIZE) for p in found[0].landmark], dtype=np.float32)
