"""A film: the same bytes every time, trackable like any other footage, and true to its truth."""

import numpy as np
import pytest

from castfield.cast import film
from castfield.cast.filming import SIZE, Truth
from castfield.clip import Track
from castfield.errors import CastfieldError, ManifestError
from castfield.media import decode, probe
from castfield.scratch import sha256
from castfield.tracking.face_model import FaceModel, Pose, project


@pytest.fixture(scope="module")
def footage(rig_folder, tmp_path_factory):
    """Two seconds of somebody, as decoded frames and truth."""
    folder = tmp_path_factory.mktemp("film")
    film("chandra", rig_folder, folder / "take.mp4", folder / "take.npz", seconds=2.0)
    return folder / "take.mp4", Truth.load(folder / "take.npz"), folder / "take.npz"


@pytest.fixture(scope="module")
def tracked(footage):
    """Face mesh of the film by the tracker that real footage gets: (T, 478, 2) pixels."""
    from castfield.quiet import quiet

    with quiet():
        import mediapipe

        mesh = mediapipe.solutions.face_mesh.FaceMesh(refine_landmarks=True, max_num_faces=1)
        found = [mesh.process(frame).multi_face_landmarks for frame in decode(footage[0])]
        mesh.close()
    assert all(found), "a frame without a face"
    return np.array([[(p.x * SIZE, p.y * SIZE) for p in faces[0].landmark] for faces in found])


def test_same_person_same_bytes(rig_folder, tmp_path):
    digests = []
    for turn in ("a", "b"):
        video, truth = tmp_path / f"{turn}.mp4", tmp_path / f"{turn}.npz"
        film("dmitri", rig_folder, video, truth, seconds=0.24)
        digests.append((sha256(video), sha256(truth)))
    assert digests[0] == digests[1]


def test_an_ordinary_video_with_sound(footage):
    about = probe(footage[0])
    assert (about.width, about.height, about.has_sound) == (SIZE, SIZE, True)
    assert about.fps == pytest.approx(25)
    assert about.seconds == pytest.approx(2.0, abs=0.06)


def test_truth_lies_where_the_tracker_sees(footage, tracked, rig):
    truth = footage[1]
    between_eyes = np.linalg.norm(truth.landmarks[:, 33] - truth.landmarks[:, 263], axis=-1)
    valid = rig.landmark_valid.numpy()
    error = np.linalg.norm(tracked - truth.landmarks, axis=-1)[:, valid] / between_eyes[:, None]
    assert error.mean() < 0.06


def test_true_landmarks_are_what_the_fit_would_predict_of_the_true_face(footage, rig):
    """From the side that the head shows: a fit that found everything would find them to the pixel."""
    truth = footage[1]
    model = FaceModel.of(rig, np.arange(478), answered=True)
    shape = model.shape(truth.identity, truth.expression) + model.sided(truth.rotation)
    place = truth.translation[:, :2] / truth.translation[:, 2:] * truth.focal + SIZE / 2
    pose = Pose(truth.rotation, np.concatenate([place, np.log(truth.translation[:, 2:])], 1))
    predicted, _ = project(shape, pose, truth.focal, SIZE / 2)
    np.testing.assert_allclose(truth.landmarks, predicted, atol=0.01)


def test_mouth_and_lids_are_seen_to_move(footage, tracked, rig):
    truth = footage[1]
    between_eyes = np.linalg.norm(truth.landmarks[:, 33] - truth.landmarks[:, 263], axis=-1)

    def gap(upper: int, lower: int) -> np.ndarray:
        return np.linalg.norm(tracked[:, upper] - tracked[:, lower], axis=-1) / between_eyes

    names = rig.expression_names
    jaw, blink = truth.expression[:, names.index("jawOpen")], truth.expression[:, names.index("eyeBlinkLeft")]
    assert np.corrcoef(gap(13, 14), jaw)[0, 1] > 0.75
    assert blink.max() > 0.9
    assert np.corrcoef(gap(386, 374), -blink)[0, 1] > 0.75


def test_truth_is_a_track_and_masks_are_the_person(footage, tracked):
    _, truth, path = footage
    with np.load(path) as z:
        track = Track(**{k: z[k] if z[k].ndim else z[k].item() for k in Track.__dataclass_fields__})
    assert len(track) == 50
    assert truth.head_mask.shape == (50, SIZE, SIZE)
    assert not (truth.head_mask & truth.torso_mask).any()
    assert 0.08 < truth.head_mask.mean() < 0.5
    inside = np.clip(tracked[:, [1, 33, 263, 13, 152]].round().astype(int) - (0, 2), 0, SIZE - 1)
    for mask, points in zip(truth.head_mask, inside, strict=True):
        assert mask[points[:, 1], points[:, 0]].all()
    assert (truth.phoneme_times[1:, 0] >= truth.phoneme_times[:-1, 0]).all()


def test_impossible_films_are_refused(rig_folder, tmp_path):
    with pytest.raises(ManifestError, match="nobody of the cast"):
        film("adda", rig_folder, tmp_path / "a.mp4", tmp_path / "a.npz")
    with pytest.raises(ManifestError, match="impossible length"):
        film("ada", rig_folder, tmp_path / "a.mp4", tmp_path / "a.npz", seconds=-1)
    with pytest.raises(CastfieldError, match="no rig"):
        film("ada", tmp_path, tmp_path / "a.mp4", tmp_path / "a.npz", seconds=1)
    assert not list(tmp_path.iterdir())
