"""Compositing and loss of the fast field by the kernels, against plain PyTorch."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch

from castfield.config import GridConfig
from castfield.systems.grid_rays import rendered, score

CONFIG = GridConfig(mask_weight=0.7, density_weight=0.3)
RAYS, SAMPLES, ELSEWHERE = 37, 5, 11


def scene(dtype=torch.float32):
    """Raw values, prior and lengths of rays in three frames, some of which meet nothing, and what they should show."""
    torch.manual_seed(0)
    points = RAYS * SAMPLES + ELSEWHERE
    raw, prior = torch.randn(3, points, 4) * 3, torch.randn(3, points) * 3
    lengths = torch.rand(3, RAYS, SAMPLES) * 0.02
    lengths[:, ::5] = 0
    shown = SimpleNamespace(background=torch.rand(3, RAYS, 3), colour=torch.rand(3, RAYS, 3), mask=torch.rand(3, RAYS))
    shown = SimpleNamespace(**{name: value.to(dtype) for name, value in vars(shown).items()})
    return raw.to(dtype).requires_grad_(), prior.to(dtype), lengths.to(dtype), shown


def scored(dtype, config=CONFIG):
    raw, prior, lengths, shown = scene(dtype)
    total, error = score(raw, prior, lengths, shown, config)
    (3 * total).backward()
    return total.detach(), error, raw.grad


@pytest.mark.parametrize("changes", [{}, {"mask_weight": 0.0}, {"density_weight": 0.0}])
def test_loss_and_gradient_agree_with_plain_torch_in_double_precision(changes):
    config = dataclasses.replace(CONFIG, **changes)
    for fast, plain in zip(scored(torch.float32, config), scored(torch.float64, config), strict=True):
        torch.testing.assert_close(fast.double(), plain, atol=1e-6 * float(plain.abs().max()), rtol=2e-4)


def test_the_bits_do_not_depend_on_threads():
    found = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(scored(torch.float32))
    torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_colours_agree_with_plain_torch():
    on_rays = RAYS * SAMPLES
    seen = {}
    for dtype in (torch.float32, torch.float64):
        raw, prior, lengths, shown = scene(dtype)
        with torch.no_grad():
            seen[dtype] = rendered(raw[:, :on_rays], prior[:, :on_rays], lengths, shown.background)
    for name in ("colour", "alpha"):
        fast, plain = (getattr(seen[dtype], name) for dtype in (torch.float32, torch.float64))
        torch.testing.assert_close(fast.double(), plain, atol=2e-6, rtol=0)
    assert (seen[torch.float32].alpha[:, ::5] == 0).all()
