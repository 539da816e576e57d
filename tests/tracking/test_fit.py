"""The fit: derivatives against differences, known motion recovered from made landmarks, real footage, bridging, determinism."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from castfield import media as video
from castfield.clip import Crop, Landmarks, Track
from castfield.config import FitConfig
from castfield.errors import ClipError
from castfield.geometry import rotation_angle
from castfield.rigs.base import VIEW_TERMS, view_terms
from castfield.tracking import landmark_fit
from castfield.tracking.face_model import (
    IRISES,
    LIDS,
    LIPS,
    POSE,
    FaceModel,
    Pose,
    first_pose,
    jacobian,
    project,
    rotation_matrix,
    rotation_vector,
    worth_fitting,
)
from castfield.tracking.fit_metrics import measure
from castfield.tracking.landmark_fit import fit, inter_ocular
from castfield.tracking.photometric import NOISE, Reference, Samples, detail, learn_reference, normal_equations, sample, shifts
from castfield.tracking.sixty_eight import INDICES
from castfield.tracking.solver import Noise, State, landmark_equations
from castfield.tracking.surface import MOUTH, POINTS, Surface
from castfield.tracking.truth_metrics import head_overlap, measure_truth

SIZE, FOCAL, FRAMES = 256, 1000.0, 30


def _truth(rig, frames: int = FRAMES, seed: int = 0) -> dict[str, np.ndarray | float]:
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


def _seen(rig, truth, noise: float = 0.0, seed: int = 1, answered: bool = False) -> Landmarks:
    """What a tracker of this error (pixels) would give: a made one, or with `answered` the one whose answer the rig knows."""
    points = rig.seen if answered else rig.landmarks
    shape = points(torch.tensor(truth["identity"]).float()[None], torch.tensor(truth["expression"]).float()).double().numpy()
    if answered:
        shape += np.tensordot(view_terms(truth["rotation"]), rig.landmark_view.double().numpy(), 1)
    camera = shape @ truth["rotation"].transpose(0, 2, 1) + truth["translation"][:, None]
    pixels = truth["focal"] * camera[..., :2] / camera[..., 2:] + SIZE / 2
    pixels = pixels + np.random.default_rng(seed).normal(0, noise, pixels.shape)
    points = np.concatenate([pixels, camera[..., 2:]], -1).astype(np.float32)
    frames = len(points)
    return Landmarks(points, np.ones(frames, np.float32), np.ones(frames, bool), landmark_fit.ANSWERED if answered else "made")


def _errors(track: Track, truth, rig, tmp_path: Path) -> dict[str, float]:
    """Errors against the truth as if it had been filmed at twice the size, the crop in the middle of it, from the fourth frame on."""
    before = {k: np.concatenate([v[:3], v]) for k, v in truth.items() if isinstance(v, np.ndarray) and k != "identity"}
    points = _seen(rig, {**truth, **before}).points[..., :2]
    known = {**truth, **before, "landmarks": 2 * points + 44, "focal": 2 * FOCAL, "size": 600, "fps": 25.0}
    np.savez(tmp_path / "truth.npz", **known)
    return measure_truth(
        track, tmp_path / "truth.npz", Crop((44, 44, 512), SIZE, (600, 600), 25.0, len(track), 0.12, False), rig.expression_names
    )


def test_a_known_motion_is_recovered_from_noisy_landmarks(rig, tmp_path):
    truth = _truth(rig)
    seen = _seen(rig, truth, noise=0.3)
    track = fit(rig, seen, SIZE, FitConfig())
    errors = _errors(track, truth, rig, tmp_path)
    assert errors["rotation_deg"] < 0.5
    assert errors["lateral_mm"] < 0.5
    assert errors["depth_pct"] < 0.5
    assert errors["expression_corr"] > 0.95
    assert errors["expression_corr_jawOpen"] > 0.98
    assert errors["expression_error"] < 0.08
    assert errors["nme"] < 0.012
    figures = measure(track, seen)
    assert figures["nme"] < 0.012
    assert figures["jitter_ratio"] < 0.5
    assert figures["lip_corr"] > 0.98
    assert 0.95 < figures["lip_range"] < 1.05
    assert (track.expression >= 0).all()
    assert (track.expression <= 1).all()
    assert track.valid.all()


def test_sixty_eight_points_are_enough(rig, tmp_path):
    truth = _truth(rig)
    seen = _seen(rig, truth, noise=0.3)
    few = np.full_like(seen.points, np.nan)
    few[:, INDICES, :2] = seen.points[:, INDICES, :2]
    track = fit(rig, replace(seen, points=few), SIZE, FitConfig())
    errors = _errors(track, truth, rig, tmp_path)
    assert errors["rotation_deg"] < 1.0
    assert errors["lateral_mm"] < 1.0
    assert measure(track, replace(seen, points=few))["lip_corr"] > 0.97


def test_frames_without_a_face_are_bridged_smoothly_and_marked(rig):
    truth = _truth(rig)
    seen = _seen(rig, truth, noise=0.2)
    found = np.ones(FRAMES, bool)
    found[10:14] = False
    points = seen.points.copy()
    points[10:14] = points[9]
    track = fit(rig, replace(seen, points=points, found=found, confidence=found.astype(np.float32)), SIZE, FitConfig())
    assert (track.valid == found).all()
    assert rotation_angle(track.rotation[10:14].astype(float), truth["rotation"][10:14]).max() < 3
    assert np.abs(track.translation[10:14, :2] - truth["translation"][10:14, :2]).max() < 0.004


def test_the_same_landmarks_give_the_same_bytes(rig, tmp_path):
    seen = _seen(rig, _truth(rig, 12), noise=0.3)
    for name in ("a", "b"):
        fit(rig, seen, SIZE, FitConfig()).save(tmp_path / f"{name}.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_chunks_join_without_a_seam(rig, monkeypatch):
    seen = _seen(rig, _truth(rig, 36), noise=0.3)
    whole = fit(rig, seen, SIZE, FitConfig())
    monkeypatch.setattr(landmark_fit, "CHUNK", 14)
    monkeypatch.setattr(landmark_fit, "OVERLAP", 8)
    parts = fit(rig, seen, SIZE, FitConfig())
    assert rotation_angle(whole.rotation.astype(float), parts.rotation.astype(float)).max() < 0.1
    assert np.abs(whole.landmarks - parts.landmarks)[:, rig.landmark_valid.numpy()].max() < 0.3


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_very_short_clips_do_not_break_it(rig, frames):
    track = fit(rig, _seen(rig, _truth(rig, frames)), SIZE, FitConfig())
    assert len(track) == frames
    assert np.isfinite(track.translation).all()


def test_a_face_of_no_size_is_refused(rig):
    seen = _seen(rig, _truth(rig, 5))
    with pytest.raises(ClipError, match="too small"):
        fit(rig, replace(seen, points=seen.points * 0.01), SIZE, FitConfig())


def test_a_smoother_fit_trembles_less(rig):
    seen = _seen(rig, _truth(rig), noise=1.0)
    loose, tight = (measure(fit(rig, seen, SIZE, FitConfig(smooth=w)), seen)["jitter"] for w in (0.1, 10.0))
    assert tight < loose


def _model_state(rig, frames: int = 3) -> tuple[FaceModel, State]:
    truth = _truth(rig, frames)
    model = FaceModel.of(rig)
    place = np.concatenate(
        [truth["translation"][:, :2] / truth["translation"][:, 2:] * FOCAL + SIZE / 2, np.log(truth["translation"][:, 2:])], 1
    )
    state = State(truth["identity"], np.log(FOCAL), np.zeros((len(model.index), 3)), Pose(truth["rotation"], place), truth["expression"])
    return model, state


def test_derivatives_agree_with_differences(rig):
    model, state = _model_state(rig)
    centre, small = SIZE / 2, 1e-6
    pixels, turned = project(model.shape(state.identity, state.expression), state.pose, state.focal, centre)
    j = jacobian(model, turned, state.pose, state.focal, centre, shared=True)
    d = rig.d

    def moved(column: int) -> np.ndarray:
        identity, expression, pose, focal = state.identity.copy(), state.expression.copy(), state.pose, state.focal
        if column < POSE:
            step = np.zeros((3, POSE))
            step[:, column] = small
            pose = pose.moved(step)
        elif column < POSE + d:
            expression[:, column - POSE] += small
        elif column < POSE + d + rig.identity_dim:
            identity[column - POSE - d] += small
        else:
            focal *= np.exp(small)
        return project(model.shape(identity, expression), pose, focal, centre)[0]

    for column in (*range(POSE), POSE, POSE + 24, POSE + d, POSE + d + 7, POSE + d + rig.identity_dim):
        expected = ((moved(column) - pixels) / small).reshape(3, -1)
        np.testing.assert_allclose(j[..., column], expected, rtol=1e-3, atol=2e-3 * np.abs(expected).max())


def test_the_known_errors_of_the_tracker_do_not_move_the_expression(rig):
    from castfield.tracking.landmark_fit import observe

    _, state = _model_state(rig)
    model = FaceModel.of(rig, answered=True)
    assert len(model.modes) > 10
    state = replace(state, offset=np.zeros((len(model.index), 3)))
    points = np.full((3, 478, 3), np.nan, np.float32)
    wrong = model.shape(state.identity, state.expression) + model.sided(state.pose.rotation) + 1.5 * model.modes[2]
    points[:, model.index, :2], _ = project(wrong, state.pose, state.focal, SIZE / 2)
    points[:, ~np.isin(np.arange(478), model.index)] = 100.0
    points[..., 2] = 0
    seen = observe(model, Landmarks(points, np.ones(3, np.float32), np.ones(3, bool), "mediapipe"), SIZE)
    pulls = [
        np.linalg.norm(landmark_equations(model, seen, state, Noise(), shared=False, tremble=eliminated)[1][:, POSE:])
        for eliminated in (False, True)
    ]
    assert pulls[1] < 0.3 * pulls[0]


def test_a_dense_mesh_is_thinned_where_neighbours_say_the_same_and_a_sparse_one_is_not():
    dense, sparse = np.arange(478), np.arange(0, 478, 7)
    kept = worth_fitting(dense)
    assert set(LIPS) | set(LIDS) | set(IRISES) < set(kept)
    assert 0.5 < len(kept) / len(dense) < 0.7
    np.testing.assert_array_equal(worth_fitting(sparse), sparse)


def test_the_side_from_which_the_tracker_looks_is_part_of_what_it_sees(rig, tmp_path):
    """Landmarks shift over a face that turns: known to the rig, that is no motion; a rig without it takes it for one."""
    truth = _truth(rig)
    seen = _seen(rig, truth, answered=True)
    response = rig.landmark_response.clone()
    sides = slice(1 + rig.identity_dim + rig.d, 1 + rig.identity_dim + rig.d + VIEW_TERMS)
    response[sides] = 0
    tracks = [fit(known, seen, SIZE, FitConfig()) for known in (rig, replace(rig, landmark_response=response))]
    knowing, ignorant = (_errors(track, truth, rig, tmp_path)["rotation_deg"] for track in tracks)
    assert knowing < 0.8 * ignorant


def test_rotation_vectors_and_matrices_are_inverse():
    vectors = np.concatenate([np.random.default_rng(0).normal(0, 0.6, (50, 3)), np.zeros((1, 3)), np.full((1, 3), 1e-9)])
    matrices = rotation_matrix(vectors)
    np.testing.assert_allclose(matrices @ matrices.transpose(0, 2, 1), np.broadcast_to(np.eye(3), matrices.shape), atol=1e-12)
    np.testing.assert_allclose(rotation_vector(matrices), vectors, atol=1e-9)


def test_the_first_pose_is_near_the_truth(rig):
    truth = _truth(rig)
    seen = _seen(rig, truth)
    model = FaceModel.of(rig)
    shape = model.shape(truth["identity"], truth["expression"][:1])[0]
    pose = first_pose(seen.points[:, model.index, :2].astype(float), shape, np.ones((FRAMES, len(model.index))), FOCAL, SIZE / 2)
    assert rotation_angle(pose.rotation, truth["rotation"]).mean() < 4
    assert np.abs(np.exp(pose.place[:, 2]) / truth["translation"][:, 2] - 1).max() < 0.05


def test_a_tremble_of_the_whole_face_moves_neither_pose_nor_expression(rig):
    from castfield.tracking.landmark_fit import observe

    model, state = _model_state(rig)
    seen = _seen(rig, _truth(rig, 3))
    trembled = replace(seen, points=seen.points + np.array([0.4, -0.3, 0], np.float32))
    noise = Noise()
    for eliminated, bound in ((False, None), (True, 0.25)):
        h, g = landmark_equations(model, observe(model, trembled, SIZE), state, noise, shared=False, tremble=eliminated)
        pull = np.abs(np.linalg.norm(g[:, POSE:], axis=1)).mean()
        if bound is None:
            free = pull
        else:
            assert pull < bound * free


def _pictured(rig) -> tuple[State, Surface, list[np.ndarray], Reference]:
    """Four equal frames of a face behind which a pattern stands, and what its points then look like."""
    _, state = _model_state(rig, 4)
    pose = Pose(np.repeat(state.pose.rotation[:1], 4, 0), np.repeat(state.pose.place[:1], 4, 0))
    state = replace(state, pose=pose, expression=np.repeat(state.expression[:1], 4, 0))
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    bright, red = 128 + 60 * np.sin(x / 5.0) * np.cos(y / 6.0), 20 * np.sin(x / 4.0 + y / 7.0)
    picture = detail(np.rint(np.stack([bright + red, bright - red, bright], -1)).astype(np.uint8))
    surface = Surface.of(rig, state.identity)
    true = sample(surface, [picture] * 4, state, SIZE / 2, None)
    assert true.value.shape == (4, 2, POINTS)
    trust = np.full((2, POINTS), 1e4) * (true.visible[0] > 0)
    reference = Reference(true.value[0], np.zeros((3, 2, POINTS)), state.pose.rotation[0], trust)
    return state, surface, [picture] * 4, reference


def test_the_lips_colour_is_not_asked(rig):
    """They roll in and out and bare the teeth: taken for motion, that hid a pucker."""
    surface = Surface.of(rig, np.zeros(rig.identity_dim))
    lips = rig.landmarks(torch.zeros(rig.identity_dim), torch.zeros(rig.d)).numpy()[list(LIPS)]
    away = np.linalg.norm(surface.model.neutral[:, None] - lips[None], axis=-1).min(1)
    assert away.min() > 0.8 * MOUTH
    assert (surface.model.neutral[:, 1] < lips[:, 1].mean()).any()  # the chin, which tells how far the jaw is open, is asked


def test_the_picture_corrects_a_pose_that_is_half_a_pixel_off(rig):
    state, surface, pictures, reference = _pictured(rig)
    away = replace(state, pose=state.pose.moved(np.tile([0, 0, 0, 0.5, -0.4, 0.0], (4, 1))))
    for _ in range(6):
        samples = sample(surface, pictures, away, SIZE / 2, reference)
        h, g = normal_equations(surface, samples, reference, away, SIZE / 2)
        step = np.linalg.solve(h[:, :POSE, :POSE] + 1e-3 * np.eye(POSE), g[:, :POSE, None])[..., 0]
        away = replace(away, pose=away.pose.moved(step))
    assert np.abs(away.pose.place[:, :2] - state.pose.place[:, :2]).max() < 0.05


def test_the_picture_corrects_an_expression(rig):
    state, surface, pictures, reference = _pictured(rig)
    actions = [rig.expression_names.index(name) for name in ("jawOpen", "mouthSmileLeft", "browInnerUp")]
    away = replace(state, expression=state.expression.copy())
    away.expression[:, actions] += 0.05
    free = POSE + np.array(actions)
    for _ in range(6):
        samples = sample(surface, pictures, away, SIZE / 2, reference)
        h, g = normal_equations(surface, samples, reference, away, SIZE / 2)
        away.expression[:, actions] += np.linalg.solve(h[:, free][:, :, free], g[:, free, None])[..., 0]
    assert np.abs(away.expression - state.expression).max() < 0.005


def test_shading_that_wanders_as_the_head_turns_is_no_motion(rig):
    """Colours that are linear in the head's turn are told from noise, and expected of a turned head."""
    rng = np.random.default_rng(0)
    frames, count = 60, 50
    turn = rng.normal(0, 0.1, (frames, 3))
    rotation = rotation_matrix(turn) @ np.diag([1.0, -1.0, -1.0])
    colour, slope = rng.random((1, 2, count)), rng.normal(0, 0.5, (3, 2, count))
    value = colour + np.tensordot(turn, slope, 1)
    samples = Samples(value, value, np.zeros((frames, 2, count, 2)), np.zeros((frames, count, 3)), np.ones((frames, count)))
    reference = learn_reference(samples, rotation)
    assert np.abs(reference.colours(rotation) - value).max() < 0.25 * np.abs(value - value.mean(0)).max()
    assert reference.precision.min() > 0.5 / NOISE**2


@pytest.fixture(scope="module")
def real(media, tmp_path_factory):
    """A second of a real clip: frames, landmarks."""
    from castfield.config import LandmarksConfig
    from castfield.shards import Job
    from castfield.tracking.landmarks import track_clip

    folder = tmp_path_factory.mktemp("real")
    frames = video.decode(media / "grid/lbax4n.mpg", filters="crop=288:288,scale=256:256", seconds=1.0)
    video.encode_lossless(folder / "lbax4n.mkv", frames)
    track_clip(Job("lbax4n", {"frames": folder / "lbax4n.mkv"}, LandmarksConfig()), folder)
    return frames, Landmarks.load(folder / "lbax4n.npz")


def test_real_footage_is_fitted_better_than_the_floor_and_the_picture_steadies_the_pose(rig, real):
    frames, landmarks = real
    pictures = [detail(frame) for frame in frames]
    left = {}
    for photometric in (False, True):
        track = fit(rig, landmarks, SIZE, FitConfig(photometric=photometric), lambda: iter(pictures))
        figures = measure(track, landmarks)
        assert figures["nme"] < 0.014  # 0.018 was the floor that the project set out from
        assert figures["jitter_ratio"] < 0.6
        assert figures["lip_corr"] > 0.97
        place = np.concatenate(
            [track.translation[:, :2] / track.translation[:, 2:] * track.focal + SIZE / 2, np.log(track.translation[:, 2:])], 1
        )
        state = State(
            track.identity.astype(float), np.log(track.focal), np.zeros((1, 3)), Pose(track.rotation.astype(float), place),
            track.expression.astype(float),
        )  # fmt: skip
        surface = Surface.of(rig, state.identity)
        reference = learn_reference(sample(surface, pictures, state, SIZE / 2, None), state.pose.rotation)
        left[photometric] = np.linalg.norm(shifts(sample(surface, pictures, state, SIZE / 2, reference), reference), axis=1).mean()
    assert left[True] < 0.5 * left[False]
    assert left[True] < 0.06


def test_figures_of_a_perfect_track_are_perfect(rig):
    truth = _truth(rig)
    seen = _seen(rig, truth)
    track = Track(
        truth["identity"].astype(np.float32), truth["expression"].astype(np.float32), truth["rotation"].astype(np.float32),
        truth["translation"].astype(np.float32), FOCAL, SIZE, seen.found, seen.points[..., :2],
    )  # fmt: skip
    figures = measure(track, seen)
    assert figures["nme"] == 0
    assert figures["jitter_ratio"] == pytest.approx(1)
    assert figures["lip_corr"] == pytest.approx(1)
    assert inter_ocular(seen.points) == pytest.approx(61, abs=15)


def test_the_head_is_compared_in_the_crop(tmp_path):
    truth = np.zeros((2, 100, 100), bool)
    truth[:, 20:60, 30:70] = True
    np.savez(tmp_path / "truth.npz", head_mask=np.packbits(truth.reshape(2, -1), axis=1), size=100, fps=25.0)
    crop = Crop((10, 10, 64), 128, (100, 100), 25.0, 2, 0.0, False)
    mask = np.zeros((128, 128, 3), np.uint8)
    mask[20:100, 40:120, 0] = 255
    assert head_overlap([mask, mask], tmp_path / "truth.npz", crop) == 1.0
    mask[:, 80:, 0] = 0
    assert head_overlap([mask, mask], tmp_path / "truth.npz", crop) == pytest.approx(0.5)
