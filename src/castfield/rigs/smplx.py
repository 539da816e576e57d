"""SMPL-X (Pavlakos et al. 2019): the head of a whole body of 10,475 vertices, with FLAME's expressions, jaw and eyes.

Read from `SMPLX_*.npz`: the edition of 2020 has 300 directions of shape and 100 of expression, the first one 10 and 10.
"""

from __future__ import annotations

import numpy as np

from castfield.config import RigConfig
from castfield.rigs.assembly import assemble
from castfield.rigs.base import Rig
from castfield.rigs.licensed import Licence, read_arrays
from castfield.rigs.skinned import Joints, Skinned

LICENCE = Licence("SMPL-X", "https://smpl-x.is.tue.mpg.de", "after registration; for research")
FILES = ("SMPLX_NEUTRAL_2020.npz", "SMPLX_NEUTRAL.npz", "SMPLX_FEMALE.npz", "SMPLX_MALE.npz")
VERTICES, JOINTS = 10475, 55
HEAD = Joints(neck=12, jaw=22, eyes=(23, 24))
SHAPES = {400: 300, 20: 10}


def bake(config: RigConfig) -> tuple[Rig, dict[str, np.ndarray]]:
    """Bake SMPL-X. Raises ConfigError without `rig.path` and CastfieldError where its file is missing or of another shape."""
    path = LICENCE.find(config, FILES)
    model = Skinned.read(LICENCE, read_arrays(path), path, VERTICES, JOINTS, SHAPES)
    return assemble(model.head(HEAD, config.expressions or 100, {}), config, LICENCE.model), {}
