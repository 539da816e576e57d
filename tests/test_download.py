"""The stage `download`: every kind of source, the mirror, and what is refused."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from films import film
from web import closed_port, serve

from castfield.config import Config, WorkConfig
from castfield.download import Wanted, fetch_clip, run
from castfield.errors import ClipError, DownloadError
from castfield.footage import Footage
from castfield.frames import run as run_frames
from castfield.layout import Layout
from castfield.media import probe
from castfield.mirror import find_in_mirror
from castfield.scratch import sha256
from castfield.shards import Job, failed_clips

INLINE = WorkConfig(runner="inline", max_failed=0.5)


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """An empty project with its own scratch folder and no mirror; the test runs in it."""
    monkeypatch.setenv("CASTFIELD_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.delenv("CASTFIELD_MEDIA", raising=False)
    root = tmp_path / "project"
    (root / "data/manifests").mkdir(parents=True)
    monkeypatch.chdir(root)
    return root


def download(manifest: str) -> Layout:
    Path("data/manifests/people.yaml").write_text(manifest)
    run(Config(dataset="people", work=INLINE), Layout())
    return Layout()


def test_a_folder_of_films_becomes_clips(project, tmp_path):
    folder = tmp_path / "my videos"
    film(folder / "Ann & me.mp4", seconds=1.2)
    shutil.copy(folder / "Ann & me.mp4", folder / "bob.MOV")
    layout = download(f"title: Mine\nfolder: {folder}\nlicense: private\n")
    assert sorted(p.name for p in layout.raw.glob("*.*")) == ["Ann-me.json", "Ann-me.mp4", "bob.json", "bob.mov", "failed.json"]
    about = Footage.load(layout.raw / "bob.json")
    assert about == Footage("bob.mov", sha256(folder / "bob.MOV"), f"path: {folder / 'bob.MOV'}")
    run_frames(Config(work=INLINE), layout)
    assert sorted(p.stem for p in layout.frames.glob("*.mkv")) == ["Ann-me", "bob"]
    assert sorted(p.stem for p in layout.speech.glob("*.wav")) == ["Ann-me", "bob"]


def test_excerpt_and_region_go_with_the_film_and_fetch_nothing_anew(project, tmp_path, capsys):
    path = film(tmp_path / "ann.mp4", seconds=1.2)
    layout = download(f"clips: [{{name: ann, path: {path}}}]")
    download(f"clips: [{{name: ann, path: {path}, start: 0.1, end: 1.2, crop: [0, 0, 352, 352]}}]")
    about = Footage.load(layout.raw / "ann.json")
    assert (about.start, about.end, about.region) == (0.1, 1.2, (0.0, 0.0, 352.0, 352.0))
    assert "1 unchanged (cached), 0 to do" in capsys.readouterr().out


def test_an_address_is_fetched_once_and_verified(project):
    content = np.random.default_rng(0).bytes(200_000)
    digest = hashlib.sha256(content).hexdigest()
    with serve() as web:
        web.files["/films/a%20b.mpg"] = content
        manifest = f"clips: [{{name: ann, url: '{web.address}/films/a%20b.mpg?x=1', sha256: {digest}}}]"
        layout = download(manifest)
        download(manifest)
        assert len(web.requests) == 1
    assert (layout.raw / "ann.mpg").read_bytes() == content
    assert Footage.load(layout.raw / "ann.json").sha256 == digest


def test_a_wrong_hash_and_a_dead_address_leave_out_these_clips(project, tmp_path, capsys):
    good = [film(tmp_path / f"{name}.mp4", seconds=1.2) for name in ("ann", "bob")]
    with serve() as web:
        web.files["/c.mp4"] = b"something else"
        layout = download(
            "clips:\n"
            + "".join(f"- {{name: {p.stem}, path: {p}}}\n" for p in good)
            + f"- {{name: cy, url: {web.address}/c.mp4, sha256: {'ab' * 32}}}\n"
            + f"- {{name: dee, url: {web.address}/nowhere.mp4}}\n"
        )
        assert set(failed_clips(layout.raw)) == {"cy", "dee"}
        assert "ab" * 32 in failed_clips(layout.raw)["cy"]
        assert hashlib.sha256(b"something else").hexdigest() in failed_clips(layout.raw)["cy"]
        assert "HTTP 404" in failed_clips(layout.raw)["dee"]
        assert sorted(p.stem for p in layout.raw.glob("*.mp4")) == ["ann", "bob"]
        before = {p.name: p.read_bytes() for p in layout.raw.iterdir() if p.is_file()}
        dead = f"http://127.0.0.1:{closed_port()}/x.mp4"
        with pytest.raises(ClipError, match="2 of 3 clips failed") as caught:
            download(
                f"clips:\n- {{name: ann, path: {good[0]}}}\n- {{name: cy, path: {tmp_path / 'no.mp4'}}}\n- {{name: dee, url: '{dead}'}}"
            )
    assert "a local file is missing" in str(caught.value)
    assert "an address is dead" in str(caught.value)
    assert {p.name: p.read_bytes() for p in layout.raw.iterdir() if p.is_file()} == before


def test_the_hash_of_a_local_file_is_checked(project, tmp_path):
    path = film(tmp_path / "ann.mp4", seconds=1.2)
    with pytest.raises(ClipError, match="wrong sha256"):
        download(f"clips: [{{name: ann, path: {path}, sha256: {'cd' * 32}}}]")
    download(f"clips: [{{name: ann, path: {path}, sha256: {sha256(path).upper()}}}]")


class TestMirror:
    """`CASTFIELD_MEDIA` is looked in before anything is downloaded."""

    @pytest.fixture
    def mirror(self, tmp_path, monkeypatch) -> Path:
        root = tmp_path / "mirror"
        for name, content in (("a/x.mp4", b"one"), ("b/x.mp4", b"two"), ("b/y.mp4", b"three"), (".hidden/x.mp4", b"no")):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        monkeypatch.setenv("CASTFIELD_MEDIA", str(root))
        monkeypatch.setenv("CASTFIELD_SCRATCH", str(tmp_path / "scratch"))
        return root

    def test_by_name_and_by_hash(self, mirror):
        assert find_in_mirror(["x.mp4"]) == mirror / "a/x.mp4"
        assert find_in_mirror(["z.mp4", "y.mp4"]) == mirror / "b/y.mp4"
        assert find_in_mirror(["z.mp4"]) is None
        assert find_in_mirror(["x.mp4"], hashlib.sha256(b"two").hexdigest()) == mirror / "b/x.mp4"
        assert find_in_mirror(["other.mp4"], hashlib.sha256(b"three").hexdigest()[:10]) == mirror / "b/y.mp4"
        assert find_in_mirror(["x.mp4"], "0" * 64) is None

    def test_files_are_hashed_once_until_they_change(self, mirror, monkeypatch):
        import castfield.mirror

        read = []
        monkeypatch.setattr(castfield.mirror, "sha256", lambda path: read.append(path) or sha256(path))
        for _ in range(2):
            find_in_mirror(["q.mp4"], "0" * 64)
        assert len(read) == 3
        (mirror / "b/y.mp4").write_bytes(b"changed")
        assert find_in_mirror(["q.mp4"], hashlib.sha256(b"changed").hexdigest()) == mirror / "b/y.mp4"
        assert len(read) == 4

    def test_no_mirror(self, monkeypatch, tmp_path):
        monkeypatch.setenv("CASTFIELD_MEDIA", str(tmp_path / "absent"))
        assert find_in_mirror(["x.mp4"]) is None

    def test_a_clip_comes_from_the_mirror(self, mirror, tmp_path):
        digest = hashlib.sha256(b"two").hexdigest()
        wanted = Wanted("url", f"http://127.0.0.1:{closed_port()}/films/x.mp4", digest, None, None, "")
        fetch_clip(Job("ann", {}, wanted), tmp_path)
        assert (tmp_path / "ann.mp4").read_bytes() == b"two"
        fetch_clip(Job("y", {}, Wanted("youtube", "AbCdEfGh", None, 1.0, 2.0, "")), tmp_path)
        about = Footage.load(tmp_path / "y.json")
        assert (tmp_path / "y.mp4").read_bytes() == b"three"
        assert not about.cut  # the mirror holds the whole film: the frames stage cuts it


class TestYouTube:
    """yt-dlp itself, on a film that a server of this machine offers."""

    def test_a_time_range(self, project, tmp_path):
        path = film(tmp_path / "film.mp4", seconds=4, rate="25", output=("-g", "100"))
        with serve() as web:
            web.files["/film.mp4"] = path.read_bytes()
            fetch_clip(Job("ann", {}, Wanted("youtube", f"{web.address}/film.mp4", None, 1.0, 2.6, "", 1, 10.0)), tmp_path)
        about = Footage.load(tmp_path / "ann.json")
        assert about.cut
        assert about.file == "ann.mp4"
        assert probe(tmp_path / "ann.mp4").seconds == pytest.approx(1.6, abs=0.1)

    def test_the_whole_film(self, project, tmp_path):
        path = film(tmp_path / "film.mp4", seconds=1.2)
        with serve() as web:
            web.files["/film.mp4"] = path.read_bytes()
            fetch_clip(Job("ann", {}, Wanted("youtube", f"{web.address}/film.mp4", None, None, None, "", 1, 10.0)), tmp_path)
        assert not Footage.load(tmp_path / "ann.json").cut
        assert probe(tmp_path / "ann.mp4").seconds == pytest.approx(1.2, abs=0.1)

    def test_what_it_cannot_fetch(self, project, tmp_path):
        job = Job("ann", {}, Wanted("youtube", f"http://127.0.0.1:{closed_port()}/film.mp4", None, None, None, "", 0, 5.0))
        with pytest.raises(DownloadError, match="yt-dlp cannot fetch") as caught:
            fetch_clip(job, tmp_path)
        assert "refused" in str(caught.value)
        assert not list(tmp_path.glob("ann*"))


def test_the_footage_of_grid_comes_from_the_mirror(project, media, monkeypatch):
    """The manifest `grid`, its hashes and names, against the real files."""
    from conftest import ROOT

    monkeypatch.setenv("CASTFIELD_MEDIA", str(media))
    shutil.copy(ROOT / "data/manifests/grid.yaml", "data/manifests/grid.yaml")
    run(Config(dataset="grid", work=INLINE), Layout())
    assert len(list(Layout().raw.glob("*.mpg"))) == 9
    assert Footage.load(Layout().raw / "swwp2s.json").file == "swwp2s.mpg"
