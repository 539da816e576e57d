"""The tracking's part of the page: the overlay lies where the truth is, curves and errors are those of the files."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import cv2
import numpy as np
import pytest
from made_project import CONFIG
from made_scene import made_rig

from castfield import media
from castfield.clip import Landmarks, Track
from castfield.report import charts
from castfield.report.findings import gather
from castfield.report.overlay import DIM, FITTED, TRACKED, Mesh, masked, overlay, panels
from castfield.report.tracking import CURVES, curves, tracking
from castfield.rigs import load_rig


@pytest.fixture
def project(rendered_project, tmp_path):
    """The made project with a manifest, tracked points, the truth of ann, and figures."""
    import shutil

    from castfield.layout import Layout
    from castfield.scratch import write_json

    layout = Layout(shutil.copytree(rendered_project.root, tmp_path / "project"))
    layout.manifest("made").parent.mkdir(parents=True)
    layout.manifest("made").write_text("title: Made\nlicense: CC0-1.0\nclips: [{name: ann, cast: ann}]\n")
    track = Track.load(layout.tracks / "ann.npz")
    points = np.full((len(track), 478, 3), 9.5, np.float32)
    Landmarks(points, np.ones(len(track), np.float32), np.ones(len(track), bool), "made", points[..., :2]).save(
        layout.landmarks / "ann.npz"
    )
    layout.truth.mkdir(parents=True)
    np.savez(layout.truth / "ann.npz", expression=np.repeat([[0.9, 0, 0, 0]], len(track), 0), fps=25.0)
    errors = {"rotation_deg": 0.71828, "expression_corr": 0.875}
    figures = {"nme": 0.0123, "clips": {n: {"nme": 0.0123, "jitter_ratio": 0.456} for n in ("ann", "bob", "cat")}}
    write_json(layout.metrics / "tracking.json", figures | {"truth": errors | {"clips": {"ann": errors}}})
    return layout


def test_the_mesh_covers_the_head_it_was_fitted_to(project):
    """The made head is the rig's own ellipsoid: what the mesh covers is the true mask, to a pixel."""
    track = Track.load(project.tracks / "ann.npz")
    masks = media.decode(project.masks / "ann.mkv")[..., 0] > 127
    track = replace(track, expression=np.zeros_like(track.expression))
    near = np.ones((3, 3), np.uint8)
    for t, zoom in ((0, 1), (7, 1), (12, 1), (12, 2)):
        blank = np.zeros((zoom * track.size, zoom * track.size, 3), np.uint8)
        covered = Mesh(load_rig(project.rig), track, zoom).over(blank, t).any(-1)[::zoom, ::zoom]
        true = masks[t].astype(np.uint8)
        assert true.sum() > 200
        assert covered[cv2.erode(true, near) > 0].all()
        assert not covered[cv2.dilate(true, near) == 0].any()


def test_a_mesh_too_fine_is_drawn_coarsely_over_the_same_place(project, monkeypatch):
    from castfield.report import overlay as drawing

    track, rig = Track.load(project.tracks / "ann.npz"), made_rig(4, 120)
    assert len(rig.faces) > drawing.MOST_FACES
    coarse = drawing.coarser(rig.neutral.numpy(), rig.faces.numpy())
    assert len(coarse) < drawing.MOST_FACES
    blank = np.zeros((64, 64, 3), np.uint8)
    drawn = []
    for most in (drawing.MOST_FACES, 10**9):
        monkeypatch.setattr(drawing, "MOST_FACES", most)
        drawn.append(Mesh(rig, track, 2.0).over(blank, 0).any(-1))
    assert (drawn[0] & drawn[1]).sum() / (drawn[0] | drawn[1]).sum() > 0.9


def test_four_panels_with_points_where_they_are(project):
    track = Track.load(project.tracks / "ann.npz")
    fitted = np.full_like(track.landmarks, 20.5)
    fitted[:, 5:] = np.nan
    shown = list(panels(project, load_rig(project.rig), "ann", replace(track, landmarks=fitted), 3))
    frames = media.decode(project.frames / "ann.mkv")
    assert len(shown) == 3
    assert shown[0].shape == (64, 64, 3)
    np.testing.assert_array_equal(shown[2][:32, :32], frames[2])
    pointed = shown[0][:32, 32:].astype(int)
    assert np.abs(pointed[9, 9] - TRACKED).max() < 40
    assert np.abs(pointed[20, 20] - FITTED).max() < 40
    assert (np.ptp(shown[1][32:, :32], axis=2) == 0).all(), "frame 1 has no usable face: its mesh loses its colours"
    assert np.ptp(shown[0][32:, :32], axis=2).any()


def test_masks_tint_and_dim():
    frame = np.full((2, 3, 3), 100, np.uint8)
    mask = np.zeros((2, 3, 3), np.uint8)
    mask[:, 0, 0], mask[:, 1, 1], mask[:, 2, 2] = 255, 255, 255
    head, torso, behind = masked(frame, mask)[0].astype(int)
    assert head[1] > head[0] + 20  # teal
    assert torso[2] > torso[1] + 20  # violet
    assert (behind == round(100 * DIM)).all()


def test_the_video_is_short_small_and_repeats(project):
    track, rig = Track.load(project.tracks / "ann.npz"), load_rig(project.rig)
    source = overlay(project, rig, "ann", track, 0.4)
    assert source == overlay(project, rig, "ann", track, 0.4)
    path = project.root / "overlay.mp4"
    path.write_bytes(base64.b64decode(source.removeprefix("data:video/mp4;base64,")))
    assert media.decode(path).shape == (10, 64, 64, 3)


def test_curves_errors_and_cards(project):
    text = tracking(gather(CONFIG, project))
    assert text.count("<video") == 3
    assert text.count('class="known"') == 4  # ann's four directions, nobody else's
    assert "the truth, where it is known," in text
    for written in (">0.72<", ">0.88<", ">1.23<", ">0.46<", "Errors against the truth", "all 3 clips"):
        assert written in text
    silent = replace(CONFIG, report=replace(CONFIG.report, overlay_seconds=0.0))
    (project.truth / "ann.npz").unlink()
    text = tracking(gather(silent, project))
    assert "<video" not in text
    assert 'class="known"' not in text
    assert "the truth" not in text.split("<table")[0]


def test_truth_of_another_rig_is_not_drawn(project):
    np.savez(project.truth / "ann.npz", expression=np.zeros((20, 52)), fps=25.0)
    assert 'class="known"' not in tracking(gather(CONFIG, project))


def test_what_moves_most_is_drawn_where_names_are_not_arkits():
    rig = made_rig(8)
    expression = np.random.default_rng(0).normal(0, 1, (30, 8)) * np.array([1, 5, 1, 9, 3, 2, 1, 7])
    assert list(curves(rig, expression)) == ["jaw open", "other3", "other7", "other1", "other4"]
    names = [name for parts in CURVES.values() for name in parts]
    arkit = replace(made_rig(len(names)), expression_names=tuple(names))
    assert curves(arkit, np.zeros((5, len(names)))) == {k: [names.index(n) for n in v] for k, v in CURVES.items()}


def test_a_strip_stays_inside_and_shades_what_is_held():
    chart = charts.strip(np.array([0, 0.5, 2.0]), np.array([-1, 0.1, 0.2]), np.array([1, 2]), low=0, high=1, label="a < b")
    root = ElementTree.fromstring(chart)
    lines = root.findall("polyline")
    assert [line.attrib["class"] for line in lines] == ["known", "s0"]
    heights = [float(pair.split(",")[1]) for line in lines for pair in line.attrib["points"].split()]
    assert 0 <= min(heights) <= max(heights) <= 34
    assert len(root.findall("rect")) == 1
    assert not re.search("nan", chart)
