"""The Basel Face Model 2009 (Paysan et al.) with the expression directions of Guo et al. (2018), 79, as MI-NeRF uses them.

`01_MorphableModel.mat`: 53,490 vertices in micrometres, 199 directions of shape, `tl` triangles counted from 1. The expressions lie
beside it in one of the two forms in which they go round:

- `Exp_Pca.bin` (int32 number of directions; float32 mean, then directions, over 53,215 vertices), `std_exp.txt` (standard deviations)
  and `BFM_exp_idx.mat` (`trimIndex`: which of the 53,490 these are, counted from 1);
- `exp_info.npy` (`mu_exp`, `base_exp`, `sig_exp`) and `topology_info.npy` (`sub_inds`: which vertices, from 0), as AD-NeRF has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from castfield.config import RigConfig
from castfield.rigs.assembly import Head, assemble, directions
from castfield.rigs.base import Rig
from castfield.rigs.licensed import Licence, read_arrays

LICENCE = Licence("the Basel Face Model 2009", "https://faces.dmi.unibas.ch/bfm", "after signing; for research")
FILE = "01_MorphableModel.mat"
FORMS = "Exp_Pca.bin with std_exp.txt and BFM_exp_idx.mat, or exp_info.npy with topology_info.npy"
VERTICES, SHAPES, TRIMMED = 53490, 199, 53215
MICROMETRES = 1e-6
IDENTITIES = 100
"""Identity directions kept, as AD-NeRF and those after it do."""


@dataclass(frozen=True)
class Expressions:
    """An expression basis over some vertices of the model."""

    vertices: np.ndarray
    """(K,) indices."""
    mean: np.ndarray
    """(K, 3) micrometres, added to the mean shape."""
    basis: np.ndarray
    """(d, K, 3) micrometres per unit."""
    deviation: np.ndarray
    """(d,) units per standard deviation."""


def bake(config: RigConfig) -> tuple[Rig, dict[str, np.ndarray]]:
    """Bake the model. Raises ConfigError without `rig.path` and CastfieldError where a file is missing or of another shape."""
    path = LICENCE.find(config, [FILE])
    values = read_arrays(path)
    mean, texture = (LICENCE.array(values, name, (3 * VERTICES, 1), path).reshape(-1, 3) for name in ("shapeMU", "texMU"))
    basis = LICENCE.array(values, "shapePC", (3 * VERTICES, SHAPES), path)[:, :IDENTITIES].astype(np.float64)
    deviation = LICENCE.array(values, "shapeEV", (SHAPES, 1), path)[:IDENTITIES, 0].astype(np.float64)
    faces = LICENCE.array(values, "tl", (None, 3), path).astype(np.int64) - 1
    if len(faces) == 0 or faces.min() < 0 or faces.max() >= VERTICES:
        raise LICENCE.refusal("`tl` names vertices that are not there", expected=f"1 to {VERTICES}", where=path)
    spoken = _expressions(path)
    d = min(config.expressions or len(spoken.basis), len(spoken.basis))
    keep = spoken.vertices
    where = np.full(VERTICES, -1)
    where[keep] = np.arange(len(keep))
    faces = where[faces]
    head = Head(
        neutral=MICROMETRES * (mean[keep].astype(np.float64) + spoken.mean),
        identity=MICROMETRES * (basis * deviation).T.reshape(IDENTITIES, -1, 3)[:, keep],
        expression=MICROMETRES * spoken.basis[:d] * spoken.deviation[:d, None, None],
        names=directions(d),
        one_sided=np.zeros(d, bool),
        faces=faces[(faces >= 0).all(1)],
        eyes=np.zeros((2, len(keep)), bool),
        colours=texture[keep].astype(np.float32),
    )
    used = np.unique(head.faces)
    return assemble(head.restricted(used), config, LICENCE.model), {}


def _expressions(model: Path) -> Expressions:
    """The expression basis beside the model file, in whichever form it lies there."""
    folder = model.parent
    binary, deviations, index, info, topology = (
        folder / name for name in ("Exp_Pca.bin", "std_exp.txt", "BFM_exp_idx.mat", "exp_info.npy", "topology_info.npy")
    )
    if binary.is_file() and deviations.is_file() and index.is_file():
        return _trimmed(binary, deviations, index)
    if info.is_file() and topology.is_file():
        return _reduced(info, topology)
    raise LICENCE.refusal("the expression directions are missing", expected=FORMS, where=folder)


def _trimmed(binary: Path, deviations: Path, index: Path) -> Expressions:
    d = int(np.fromfile(binary, "<i4", 1)[0]) if binary.stat().st_size >= 4 else 0
    values = np.fromfile(binary, "<f4", offset=4) if d else np.empty(0)
    if d <= 0 or len(values) != 3 * TRIMMED * (d + 1) or not np.isfinite(values).all():
        expected = f"a number of directions, then {3 * TRIMMED} values for the mean and for each"
        raise LICENCE.refusal("the expression file has another shape", expected=expected, found=f"{len(values)} values", where=binary)
    rows = read_arrays(index)
    chosen = np.asarray(rows.get("trimIndex", ())).reshape(-1).astype(np.int64) - 1
    vertices = _indices(chosen, TRIMMED, index, "trimIndex")
    try:
        sizes = np.loadtxt(deviations, ndmin=1).reshape(-1)
    except ValueError:
        sizes = np.empty(0)
    sizes = LICENCE.array({"std_exp": sizes}, "std_exp", (d,), deviations)
    return Expressions(vertices, values[: 3 * TRIMMED].reshape(-1, 3), values[3 * TRIMMED :].reshape(d, -1, 3), sizes)


def _reduced(info: Path, topology: Path) -> Expressions:
    chosen = np.asarray(read_arrays(topology).get("sub_inds", ())).reshape(-1).astype(np.int64)
    vertices = _indices(chosen, None, topology, "sub_inds")
    values = read_arrays(info)
    count = 3 * len(vertices)
    values |= {name: np.asarray(values[name]).reshape(-1) for name in ("mu_exp", "sig_exp") if name in values}
    basis = LICENCE.array(values, "base_exp", (None, count), info)
    mean = LICENCE.array(values, "mu_exp", (count,), info)
    deviation = LICENCE.array(values, "sig_exp", (len(basis),), info)
    return Expressions(vertices, mean.reshape(-1, 3), basis.reshape(len(basis), -1, 3), deviation)


def _indices(chosen: np.ndarray, count: int | None, where: Path, name: str) -> np.ndarray:
    right = len(chosen) > 0 and (count is None or len(chosen) == count) and chosen.min() >= 0 and chosen.max() < VERTICES
    if not right or len(np.unique(chosen)) != len(chosen):
        expected = f"{count or 'some'} of the {VERTICES} vertices"
        raise LICENCE.refusal(f"`{name}` has another shape", expected=expected, found=f"{len(chosen)} numbers", where=where)
    return chosen
