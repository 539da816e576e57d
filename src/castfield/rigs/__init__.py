"""Parametric heads behind one protocol: arrays in, points out. `bake` makes the arrays, `load_rig` reads them.

A further model is one file with a function `bake(config) -> Rig, arrays of the body`, and one line in BAKERS.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from castfield.config import RigConfig
from castfield.scratch import write_npz

if TYPE_CHECKING:
    from castfield.rigs.base import HeadModel, Rig

__all__ = ["BAKERS", "HeadModel", "Rig", "bake", "cast_folder", "load_rig"]

BAKERS = {
    "anny": "castfield.rigs.anny_head",
    "bfm": "castfield.rigs.bfm",
    "flame": "castfield.rigs.flame",
    "smplx": "castfield.rigs.smplx",
}
"""Name of a model -> the module that bakes it, imported only when it is asked for."""
CAST: Literal["anny"] = "anny"
"""The model that the synthetic people are made of, whatever is laid on the footage."""


def __getattr__(name: str) -> Any:
    """`HeadModel` and `Rig` when they are asked for: they need torch, which takes two seconds to import, and not all who are here do."""
    if name in ("HeadModel", "Rig"):
        return getattr(importlib.import_module("castfield.rigs.base"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def bake(config: RigConfig, folder: Path) -> Rig:
    """Bake the model that the config names into `folder`: `rig.npz` (head and shoulders) and `body.npz`.

    The synthetic people need Anny: beside another model it is baked into the folder `cast`. Raises CastfieldError where a licensed
    model's files are missing or of another shape.
    """
    rig, body = importlib.import_module(BAKERS[config.model]).bake(config)
    rig.save(folder / "rig.npz")
    write_npz(folder / "body.npz", **body)
    if config.model != CAST:
        bake(replace(config, model=CAST), folder / "cast")
    return rig


def cast_folder(folder: Path) -> Path:
    """Where in the out of the stage `rig` the model lies that the synthetic people are made of."""
    return folder / "cast" if (folder / "cast").is_dir() else folder


def load_rig(folder: Path) -> Rig:
    """The rig that the stage `rig` left in `folder`. NumPy and torch are all it takes."""
    from castfield.rigs.base import Rig

    return Rig.load(Path(folder) / "rig.npz")
