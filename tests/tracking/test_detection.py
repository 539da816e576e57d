"""Faces and people: the detector on a photograph, and which faces are one person."""

from __future__ import annotations

import numpy as np
import pytest
from films import photograph

from castfield.tracking.detection import Face, FaceDetector, people, same_face


def face(x: float, y: float = 50.0, side: float = 40.0) -> Face:
    return Face(x, y, side, 0.9)


def test_a_photograph():
    with FaceDetector() as detector:
        one = detector.find(photograph())
        two = detector.find(photograph(2))
        far = detector.find(np.pad(photograph(), ((300, 400), (500, 700), (0, 0))), tile=480)
        assert detector.find(np.zeros((80, 120, 3), np.uint8)) == []
    assert len(one) == 1
    assert one[0].x == pytest.approx(192, abs=15)
    assert one[0].side == pytest.approx(100, abs=20)
    assert sorted(round(f.x, -2) for f in two) == [200, 600]
    assert len([f for f in far if f.score > 0.75]) == 1
    assert far[0].x == pytest.approx(one[0].x + 500, abs=15)
    assert far[0].y == pytest.approx(one[0].y + 300, abs=15)


def test_the_same_face():
    assert same_face(face(0), face(20))
    assert not same_face(face(0), face(30))
    assert not same_face(face(0), face(0, side=80))


def test_people_by_how_much_of_the_film_they_fill():
    small = [face(300, side=20) for _ in range(10)]
    samples = [[face(100 + 5 * t), small[t]] for t in range(10)]
    tracks = people(samples)
    assert [len(t) for t in tracks] == [10, 10]
    assert tracks[0][0][1].side == 40


def test_a_person_who_is_lost_for_a_while_stays_one():
    assert [len(t) for t in people([[face(100)], [], [], [face(104)], [face(500)]])] == [2, 1]
    assert people([[], []]) == []


def test_two_who_stand_close_are_kept_apart():
    tracks = people([[face(100), face(130)] for _ in range(5)])
    assert [len(t) for t in tracks] == [5, 5]
    assert {round(f.x) for _, f in tracks[0]} == {100}
