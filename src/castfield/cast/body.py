"""A person of the cast as one mesh: the rig in that person's shape, with hair, lashes and clothes, ready to be posed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from castfield.cast import camera, clothes, hair, paint
from castfield.cast.people import Person
from castfield.geometry import FRONTAL
from castfield.rigs import Rig

MATERIALS = {
    "mouth": camera.MOUTH,
    "teeth": camera.TEETH,
    "tongue": camera.TONGUE,
    "eyes": camera.EYE,
    "lashes": camera.LASH,
}
PATTERNS = {"plain": 0, "knit": 1, "stripes": 2, "check": 3}


def identity_of(person: Person, rig: Rig, folder: Path) -> np.ndarray:
    """The person's identity coefficients (I,) float32: the average of the traits, and what is the person's own."""
    with np.load(folder / "body.npz") as z:
        names, mean, traits = [str(n) for n in z["trait_names"]], z["trait_mean"], z["traits"]
    values = np.array([person.traits.get(name, average) for name, average in zip(names, mean, strict=True)])
    own = np.random.default_rng(person.seed).standard_normal(rig.identity_dim)
    spanned = np.linalg.qr(traits.T)[0]  # individuality leaves age, sex and origin alone
    own -= spanned @ (spanned.T @ own)
    return ((values - mean) @ traits + person.individuality * own).astype(np.float32)


@dataclass(frozen=True)
class Pose:
    """Where a frame's mesh lies in the camera."""

    rotation: np.ndarray
    """(3, 3) head -> camera."""
    translation: np.ndarray
    """(3,) metres."""


class Body:
    """One person. Vertices: those of the rig, then hair, then clothes."""

    def __init__(self, person: Person, rig: Rig, identity: np.ndarray) -> None:
        self.person, self.rig = person, rig
        self.identity = torch.from_numpy(identity)
        self.template = rig.neutral.numpy()
        rest = torch.zeros(rig.d)
        self.neutral = rig.vertices(self.identity, rest).numpy()
        self.count = len(self.neutral)
        faces, part = rig.faces.numpy(), rig.face_parts.numpy()
        names = rig.part_names
        inner = [names.index(name) for name in MATERIALS]
        outer = ~np.isin(part, inner)
        self._lashes()
        normals = camera.smooth_normals(self.neutral, faces[outer])
        follow = rig.head_weight.numpy()

        skin = hair.Skin(self.neutral, normals, self.template, faces[outer], rig.part("ears").numpy())
        self.locks = hair.grow(person, skin)
        trunk = np.isin(part, [names.index("neck"), names.index("torso")])
        self.cloth = clothes.dress(person, self.neutral, self.template, normals, faces[trunk], follow)
        covered = trunk & (clothes.neckline(person.clothes.neck, self.template)[faces] < -0.012).all(1)
        self._assemble(faces[~covered], part[~covered], follow)

    def _lashes(self) -> None:
        """Lashes are strips that stand off the lids; at this size they look right at about half their length."""
        self.lash = np.flatnonzero(self.rig.part("lashes").numpy())
        place = self.template[self.lash]
        eye = self.rig.eye_centres.numpy()[(place[:, 0] < 0).astype(int)]
        upper = place[:, 1] > eye[:, 1] - 0.0025
        inner = np.linalg.norm(place - eye, axis=-1) < 1.04 * self.rig.eye_radius
        side = place[:, 0] > 0
        gaps = np.linalg.norm(place[:, None] - place, axis=-1)
        other = (upper[:, None] != upper) | (side[:, None] != side) | ~inner
        self.lid = self.lash[np.where(other, np.inf, gaps).argmin(1)]
        self.lash_length = np.where(upper, 0.42 + 0.2 * self.person.face.liner, 0.30)[:, None].astype(np.float32)

    def _assemble(self, faces: np.ndarray, part: np.ndarray, follow: np.ndarray) -> None:
        rig, locks, cloth = self.rig, self.locks, self.cloth
        names = rig.part_names
        beard = [k == len(locks) - 1 and self.person.hair.beard == "full" for k in range(len(locks))]
        starts = self.count + np.cumsum([0, *(len(lock.points) for lock in locks)])
        end = int(starts[-1])
        material = np.full(len(faces), camera.SKIN)
        for name, kind in MATERIALS.items():
            material[part == names.index(name)] = kind
        hair_faces = [lock.faces + start for lock, start in zip(locks, starts, strict=False)]
        self.faces = np.concatenate([faces, *hair_faces, cloth.faces + end])
        self.skin_faces, self.cloth_faces = faces, cloth.faces
        self.materials = np.concatenate(
            [material, *(np.full(len(f), camera.HAIR) for f in hair_faces), np.full(len(cloth.faces), camera.CLOTH)]
        )
        paper = [self.template]
        for lock, is_beard in zip(locks, beard, strict=True):
            paper.append(lock.paper + (0, 0, 2.0 * is_beard))
        self.paper = np.concatenate([*paper, cloth.paper]).astype(np.float32)
        empty = np.zeros((0, 3))
        self.hair_points = np.concatenate([empty, *(lock.points for lock in locks)]).astype(np.float32)
        self.hair_normals = np.concatenate([empty, *(lock.normals for lock in locks)]).astype(np.float32)
        self.hair_tangents = np.concatenate([empty, *(lock.tangents for lock in locks)]).astype(np.float32)
        self.hair_roots = np.concatenate([np.zeros(0, np.int64), *(lock.roots for lock in locks)]).astype(np.int64)
        # Long hair lies on the shoulders: its ends follow the torso.
        hanging = np.clip((self.hair_points[:, 1] + 0.21) / 0.13, 0, 1)
        self.follow = np.concatenate([follow, hanging * hanging * (3 - 2 * hanging), cloth.follow]).astype(np.float32)
        self.torso = np.concatenate(
            [(rig.part("torso")).numpy().astype(np.float32), np.zeros(len(self.hair_points)), np.ones(len(cloth.points))]
        )
        covering = 0.0 if self.person.hair.style == "none" else 1.0
        cap = np.clip(hair.scalp(self.template) / 0.010 + 0.35, 0, 1) * rig_skin(rig) * covering
        self.cap = np.concatenate([cap, np.zeros(len(self.hair_points) + len(cloth.points))])

    def shape(self, expression: np.ndarray) -> np.ndarray:
        """Vertices (V, 3) in canonical space with an expression (d,)."""
        base = self.rig.vertices(self.identity, torch.from_numpy(np.asarray(expression, np.float32))).numpy()
        base[self.lash] = base[self.lid] + self.lash_length * (base[self.lash] - base[self.lid])
        moved = base[self.hair_roots] - self.neutral[self.hair_roots]
        return np.concatenate([base, self.hair_points + moved, self.cloth.points.astype(np.float32)])

    def normals(self, points: np.ndarray) -> np.ndarray:
        """(V, 3) unit normals of a shape, in canonical space."""
        end = self.count + len(self.hair_points)
        skin = camera.smooth_normals(points[: self.count], self.skin_faces)
        return np.concatenate([skin, self.hair_normals, camera.smooth_normals(points[end:], self.cloth_faces)])

    def surface(self) -> camera.Surface:
        """The still part of the mesh, with ambient occlusion: each place as open as it gets in rest, speech or blinking."""
        rest = self.shape(np.zeros(self.rig.d))
        end = self.count + len(self.hair_points)
        # The middle of a lock stands for its whole width.
        ask = np.concatenate([np.arange(self.count), np.arange(self.count + 1, end, hair.CROSS), np.arange(end, len(rest))])
        answer = camera.openness(rest, self.faces, ask, self.normals(rest)[ask])
        open_ = np.empty(len(rest))
        open_[ask] = answer
        for shift in (0, 2):
            open_[self.count + shift : end : hair.CROSS] = open_[self.count + 1 : end : hair.CROSS]
        names = self.rig.expression_names
        for change in (("jawOpen", "mouthUpperUpLeft", "mouthUpperUpRight"), ("eyeBlinkLeft", "eyeBlinkRight")):
            expression = np.array([0.6 * (name in change) for name in names])
            points = self.shape(expression)[: self.count]
            moved = np.linalg.norm(points - rest[: self.count], axis=-1) > 0.0015
            inside = np.isin(self.rig.parts.numpy(), [self.rig.part_names.index(name) for name in ("mouth", "teeth", "tongue")])
            ask = np.flatnonzero(moved | (inside if change[0] == "jawOpen" else False))
            normals = camera.smooth_normals(points, self.skin_faces)
            open_[ask] = np.maximum(open_[ask], camera.openness(points, self.skin_faces, ask, normals[ask]))
        return camera.Surface(self.faces, self.materials, self.paper, open_, self.cap, self.torso)

    def colours(self) -> camera.Colours:
        person = self.person
        rest = torch.zeros(self.rig.identity_dim), torch.zeros(self.rig.d)
        painted, relief = paint.paint(person, self.rig.landmarks(*rest).numpy())
        iris, cloth, tint = (paint.linear(c) for c in (person.face.iris, person.clothes.colour, person.hair.colour))
        skin = paint.linear(person.face.skin)
        dark = float(np.clip(1.25 - skin.mean() * 1.2, 0.75, 1.15))

        def rgb(values: np.ndarray) -> tuple[float, float, float]:
            red, green, blue = (float(v) for v in values)
            return red, green, blue

        return camera.Colours(
            paint=painted,
            relief=relief,
            paint_centre=paint.CENTRE,
            iris=rgb(iris),
            iris_edge=rgb(iris * 0.15),
            hair=rgb(tint),
            beard=rgb(paint.linear(person.hair.beard_colour)),
            cap=rgb(tint * 0.55),
            cap_strength=0.92,
            cloth=rgb(cloth),
            cloth_second=rgb(paint.linear(person.clothes.second)),
            pattern=PATTERNS[person.clothes.pattern],
            eyes=self.rig.eye_centres.numpy(),
            oil=person.face.oil,
            scatter=(0.36 * dark, 0.20 * dark, 0.14 * dark),
            lights=camera.Lights(),
        )

    def place(self, points: np.ndarray, normals: np.ndarray, pose: Pose, still: Pose) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Points, normals and tangents (V, 3) in the camera: the head at `pose`, the torso at `still`, the neck between."""
        weight = self.follow[:, None]
        head = points @ pose.rotation.T + pose.translation
        torso = points @ still.rotation.T + still.translation
        turned = [weight * (v @ pose.rotation.T) + (1 - weight) * (v @ still.rotation.T) for v in (normals, self._tangents())]
        unit = [v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9) for v in turned]
        return weight * head + (1 - weight) * torso, unit[0], unit[1]

    def _tangents(self) -> np.ndarray:
        whole = np.zeros((len(self.paper), 3), np.float32)
        whole[self.count : self.count + len(self.hair_tangents)] = self.hair_tangents
        return whole


def rig_skin(rig: Rig) -> np.ndarray:
    """(V,) 1 on the scalp and the face, 0 on ears and inner parts."""
    return (rig.part("scalp") | rig.part("skin") | rig.part("neck")).numpy().astype(np.float64)


def head_pose(angles: np.ndarray, shift: np.ndarray, pivot: np.ndarray, distance: float, height: float) -> Pose:
    """A head turned by yaw (to its left), pitch (down) and roll (towards its right shoulder) in radians about `pivot`,
    shifted by metres, `distance` metres from a camera that looks at `height` over the head's origin."""
    yaw, pitch, roll = angles
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]) @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    turn = turn @ np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    away = np.array([0, height, distance])
    return Pose(FRONTAL @ turn, FRONTAL @ (pivot + shift - turn @ pivot) + away)
