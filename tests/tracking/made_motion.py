"""A made person who speaks, blinks and nods, and what a tracker would see of them."""

from __future__ import annotations

import numpy as np
import torch

from castfield.clip import Landmarks
from castfield.tracking import landmark_fit
from castfield.tracking.face_model import FaceModel, Pose, rotation_matrix
from castfield.tracking.solver import State

SIZE, FOCAL, FRAMES = 256, 1000.0, 30


def truth(rig, frames: int = FRAMES, seed: int = 0) -> dict[str, np.ndarray | float]:
    """A person who speaks, blinks and nods, one and a quarter metres away."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames) / 25
    turn = np.stack([0.12 * np.sin(2.1 * t), 0.2 * np.sin(1.3 * t + 1), 0.06 * np.sin(1.7 * t)], -1)
    expression = np.zeros((frames, rig.d))
    names = list(rig.expression_names)
    expression[:, names.index("jawOpen")] = 0.2 + 0.2 * np.sin(2 * np.pi * 2 * t)
    for side in ("Left", "Right"):
        expression[:, names.index(f"mouthSmile{side}")] = 0.25 + 0.25 * np.sin(2 * np.pi * 0.5 * t)
        expression[:, names.index(f"eyeBlink{side}")] = np.exp(-(((t - 0.6) / 0.08) ** 2))
    return {
        "identity": rng.normal(0, 0.7, rig.identity_dim),
        "expression": expression,
        "rotation": rotation_matrix(turn) @ np.diag([1.0, -1.0, -1.0]),
        "translation": np.stack([0.01 * np.sin(1.1 * t), 0.008 * np.cos(1.9 * t), 1.25 + 0.02 * np.sin(0.9 * t)], -1),
        "focal": FOCAL,
    }


def seen(rig, truth, noise: float = 0.0, seed: int = 1, answered: bool = False) -> Landmarks:
    """What a tracker of this error (pixels) would give: a made one, or with `answered` the one whose answer the rig knows."""
    person, expression = torch.tensor(truth["identity"]).float()[None], torch.tensor(truth["expression"]).float()
    points = rig.seen_from(person, expression, truth["rotation"]) if answered else rig.landmarks(person, expression)
    shape = points.double().numpy()
    camera = shape @ truth["rotation"].transpose(0, 2, 1) + truth["translation"][:, None]
    pixels = truth["focal"] * camera[..., :2] / camera[..., 2:] + SIZE / 2
    pixels = pixels + np.random.default_rng(seed).normal(0, noise, pixels.shape)
    points = np.concatenate([pixels, camera[..., 2:]], -1).astype(np.float32)
    frames = len(points)
    return Landmarks(
        points, np.ones(frames, np.float32), np.ones(frames, bool), landmark_fit.ANSWERED if answered else "made", points[..., :2]
    )


def model_state(rig, frames: int = 3, answered: bool = False) -> tuple[FaceModel, State]:
    known = truth(rig, frames)
    model = FaceModel.of(rig, answered=answered)
    place = np.concatenate(
        [known["translation"][:, :2] / known["translation"][:, 2:] * FOCAL + SIZE / 2, np.log(known["translation"][:, 2:])], 1
    )
    state = State(known["identity"], np.log(FOCAL), np.zeros((len(model.index), 3)), Pose(known["rotation"], place), known["expression"])
    return model, state
