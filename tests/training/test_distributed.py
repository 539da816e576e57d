"""Several processes: the losses and gradients of the shares of a batch add up to those of the batch."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_scene import made_clip

from castfield.systems.model import build_model
from castfield.training.batches import Batches

sys.path.insert(0, str(Path(__file__).parents[1] / "systems"))
from small import small_config

CLIPS = [made_clip("a", 16, 24, seed=0), made_clip("b", 16, 24, seed=1), made_clip("c", 20, 24, seed=2)]


@pytest.mark.parametrize(
    ("field", "identity", "frames", "world"),
    [("grid", "planes", 6, 2), ("grid", "planes", 6, 4), ("grid", "conditioning", 5, 2), ("grid", "planes", 1, 3), ("mlp", "planes", 1, 3)],
)
def test_losses_and_gradients_of_the_shares_add_up(field, identity, frames, world):
    """Also where the frames of a person fall to two processes, and where the shares differ in size."""
    config = small_config(field, identity=identity)
    heavy = dict(latent_weight=1.0, identity_weight=1.0)
    grid, mlp = replace(config.train.grid, frames=frames, density_weight=1.0, **heavy), replace(config.train.mlp, **heavy)
    config = replace(config, train=replace(config.train, grid=grid, mlp=mlp))
    system = build_model(config, CLIPS, None).system
    batch = Batches(CLIPS, system.plan(), seed=0).draw(0)

    def learn(batch):
        system.zero_grad()
        loss, error = system.loss(batch, 0.6)
        loss.backward()
        zero = torch.zeros(())
        return loss.detach(), error, [p.grad if p.grad is not None else zero for p in system.parameters()]

    loss, error, gradients = learn(batch)
    losses, errors, parts = zip(*(learn(batch.share(rank, world)) for rank in range(world)), strict=True)
    torch.testing.assert_close(sum(losses), loss, rtol=1e-6, atol=0)
    torch.testing.assert_close(sum(errors), error, rtol=1e-6, atol=0)
    for whole, *some in zip(gradients, *parts, strict=True):
        assert (sum(some) - whole).norm() <= 2e-4 * whole.norm()
