"""Landmarks on real footage and on made pictures: who is followed, what is bridged, what is refused."""

from __future__ import annotations

import weakref
from pathlib import Path

import numpy as np
import pytest

from castfield import media as video
from castfield.clip import Landmarks
from castfield.config import LandmarksConfig
from castfield.errors import ClipError, WeightsError
from castfield.shards import Job
from castfield.tracking import trackers
from castfield.tracking.landmarks import track_clip
from castfield.tracking.main_person import Face, boxes_of, bystander_share, follow
from castfield.tracking.sixty_eight import INDICES, from_mesh, to_mesh
from castfield.tracking.trackers import TRACKERS

SQUARE = "crop=288:288,scale=256:256"


@pytest.fixture(scope="module")
def speaker(media: Path) -> np.ndarray:
    """Twenty frames (T, 256, 256, 3) of a man who talks."""
    return video.decode(media / "grid/bbaf2n.mpg", filters=SQUARE, seconds=0.8)


def _track(tmp_path: Path, frames: np.ndarray, **config) -> Landmarks:
    video.encode_lossless(tmp_path / "someone.mkv", frames)
    track_clip(Job("someone", {"frames": tmp_path / "someone.mkv"}, LandmarksConfig(**config)), tmp_path)
    return Landmarks.load(tmp_path / "someone.npz")


def test_a_speaker_is_found_in_every_frame_and_twice_the_same(tmp_path, speaker):
    found = _track(tmp_path, speaker)
    assert found.points.shape == (len(speaker), 478, 3)
    assert found.points.dtype == np.float32
    assert found.found.all()
    assert (found.confidence > 0.9).all()
    eyes = found.points[:, [468, 473], :2]
    assert (np.diff(eyes[..., 0], axis=1) > 30).all()  # the person's right eye is left in the picture
    before = (tmp_path / "someone.npz").read_bytes()
    _track(tmp_path, speaker)
    assert (tmp_path / "someone.npz").read_bytes() == before


def test_frames_without_a_face_are_bridged_by_the_nearest(tmp_path, speaker):
    frames = speaker.copy()
    frames[:2], frames[8:11] = 90, 90
    found = _track(tmp_path, frames)
    assert not found.found[[0, 1, 8, 9, 10]].any()
    assert found.found.sum() == len(frames) - 5
    assert (found.confidence[~found.found] == 0).all()
    np.testing.assert_array_equal(found.points[0], found.points[2])
    np.testing.assert_array_equal(found.points[8], found.points[7])
    np.testing.assert_array_equal(found.points[10], found.points[11])


def test_too_few_faces_are_refused_with_clip_frames_and_cure(tmp_path, speaker):
    frames = speaker.copy()
    frames[4:16] = 0
    with pytest.raises(ClipError, match="someone") as refusal:
        _track(tmp_path, frames)
    assert "4-15" in str(refusal.value)
    assert "landmarks.min_found" in str(refusal.value)
    assert not list(tmp_path.glob("*.npz"))


def test_no_face_at_all_is_refused(tmp_path):
    with pytest.raises(ClipError, match="too few frames show a face"):
        _track(tmp_path, np.full((12, 256, 256, 3), 120, np.uint8))


def test_of_two_people_the_larger_and_more_central_is_kept_with_a_warning(tmp_path, media, speaker, capsys):
    import cv2

    other = video.decode(media / "grid/lrwp9a.mpg", filters=SQUARE, seconds=0.8)[: len(speaker)]
    small = np.stack([cv2.resize(f, (176, 176), interpolation=cv2.INTER_AREA) for f in other])
    both = np.full((len(speaker), 432, 432, 3), 128, np.uint8)
    both[:, 88:344, :256] = speaker
    both[:, 128:304, 256:] = small
    found = _track(tmp_path, both)
    assert "another person" in capsys.readouterr().out
    assert (found.points[:, 1, 0] < 256).all()


def test_who_comes_into_the_picture_is_seen_and_the_person_stays_where_they_were(media, speaker):
    import cv2

    other = video.decode(media / "grid/lrwp9a.mpg", filters=SQUARE, seconds=0.1)[0]
    frames = np.full((len(speaker), 256, 432, 3), 128, np.uint8)
    frames[:, :, :256] = speaker
    alone = list(TRACKERS["mediapipe"](frames))
    frames[7:, 40:216, 256:] = cv2.resize(other, (176, 176), interpolation=cv2.INTER_AREA)
    joined = list(TRACKERS["mediapipe"](frames))
    assert {len(faces) for faces in alone} == {1}
    assert {len(faces) for faces in joined[:7]} == {1}
    assert {len(faces) for faces in joined[7 + trackers.LOOK :]} == {2}
    for number, (one,), faces in zip(range(len(frames)), alone, joined, strict=True):
        off = min(np.abs(face.points[:, :2] - one.points[:, :2]).max() for face in faces)
        assert off == 0 if number < 7 else off < 4


def _face(x: float, y: float, side: float) -> Face:
    return Face(np.array([[x - side / 2, y - side / 2, 0], [x + side / 2, y + side / 2, 0]], np.float32), 1.0)


def test_the_same_person_is_followed_though_another_grows_larger_for_a_moment():
    main, other = [_face(120 + t, 128, 100) for t in range(20)], [_face(220, 128, 60) for _ in range(20)]
    other[9] = _face(220, 128, 130)
    frames = [[o, m] if t % 2 else [m, o] for t, (m, o) in enumerate(zip(main, other, strict=True))]
    boxes = [boxes_of(faces) for faces in frames]
    assert follow(boxes, 256) == [1 if t % 2 else 0 for t in range(20)]
    assert bystander_share(boxes, follow(boxes, 256)) == 1.0


def test_a_path_leads_over_frames_without_faces():
    frames = [[], [_face(100, 128, 90)], [], [_face(200, 128, 80), _face(104, 128, 90)], []]
    assert follow([boxes_of(faces) for faces in frames], 256) == [-1, 0, -1, 1, -1]
    assert follow([boxes_of([]), boxes_of([])], 256) == [-1, -1]


def test_of_a_long_clip_few_faces_are_held(tmp_path, monkeypatch):
    """Every face of a clip was held, and its points once more as arrays: half a megabyte a second."""
    frames, most, alive = 200, [], []

    def tracker(pictures):
        for number, _ in enumerate(pictures):
            face = Face(np.full((478, 3), 100 + number % 7, np.float32), 1.0)
            face.points[:, 0] += np.arange(478) / 10
            alive.append(weakref.ref(face.points))
            most.append(sum(ref() is not None for ref in alive))
            yield [face] if number % 10 else []

    monkeypatch.setitem(trackers.TRACKERS, "mediapipe", tracker)
    found = _track(tmp_path, np.zeros((frames, 64, 64, 3), np.uint8))
    assert len(most) == frames
    assert max(most) <= 3
    np.testing.assert_array_equal(found.points[:, 0, 1], [100 + (t - (t % 10 == 0) if t else 1) % 7 for t in range(frames)])
    np.testing.assert_array_equal(found.points[..., :2], found.raw)


def test_sixty_eight_points_keep_their_place_among_the_mesh():
    points = np.random.default_rng(0).uniform(0, 256, (68, 2)).astype(np.float32)
    mesh = to_mesh(points)
    assert len(set(INDICES.tolist())) == 68
    np.testing.assert_array_equal(from_mesh(mesh)[:, :2], points)
    assert np.isnan(mesh[:, :2]).any(1).sum() == 478 - 68


def test_a_tracker_without_weights_says_what_is_missing_and_how_to_get_it(tmp_path, monkeypatch, speaker):
    monkeypatch.setenv("CASTFIELD_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("CASTFIELD_MEDIA", str(tmp_path))
    with pytest.raises(WeightsError, match="fan_2d") as refusal:
        _track(tmp_path, speaker, tracker="face_alignment")
    assert "python -m castfield.weights fan_2d" in str(refusal.value)
    assert "mediapipe" in str(refusal.value)
    assert not list(tmp_path.glob("*.npz"))


def test_the_other_tracker_runs_with_weights_of_the_right_shape(tmp_path, speaker):
    import torch
    from face_alignment.models import FAN

    torch.manual_seed(0)
    torch.save(FAN(4).state_dict(), tmp_path / "made.pth.tar")
    (faces,) = TRACKERS["face_alignment"](speaker[:1], tmp_path / "made.pth.tar")  # type: ignore[call-arg]
    (face,) = faces
    assert np.isfinite(face.points[INDICES, :2]).all()
    assert 0 <= face.confidence <= 1
    torch.save({"something": torch.zeros(3)}, tmp_path / "wrong.pth.tar")
    with pytest.raises(WeightsError, match="not the weights of FAN"):
        next(iter(TRACKERS["face_alignment"](speaker[:1], tmp_path / "wrong.pth.tar")))  # type: ignore[call-arg]
