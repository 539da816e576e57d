"""What the tracker saw of a rig's pictures is kept: a bake that was killed goes on where it was, with the same points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tqdm import tqdm

from castfield.rigs import correspondence
from castfield.rigs.correspondence import Camera, Tracker, observe, several, views

SIZE = 128


@pytest.fixture
def own_scratch(tmp_path, monkeypatch):
    """An empty scratch folder, and two views at a time."""
    monkeypatch.setenv("CASTFIELD_SCRATCH", str(tmp_path))
    monkeypatch.setattr(correspondence, "CHUNK", 2)


class Killed(Exception):
    """The end of a bake."""


def test_a_killed_bake_goes_on_where_it_was(rig, own_scratch, monkeypatch):
    pictures = views(rig)[:5]
    camera = Camera(rig, size=SIZE)
    rendered = []
    plainly = Camera.render

    def render(self, view, deadly=4):
        if len(rendered) == deadly:
            raise Killed
        rendered.append(view)
        return plainly(self, view)

    with Tracker() as tracker, tqdm(disable=True) as bar:
        undisturbed = np.stack([tracker(plainly(camera, view)) for view in pictures])
        monkeypatch.setattr(Camera, "render", render)
        with pytest.raises(Killed):
            observe(camera, pictures, [tracker], bar)
        rendered.clear()
        assert (observe(camera, pictures, [tracker], bar) == undisturbed).all()
        assert rendered == pictures[4:]
        rendered.clear()
        assert (observe(Camera(rig, size=SIZE), pictures, [tracker], bar) == undisturbed).all()
        assert not rendered


def test_what_has_not_been_used_for_long_goes(rig, own_scratch, tmp_path, monkeypatch):
    monkeypatch.setattr(correspondence, "KEPT", 2)
    pictures, camera = views(rig)[:3], Camera(rig, size=SIZE)
    with Tracker() as tracker, tqdm(disable=True) as bar:
        seen = observe(camera, pictures, [tracker], bar)
        of_these = set((tmp_path / "rigs").iterdir())
        observe(camera, pictures[1:2], [tracker], bar)
        assert len(set((tmp_path / "rigs").iterdir()) & of_these) == 1
        assert (observe(camera, pictures, [tracker], bar) == seen).all()
        assert set((tmp_path / "rigs").iterdir()) == of_these


def test_several_trackers_see_what_one_sees(rig, own_scratch, tmp_path, monkeypatch):
    pictures, camera = views(rig)[:7], Camera(rig, size=SIZE)
    monkeypatch.setattr(correspondence, "AT_ONCE", 2)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1, 2})
    with several() as trackers, tqdm(disable=True) as bar:
        assert len(trackers) == 2
        seen = observe(camera, pictures, trackers, bar)
        monkeypatch.setenv("CASTFIELD_SCRATCH", str(tmp_path / "other"))
        assert (observe(camera, pictures, trackers[:1], bar) == seen).all()


def test_another_rig_or_size_is_looked_at_anew(rig):
    seen = {
        Camera(rig, size=SIZE).fingerprint(),
        Camera(rig, size=SIZE // 2).fingerprint(),
        Camera(replace(rig, neutral=rig.neutral * 1.01), size=SIZE).fingerprint(),
        Camera(rig, np.full(rig.neutral.shape, 100.0), size=SIZE).fingerprint(),
    }
    assert len(seen) == 4
    assert Camera(rig, size=SIZE).fingerprint() in seen
