"""Footage of any kind becomes a square head clip at 25 Hz with its speech in step, or one clear refusal."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from films import film, flash_frame, tone_second

from castfield.clip import Crop
from castfield.config import FramesConfig
from castfield.errors import ClipError
from castfield.footage import Footage, cut_square, excerpt, samples, sound
from castfield.frames import LEAST_MARGIN, cut_clip, head_square
from castfield.media import decode, ffmpeg_exe, read_wav
from castfield.scratch import sha256
from castfield.shards import Job
from castfield.tracking.detection import FaceDetector


def cut(path: Path, out: Path, *, config: FramesConfig | None = None, **about) -> tuple[Crop, np.ndarray]:
    """Run the stage's work on one film; its Crop and frames."""
    out.mkdir(parents=True, exist_ok=True)
    Footage(path.name, sha256(path), f"path: {path}", **about).save(out / "about.json")
    cut_clip(Job("ann", {"footage": path, "about": out / "about.json"}, config or FramesConfig()), out)
    return Crop.load(out / "ann.json"), decode(out / "ann.mkv")


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    return film(tmp_path_factory.mktemp("films") / "plain.mp4")


def test_a_plain_film(plain, tmp_path):
    crop, frames = cut(plain, tmp_path)
    assert frames.shape == (40, 256, 256, 3)
    assert crop.frames == 40
    assert crop.source_size == (352, 352)
    assert crop.has_speech
    assert crop.warnings == ()
    assert len(read_wav(tmp_path / "ann.wav")) == 40 * 640
    with FaceDetector() as detector:
        face = detector.find(frames[20])[0]
    assert 256 / (1 + 2 * 0.55) * 0.75 < face.side < 256 / (1 + 2 * 0.55) * 1.25  # the margin is what was asked for
    assert abs(face.x - 128) < 25


def test_the_same_film_gives_the_same_bytes(plain, tmp_path):
    cut(plain, tmp_path / "a")
    cut(plain, tmp_path / "b")
    for name in ("ann.mkv", "ann.wav", "ann.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ntsc.mp4", {"rate": "30000/1001"}),
        ("slow.mkv", {"rate": "12.5"}),
        ("fast.mkv", {"rate": "60"}),
        ("variable.mkv", {"rate": "50", "filters": "select='lt(n,20)+not(mod(n,4))'"}),
        ("late-picture.mkv", {"video_delay": 0.3}),
        ("late-picture.mp4", {"video_delay": 0.3}),
        ("late-sound.mkv", {"audio_delay": 0.3}),
        ("late-sound.mp4", {"audio_delay": 0.3}),
        ("anamorphic.mkv", {"filters": "scale=iw/2:ih,setsar=2"}),
        ("old.avi", {}),
    ],
)
def test_picture_and_sound_stay_together_at_any_rate(name, options, tmp_path):
    """A flash and a tone that begin together do so in what is stored, to a frame of the source or the result."""
    made = excerpt(film(tmp_path / name, **options))
    frames, _ = cut_square(made, tmp_path / "out.mkv", (0, 0, made.height), 128)
    pictures, wave = decode(tmp_path / "out.mkv"), sound(made, frames)
    assert len(pictures) == frames
    assert abs(frames / 25 - 1.6) < 0.1
    assert made.width == made.height == 352
    assert wave is not None
    assert len(wave) == 640 * frames
    assert abs(flash_frame(pictures) / 25 - tone_second(wave)) <= 0.081 if name.startswith("slow") else 0.041


def test_an_excerpt_starts_where_it_is_asked_to(plain, tmp_path):
    crop, frames = cut(plain, tmp_path, start=0.4, end=1.52)
    assert crop.start == pytest.approx(0.4)
    assert crop.frames == 28
    whole = excerpt(plain)
    cut_square(whole, tmp_path / "whole.mkv", tuple(map(int, crop.box)), 256)
    assert np.abs(decode(tmp_path / "whole.mkv")[10:38].astype(int) - frames).max() <= 1
    wave = read_wav(tmp_path / "ann.wav")
    assert abs(np.argmax(np.abs(wave) > 0.1) / 16_000 - 0.4) < 0.03  # the tone, 0.8 s into the film


def test_an_excerpt_outside_the_film_is_refused(plain, tmp_path):
    with pytest.raises(ClipError, match="start.*within 1.60 s|decoded") as caught:
        cut(plain, tmp_path, start=7.0)
    assert "ann.mkv" not in {p.name for p in tmp_path.iterdir()}
    assert "plain.mp4" in str(caught.value)


def test_portrait_by_rotation_flag(plain, tmp_path):
    turned = tmp_path / "turned.mp4"
    wide = film(tmp_path / "wide.mp4", filters="transpose=1,pad=iw+128:ih:128:0")  # lies on its side, landscape
    command = [ffmpeg_exe(), "-v", "error", "-display_rotation", "90", "-i", str(wide), "-c", "copy", str(turned)]
    subprocess.run(command, check=True)
    crop, frames = cut(turned, tmp_path)
    assert crop.source_size == (352, 480)
    with FaceDetector() as detector:
        assert len(detector.find(frames[0])) == 1


def test_odd_sizes_and_very_large_video(tmp_path):
    crop, frames = cut(film(tmp_path / "odd.mkv", filters="scale=333:335", output=("-pix_fmt", "yuv444p")), tmp_path / "odd")
    assert crop.source_size == (333, 335)
    assert frames.shape[1:] == (256, 256, 3)
    large = film(tmp_path / "large.mp4", seconds=1.2, rate="5", filters="pad=640:352:200:0,scale=3840:2112")
    crop, frames = cut(large, tmp_path / "large")
    assert crop.source_size == (3840, 2112)
    assert crop.box[2] > 1000
    assert frames.shape == (30, 256, 256, 3)


def test_a_face_far_away_is_found(tmp_path):
    far = film(tmp_path / "far.mp4", filters="pad=1920:1080:1100:500:color=gray")
    crop, _ = cut(far, tmp_path)
    left, top, side = crop.box
    assert 1100 < left + side / 2 < 1452
    assert 500 < top + side / 2 < 852
    assert side < 300


def test_edges_are_continued_where_the_square_leaves_the_picture(plain, tmp_path):
    made = excerpt(plain)
    cut_square(made, tmp_path / "out.mkv", (-88, -88, 528), 528)
    frame = decode(tmp_path / "out.mkv")[0].astype(int)
    assert np.abs(frame[:88, 300] - frame[88, 300]).max() <= 1
    assert np.abs(frame[300, :88] - frame[300, 88]).max() <= 1
    cut_square(made, tmp_path / "inner.mkv", (0, 0, 352), 352)
    assert np.abs(decode(tmp_path / "inner.mkv")[0].astype(int) - frame[88:440, 88:440]).max() <= 6


def test_pixels_are_those_of_the_source(plain, tmp_path):
    """A square cut at its own size is an exact copy: no shift, no filter."""
    made = excerpt(plain)
    cut_square(made, tmp_path / "out.mkv", (40, 24, 200), 200)
    whole = decode(plain, filters="scale=flags=accurate_rnd+full_chroma_int+full_chroma_inp,format=gbrp")
    assert np.abs(decode(tmp_path / "out.mkv")[3].astype(int) - whole[3, 24:224, 40:240]).max() <= 1


@pytest.mark.parametrize("track", [None, "silence"])
def test_a_silent_clip_is_fine_and_says_so(track, tmp_path):
    crop, frames = cut(film(tmp_path / "silent.mp4", sound=track), tmp_path)
    assert len(frames) == 40
    assert not crop.has_speech
    assert not (tmp_path / "ann.wav").exists()
    assert any("no sound" in warning for warning in crop.warnings)


def test_two_people(tmp_path):
    pair = film(tmp_path / "pair.mp4", people=2)
    crop, _ = cut(pair, tmp_path / "both")
    assert any("2 people" in warning and "crop" in warning for warning in crop.warnings)
    for name, region in (("left", (0, 0, 360, 352)), ("right", (360, 0, 376, 352))):
        crop, frames = cut(pair, tmp_path / name, region=region)
        assert crop.warnings == ()
        assert (crop.box[0] + crop.box[2] / 2 < 368) == (name == "left")
        with FaceDetector() as detector:
            assert len(detector.find(frames[0])) == 1


def test_no_face(tmp_path):
    with pytest.raises(ClipError, match="no face was found") as caught:
        cut(film(tmp_path / "cat.mp4", face=False), tmp_path)
    text = str(caught.value)
    assert "ann" in text
    assert "frames 0 to 39" in text
    assert "`crop` in the manifest" in text


def test_too_short(tmp_path):
    with pytest.raises(ClipError, match="too short") as caught:
        cut(film(tmp_path / "short.mp4", seconds=0.5), tmp_path)
    assert "at least 1 s (frames.min_seconds)" in str(caught.value)
    assert "ann" in str(caught.value)


def test_too_long_is_cut_and_said(plain, tmp_path):
    crop, frames = cut(plain, tmp_path, config=FramesConfig(max_seconds=1.2))
    assert len(frames) == crop.frames == 30
    assert any("frames.max_seconds" in warning for warning in crop.warnings)


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("empty.mp4", b"", "the file is empty"),
        ("text.mp4", b"this is no film\n" * 100, "not a readable video"),
        ("noise.mpg", np.random.default_rng(0).bytes(20_000), "not a readable video"),
    ],
)
def test_what_is_no_film_is_refused(name, content, fault, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ClipError, match=fault) as caught:
        cut(tmp_path / name, tmp_path / "out")
    assert name in str(caught.value)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"about.json"}


def test_a_film_that_breaks_off(tmp_path):
    whole = film(tmp_path / "whole.mp4", seconds=4, output=("-movflags", "+faststart", "-g", "25"))
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(ClipError, match="breaks off") as caught:
        cut(broken, tmp_path / "out")
    text = str(caught.value)
    assert "ann" in text
    assert "frame " in text
    assert "4.00 s" in text
    headless = tmp_path / "headless.mp4"  # without its index nothing can be read
    headless.write_bytes(film(tmp_path / "late.mp4").read_bytes()[:20_000])
    with pytest.raises(ClipError, match="not a readable video"):
        cut(headless, tmp_path / "out")


def test_sound_alone_is_refused(tmp_path):
    path = tmp_path / "sound.m4a"
    subprocess.run([ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", "sine=duration=2", str(path)], check=True)
    with pytest.raises(ClipError, match="not a readable video"):
        cut(path, tmp_path / "out")


def test_samples_stream_small_pictures(plain):
    pictures = list(samples(excerpt(plain), 5.0, 100))
    assert len(pictures) == 8
    assert pictures[0].shape == (100, 100, 3)


class TestHeadSquare:
    def test_motion_and_margin(self):
        faces = np.array([[400.0 + 40 * np.sin(t), 300.0, 100.0] for t in np.linspace(0, 6.28, 50)])
        left, top, side = head_square(faces, 0.5, 1920, 1080)
        assert 275 <= side <= 282
        assert abs(left + side / 2 - 400) <= 2
        assert abs(top + side / 2 - 300) <= 2

    def test_an_outlier_moves_nothing(self):
        faces = np.tile([400.0, 300.0, 100.0], (100, 1))
        faces[50] = [900.0, 900.0, 300.0]
        assert head_square(faces, 0.5, 1920, 1080) == (300, 200, 200)

    def test_moved_into_the_picture(self):
        assert head_square(np.array([[60.0, 70.0, 100.0]]), 0.5, 400, 300) == (0, 0, 200)

    def test_shrunk_before_it_leaves_the_picture(self):
        left, top, side = head_square(np.array([[150.0, 160.0, 150.0]]), 0.55, 320, 300)
        assert (left, top, side) == (0, 0, 300)

    def test_never_tighter_than_the_least_margin(self):
        left, top, side = head_square(np.array([[150.0, 150.0, 250.0]]), 0.55, 300, 300)
        assert side == round(250 * (1 + 2 * LEAST_MARGIN))
        assert left < 0
        assert top < 0


def test_real_people(media, tmp_path):
    """The variable-rate clip of the real footage, and two real people beside each other."""
    crop, frames = cut(media / "hd" / "vr1.mp4", tmp_path / "vr1")
    assert crop.has_speech
    assert 145 <= len(frames) <= 154
    assert crop.start == pytest.approx(0.033, abs=0.01) or crop.start == 0
    pair = tmp_path / "pair.mkv"
    inputs = ["-i", str(media / "grid" / "bbaf2n.mpg"), "-i", str(media / "grid" / "lwbsza.mpg")]
    subprocess.run(
        [ffmpeg_exe(), "-v", "error", *inputs, "-filter_complex", "hstack", "-map", "0:a", "-c:a", "copy", str(pair)], check=True
    )
    crop, _ = cut(pair, tmp_path / "pair")
    assert any("2 people" in warning for warning in crop.warnings)
