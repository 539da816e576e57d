"""Optional weights: found, verified, fetched when asked for, and what is said where they are missing."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from web import closed_port, serve

from castfield import weights
from castfield.errors import ManifestError, WeightsError

CONTENT = b"the numbers of a network" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def empty(tmp_path, monkeypatch):
    monkeypatch.setenv("CASTFIELD_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("CASTFIELD_MEDIA", str(tmp_path / "mirror"))
    (tmp_path / "mirror").mkdir()


def manifest(tmp_path: Path, url: str, digest: str = DIGEST[:10]) -> Path:
    path = tmp_path / "weights.yaml"
    entry = f"{{file: net.pth, url: '{url}', sha256: {digest}, license: MIT, purpose: the metric X, without: X is left out}}"
    path.write_text(f"net: {entry}\n")
    return path


def test_the_projects_manifest():
    entries = weights.known()
    assert {"alexnet", "vgg16", "syncnet_v2", "fan_2d", "bisenet"} <= set(entries)
    for entry in entries.values():
        assert re.fullmatch(r"[0-9a-f]{8,64}", entry.sha256)
        named = re.search(r"-([0-9a-f]{8,})\.", entry.file)  # torch's habit: the file name holds the digest's beginning
        assert not named or entry.sha256.startswith(named[1])
        assert entry.url.startswith("https://")
        assert entry.url.endswith(entry.file)


def test_missing_weights_say_what_that_costs_and_how_to_get_them():
    with pytest.raises(WeightsError) as caught:
        weights.find("syncnet_v2")
    text = str(caught.value)
    assert "LSE-D and LSE-C are left out" in text
    assert "syncnet_v2.model" in text
    assert "55 MB" in text
    assert "python -m castfield.weights syncnet_v2" in text
    with pytest.raises(WeightsError, match="did you mean 'alexnet'"):
        weights.find("alexnett")


def test_from_the_mirror(tmp_path):
    (tmp_path / "mirror/deep").mkdir()
    (tmp_path / "mirror/deep/net.pth").write_bytes(CONTENT)
    assert weights.find("net", manifest(tmp_path, "https://x/net.pth")) == tmp_path / "mirror/deep/net.pth"
    (tmp_path / "mirror/deep/net.pth").write_bytes(b"another network")
    with pytest.raises(WeightsError, match="are not here"):
        weights.find("net", manifest(tmp_path, "https://x/net.pth"))


def test_fetched_once_and_verified(tmp_path):
    with serve() as web:
        web.files["/net.pth"] = CONTENT
        listed = manifest(tmp_path, f"{web.address}/net.pth")
        path = weights.fetch("net", listed)
        assert path.read_bytes() == CONTENT
        assert weights.fetch("net", listed) == weights.find("net", listed) == path
        assert len(web.requests) == 1
        path.write_bytes(b"damaged")
        with pytest.raises(WeightsError, match="are damaged: X is left out"):
            weights.find("net", listed)


def test_fetching_what_is_wrong_or_not_there(tmp_path):
    with serve() as web:
        web.files["/net.pth"] = b"another"
        with pytest.raises(WeightsError, match="cannot be had: X is left out") as caught:
            weights.fetch("net", manifest(tmp_path, f"{web.address}/net.pth"))
        assert hashlib.sha256(b"another").hexdigest() in str(caught.value)
    with pytest.raises(WeightsError, match="CASTFIELD_MEDIA"):
        weights.fetch("net", manifest(tmp_path, f"http://127.0.0.1:{closed_port()}/net.pth"), retries=1)
    assert not (tmp_path / "scratch/weights/net.pth").exists()


def test_a_manifest_with_a_missing_key(tmp_path):
    (tmp_path / "weights.yaml").write_text("net: {file: net.pth}\n")
    with pytest.raises(ManifestError, match="the key 'url' is missing"):
        weights.known(tmp_path / "weights.yaml")


def test_the_command_lists_them_and_refuses_in_one_message():
    run = [sys.executable, "-m", "castfield.weights"]
    env_path = {"PYTHONPATH": str(ROOT / "src")}
    import os

    done = subprocess.run(run, cwd=ROOT, env={**os.environ, **env_path}, capture_output=True, text=True, check=True)
    assert "syncnet_v2   absent: LSE-D and LSE-C are left out" in done.stdout
    done = subprocess.run([*run, "nonsense"], cwd=ROOT, env={**os.environ, **env_path}, capture_output=True, text=True)
    assert done.returncode == 1
    assert "no weights are called 'nonsense'" in done.stderr
    assert "Traceback" not in done.stderr
