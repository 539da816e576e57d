"""Video and sound: what is written comes back, and the same input gives the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from films import film

from castfield import media
from castfield.errors import ClipError
from castfield.footage import write_wav

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(5, 32, 48, 3), (5, 33, 47, 3), (3, 16, 16), (1, 8, 8, 3)])
def test_lossless_comes_back_exactly(shape, tmp_path):
    frames = RANDOM.integers(0, 256, shape, dtype=np.uint8)
    media.encode_lossless(tmp_path / "a.mkv", frames)
    back = media.decode(tmp_path / "a.mkv", channels=3 if len(shape) == 4 else 1)
    assert np.array_equal(back, frames)
    if len(shape) == 4:
        assert np.array_equal(np.stack(list(media.stream(tmp_path / "a.mkv"))), frames)
    media.encode_lossless(tmp_path / "b.mkv", frames)
    assert (tmp_path / "a.mkv").read_bytes() == (tmp_path / "b.mkv").read_bytes()


def test_many_frames_and_filters(tmp_path):
    frames = np.repeat(np.arange(600, dtype=np.uint16).astype(np.uint8)[:, None, None, None], 16, 1).repeat(16, 2).repeat(3, 3)
    media.encode_lossless(tmp_path / "a.mkv", frames)
    assert np.array_equal(media.decode(tmp_path / "a.mkv"), frames)
    assert media.decode(tmp_path / "a.mkv", filters="scale=8:4", seconds=1.0).shape == (25, 4, 8, 3)


def test_mp4_with_sound_for_players(tmp_path):
    ramp = np.linspace(40, 200, 50).astype(np.uint8)
    frames = np.broadcast_to(ramp[:, None, None, None], (50, 63, 65, 3))
    wave = (8000 * np.sin(np.arange(16_000) * 0.2)).astype(np.int16)
    write_wav(tmp_path / "a.wav", wave)
    assert np.allclose(media.read_wav(tmp_path / "a.wav") * 32768, wave)
    media.encode_mp4(tmp_path / "a.mp4", frames, sound=tmp_path / "a.wav")
    header = media.probe(tmp_path / "a.mp4")
    assert (header.width, header.height, header.fps, header.has_sound) == (66, 64, 25.0, True)
    assert header.seconds == pytest.approx(2.0, abs=0.05)
    assert np.abs(media.decode(tmp_path / "a.mp4")[:, :63, :65].astype(int) - frames).max() <= 4
    media.encode_mp4(tmp_path / "b.mp4", frames, sound=tmp_path / "a.wav")
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_what_cannot_be_read_or_written(tmp_path):
    (tmp_path / "no.mp4").write_bytes(b"no film")
    for read in (media.probe, media.decode, lambda path: next(media.stream(path))):
        with pytest.raises(ClipError, match="no.mp4"):
            read(tmp_path / "no.mp4")
    with pytest.raises(ClipError, match="without frames"):
        media.encode_lossless(tmp_path / "a.mkv", np.zeros((0, 4, 4, 3), np.uint8))
    assert not (tmp_path / "a.mkv").exists()


def test_a_full_disk_while_encoding(tmp_path):
    """ffmpeg is stopped by a limit on file size, as by a full disk: an OSError, no partial file, the old one intact."""
    (tmp_path / "a.mkv").write_bytes(b"old")
    code = """
import errno, resource, sys
from pathlib import Path
import numpy as np
from castfield import footage, media
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
frames = np.random.default_rng(0).integers(0, 256, (20, 128, 128, 3), dtype=np.uint8)
film = footage.excerpt(Path(sys.argv[2]))
for write in (lambda path: media.encode_lossless(path, frames), lambda path: footage.cut_square(film, path, (0, 0, 352), 352)):
    try:
        write(Path(sys.argv[1]))
    except OSError as error:
        print(errno.errorcode[error.errno], error.filename)
"""
    source = film(tmp_path / "film.mp4")
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", code, str(tmp_path / "a.mkv"), str(source)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"ENOSPC {tmp_path / 'a.mkv'}"] * 2
    assert (tmp_path / "a.mkv").read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mkv", "film.mp4"]


@pytest.mark.parametrize(("frames", "made"), [(media.HELD, 1), (media.HELD + 1, 2)])
def test_a_short_clip_is_made_once_and_a_long_one_each_time(frames: int, made: int):
    starts = []

    def pictures():
        starts.append(1)
        return (np.full((2, 2, 3), t, np.uint8) for t in range(3))

    clip = media.rewindable(pictures, frames)
    assert not starts
    for _ in range(2):
        assert [int(picture[0, 0, 0]) for picture in clip()] == [0, 1, 2]
    assert len(starts) == made
