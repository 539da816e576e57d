"""The parts of a step side by side: the same gradients as one after the other, and nothing left behind."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from castfield.training.parts import Parts

SHARES = [torch.randn(3, 4, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]


@pytest.fixture
def model():
    torch.manual_seed(0)
    made = nn.ModuleDict({"used": nn.Linear(4, 4), "first": nn.Linear(4, 4), "idle": nn.Linear(4, 4), "fixed": nn.Linear(4, 4)})
    made["fixed"].requires_grad_(False)
    return made


def loss_of(model: nn.ModuleDict):
    def loss(share: torch.Tensor):
        out = model["fixed"](model["used"](share))
        if share is SHARES[0]:
            out = out + model["first"](share)
        return out.square().sum(), out.detach().abs().sum()

    return loss


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_gradients_are_those_of_backward(model, threads):
    loss, before = loss_of(model), torch.get_num_threads()
    for share in SHARES:
        loss(share)[0].backward()
    expected = {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    torch.set_num_threads(threads)
    try:
        with Parts(model.parameters(), len(SHARES)) as parts:
            sums = parts.learn(loss, SHARES)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(sums, sum(torch.stack([v.detach() for v in loss(share)]) for share in SHARES))
    for name, parameter in model.named_parameters():
        if expected[name] is None:
            assert parameter.grad is None, name
        else:
            torch.testing.assert_close(parameter.grad, expected[name], rtol=0, atol=0)


def test_an_error_in_a_part_is_raised(model):
    def loss(share: torch.Tensor):
        raise ValueError("not today")

    with Parts(model.parameters(), 2) as parts, pytest.raises(ValueError, match="not today"):
        parts.learn(loss, SHARES)


def test_parameters_that_are_added_to_each_other_keep_gradients_of_their_own():
    one, other = nn.Parameter(torch.zeros(4)), nn.Parameter(torch.zeros(4))

    def loss(share: torch.Tensor):
        value = ((one + other) * share).sum()  # autograd has one tensor for both
        return value, value / 2

    with Parts([one, other], len(SHARES)) as parts:
        sums = parts.learn(loss, SHARES)
    assert not sums.requires_grad
    for parameter in (one, other):
        torch.testing.assert_close(parameter.grad, sum(share.sum(0) for share in SHARES))
