"""params.yaml: declared types, and refusals that name the key and the nearest valid word."""

from __future__ import annotations

import dataclasses
import typing
from functools import reduce
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from castfield.config import LIMITS, Config, load_config
from castfield.errors import CastfieldError, ConfigError


def load(tmp_path: Path, text: str) -> Config:
    (tmp_path / "params.yaml").write_text(text)
    return load_config(tmp_path / "params.yaml")


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    return str(caught.value)


def test_the_projects_own_parameters_hold_every_default():
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())

    def compare(config: typing.Any, values: dict, where: str) -> None:
        assert set(values) == {f.name for f in dataclasses.fields(config)}, where
        for name, value in values.items():
            if isinstance(value, dict):
                compare(getattr(config, name), value, f"{where}.{name}")

    config = load_config(ROOT / "params.yaml")
    compare(config, raw, "params.yaml")
    assert config == Config()


def test_types_as_yaml_and_dvc_write_them(tmp_path):
    config = load(tmp_path, "seed: 3.0\nframes: {margin: 1e-05, min_seconds: '0.5'}\nwork: {max_failed: .5}\ntrain: {latent: off}\n")
    assert config.seed == 3
    assert isinstance(config.seed, int)
    assert config.frames.margin == 1e-5
    assert config.frames.min_seconds == 0.5
    assert config.train.latent is False


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sytem: mi_nerf", ["unknown key 'sytem'", "did you mean 'system'?"]),
        ("frames: {sise: 3}", ["unknown key 'sise'", "did you mean 'size'?", "params.yaml: frames"]),
        ("module: HH", ["no such choice 'HH'", "baseline", "params.yaml: module"]),
        ("module: basline", ["did you mean 'baseline'?"]),
        ("system: off", ["no such choice"]),
        ("seed: 1.5", ["wrong type", "int", "1.5", "params.yaml: seed"]),
        ("seed: -1", ["impossible value", "-1"]),
        ("seed: .nan", ["wrong type"]),
        ("frames: {margin: .nan}", ["impossible value", "nan"]),
        ("frames: {margin: nan}", ["impossible value", "nan"]),
        ("frames: {margin: .inf}", ["impossible value"]),
        ("frames: {size: many}", ["wrong type", "'many'"]),
        ("frames: {size: 8}", ["impossible value", "64 to 2048", "frames.size"]),
        ("frames: {min_seconds: 10, max_seconds: 5}", ["no clip can be long enough", "10 > 5"]),
        ("work: {max_failed: 2}", ["0 to 1"]),
        ("train: {grid: {channels: 2}}", ["impossible value", "3 to 1024", "train.grid.channels"]),
        ("train: {latent: 3}", ["wrong type", "bool"]),
        ("frames: 3", ["not a mapping"]),
        ("[1, 2]", ["not a mapping"]),
        ("dataset: ../../etc/passwd", ["not a usable name", "letters, digits"]),
        ("a: [", ["not YAML"]),
    ],
)
def test_what_is_refused(text, words, tmp_path):
    message = refusal(tmp_path, text)
    for word in words:
        assert word in message


def test_no_file(tmp_path):
    with pytest.raises(ConfigError, match="project's root"):
        load_config(tmp_path / "params.yaml")


def test_limits_name_real_keys():
    for key in LIMITS:
        assert reduce(getattr, key.split("."), Config()) is not None


def test_an_error_survives_the_way_home_from_a_worker():
    import pickle

    error = ConfigError("a fault", expected=1, found=2, where="here", cure="mend it")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is ConfigError
    assert str(back) == str(error)
    assert isinstance(back, CastfieldError)
    assert str(back).splitlines() == ["a fault", "  expected: 1", "  found: 2", "  where: here", "  what to do: mend it"]
