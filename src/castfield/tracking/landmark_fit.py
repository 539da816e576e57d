"""A clip's landmarks turned into a person, a camera and a motion: identity and focal length once, pose and expression per frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from castfield.clip import Landmarks, Track, split_frames, spread
from castfield.config import FitConfig
from castfield.errors import ClipError
from castfield.rigs.stored import StoredRig
from castfield.scratch import let_go
from castfield.tracking.face_model import FaceModel, Pose, first_pose, joined, worth_fitting
from castfield.tracking.photometric import Reference, learn_reference, normal_equations, sample
from castfield.tracking.solver import (
    BATCH,
    Noise,
    Observation,
    Smoothness,
    State,
    Witness,
    data_weights,
    fit_motion,
    fit_person,
    predict,
)
from castfield.tracking.surface import Surface
from castfield.tracking.turning import fit_turning

Pictures = Callable[[], Iterator[np.ndarray]]
"""Starts a pass over a clip's frames as `photometric.detail`, (H, W) uint8."""

LIVELY = (
    ("eyeBlink", 0.13), ("eyeLook", 0.044), ("eye", 0.013), ("brow", 0.013), ("cheek", 0.013), ("nose", 0.013),
    ("Smile", 0.026), ("Frown", 0.026), ("Dimple", 0.026),
)  # fmt: skip
"""Second difference of an action from frame to frame (standard deviation), by a part of its name: lips and lids are fast, brows slow."""
STILL = 0.175
"""The same of an action without such a name, in deviations of its prior."""
ANSWERED = "mediapipe"
"""The tracker whose answer to a face the rig knows (`castfield.rigs.response`)."""
PERSON_FRAMES = 24
"""Training frames from which the person is found, spread over the clip."""
REFERENCE_FRAMES = 120
"""Training frames from which the brightness of the face is learned."""
MOTION_STEPS, PICTURE_STEPS = 4, 3
"""Steps of the fit by landmarks, and of the one by landmarks and brightness; without pictures there are as many, by landmarks."""
CHUNK, OVERLAP = 250, 25
"""Frames solved together, and how many of the neighbours' frames are solved along: a clip of more than ten seconds takes no more memory."""
FOCAL_PRIOR = 4.0
"""Expected focal length in sides of the crop: a face that fills half of it, filmed from one and a half metres."""


def inter_ocular(points: np.ndarray, frames: np.ndarray | slice = np.s_[:]) -> float:
    """Median distance between the eyes' centres (means of their corners) over these of the frames, pixels. points (T, 478, >=2)."""
    right, left = (points[:, corners, :2][frames].mean(1) for corners in ([33, 133], [263, 362]))
    return float(np.median(np.linalg.norm(left - right, axis=-1)))


def face_scale(landmarks: Landmarks) -> float:
    """The inter-ocular distance in pixels. Raises ClipError for a face too small to fit."""
    scale = inter_ocular(landmarks.points, landmarks.found)
    if not np.isfinite(scale) or scale < 4:
        raise ClipError("the face is too small to fit", expected="eyes at least 4 pixels apart", found=f"{scale:.1f} pixels")
    return scale


def observe(model: FaceModel, landmarks: Landmarks, size: int, scale: float, frames: np.ndarray | slice = np.s_[:]) -> Observation:
    """The tracker's points in some of the frames as the fit takes them; scale: `face_scale`."""
    points = landmarks.points[frames][:, model.index, :2]
    given = np.isfinite(points).all(-1)
    points[~given] = 0
    confident = np.where(landmarks.found[frames], np.clip(landmarks.confidence[frames], 0.05, 1.0), 0.0)
    return Observation(points, model.weight * given * confident[:, None], scale, size / 2)


def fit(
    rig: StoredRig[Any],
    landmarks: Landmarks,
    size: int,
    config: FitConfig,
    pictures: Pictures | None = None,
    *,
    identity: np.ndarray | None = None,
    noise: Noise | None = None,
) -> Track:
    """Fit the rig to `landmarks` in pixels of frames of side `size`. Deterministic.

    First the person and the camera from up to PERSON_FRAMES training frames, each with a pose and expression of its own; then how
    this person's landmarks lie off the rig's; then the motion of all frames together, smooth in time. With `pictures`, which starts
    a new pass over the clip's frames (their `photometric.detail`) each time, pose and expression are refined by its colours, and how
    the landmarks shift as this head turns is told from them. A known `identity` (I,) is kept; `noise` says what is expected of what,
    if not the usual.
    """
    noise = noise or Noise(sparse=Noise.sparse * config.expression_prior)
    with threadpool_limits(1):  # one core per clip: the pool of clips is what fills the machine
        return _fit(rig, landmarks, size, config, pictures, identity, noise)


def _fit(
    rig: StoredRig[Any],
    landmarks: Landmarks,
    size: int,
    config: FitConfig,
    pictures: Pictures | None,
    identity: np.ndarray | None,
    noise: Noise,
) -> Track:
    answered = landmarks.tracker == ANSWERED
    # Points that this tracker never gives (all but 68 with `face_alignment`) are left out, so that weights keep their meaning.
    frames, scale = len(landmarks.points), face_scale(landmarks)
    windows = _windows(frames)
    given = np.all([np.isfinite(landmarks.points[w][landmarks.found[w], :, :2]).all((0, 2)) for w in windows], 0)
    known = FaceModel.of(rig, worth_fitting(np.flatnonzero(np.asarray(rig.landmark_valid) & given)), answered=answered)
    # Actions are held back by their sum, signed directions by their squares.
    looser = np.where(known.one_sided, 1.0, 1 / np.sqrt(max(config.expression_prior, 1e-6)))
    model = replace(known, deviation=known.deviation * looser)

    def seen(some: np.ndarray | slice) -> Observation:
        part = observe(known, landmarks, size, scale, some)
        let_go(landmarks.points)
        return part

    prior_focal, centre = FOCAL_PRIOR * size, size / 2
    poses, unseen = [], []
    for some in map(seen, windows):
        poses.append(first_pose(some.points.astype(np.float64), model.neutral, some.weight, prior_focal, centre))
        unseen.append(some.weight.sum(1) == 0)
    pose, blind = joined(poses), np.concatenate(unseen)
    nothing = np.zeros((frames, len(model.expression)))
    start = State(
        np.zeros(rig.identity_dim) if identity is None else identity,
        float(np.log(prior_focal)),
        np.zeros((len(model.index), 3)),
        pose,
        nothing,
    )

    chosen = _usable_frames(split_frames(frames).train, ~blind, PERSON_FRAMES)
    person = fit_person(model, seen(chosen), start.part(chosen), noise, prior_focal, 16, config.identity_prior, identity is not None)
    offset = personal_offset(model, seen(chosen), person, noise)
    # Depth at the fitted focal length; the place in the picture stays.
    place = pose.place + np.array([0, 0, person.log_focal - np.log(prior_focal)])
    state = replace(
        start, identity=person.identity, log_focal=person.log_focal, offset=offset, pose=_bridge(Pose(pose.rotation, place), ~blind)
    )
    smooth = smoothness(rig, config)
    watched = pictures if config.photometric else None
    steps = MOTION_STEPS if watched else MOTION_STEPS + PICTURE_STEPS
    state = _in_chunks(state, lambda wide: fit_motion(model, seen(wide), state.part(wide), noise, smooth, steps))
    if watched:
        surface = Surface.of(rig, state.identity)
        chosen = _usable_frames(split_frames(frames).train, ~blind, REFERENCE_FRAMES)
        wanted = set(chosen.tolist())
        reference, model, offset = study(
            model,
            surface,
            [picture for t, picture in enumerate(watched()) if t in wanted],  # not kept: they are done with here
            seen(chosen),
            state.part(chosen),
            noise,
        )
        state = replace(state, offset=offset)
        stream = watched()
        held: dict[int, np.ndarray] = {}

        def refine(wide: slice) -> State:
            for t in [t for t in held if t < wide.start]:
                del held[t]
            for t in range(max(held, default=-1) + 1, wide.stop):
                held[t] = next(stream)
            window = [held[t] for t in range(wide.start, wide.stop)]
            look = watch(surface, window, reference, centre, blind[wide])
            return fit_motion(model, seen(wide), state.part(wide), noise, smooth, PICTURE_STEPS, look)

        state = _in_chunks(state, refine)
    return as_track(rig, state, landmarks.found, size, answered)


def watch(surface: Surface, pictures: list[np.ndarray], reference: Reference, centre: float, blind: np.ndarray) -> Witness:
    """The pictures of a state's frames as evidence on it; `blind` (T,) marks frames without a face."""

    def witness(now: State) -> tuple[np.ndarray, np.ndarray]:
        parts = []
        for at in range(0, len(pictures), BATCH):
            part = slice(at, at + BATCH)
            samples = sample(surface, pictures[part], now.part(part), centre, reference)
            parts.append(normal_equations(surface, samples, reference, now.part(part), centre))
        h, g = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        h[blind], g[blind] = 0, 0
        return h, g

    return witness


def study(
    model: FaceModel, surface: Surface, pictures: list[np.ndarray], seen: Observation, state: State, noise: Noise
) -> tuple[Reference, FaceModel, np.ndarray]:
    """What the face looks like, from some frames: looked up where landmarks, and then a first look, say that each point is; and how the
    tracker answers to this face as it turns: the model with its `view`, and the offset (L, 3) that goes with it."""
    reference = learn_reference(sample(surface, pictures, state, seen.centre, None), state.pose.rotation)
    nobody = np.zeros(len(pictures), bool)
    model, state = fit_turning(model, seen, state, noise, 2, watch(surface, pictures, reference, seen.centre, nobody))
    reference = learn_reference(sample(surface, pictures, state, seen.centre, reference), state.pose.rotation)
    return reference, model, state.offset


def _usable_frames(preferred: np.ndarray, usable: np.ndarray, count: int) -> np.ndarray:
    """Up to `count` of the preferred frames that are usable, spread evenly; of all usable ones if no preferred one is."""
    frames = preferred[usable[preferred]]
    return spread(frames if len(frames) else np.flatnonzero(usable), count)


def _in_chunks(state: State, solve: Callable[[slice], State]) -> State:
    """Solve windows of CHUNK frames with OVERLAP more on either side, and put the middles together."""
    frames = len(state.expression)
    parts = []
    for window in _windows(frames):
        wide = slice(max(0, window.start - OVERLAP), min(frames, window.stop + OVERLAP))
        parts.append(solve(wide).part(slice(window.start - wide.start, window.stop - wide.start)))
    return replace(state, pose=joined([p.pose for p in parts]), expression=np.concatenate([p.expression for p in parts]))


def _windows(frames: int) -> list[slice]:
    """CHUNK frames each: what is needed of a frame in passing is never held for all."""
    return [slice(at, min(frames, at + CHUNK)) for at in range(0, frames, CHUNK)]


def smoothness(rig: StoredRig[Any], config: FitConfig) -> Smoothness:
    """What a head and a face do within a frame. Lids are the fastest: a blink closes in two frames."""
    deviation = np.asarray(rig.expression_deviation, np.float64)
    activation = np.array([
        next((sigma for part, sigma in LIVELY if part in name), STILL * size)
        for name, size in zip(rig.expression_names, deviation, strict=True)
    ])  # fmt: skip
    easy = Smoothness()
    looser = 1 / np.sqrt(max(config.smooth, 1e-6))
    return Smoothness(easy.rotation * looser, easy.sideways * looser, easy.depth * looser, activation * looser)


def personal_offset(model: FaceModel, seen: Observation, state: State, noise: Noise, sigma: float = 0.0015) -> np.ndarray:
    """Where this person's landmarks lie off the rig's (L, 3), metres, across the line of sight of a frontal face.

    A tracker places a landmark by what it sees, the rig by its mesh; on one person they differ by the same in every frame. What is
    explained here is not mistaken for expression or pose. Shrunk by a prior of `sigma` metres.
    """
    pixels, _ = predict(model, state, seen.centre)
    residual = seen.points - pixels
    precision = data_weights(residual, seen, noise)
    depth = np.exp(state.pose.place[:, 2])
    metres = residual * (depth / state.focal)[:, None, None]
    flat = np.concatenate([metres, np.zeros_like(metres[..., :1])], -1) @ state.pose.rotation  # back into the head: R^T x
    weight = precision[..., None] / precision.mean()
    mean = (weight * flat).sum(0) / np.maximum(weight.sum(0), 1e-9)
    scatter = (weight * (flat - mean) ** 2).sum((0, 2)) / np.maximum(weight[..., 0].sum(0), 1e-9) / 2
    # Successive frames repeat each other's errors: a handful are worth counting.
    return mean * (sigma**2 / (sigma**2 + scatter / noise.frames + 1e-12))[:, None]


def _bridge(pose: Pose, found: np.ndarray) -> Pose:
    """Start frames without a face at the nearest found pose; smoothness does the rest."""
    seen = np.flatnonzero(found)
    nearest = seen[np.searchsorted((seen[1:] + seen[:-1]) / 2, np.arange(len(found)))]
    return pose.part(nearest)


def as_track(rig: StoredRig[Any], state: State, found: np.ndarray, size: int, answered: bool) -> Track:
    """A solved state as the clip's track, with all 478 landmarks of the rig (NaN where it has no counterpart), as the tracker sees them."""
    identity, expression = state.identity.astype(np.float32), state.expression.astype(np.float32)
    model = FaceModel.of(rig, np.arange(len(rig.landmark_valid)), answered=answered)
    everywhere = replace(state, offset=np.zeros((len(model.index), 3)))
    pixels = np.empty((len(expression), len(model.index), 2), np.float32)
    for window in _windows(len(expression)):
        pixels[window] = predict(model, everywhere.part(window), size / 2)[0]
    pixels[:, ~np.asarray(rig.landmark_valid)] = np.nan
    return Track(
        identity=identity,
        expression=expression,
        rotation=state.pose.rotation.astype(np.float32),
        translation=state.pose.translation(state.focal, size / 2).astype(np.float32),
        focal=state.focal,
        size=size,
        valid=found.copy(),
        landmarks=pixels,
    )
