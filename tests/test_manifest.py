"""Manifests: what they may say, and refusals that name the clip and the key."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT

from castfield.config import NAME
from castfield.errors import ManifestError
from castfield.manifest import load_manifest


def load(tmp_path: Path, text: str):
    path = tmp_path / "people.yaml"
    path.write_text(text)
    return load_manifest(path)


@pytest.mark.parametrize("name", ["demo", "grid"])
def test_the_manifests_that_come_with_the_project(name):
    manifest = load_manifest(ROOT / f"data/manifests/{name}.yaml")
    assert manifest.synthetic == (name == "demo")
    assert manifest.license
    for clip in manifest.clips:
        assert NAME.fullmatch(clip.name)
        assert clip.license
        assert not clip.url or clip.sha256


def test_the_users_own_folder(tmp_path, monkeypatch):
    """The manifest `local` as it stands: five lines, and a clear word while the folder is empty."""
    text = (ROOT / "data/manifests/local.yaml").read_text()
    assert len(text.splitlines()) == 5
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/local").mkdir(parents=True)
    with pytest.raises(ManifestError, match="holds no videos") as caught:
        load(tmp_path, text)
    assert "put one video per person there" in str(caught.value)
    for name in ("b.mp4", "a clip.mov", "a-clip.mkv", "notes.txt", "视频.webm", "failed.mp4"):
        (tmp_path / "data/local" / name).touch()
    manifest = load(tmp_path, text)
    assert [clip.name for clip in manifest.clips] == ["a-clip", "a-clip-2", "b", "failed-2", "clip"]
    assert all(Path(clip.path).exists() for clip in manifest.clips), [clip.path for clip in manifest.clips]
    assert manifest.personal_seen == "a-clip"
    assert manifest.personal_unseen == "clip"


def test_a_path_is_relative_to_the_folder(tmp_path):
    manifest = load(tmp_path, "folder: films\nclips: [{name: a, path: x.mp4}, {name: b, path: /y.mp4}]")
    assert [clip.path for clip in manifest.clips] == ["films/x.mp4", "/y.mp4"]


def test_defaults_and_excerpts(tmp_path):
    manifest = load(tmp_path, "defaults: {license: CC0}\nclips: [{name: 7, youtube: abc, start: 1, end: '2.5', crop: [1, 2, 30, 40]}]")
    clip = manifest.clips[0]
    assert (clip.name, clip.license, clip.start, clip.end, clip.crop) == ("7", "CC0", 1.0, 2.5, (1.0, 2.0, 30.0, 40.0))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("clips: [{url: 'http://a/b.mp4'}]", ["lacks the key 'name'", "clip 1"]),
        ("clips: [{name: ann}]", ["exactly one source", "url, youtube, path, cast", "none", ": ann"]),
        ("clips: [{name: ann, cast: ada, path: x.mp4}]", ["exactly one source", "path, cast"]),
        ("clips: [{name: ann, cast: ada}, {name: ann, cast: bo}]", ["'ann' stands twice"]),
        ("clips: [{name: ../ann, cast: ada}]", ["not a usable clip name", "'../ann'", "no slash"]),
        ("clips: [{name: /etc/ann, cast: ada}]", ["not a usable clip name"]),
        ("clips: [{name: .., cast: ada}]", ["not a usable clip name"]),
        ("clips: [{name: a.b, cast: ada}]", ["not a usable clip name"]),
        ("clips: [{name: failed, cast: ada}]", ["not a usable clip name"]),
        ("clips: [{name: no, cast: ada}]", ["yes or no", "quotes"]),
        ("clips: [{name: ann, ulr: x}]", ["unknown key 'ulr'", "did you mean 'url'?", ": ann"]),
        ("clips: [{name: ann, url: file:///etc/passwd}]", ["no web address"]),
        ("clips: [{name: ann, url: 'http://a/b', sha256: abc}]", ["no digest", "64"]),
        ("clips: [{name: ann, cast: a, start: 3, end: 2}]", ["`end` is not after `start`"]),
        ("clips: [{name: ann, cast: a, start: -3}]", ["impossible value"]),
        ("clips: [{name: ann, cast: a, crop: [1, 2, 3]}]", ["no rectangle", "[left, top, width, height]"]),
        ("clips: [ann]", ["lacks the key 'name'"]),
        ("clips: []", ["lists no clips"]),
        ("title: x", ["lists no clips"]),
        ("folder: nowhere", ["holds no videos", "no folder nowhere"]),
        ("defaults: [1]\nclips: [{name: ann, cast: a}]", ["`defaults`"]),
        ("clip: []", ["unknown key 'clip'", "did you mean 'clips'?"]),
        ("personal_seen: bob\nclips: [{name: ann, cast: a}]", ["`personal_seen` names no clip", "ann"]),
        ("- a", ["not a mapping"]),
        ("a: [", ["not YAML"]),
    ],
)
def test_what_is_refused(text, words, tmp_path):
    with pytest.raises(ManifestError) as caught:
        load(tmp_path, text)
    for word in ["people.yaml", *words]:
        assert word in str(caught.value)


def test_no_such_data_set():
    with pytest.raises(ManifestError, match="did you mean 'grid'") as caught:
        load_manifest(ROOT / "data/manifests/gird.yaml")
    assert "weights" not in str(caught.value)
