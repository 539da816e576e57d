"""Charts, names of metrics and identity codes."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from castfield.geometry import FRONTAL
from castfield.report import charts, codes, words
from castfield.report.people import angles


@pytest.mark.parametrize(("low", "high", "expected"), [(0, 10, [0, 2, 4, 6, 8, 10]), (0.13, 0.31, [0.15, 0.2, 0.25, 0.3]), (5, 5, [5])])
def test_ticks_are_round_and_inside(low, high, expected):
    assert charts.ticks(low, high) == pytest.approx(expected)


def test_charts_are_well_formed_and_stay_inside():
    chart = charts.line_chart(range(50), np.linspace(20, 35, 50), title="a < b", x_label="s", y_label="dB")
    for svg in (
        chart,
        charts.line_chart(range(5), [1, 0.1, 0, 0.01, np.nan], title="l", x_label="s", y_label="loss", log=True),
        charts.sparkline([np.sin(np.arange(20.0)) * 99] * 3, np.array([4, 5, 18, 19]), limit=25, label="pose"),
        charts.scatter(np.array([[0.0, 1], [2, 3], [-5, 2]]), ["a", "b&", "c"], [0, 1, 9], title="t"),
    ):
        ElementTree.fromstring(svg)
    line = ElementTree.fromstring(chart).find("polyline")
    assert line is not None
    points = np.array([[float(v) for v in pair.split(",")] for pair in line.attrib["points"].split()])
    assert len(points) == 50
    assert (np.diff(points[:, 0]) > 0).all()
    assert (np.diff(points[:, 1]) < 0).all()  # upwards in the picture
    assert points.min() >= 0
    assert points[:, 0].max() <= charts.WIDTH
    assert points[:, 1].max() <= charts.HEIGHT


def test_no_chart_of_a_single_point():
    assert charts.line_chart([1], [2], title="", x_label="", y_label="") == ""


def test_names_and_digits_of_metrics():
    assert words.split_name("copy_psnr_speech") == ("psnr", "_speech", True)
    assert words.split_name("acd_frames") == ("", "", False)
    assert words.title("psnr_aligned") == "PSNR, aligned ↑"
    assert words.title("frames_without_landmarks") == "Frames without landmarks"
    assert words.figure("psnr", 30.456, unit=True) == "30.46 dB"
    assert words.figure("acd", None) == "–"
    assert words.figure("acd_frames", 72.0) == "72"
    assert words.figure("parameters", 1234567.0) == "1\u202f234\u202f567"
    names = ["acd_frames", "mouth_corr", "copy_psnr", "psnr_speech", "psnr", "copy_psnr_speech"]
    assert sorted(names, key=words.sort_key) == ["psnr", "copy_psnr", "psnr_speech", "copy_psnr_speech", "mouth_corr", "acd_frames"]


def test_neighbours_agree_with_scipy():
    values = np.random.default_rng(0).normal(2, 1, (9, 52)).astype(np.float32)
    expected = cdist(values - values.mean(0), values - values.mean(0), "cosine")
    assert np.allclose(codes.neighbours(values), expected, atol=1e-6)


def test_tsne_is_seeded_and_puts_twins_together():
    random = np.random.default_rng(1)
    values = random.normal(0, 1, (9, 52))
    values[4] = values[7] + random.normal(0, 0.05, 52)
    points = codes.layout_of(values, 3)
    assert points is not None
    assert (points == codes.layout_of(values, 3)).all()
    gaps = cdist(points, points) + np.eye(9) * 1e9
    assert gaps[4].argmin() == 7
    assert codes.layout_of(values[:2], 0) is None
    assert codes.layout_of(values[:3], 0) is not None


@pytest.mark.parametrize(("axis", "which", "sign"), [([0, 1, 0], 0, 1), ([1, 0, 0], 1, 1), ([0, 0, 1], 2, 1)])
def test_angles_of_a_turned_head(axis, which, sign):
    class Turned:
        rotation = (FRONTAL @ Rotation.from_rotvec(np.radians(10) * np.array(axis)).as_matrix())[None]

    class Someone:
        track = Turned

    values = angles(Someone)[:, 0]
    assert values[which] == pytest.approx(sign * 10)
    assert np.delete(values, which) == pytest.approx([0, 0], abs=1e-6)
