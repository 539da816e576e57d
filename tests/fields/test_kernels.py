"""The CPU kernels against plain PyTorch, and to the bit against themselves on other numbers of threads."""

import copy
import os
import platform
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from castfield.config import GridConfig
from castfield.fields.fast import cpu_kernels
from castfield.fields.fused import mix_planes
from castfield.fields.grid import GridField, Prepared
from castfield.fields.planes import CELLS, look_up_grid, texels
from castfield.fields.proposal import Proposal
from castfield.geometry import FRONTAL, axis_angle_to_matrix
from castfield.rendering.rays import pixel_rays


def new_field(**changes):
    """A field of three people with strong features."""
    torch.manual_seed(0)
    config = replace(GridConfig(), resolutions=(8, 16), expression_planes=3, expression_resolution=8, **changes)
    field = GridField(3, 5, 3, config)
    with torch.no_grad():
        for planes in field.people:
            planes.normal_()
        field.prior.normal_()
    return field


def raw(field, threads=2):
    """What is learned, and the prior, at points of three people in six frames; and the gradients of a function."""
    torch.manual_seed(1)
    config, like = field.config, field.mix.weight
    moved = torch.randn(6, texels((config.expression_resolution,)), config.channels).to(like).requires_grad_()
    bias = torch.randn(6, config.width).to(like).requires_grad_()
    unit, weight = (torch.rand(6, 333, 3) * 2.4 - 1.2).to(like), torch.randn(6, 333, 4).to(like)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        out, prior = field(unit, Prepared(torch.tensor([2, 0, 1]), moved, bias))
        learnable = [*field.people, field.entry.weight, *field.hidden.parameters(), *field.out.parameters()]
        gradients = torch.autograd.grad((out * weight).square().mean(), [moved, bias, *learnable])
    finally:
        torch.set_num_threads(before)
    return [out.detach(), prior, *gradients]


def rays_of(people):
    turns = torch.tensor([[0.0, 0.0, 0.0], [0.2, -0.5, 0.1], [-0.3, 0.4, 0.2]])
    rotation, translation = torch.from_numpy(FRONTAL).float() @ axis_angle_to_matrix(turns), torch.tensor([[0.0, 0.02, 0.7]] * 3)
    torch.manual_seed(1)
    return pixel_rays(torch.rand(people, 500, 2) * 48, rotation, translation, torch.full((3,), 70.0), 48)


def without_kernels(monkeypatch, compute):
    with monkeypatch.context() as patch:
        patch.setenv("CASTFIELD_KERNELS", "off")
        assert cpu_kernels(torch.zeros(1)) is None
        return compute()


def test_the_kernels_are_in_use():
    assert cpu_kernels(torch.zeros(1)) is not None
    assert cpu_kernels(torch.zeros(1, dtype=torch.float64)) is None


@pytest.mark.parametrize("shape", [{}, {"channels": 4, "width": 16}])
def test_the_field_and_its_gradients_agree_with_plain_torch_in_double_precision(shape):
    field = new_field(**shape)
    for fast, plain in zip(raw(field), raw(copy.deepcopy(field).double()), strict=True):
        torch.testing.assert_close(fast.double(), plain, atol=1e-5 * float(plain.abs().max()), rtol=1e-4)


def test_a_width_that_the_kernels_do_not_take():
    field = new_field(width=18)
    for fast, plain in zip(raw(field), raw(copy.deepcopy(field).double()), strict=True):
        torch.testing.assert_close(fast.double(), plain, atol=1e-5 * float(plain.abs().max()), rtol=1e-4)


def test_without_gradients_the_field_says_the_same():
    field = new_field()
    prepared = field.prepare(torch.tensor([1]), torch.randn(1, 5), torch.randn(1, 3))
    unit = torch.rand(1, 200, 3) * 2 - 1
    with torch.no_grad():
        quick = field(unit, prepared)
    assert all(torch.equal(a, b) for a, b in zip(field(unit, prepared), quick, strict=True))


@pytest.mark.parametrize("threads", [1, 2])
def test_the_bits_do_not_depend_on_threads(threads):
    field = new_field()
    assert all(torch.equal(a, b) for a, b in zip(raw(field, 2), raw(field, threads), strict=True))


def mixed(dtype, threads=2):
    torch.manual_seed(0)
    weights, planes, score = torch.randn(5, 3), torch.randn(3, 200, 4), torch.randn(5, 200, 4)
    weights, planes, score = weights.to(dtype).requires_grad_(), planes.to(dtype).requires_grad_(), score.to(dtype)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        out = mix_planes(weights, planes)
        return [out.detach(), *torch.autograd.grad((out * score).sum(), [weights, planes])]
    finally:
        torch.set_num_threads(before)


def test_mixed_planes_agree_with_plain_torch_and_do_not_depend_on_threads():
    for fast, one, plain in zip(mixed(torch.float32), mixed(torch.float32, 1), mixed(torch.float64), strict=True):
        torch.testing.assert_close(fast.double(), plain, atol=2e-5, rtol=1e-5)
        assert torch.equal(fast, one)


def test_trilinear_agrees_with_plain_torch(monkeypatch):
    torch.manual_seed(0)
    grids, which, unit = torch.randn(4, 6, 6, 6).half(), torch.tensor([3, 1]), torch.rand(6, 300, 3) * 2.4 - 1.2
    plain = without_kernels(monkeypatch, lambda: look_up_grid(grids, which, unit))
    torch.testing.assert_close(look_up_grid(grids, which, unit), plain, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("noisy", [False, True])
def test_proposed_samples_agree_with_plain_torch(monkeypatch, noisy):
    torch.manual_seed(0)
    proposal = Proposal(2)
    for person in range(2):
        blobs = torch.nn.functional.avg_pool3d((torch.rand(1, CELLS, CELLS, CELLS) > 0.999).float() * 9000, 5, 1, 2)
        proposal.start(person, blobs, blobs.reshape(-1) > 0)
    rays, people = rays_of(3), torch.tensor([1, 0, 1])
    noise = torch.rand(3, 500, 4) if noisy else None
    fast = proposal.samples(rays, people, 4, noise)
    plain = without_kernels(monkeypatch, lambda: proposal.samples(rays, people, 4, noise))
    assert (plain[1] > 0).any()
    assert (plain[1] == 0).all(-1).any(), "some rays meet nothing"
    # A probe on the border of a cell may fall to either side, and where little is expected rounding moves a quantile: in most
    # samples less than a tenth of a millimetre, in few more than one.
    for a, b, scale in zip(fast, plain, (6, 1), strict=True):  # places in [-1, 1], lengths in metres
        assert ((a - b).abs() < 1e-4 * scale).float().mean() > 0.93
        assert ((a - b).abs() < 1e-3 * scale).float().mean() > 0.96


def test_starting_the_kernels_leaves_pytorch_s_threads_alone():
    """In a process of its own: the kernels start once."""
    code = (
        "import torch; torch.set_num_threads(1)\n"
        "from castfield.fields.fast import cpu_kernels; cpu_kernels(torch.zeros(1))\n"
        "print(torch.get_num_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="other CPUs always convert float16")
def test_where_the_cpu_does_not_convert_float16_plain_torch_does_instead_of_a_crash():
    code = (
        "import torch; from castfield.fields.proposal import Proposal, CELLS\n"
        "proposal = Proposal(1); proposal.start(0, torch.zeros(CELLS**3), torch.ones(CELLS**3, dtype=torch.bool))\n"
        "print(proposal.guide.min().item())"
    )
    env = {**os.environ, "NUMBA_CPU_NAME": "generic"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert (done.returncode, done.stdout.strip()) == (0, "3.0"), done.stderr
    assert "need a CPU with f16c" in done.stderr


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_guide_is_the_same_with_kernels_and_without(monkeypatch, share):
    torch.manual_seed(0)
    proposal, density, hull = Proposal(1), 300 * torch.rand(CELLS**3), torch.rand(CELLS**3) < share
    proposal.start(0, density, hull)
    fast = proposal.guide.clone()
    without_kernels(monkeypatch, proposal.refresh)
    assert torch.equal(fast, proposal.guide)
