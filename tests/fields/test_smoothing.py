import torch

from castfield.fields.codes import Codes
from castfield.fields.smoothing import AttentionSmoothing


def test_weights_sum_to_one_and_weigh_the_window():
    torch.manual_seed(0)
    smoothing = AttentionSmoothing(6, 8).double()
    window = torch.randn(3, 8, 6, dtype=torch.float64, requires_grad=True)
    weights = smoothing.weights(window)
    assert weights.shape == (3, 8)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, dtype=torch.float64))
    expected = torch.stack([sum(weights[f, j] * window[f, j] for j in range(8)) for f in range(3)])
    torch.testing.assert_close(smoothing(window), expected)
    assert torch.autograd.gradcheck(smoothing, window)


def test_a_constant_window_is_unchanged():
    smoothing = AttentionSmoothing(4, 8)
    value = torch.randn(2, 1, 4)
    torch.testing.assert_close(smoothing(value.expand(-1, 8, -1)), value[:, 0])


def test_mean_latent_is_the_mean_over_training_frames():
    codes = Codes([3, 5], d=4, latent=6)
    table = torch.stack([codes.latent(torch.tensor([1]), torch.tensor([row]))[0] for row in range(5)])
    torch.testing.assert_close(codes.mean_latent(1), table.sum(0) / 5)


def test_a_step_touches_only_the_codes_it_saw():
    codes = Codes([3, 5], d=4, latent=6)
    codes.latent(torch.tensor([1, 1]), torch.tensor([0, 2])).sum().backward()
    assert codes.tables[0].grad is None
    assert codes.tables[1].grad.sum(1).tolist() == [6, 0, 6, 0, 0]
