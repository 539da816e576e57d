"""ACD: the formula, dlib's network on a real photograph, faces that are not found."""

import numpy as np
import pytest
import skimage.data
from scipy.spatial.distance import cdist

from castfield.errors import WeightsError
from castfield.evaluation.acd import Acd, cosine_distance
from castfield.evaluation.faces import embed, model_file, spread

NOBODY = np.full(4, np.nan)


@pytest.fixture(scope="module")
def portrait():
    import cv2

    return cv2.resize(skimage.data.astronaut()[0:256, 110:366], (128, 128), interpolation=cv2.INTER_AREA)


def test_it_is_scipys_cosine_distance():
    a, b = np.random.default_rng(0).standard_normal((2, 7, 128))
    np.testing.assert_allclose(cosine_distance(a, b[:3]), cdist(a, b[:3], "cosine"), atol=1e-12)
    metric = Acd()
    metric.update(a, b[:3])
    assert metric.compute() == pytest.approx(cdist(a, b[:3], "cosine").mean())


def test_without_faces_there_is_no_figure():
    metric = Acd()
    metric.update(np.zeros((0, 128)), np.ones((3, 128)))
    assert metric.compute() is None


def test_one_person_is_nearer_to_herself_than_noise(portrait):
    darker = (portrait * 0.8).astype(np.uint8)
    seen = embed(np.stack([portrait, darker, portrait[:, ::-1]]), np.tile(NOBODY, (3, 1)))
    assert seen.without == 0
    assert seen.embeddings.shape == (3, 128)
    assert cosine_distance(seen.embeddings, seen.embeddings).max() < 0.05


def test_embeddings_repeat_bit_by_bit(portrait):
    one, two = (embed(portrait[None], NOBODY[None]).embeddings for _ in range(2))
    assert (one == two).all()


def test_a_frame_without_a_face_is_counted_and_the_landmarks_box_used(portrait):
    blank = np.full((128, 128, 3), 90, np.uint8)
    seen = embed(np.stack([blank, blank, portrait]), np.array([NOBODY, [40, 40, 90, 90], NOBODY]))
    assert (seen.asked, seen.without, len(seen.embeddings)) == (3, 2, 2)


def test_frames_are_spread_evenly():
    np.testing.assert_array_equal(spread(75, 3), [12, 37, 62])
    np.testing.assert_array_equal(spread(2, 8), [0, 1])


def test_a_missing_model_is_named():
    with pytest.raises(WeightsError, match=r"nothing\.dat"):
        model_file("nothing.dat")
