"""FLAME (Li et al. 2017): 5023 vertices, 300 directions of shape and 100 of expression, joints of neck, jaw and eyes.

Read from `generic_model.pkl` (FLAME 2020) or `flame2023.pkl` (2023, also the Open one), or an .npz of the same arrays. FLAME's own
directions hardly close the eyes: if `l_eyelid.npy` and `r_eyelid.npy` (5023 x 3, as trackers of FLAME give them out) lie beside
the model, they become the actions eyeBlinkLeft and eyeBlinkRight.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from castfield.config import RigConfig
from castfield.rigs.assembly import assemble
from castfield.rigs.base import Rig
from castfield.rigs.licensed import Licence, read_arrays
from castfield.rigs.skinned import Joints, Skinned

LICENCE = Licence("FLAME", "https://flame.is.tue.mpg.de", "after registration; FLAME 2023 Open is CC BY 4.0, the others are for research")
FILES = ("flame2023.pkl", "generic_model.pkl", "flame2023.npz", "generic_model.npz")
VERTICES, JOINTS = 5023, 5
HEAD = Joints(neck=1, jaw=2, eyes=(3, 4))
SHAPES = {400: 300}
LIDS = {"eyeBlinkLeft": "l_eyelid.npy", "eyeBlinkRight": "r_eyelid.npy"}


def bake(config: RigConfig) -> tuple[Rig, dict[str, np.ndarray]]:
    """Bake FLAME. Raises ConfigError without `rig.path` and CastfieldError where its file is missing or of another shape."""
    path = LICENCE.find(config, FILES)
    model = Skinned.read(LICENCE, read_arrays(path), path, VERTICES, JOINTS, SHAPES)
    lids = {name: _lid(other) for name, file in LIDS.items() if (other := LICENCE.beside(path, file))}
    if not lids:
        print(f"rig: {' and '.join(LIDS.values())} do not lie beside {path.name}: blinks will not be fitted", flush=True)
    return assemble(model.head(HEAD, config.expressions or 100, lids), config, LICENCE.model), {}


def _lid(path: Path) -> np.ndarray:
    """(5023, 3) shift of a closed lid; the file may have a leading axis of one."""
    values = np.load(path, allow_pickle=False)
    values = values[0] if values.ndim == 3 and len(values) == 1 else values
    return LICENCE.array({path.stem: values}, path.stem, (VERTICES, 3), path).astype(np.float64)
