"""Where on the mesh each landmark of the face tracker lies.

No table is made by hand. Heads of several people with several expressions are rendered from many sides and tracked;
for each landmark that point of the surface is taken whose projections, over all pictures, come nearest to what the
tracker saw. Because pictures with an open mouth, a smile and closed eyes take part, points of the upper lip cannot end
on the lower one. The mean distance that remains is the landmark's spread.
"""

from __future__ import annotations

import copy
import hashlib
import importlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from castfield import opposite
from castfield.errors import CastfieldError
from castfield.geometry import FRONTAL
from castfield.quiet import quiet
from castfield.rigs.base import Rig
from castfield.rigs.raycast import Hits, RayCaster
from castfield.rigs.stored import LANDMARKS
from castfield.scratch import fingerprint, scratch, write_npz
from castfield.solutions import solution

SIZE = 448
FOCAL = 1400.0
DISTANCE = 1.1
IRIS = slice(468, 478)
IRIS_RADIUS = 0.0062
BROWS = ((70, 63, 105, 66, 107, 55, 65, 52, 53, 46), (300, 293, 334, 296, 336, 285, 295, 282, 283, 276))
"""Outlines of the person's right and left brow among the tracker's landmarks."""
FIRST_PASS = 7
CHUNK = 45
"""Views that are kept together: a few seconds' work."""
KEPT = 64
"""Such files that stay in the scratch folder, some 10 MB; a bake makes fewer than 20, with a cast of another model's 40."""
AT_ONCE = 4
"""Views that are rendered and tracked at a time, at most, each by a thread."""
KNEE_MM = 2.0
"""Distances are counted squared below this and linearly above, so that a picture tracked badly has little say."""

COLOURS = {"lips": (165, 90, 85), "mouth": (90, 35, 35), "teeth": (235, 230, 220), "tongue": (175, 85, 85), "eyes": (240, 240, 240)}
SKIN = (205, 160, 138)
BROW = (95, 70, 55)
BACKDROP = (120, 135, 150)
INSIDE = 0.3
"""A surface whose normal points away from the camera by more than this (a cosine) is seen from within."""

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
"""Faces that are rendered of a rig with ARKit's actions. A statistical model is moved along its own directions instead."""
STRONGEST = 5
"""How many of a statistical model's directions, which come ordered by their variance."""


@dataclass(frozen=True)
class View:
    """One picture to be rendered and tracked."""

    identity: np.ndarray
    expression: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray


def attach(rig: Rig, tolerance_mm: float, colours: np.ndarray | None = None) -> Rig:
    """The rig with its landmark correspondence; landmarks whose spread exceeds the tolerance are not valid.

    In a first, short pass the face is bare; it tells where the brows belong. With brows painted there, all is repeated. A model that
    has a skin of its own, `colours` (V, 3) in 0 to 255, needs no paint.
    """
    everything = views(rig)
    with several() as trackers, tqdm(total=len(everything) + FIRST_PASS, desc="rig: landmarks", unit="view") as bar:
        if colours is None:
            rig = paint_brows(_locate(rig, everything[:FIRST_PASS], trackers, bar))
        return _locate(rig, everything, trackers, bar, tolerance_mm, colours)


def _locate(
    rig: Rig, pictures: list[View], trackers: list[Tracker], bar: tqdm, tolerance_mm: float = np.inf, colours: np.ndarray | None = None
) -> Rig:
    """Render, track, and choose the points."""
    points = observe(Camera(rig, colours), pictures, trackers, bar)
    found = np.isfinite(points).all((1, 2))
    kept = [view for view, is_face in zip(pictures, found, strict=True) if is_face]
    if len(kept) < 0.8 * len(pictures):
        cure = "the model's file must hold a whole face with its eyes, upright, in the units of its publisher; or rig.model=anny"
        fault = "the tracker does not take the rendered heads for faces"
        raise CastfieldError(fault, expected=f"{len(pictures)} views", found=len(kept), cure=cure)
    return locate(rig, kept, points[found], tolerance_mm)


def observe(camera: Camera, pictures: list[View], trackers: list[Tracker], bar: tqdm) -> np.ndarray:
    """Points (S, 478, 2) in pixels that a tracker sees in pictures of the views, NaN where it finds no face; as many at once as trackers.

    They are kept in the scratch folder, CHUNK views at a time: a bake that was killed goes on where it was. What has not been used for
    long goes.
    """
    alike = fingerprint(Path(__file__).parent, opposite, camera.fingerprint(), version("mediapipe"))
    free: SimpleQueue[tuple[Camera, Tracker]] = SimpleQueue()
    for tracker in trackers:
        free.put((camera.twin(), tracker))

    def seen(views: list[View]) -> np.ndarray:
        path = scratch("rigs", f"{fingerprint(alike, [asdict(view) for view in views])}.npz")
        if path.exists():
            path.touch()
            bar.update(len(views))
        else:
            own, tracker = free.get()
            try:
                write_npz(path, seen=np.stack([_tracked(own, tracker, view, bar) for view in views]))
            finally:
                free.put((own, tracker))
        with np.load(path) as kept:
            return kept["seen"]

    with ThreadPoolExecutor(len(trackers)) as pool:
        parts = list(pool.map(seen, [pictures[at : at + CHUNK] for at in range(0, len(pictures), CHUNK)]))
    for path in sorted(scratch("rigs", "x").parent.glob("*.npz"), key=lambda kept: kept.stat().st_mtime)[:-KEPT]:
        path.unlink(missing_ok=True)
    return np.concatenate(parts)


def _tracked(camera: Camera, tracker: Tracker, view: View, bar: tqdm) -> np.ndarray:
    """What the tracker sees of a view: (478, 2) float32 in pixels, NaN where it finds no face."""
    points = tracker(camera.render(view))
    bar.update()
    return np.full((LANDMARKS, 2), np.nan, np.float32) if points is None else points


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
    """Neutral heads from 21 sides, three further people from nine, and a dozen expressions from five."""
    rng = np.random.default_rng(0)
    grid = [(yaw, pitch) for pitch in (0.0, -0.25, 0.25) for yaw in (-0.5, -0.33, -0.17, 0.0, 0.17, 0.33, 0.5)]
    nine = [(yaw, pitch) for pitch in (-0.2, 0.0, 0.2) for yaw in (-0.3, 0.0, 0.3)]
    five = [(0.0, 0.0), (-0.3, 0.0), (0.3, 0.0), (0.0, -0.2), (0.0, 0.2)]
    rest = np.zeros(rig.d)
    out = [turned_view(np.zeros(rig.identity_dim), rest, *side) for side in grid]
    for _ in range(3):
        identity = 0.7 * rng.standard_normal(rig.identity_dim)
        out += [turned_view(identity, rest, *side) for side in nine]
    for activations in expressions(rig):
        expression = np.array([activations.get(name, 0.0) for name in rig.expression_names])
        out += [turned_view(np.zeros(rig.identity_dim), expression, *side) for side in five]
    return out


def expressions(rig: Rig) -> list[dict[str, float]]:
    """Activations by name: ARKit's where the rig has them all, else its jaw and lids in steps, and its strongest directions."""
    if {name for activations in EXPRESSIONS for name in activations} <= set(rig.expression_names):
        return list(EXPRESSIONS)
    one_sided = (rig.expression_range[:, 0] >= 0).tolist()
    actions = [name for name, is_action in zip(rig.expression_names, one_sided, strict=True) if is_action]
    signed = [name for name, is_action in zip(rig.expression_names, one_sided, strict=True) if not is_action]
    out = [{"jawOpen": share} for share in (0.3, 0.8) if "jawOpen" in actions]
    lids = [name for name in actions if name.startswith("eyeBlink")]
    out += [dict.fromkeys(lids, share) for share in (0.5, 1.0) if lids]
    own = [name for name in signed if name.startswith("expression")][:STRONGEST]
    return out + [{name: sign} for name in own for sign in (-1.5, 1.5)]


def turned_view(identity: np.ndarray, expression: np.ndarray, yaw: float, pitch: float) -> View:
    """A view of the head turned by yaw and pitch in radians."""
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    turn = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]]) @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    rotation = FRONTAL @ turn
    return View(identity, expression, rotation, np.array([0.0, 0.0, DISTANCE]) - rotation @ (0.0, -0.01, 0.04))


class Camera:
    """Renders the rig plainly: skin, darker lips, white eyes with dark irises; lashes left out. Or in its own `colours` (V, 3)."""

    def __init__(self, rig: Rig, colours: np.ndarray | None = None, size: int = SIZE) -> None:
        """size: side of the pictures in pixels; they show the same."""
        self.rig, self.colours, self.size, self.focal = rig, colours, size, FOCAL * size / SIZE
        shown = ~rig.faces_of("lashes")
        self.faces = rig.faces[shown].numpy()
        self.caster = RayCaster(self.faces)
        palette = np.array([COLOURS.get(name, SKIN) for name in rig.part_names], dtype=np.float32)
        self.colour = palette[rig.face_parts[shown].numpy()]
        self.is_eye = rig.faces_of("eyes")[shown].numpy()
        self.is_skin = rig.faces_of("skin", "brows", "scalp")[shown].numpy()
        self.hollow = "mouth" not in rig.part_names
        painted = bool(rig.faces_of("brows").any())
        self.brows = brow_map(rig) if painted else np.zeros((480, 480), dtype=bool)

    def twin(self) -> Camera:
        """The same for another thread."""
        twin = copy.copy(self)
        twin.caster = RayCaster(self.faces)
        return twin

    def fingerprint(self) -> str:
        """Digest of all that decides on a picture but for the view."""
        rig = self.rig
        shapes = [t.numpy() for t in (rig.neutral, rig.identity_basis, rig.expression_basis, rig.eye_centres)]
        looks = [self.faces, self.colour, self.is_eye, self.is_skin, self.brows, np.zeros(0) if self.colours is None else self.colours]
        digests = [hashlib.sha256(array.tobytes()).hexdigest() for array in (*shapes, *looks)]
        return fingerprint(self.size, self.hollow, digests)

    def vertices(self, view: View) -> np.ndarray:
        """(V, 3) of the person with the expression."""
        with torch.no_grad():
            return self.rig.vertices(torch.from_numpy(view.identity).float(), torch.from_numpy(view.expression).float()).numpy()

    def render(self, view: View, oversampling: int = 1) -> np.ndarray:
        """(size, size, 3) uint8."""
        vertices = self.vertices(view)
        side = self.size * oversampling
        hits = self.caster.cast(vertices, view.rotation, view.translation, self.focal * oversampling, (side / 2, side / 2), (side, side))
        met = hits.face >= 0
        picture = np.empty((side, side, 3))
        picture[~met] = BACKDROP
        picture[met] = self._shade(vertices, view, hits)
        picture = picture.reshape(self.size, oversampling, self.size, oversampling, 3).mean((1, 3))
        return np.clip(picture, 0, 255).astype(np.uint8)

    def _shade(self, vertices: np.ndarray, view: View, hits: Hits) -> np.ndarray:
        """Colours (N, 3) of the N pixels that show the head."""
        face = hits.face[hits.face >= 0]
        colour = self.colour[face]
        rest = hits.interpolate(self.faces, self.rig.neutral.numpy())  # the iris is painted in the neutral head
        centres = self.rig.eye_centres.numpy()[(rest[:, 0] < 0).astype(int)]
        off_axis = np.linalg.norm((rest - centres)[:, :2], axis=-1)
        iris = self.is_eye[face] & (off_axis < IRIS_RADIUS) & (rest[:, 2] > centres[:, 2])
        colour[self.brows[tuple(_brow_cell(rest).T)] & self.is_skin[face]] = BROW
        colour[iris] = np.where(off_axis[iris, None] < IRIS_RADIUS * 0.45, 15, (75, 55, 40))
        if self.colours is not None:
            colour = hits.interpolate(self.faces, self.colours)
        normals = hits.interpolate(self.faces, vertex_normals(vertices, self.faces)) @ view.rotation.T
        if self.hollow:  # through the open mouth of a model without a cavity one sees the inside of the skull
            colour[normals[:, 2] > INSIDE] = COLOURS["mouth"]
        light = 0.45 + 0.55 * np.abs(normals @ np.array([0.2, -0.35, -0.915]))
        return colour * light[:, None]


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
    faces = rig.faces.numpy()
    front = (rig.neutral.numpy()[:, 2] > -0.02)[faces].all(1)
    skin = front & rig.faces_of("skin", "scalp", "ears", "lips", "brows", "neck").numpy()
    eyes = rig.faces_of("eyes").numpy()
    if not eyes.any():  # eyes that are part of the face, painted on it
        eyes = skin
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
    """MediaPipe's face mesh as a function from a picture to points (478, 2) in pixels, or None without a face.

    As footage is tracked: the mean of what is seen in the picture and in its mirror image.
    """

    def __enter__(self) -> Tracker:
        with quiet():  # it speaks at its start and at its first picture
            self._mesh = solution("face_mesh").FaceMesh(static_image_mode=True, refine_landmarks=True, max_num_faces=1)
            self._mesh.process(np.zeros((SIZE, SIZE, 3), np.uint8))
        return self

    def __exit__(self, *_: object) -> None:
        self._mesh.close()

    def __call__(self, picture: np.ndarray) -> np.ndarray | None:
        straight, mirrored = self._points(picture), self._points(opposite.flipped(picture))
        if straight is None or mirrored is None:
            return None
        return (straight + opposite.back(mirrored, picture.shape[1])) / 2

    def _points(self, picture: np.ndarray) -> np.ndarray | None:
        found = self._mesh.process(picture).multi_face_landmarks
        if not found:
            return None
        height, width = picture.shape[:2]
        return np.array([(p.x * width, p.y * height) for p in found[0].landmark], dtype=np.float32)


@contextmanager
def several() -> Iterator[list[Tracker]]:
    """As many trackers as there are processors, at most AT_ONCE. They begin one after the other: each is silenced for that moment."""
    with ExitStack() as opened:
        yield [opened.enter_context(Tracker()) for _ in range(min(AT_ONCE, len(os.sched_getaffinity(0))))]
