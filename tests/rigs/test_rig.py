"""The baked rig: shapes, linearity, gradients, names, landmarks, and the file."""

from __future__ import annotations

import filecmp

import numpy as np
import pytest
import torch

from castfield.errors import CastfieldError
from castfield.rigs import BAKERS, Rig, load_rig
from castfield.rigs.correspondence import locate, views

PAIRS = {33: 263, 133: 362, 159: 386, 145: 374, 61: 291, 78: 308, 70: 300, 105: 334, 234: 454, 172: 397, 98: 327, 468: 473}
MIDLINE = (0, 1, 4, 10, 13, 14, 17, 152, 168)


def zeros(rig: Rig) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(rig.identity_dim), torch.zeros(rig.d)


def act(rig: Rig, **activations: float) -> torch.Tensor:
    return torch.tensor([activations.get(name, 0.0) for name in rig.expression_names])


def test_shapes_and_broadcasting(rig):
    identity, expression = torch.randn(5, 1, rig.identity_dim), torch.rand(3, rig.d)
    assert rig.vertices(identity, expression).shape == (5, 3, len(rig.neutral), 3)
    assert rig.vertices(identity, expression, head_only=True).shape == (5, 3, rig.head_vertices, 3)
    assert rig.landmarks(identity, expression).shape == (5, 3, 478, 3)
    assert rig.landmark_valid.shape == (478,)
    assert rig.d == len(rig.expression_names) == 52
    assert rig.vertices(*zeros(rig)).dtype == torch.float32


def test_linear_in_identity_and_expression(rig):
    torch.manual_seed(0)
    a, b, e, f = *torch.randn(2, rig.identity_dim), *torch.rand(2, rig.d)
    both = rig.vertices(a + b, e + f)
    summed = rig.vertices(a, e) + rig.vertices(b, f) - rig.neutral
    torch.testing.assert_close(both, summed, atol=1e-6, rtol=1e-5)


def test_landmarks_lie_on_the_surface(rig):
    torch.manual_seed(1)
    identity, expression = torch.randn(rig.identity_dim), torch.rand(rig.d)
    corners = rig.vertices(identity, expression)[rig.faces[rig.landmark_face]]
    points = (corners * rig.landmark_barycentric[:, :, None]).sum(1)
    torch.testing.assert_close(rig.landmarks(identity, expression), points, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(rig.landmark_barycentric.sum(1), torch.ones(478))
    assert (rig.landmark_face < rig.head_faces).all()


def test_gradients_are_the_bases(rig):
    identity, expression = (z.requires_grad_() for z in zeros(rig))
    rig.landmarks(identity, expression)[13, 1].backward()
    corners, weights = rig.faces[rig.landmark_face[13]], rig.landmark_barycentric[13]
    assert identity.grad is not None
    assert expression.grad is not None
    torch.testing.assert_close(identity.grad, rig.identity_basis[:, corners, 1] @ weights, atol=1e-7, rtol=1e-4)
    torch.testing.assert_close(expression.grad, rig.expression_basis[:, corners, 1] @ weights, atol=1e-7, rtol=1e-4)


def test_frame_is_the_canonical_head(rig):
    points = rig.landmarks(*zeros(rig))
    nose, chin, forehead = points[1], points[152], points[10]
    assert forehead[1] > nose[1] > chin[1]
    assert nose[2] > 0.08
    assert points[263, 0] > 0.03 > -0.03 > points[33, 0]  # 263: outer corner of the person's left eye
    assert 0.055 < (points[473] - points[468]).norm() < 0.07  # between the pupils, metres
    ears = rig.neutral[rig.part("ears")]
    assert ears.mean(0).abs().max() < 0.01


def test_normals_point_outwards(rig):
    skin = rig.face_parts == rig.part_names.index("scalp")
    corners = rig.neutral[rig.faces[skin]]
    normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((normal * corners.mean(1)).sum(-1) > 0).float().mean() > 0.95


def test_parts_and_bounds(rig):
    assert all(rig.part(name).any() for name in rig.part_names)
    assert (rig.faces[: rig.head_faces] < rig.head_vertices).all()
    assert not rig.part("torso")[: rig.head_vertices].any()
    assert (rig.head_weight[rig.part("eyes") | rig.part("teeth") | rig.part("lips")] > 0.9).all()
    assert rig.head_weight[rig.head_vertices :].max() < 0.3
    assert rig.neutral[rig.part("brows")][:, 1].min() > rig.eye_centres[:, 1].max()


def test_actions_do_what_they_say(rig):
    identity, rest = zeros(rig)
    neutral = rig.landmarks(identity, rest)

    def distance(a: int, b: int, **activations: float) -> float:
        points = rig.landmarks(identity, act(rig, **activations))
        return float((points[a] - points[b]).norm())

    assert distance(13, 14) < 0.004
    assert distance(13, 14, jawOpen=1.0) > 0.02
    assert distance(386, 374, eyeBlinkLeft=1.0) < 0.5 * distance(386, 374)  # the person's left eye
    assert distance(159, 145, eyeBlinkLeft=1.0) > 0.9 * distance(159, 145)
    assert distance(61, 291, mouthPucker=1.0) < 0.9 * distance(61, 291)
    assert distance(61, 291, mouthSmileLeft=1.0, mouthSmileRight=1.0) > distance(61, 291)
    gaze = rig.landmarks(identity, act(rig, eyeLookOutLeft=1.0, eyeLookInRight=1.0)) - neutral
    assert (gaze[[468, 473], 0] > 0.003).all()  # both irises to the person's left
    assert (rig.landmarks(identity, act(rig, eyeLookUpLeft=1.0)) - neutral)[473, 1] > 0.002


def test_landmarks_are_symmetric_and_most_are_valid(rig):
    points = 1000 * rig.landmarks(*zeros(rig))
    mirror = torch.tensor([-1.0, 1.0, 1.0])
    for right, left in PAIRS.items():
        assert (points[right] * mirror - points[left]).norm() < 5, (right, left)
    assert points[list(MIDLINE), 0].abs().max() < 2.5
    assert rig.landmark_valid.float().mean() > 0.9
    assert rig.landmark_spread_mm.median() < 2
    assert (points[473] - 1000 * rig.eye_centres[0])[:2].norm() < 3
    lips = rig.face_parts[rig.landmark_face[[13, 14, 0, 17, 78, 308]]]
    assert (lips == rig.part_names.index("lips")).float().mean() > 0.6


def test_locate_finds_known_points(rig):
    """Landmarks projected without any tracker are found again, on the right lip and lid."""
    pictures = [view for view in views(rig)[::4]]
    seen = []
    for view in pictures:
        head = rig.landmarks(torch.from_numpy(view.identity).float(), torch.from_numpy(view.expression).float()).numpy()
        camera = head @ view.rotation.T + view.translation
        seen.append(1400 * camera[:, :2] / camera[:, 2:] + 224)
    found = locate(rig, pictures, np.stack(seen), 4.0)
    error = 1000 * (found.landmarks(*zeros(rig)) - rig.landmarks(*zeros(rig))).norm(dim=-1)
    assert error.median() < 0.2
    assert error.quantile(0.95) < 1.0


def test_file_is_small_and_survives_a_round_trip(rig, rig_folder, tmp_path):
    rig.save(tmp_path / "rig.npz")
    assert filecmp.cmp(tmp_path / "rig.npz", rig_folder / "rig.npz", shallow=False)
    assert (tmp_path / "rig.npz").stat().st_size < 15e6
    again = load_rig(tmp_path)
    assert again.expression_names == rig.expression_names
    assert torch.equal(again.identity_basis, rig.identity_basis)


def test_missing_and_foreign_files_are_explained(tmp_path):
    with pytest.raises(CastfieldError, match="no rig"):
        load_rig(tmp_path)
    np.savez(tmp_path / "rig.npz", neutral=np.zeros((3, 3)))
    with pytest.raises(CastfieldError, match="another version"):
        load_rig(tmp_path)


def test_body_has_joints_and_weights(rig, rig_folder):
    with np.load(rig_folder / "body.npz") as body:
        assert body["neutral"][:, 1].min() < -1.2  # feet, metres below the ears
        np.testing.assert_allclose(body["skinning_weights"].sum(1), 1, atol=1e-5)
        names = list(body["joint_names"])
        assert {"head", "jaw", "wrist.L", "foot.R"} <= set(names)
        assert body["skinning_joints"].max() < len(names)
        assert (body["joint_parents"] < np.arange(len(names))).all()
        head = body["joints"][names.index("head")]
        assert np.abs(head[[0]]).max() < 1e-4
        # The body's head is the rig's: same points in the same frame.
        distance = np.linalg.norm(body["neutral"][None, ::50] - rig.neutral.numpy()[::25][:, None], axis=-1)
        assert np.median(np.sort(distance.min(1))[:20]) < 1e-5


def test_every_name_in_the_config_has_a_baker():
    import typing

    from castfield.config import RigConfig

    assert set(BAKERS) == set(typing.get_args(typing.get_type_hints(RigConfig)["model"]))
