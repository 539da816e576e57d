"""The parameter page and `params.yaml` say what the code does."""

import dataclasses
import typing
from pathlib import Path

from castfield.config import Config, load_config
from castfield.parameters import sentences, table

ROOT = Path(__file__).resolve().parents[1]


def test_page_is_in_step_with_the_code():
    assert (ROOT / "docs/parameters.md").read_text() == table(), "run: python -m castfield.parameters"


def test_params_yaml_holds_the_defaults():
    assert load_config(ROOT / "params.yaml") == Config()


def test_every_parameter_is_explained():
    def check(kind: type, at: str) -> None:
        hints, notes = typing.get_type_hints(kind), sentences(kind)
        for field in dataclasses.fields(kind):
            if dataclasses.is_dataclass(hints[field.name]):
                check(typing.cast(type, hints[field.name]), f"{at}{field.name}.")
            else:
                assert notes.get(field.name), f"no sentence under {at}{field.name}"

    check(Config, "")
