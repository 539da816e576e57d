"""The fit: derivatives against differences, known motion recovered from made landmarks, bridging, determinism."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import made_motion
import numpy as np
import pytest
from made_motion import FOCAL, FRAMES, SIZE

from castfield.clip import Crop, Landmarks, Track
from castfield.config import FitConfig
from castfield.errors import ClipError
from castfield.geometry import rotation_angle
from castfield.rigs.stored import VIEW_TERMS, read_rig
from castfield.tracking import landmark_fit
from castfield.tracking.face_model import (
    IRISES,
    LIDS,
    LIPS,
    POSE,
    FaceModel,
    Pose,
    Slopes,
    first_pose,
    jacobian,
    project,
    rotation_matrix,
    rotation_vector,
    worth_fitting,
)
from castfield.tracking.fit_metrics import measure
from castfield.tracking.landmark_fit import fit, inter_ocular
from castfield.tracking.sixty_eight import INDICES
from castfield.tracking.solver import Noise, Observation, State, cost, expression_prior, landmark_equations, solved, without_errors
from castfield.tracking.truth_metrics import head_overlap, measure_truth


def _errors(track: Track, truth, rig, tmp_path: Path) -> dict[str, float]:
    """Errors against the truth as if it had been filmed at twice the size, the crop in the middle of it, from the fourth frame on."""
    before = {k: np.concatenate([v[:3], v]) for k, v in truth.items() if isinstance(v, np.ndarray) and k != "identity"}
    points = made_motion.seen(rig, {**truth, **before}).points[..., :2]
    known = {**truth, **before, "landmarks": 2 * points + 44, "focal": 2 * FOCAL, "size": 600, "fps": 25.0}
    np.savez(tmp_path / "truth.npz", **known)
    return measure_truth(
        track, tmp_path / "truth.npz", Crop((44, 44, 512), SIZE, (600, 600), 25.0, len(track), 0.12, False), rig.expression_names
    )


def test_a_known_motion_is_recovered_from_noisy_landmarks(rig, tmp_path):
    truth = made_motion.truth(rig)
    seen = made_motion.seen(rig, truth, noise=0.3)
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
    truth = made_motion.truth(rig)
    seen = made_motion.seen(rig, truth, noise=0.3)
    few = np.full_like(seen.points, np.nan)
    few[:, INDICES, :2] = seen.points[:, INDICES, :2]
    track = fit(rig, replace(seen, points=few), SIZE, FitConfig())
    errors = _errors(track, truth, rig, tmp_path)
    assert errors["rotation_deg"] < 1.0
    assert errors["lateral_mm"] < 1.0
    assert measure(track, replace(seen, points=few))["lip_corr"] > 0.97


def test_frames_without_a_face_are_bridged_smoothly_and_marked(rig):
    truth = made_motion.truth(rig)
    seen = made_motion.seen(rig, truth, noise=0.2)
    found = np.ones(FRAMES, bool)
    found[10:14] = False
    points = seen.points.copy()
    points[10:14] = points[9]
    track = fit(rig, replace(seen, points=points, found=found, confidence=found.astype(np.float32)), SIZE, FitConfig())
    assert (track.valid == found).all()
    assert rotation_angle(track.rotation[10:14].astype(float), truth["rotation"][10:14]).max() < 3
    assert np.abs(track.translation[10:14, :2] - truth["translation"][10:14, :2]).max() < 0.004


def test_the_same_landmarks_give_the_same_bytes(rig, tmp_path):
    seen = made_motion.seen(rig, made_motion.truth(rig, 12), noise=0.3)
    for name in ("a", "b"):
        fit(rig, seen, SIZE, FitConfig()).save(tmp_path / f"{name}.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_numpys_arrays_and_torchs_give_the_same_fit(rig, tmp_path):
    rig.save(tmp_path / "rig.npz")
    seen = made_motion.seen(rig, made_motion.truth(rig, 4), noise=0.3, answered=True)
    for name, same in (("torch", rig), ("numpy", read_rig(tmp_path / "rig.npz"))):
        fit(same, seen, SIZE, FitConfig()).save(tmp_path / f"{name}.npz")
    assert (tmp_path / "torch.npz").read_bytes() == (tmp_path / "numpy.npz").read_bytes()


@pytest.mark.parametrize("overlap", [6, 8])
def test_chunks_join_without_a_seam(overlap, rig, monkeypatch):
    seen = made_motion.seen(rig, made_motion.truth(rig, 36), noise=0.3)
    whole = fit(rig, seen, SIZE, FitConfig())
    monkeypatch.setattr(landmark_fit, "CHUNK", 14)
    monkeypatch.setattr(landmark_fit, "OVERLAP", overlap)
    parts = fit(rig, seen, SIZE, FitConfig())
    assert rotation_angle(whole.rotation.astype(float), parts.rotation.astype(float)).max() < 0.1
    assert np.abs(whole.landmarks - parts.landmarks)[:, rig.landmark_valid.numpy()].max() < 0.3


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_very_short_clips_do_not_break_it(rig, frames):
    track = fit(rig, made_motion.seen(rig, made_motion.truth(rig, frames)), SIZE, FitConfig())
    assert len(track) == frames
    assert np.isfinite(track.translation).all()


def test_a_face_of_no_size_is_refused(rig):
    seen = made_motion.seen(rig, made_motion.truth(rig, 5))
    with pytest.raises(ClipError, match="too small"):
        fit(rig, replace(seen, points=seen.points * 0.01), SIZE, FitConfig())


def test_a_smoother_fit_trembles_less(rig):
    seen = made_motion.seen(rig, made_motion.truth(rig), noise=1.0)
    loose, tight = (measure(fit(rig, seen, SIZE, FitConfig(smooth=w)), seen)["jitter"] for w in (0.1, 10.0))
    assert tight < loose


def test_derivatives_agree_with_differences(rig):
    model, state = made_motion.model_state(rig)
    centre, small = SIZE / 2, 1e-6
    pixels, turned = project(model.shape(state.identity, state.expression), state.pose, state.focal, centre)
    d = rig.d
    slopes = Slopes.of(turned, state.pose, state.focal, centre)
    j = np.empty((3, POSE + d + rig.identity_dim + 1, 2 * len(model.index)), np.float32)
    for frame in range(3):
        jacobian(model, slopes, frame, j[frame], shared=True)

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
        expected = ((moved(column) - pixels) / small).transpose(0, 2, 1).reshape(3, -1)
        np.testing.assert_allclose(j[:, column], expected, rtol=1e-3, atol=2e-3 * np.abs(expected).max())


def test_systems_are_solved_and_one_that_rounding_made_indefinite_too():
    rng = np.random.default_rng(0)
    root, right = rng.normal(size=(3, 8, 20)), rng.normal(size=(3, 8, 4))
    systems = root @ root.transpose(0, 2, 1)
    systems[1, 0, 0] = -1.0
    np.testing.assert_allclose(solved(systems, right), np.linalg.solve(systems, right), atol=1e-9)


def _without_errors(model, seen, state, noise):
    return without_errors(*landmark_equations(model, seen, state, noise, modes=True), len(model.modes), seen.scale, noise)


def test_the_known_errors_of_the_tracker_do_not_move_the_expression(rig):
    from castfield.tracking.landmark_fit import face_scale, observe

    _, state = made_motion.model_state(rig)
    model = FaceModel.of(rig, answered=True)
    assert len(model.modes) > 10
    state = replace(state, offset=np.zeros((len(model.index), 3)))
    points = np.full((3, 478, 3), np.nan, np.float32)
    wrong = model.shape(state.identity, state.expression) + model.sided(state.pose.rotation) + 1.5 * model.modes[2]
    points[:, model.index, :2], _ = project(wrong, state.pose, state.focal, SIZE / 2)
    points[:, ~np.isin(np.arange(478), model.index)] = 100.0
    points[..., 2] = 0
    landmarks = Landmarks(points, np.ones(3, np.float32), np.ones(3, bool), "mediapipe", points[..., :2])
    seen = observe(model, landmarks, SIZE, face_scale(landmarks))
    pulls = [
        np.linalg.norm(g[:, POSE:])
        for _, g in (landmark_equations(model, seen, state, Noise()), _without_errors(model, seen, state, Noise()))
    ]
    assert pulls[1] < 0.3 * pulls[0]


def test_the_prior_of_the_activations_is_that_of_the_cost(rig):
    model, noise, step = FaceModel.of(rig), Noise(), 1e-4
    d, count = len(model.expression), len(model.index)
    nothing = Observation(np.zeros((1, count, 2)), np.zeros((1, count)), 60.0, SIZE / 2)
    pose = Pose(np.eye(3)[None], np.array([[SIZE / 2, SIZE / 2, 0.0]]))
    here = State(np.zeros(rig.identity_dim), np.log(FOCAL), np.zeros((count, 3)), pose, np.random.default_rng(0).random((1, d)))

    def price(k: int, change: float) -> float:
        moved = here.expression.copy()
        moved[0, k] += change
        return cost(model, nothing, replace(here, expression=moved), noise)

    h, g = np.zeros((1, POSE + d, POSE + d)), np.zeros((1, POSE + d))
    expression_prior(h, g, here.expression, model, noise)
    slope = [(price(k, step) - price(k, -step)) / (2 * step) for k in range(d)]
    bend = [(price(k, step) - 2 * price(k, 0) + price(k, -step)) / step**2 for k in range(d)]
    np.testing.assert_allclose(-g[0, POSE:], slope, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(h[0].diagonal()[POSE:], bend, rtol=1e-3)


def test_a_brow_is_raised_as_a_whole_unless_the_landmarks_say_otherwise(rig):
    """Inner halves are hard to see, above all in grey brows: what is seen of the outer ones tells of them."""
    model, names = FaceModel.of(rig), rig.expression_names
    d, outer, inner = len(names), names.index("browOuterUpLeft"), names.index("browInnerUp")

    def found(evidence: dict[int, float], firm: float) -> np.ndarray:
        h, g = np.zeros((1, POSE + d, POSE + d)), np.zeros((1, POSE + d))
        expression_prior(h, g, np.zeros((1, d)), model, Noise(sparse=0.0))
        for action, value in evidence.items():
            h[0, POSE + action, POSE + action] += firm
            g[0, POSE + action] += firm * value
        return np.linalg.solve(h[0, POSE:, POSE:], g[0, POSE:])

    assert found({outer: 0.4}, 1e4)[inner] > 0.3
    firmly = found({outer: 0.4, inner: 0.0}, 1e5)
    assert firmly[inner] < 0.02
    assert firmly[outer] > 0.38


def test_a_dense_mesh_is_thinned_where_neighbours_say_the_same_and_a_sparse_one_is_not():
    dense, sparse = np.arange(478), np.arange(0, 478, 7)
    kept = worth_fitting(dense)
    assert set(LIPS) | set(LIDS) | set(IRISES) < set(kept)
    assert 0.5 < len(kept) / len(dense) < 0.7
    np.testing.assert_array_equal(worth_fitting(sparse), sparse)


def test_the_side_from_which_the_tracker_looks_is_part_of_what_it_sees(rig, tmp_path):
    """Landmarks shift over a face that turns: known to the rig, that is no motion; a rig without it takes it for one."""
    truth = made_motion.truth(rig)
    seen = made_motion.seen(rig, truth, answered=True)
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
    truth = made_motion.truth(rig)
    seen = made_motion.seen(rig, truth)
    model = FaceModel.of(rig)
    shape = model.shape(truth["identity"], truth["expression"][:1])[0]
    pose = first_pose(seen.points[:, model.index, :2].astype(float), shape, np.ones((FRAMES, len(model.index))), FOCAL, SIZE / 2)
    assert rotation_angle(pose.rotation, truth["rotation"]).mean() < 4
    assert np.abs(np.exp(pose.place[:, 2]) / truth["translation"][:, 2] - 1).max() < 0.05


def test_a_tremble_of_the_whole_face_moves_neither_pose_nor_expression(rig):
    from castfield.tracking.landmark_fit import face_scale, observe

    model, state = made_motion.model_state(rig)
    seen = made_motion.seen(rig, made_motion.truth(rig, 3))
    trembled = replace(seen, points=seen.points + np.array([0.4, -0.3, 0], np.float32))
    noise = Noise()
    for eliminated, bound in ((False, None), (True, 0.25)):
        _, g = (_without_errors if eliminated else landmark_equations)(
            model, observe(model, trembled, SIZE, face_scale(trembled)), state, noise
        )
        pull = np.abs(np.linalg.norm(g[:, POSE:], axis=1)).mean()
        if bound is None:
            free = pull
        else:
            assert pull < bound * free


def test_figures_of_a_perfect_track_are_perfect(rig):
    truth = made_motion.truth(rig)
    seen = made_motion.seen(rig, truth)
    track = Track(
        truth["identity"].astype(np.float32), truth["expression"].astype(np.float32), truth["rotation"].astype(np.float32),
        truth["translation"].astype(np.float32), FOCAL, SIZE, seen.found, seen.points[..., :2],
    )  # fmt: skip
    figures = measure(track, seen)
    assert figures["nme"] == 0
    assert figures["jitter_ratio"] == pytest.approx(1)
    wild = replace(seen, raw=seen.raw + np.random.default_rng(0).normal(0, 1, seen.raw.shape).astype(np.float32))
    against = measure(track, wild)
    assert against["nme"] == 0, "the tracked landmarks are what is fitted"
    assert against["jitter"] == against["jitter_tracked"] == figures["jitter"]
    assert against["jitter_ratio"] == pytest.approx(against["jitter"] / against["jitter_raw"], abs=1e-5)
    assert against["jitter_ratio"] < 0.5
    assert against["lip_corr"] < 1
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
