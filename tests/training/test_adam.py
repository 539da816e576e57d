"""Adam by the kernel against PyTorch's."""

import copy

import pytest
import torch

from castfield.training.adam import Adam

SHAPES = [(3, 4099), (1,), (17,), (2, 2, 8), (5000,)]


def stepped(make, dtype, threads=2, steps=5, state=None):
    """Parameters after some steps, the third of which has no gradient now and then, and the optimiser's state."""
    torch.manual_seed(0)
    parameters = [torch.nn.Parameter(torch.randn(shape).to(dtype)) for shape in SHAPES]
    optimiser = make([{"params": parameters[:3], "lr": 1e-2}, {"params": parameters[3:], "lr": 3e-3}])
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for step in range(steps):
            gradients = [torch.randn(shape).to(dtype) for shape in SHAPES]
            for k, (parameter, gradient) in enumerate(zip(parameters, gradients, strict=True)):
                parameter.grad = None if k == 2 and step % 2 else gradient
            if step == 3 and state == "saved":
                optimiser.load_state_dict(copy.deepcopy(optimiser.state_dict()))
            optimiser.step()
    finally:
        torch.set_num_threads(before)
    return [p.detach() for p in parameters]


def torch_adam(groups):
    return torch.optim.Adam(groups, betas=(0.9, 0.999), eps=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_same_as_pytorch(dtype):
    for own, other in zip(stepped(Adam, dtype), stepped(torch_adam, torch.float64), strict=True):
        torch.testing.assert_close(own.double(), other, atol=2e-6, rtol=1e-6)


def test_the_bits_depend_neither_on_threads_nor_on_saving():
    first = stepped(Adam, torch.float32)
    for other in (stepped(Adam, torch.float32, threads=1), stepped(Adam, torch.float32, state="saved")):
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def together(kernels, monkeypatch, threads=2):
    """Texels after some steps of which a fifth of the gradients are zero, and the state; by the kernel or without it."""
    monkeypatch.setenv("CASTFIELD_KERNELS", "on" if kernels else "off")
    torch.manual_seed(0)
    planes, other = torch.nn.Parameter(torch.randn(3, 1001, 12)), torch.nn.Parameter(torch.randn(40))
    optimiser = Adam([{"params": [planes], "lr": 1e-2, "together": 12}, {"params": [other], "lr": 3e-3}])
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for _ in range(5):
            planes.grad, other.grad = torch.randn_like(planes) * (torch.rand(3, 1001, 1) > 0.2), torch.randn_like(other)
            optimiser.step()
    finally:
        torch.set_num_threads(before)
    return planes.detach(), other.detach(), optimiser.state[planes]["exp_avg_sq"]


def test_channels_share_a_mean_of_squares_with_and_without_kernels(monkeypatch):
    found = {kernels: together(kernels, monkeypatch) for kernels in (True, False)}
    assert found[True][2].shape == (3, 1001)
    for fast, plain in zip(found[True], found[False], strict=True):
        torch.testing.assert_close(fast, plain, atol=2e-6, rtol=1e-5)
    assert all(torch.equal(a, b) for a, b in zip(found[True], together(True, monkeypatch, threads=1), strict=True))


def test_channels_with_gradients_of_one_size_move_as_pytorch_has_it():
    torch.manual_seed(0)
    start, sizes = torch.randn(50, 8), [torch.rand(50, 1) for _ in range(4)]
    signs = torch.randn(4, 50, 8).sign()
    moved = []
    for make in (lambda p: Adam([{"params": [p], "lr": 1e-2, "together": 8}]), lambda p: torch_adam([{"params": [p], "lr": 1e-2}])):
        parameter = torch.nn.Parameter(start.clone())
        optimiser = make(parameter)
        for size, sign in zip(sizes, signs, strict=True):
            parameter.grad = size * sign
            optimiser.step()
        moved.append(parameter.detach())
    torch.testing.assert_close(*moved, atol=2e-6, rtol=1e-5)
