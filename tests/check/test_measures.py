"""The measures behind the criteria against made truth, the terminal and the page."""

from __future__ import annotations

import html.parser
import re

import cv2
import numpy as np
import pytest
from films import film
from scipy.spatial.transform import Rotation

from castfield.check import scenes
from castfield.check.__main__ import main, videos
from castfield.check.covering import PARTS, colours, covered
from castfield.check.criteria import CRITERIA
from castfield.check.decoding import STRETCHES, WHOLE, stretches, whole_picture
from castfield.check.faces import angles
from castfield.check.finding import some
from castfield.check.judging_sound import levels
from castfield.check.packets import packets
from castfield.check.sharpness import blur
from castfield.errors import CastfieldError
from castfield.footage import excerpt


@pytest.mark.parametrize("sigma", [0.7, 1.0, 1.5, 2.5])
def test_the_width_of_a_blur_is_found(sigma):
    """A checkerboard, drawn large and shrunk so that its edges are sharp, then blurred by a known Gaussian."""
    board = np.kron(np.indices((3, 3)).sum(0) % 2, np.ones((640, 640))).astype(np.float32) * 150 + 50
    sharp = cv2.resize(board[37:, 53:], None, fx=0.1, fy=0.1, interpolation=cv2.INTER_AREA)
    blurred = np.clip(cv2.GaussianBlur(sharp, (0, 0), sigma), 0, 255).astype(np.uint8)
    assert blur(blurred) == pytest.approx(np.hypot(sigma, 12**-0.5), rel=0.2)  # the shrinking averages over a pixel


def test_a_flat_picture_has_no_edge():
    assert np.isnan(blur(np.full((64, 64), 90, np.uint8)))


@pytest.mark.parametrize(("yaw", "pitch", "roll"), [(0, 0, 0), (35, 0, 0), (-50, 0, 0), (0, 25, 0), (0, 0, 90), (0, 0, -20)])
def test_angles_of_a_turned_face(yaw, pitch, roll):
    points = np.zeros((478, 3))
    points[33], points[263], points[10], points[152] = (-45, 0, 0), (45, 0, 0), (0, -70, 0), (0, 80, 0)
    # Image axes: x right, y down, z away from the camera; a positive yaw takes the right eye's corner away.
    turned = Rotation.from_euler("zxy", [roll, pitch, -yaw], degrees=True).apply(points)
    assert angles(turned) == pytest.approx([yaw, pitch, roll], abs=1e-6)


class TestScenes:
    def clip(self, frames: int = 60) -> np.ndarray:
        """A bright blob that sways before noise."""
        y, x = np.mgrid[:36, :64]
        noise = np.random.default_rng(0).integers(0, 30, (36, 64))
        blobs = [noise + 150 * np.exp(-((x - 30 - 4 * np.sin(t / 5)) ** 2 + (y - 18) ** 2) / 60) for t in range(frames)]
        return np.array(blobs).astype(np.uint8)

    def test_a_cut(self):
        clip = self.clip()
        clip[25:] = clip[25:, ::-1, ::-1] // 2 + np.roll(clip[25:], 20, 2) // 2
        assert scenes.cuts(clip) == [25]
        assert scenes.cuts(self.clip()) == []

    def test_light_that_is_switched_is_no_cut(self):
        clip = self.clip().astype(int)
        clip[25:] = clip[25:] // 2 + 20
        assert scenes.cuts(clip.astype(np.uint8)) == []

    def test_fast_motion_is_no_cut(self):
        clip = self.clip()
        clip[20:40] = [np.roll(frame, 6 * k, 1) for k, frame in enumerate(clip[20:40])]
        assert scenes.changes(clip)[21:40].max() > scenes.JUMP
        assert scenes.cuts(clip) == []

    def test_standstills(self):
        clip = self.clip()
        clip[10:30] = clip[10]
        assert max(scenes.standstills(clip), key=lambda run: run[1] - run[0]) == (11, 30)
        assert scenes.standstills(np.repeat(clip[:1], 8, 0)) == [(1, 8)]

    def test_another_scene_seconds_later(self):
        clip = self.clip()[::10]
        assert scenes.leaps(clip) == 0
        other = np.random.default_rng(1).integers(0, 255, (3, 36, 64)).astype(np.uint8)
        assert scenes.leaps(np.concatenate([clip, other[:1], other[:1]])) == 1


class TestCovering:
    def seen(self, **changed: tuple[int, int, int]) -> np.ndarray:
        """Colours of 20 frames of a face, of which the last six have parts in another colour."""
        names = ["skin", *PARTS]
        face = np.tile(np.array([[60, 20, 18], [55, 30, 16], [62, 19, 18], [58, 18, 17], [61, 20, 19]], float), (20, 1, 1))
        for name, colour in changed.items():
            face[14:, names.index(name)] = colour
        return face

    def test_blue_before_the_mouth(self):
        hidden = covered(self.seen(mouth=(45, 0, -25)))
        assert hidden[14:, 0].all()
        assert hidden.sum() == 6

    def test_a_dark_thing_of_the_skins_hue(self):
        assert covered(self.seen(nose=(20, 18, 17)))[14:, 1].all()

    def test_lipstick_and_shadow_cover_nothing(self):
        assert not covered(self.seen(mouth=(50, 55, 20), nose=(52, 19, 17))).any()

    def test_colours_are_those_of_the_parts(self):
        picture = np.full((200, 200, 3), (200, 150, 130), np.uint8)
        points = np.full((478, 2), 100.0)
        points[list(PARTS["mouth"])] = [[70 + 6 * k, 150 + (k % 2) * 20] for k in range(10)]
        picture[145:175, 60:140] = (0, 0, 255)
        found = colours(picture, points)
        assert found[1] == pytest.approx(cv2.cvtColor(np.float32([[[0, 0, 1]]]), cv2.COLOR_RGB2LAB)[0, 0], abs=1.0)
        assert found[0] == pytest.approx(cv2.cvtColor(np.float32([[[200 / 255, 150 / 255, 130 / 255]]]), cv2.COLOR_RGB2LAB)[0, 0], abs=1.0)


def test_levels_of_a_tone():
    tone = (0.1 * 32768 * np.sin(np.arange(16_000) * 0.2)).astype(np.int16)
    assert levels(tone) == pytest.approx(20 * np.log10(0.1 / np.sqrt(2)), abs=0.2)


def test_packets_tell_times_without_decoding(tmp_path):
    made = packets(excerpt(film(tmp_path / "even.mp4", seconds=2, output=("-g", "10"))))
    assert made.rate == pytest.approx(25)
    assert made.intervals == pytest.approx(0.04)
    assert len(made.times) == 50
    assert made.keys == pytest.approx([0, 0.4, 0.8, 1.2, 1.6])
    assert made.size == pytest.approx((tmp_path / "even.mp4").stat().st_size, rel=0.3)
    assert made.complaints == ""


def test_stretches_begin_where_decoding_can():
    from pathlib import Path

    from castfield.footage import Excerpt

    whole = Excerpt(Path("film.mp4"), 3.0, None, "", 640, 360)
    keys = np.arange(0, 300, 7.0)
    assert [part.film for part in stretches(whole, WHOLE, keys)] == [whole]
    parts = stretches(whole, 300.0, keys)
    assert len(parts) == STRETCHES
    assert all(part.film.start - 3.0 in keys and part.first == round((part.film.start - 3.0) * 25) for part in parts)
    assert parts[-1].film.start > 280


def test_a_frame_of_the_whole_picture(tmp_path):
    made = excerpt(film(tmp_path / "film.mp4", seconds=1.6))
    late, early = (whole_picture(made, frame, 100) for frame in (30, 2))
    assert late is not None
    assert early is not None
    assert late.shape == (100, 100, 3)
    assert late[:10, :10].mean() > 200 > early[:10, :10].mean()  # the film's corner turns white after .8 s
    assert whole_picture(made, 500, 100) is None


def test_some_of_many():
    assert some(list(range(100))) == (0, 33, 66, 99)
    assert some([3, 4]) == (3, 4)


def test_criteria_have_names_of_their_own():
    assert len({title for title, _ in CRITERIA}) == len({criterion for _, criterion in CRITERIA}) == len(CRITERIA)


class _Links(html.parser.HTMLParser):
    """Addresses and open tags of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("img", "meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_command(tmp_path, capsys, monkeypatch):
    """A folder of one good and one bad video: table, page, exit status."""
    monkeypatch.chdir(tmp_path)
    film(tmp_path / "in/good.mp4", seconds=1.6)
    (tmp_path / "in/bad <1>.mp4").write_bytes(b"")
    assert main([str(tmp_path / "in")]) == 1
    said = capsys.readouterr().out
    assert "bad <1>.mp4: NOT USABLE" in said
    assert "the file is empty (found: 0 bytes)" in said
    assert re.search(r"good\.mp4 +usable with remarks", said)  # a photograph: the mouth does not move
    page = (tmp_path / "data/check/index.html").read_text()
    links = _Links()
    links.feed(page)
    assert links.open == []
    assert links.addresses
    assert all(address.startswith(("data:image/jpeg", "#clip")) for address in links.addresses)
    assert "bad &lt;1&gt;.mp4" in page
    assert main([str(tmp_path / "in/good.mp4"), "--page", str(tmp_path / "elsewhere")]) == 0
    assert (tmp_path / "elsewhere/index.html").exists()
    assert str(tmp_path / "elsewhere/index.html") in capsys.readouterr().out


def test_an_excerpt_and_a_region_are_looked_at_as_a_manifest_names_them(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pair = film(tmp_path / "pair.mp4", seconds=3, people=2)
    main([str(pair)])
    assert "2 people are seen" in capsys.readouterr().out
    main([str(pair), "--crop", "0,0,360,352", "--start", "0.4", "--end", "2"])
    said = capsys.readouterr().out
    assert "One person." in said
    assert "1.6 s" in said


def test_no_video(tmp_path, capsys):
    with pytest.raises(CastfieldError, match="no such video"):
        videos(tmp_path / "nothing.mp4")
    assert main([str(tmp_path)]) == 2
    assert "holds no videos" in capsys.readouterr().err
