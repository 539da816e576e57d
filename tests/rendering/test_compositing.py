import math

import torch

from castfield.rendering.compositing import composite, sample_weights
from castfield.rendering.march import expected_samples, two_passes
from castfield.rendering.rays import Rays


def test_homogeneous_medium_has_the_exact_transmittance():
    """Beer and Lambert: opacity 1 - exp(-sigma L), whatever the sampling."""
    length = torch.rand(7, 30, dtype=torch.float64)
    length = length / length.sum(-1, keepdim=True) * 0.4
    density = torch.full_like(length, 5.0)
    grey = torch.full((7, 30, 3), 0.25, dtype=torch.float64)
    colour, opacity, weights = composite(density, grey, length, torch.ones(7, 3, dtype=torch.float64))
    through = math.exp(-5.0 * 0.4)
    torch.testing.assert_close(opacity, torch.full((7,), 1 - through, dtype=torch.float64))
    torch.testing.assert_close(colour, torch.full((7, 3), 0.25 * (1 - through) + through, dtype=torch.float64))
    torch.testing.assert_close(weights.sum(-1), opacity)


def test_against_the_formula_by_loops():
    torch.manual_seed(0)
    density, length, colour = torch.rand(6).double() * 9, torch.rand(6).double(), torch.rand(6, 3).double()
    background = torch.rand(3).double()
    expected, through = torch.zeros(3).double(), 1.0
    for j in range(6):
        alpha = 1 - math.exp(-density[j] * length[j])
        expected += through * alpha * colour[j]
        through *= 1 - alpha
    found, opacity, _ = composite(density, colour, length, background)
    torch.testing.assert_close(found, expected + through * background)
    assert abs(opacity - (1 - through)) < 1e-12


def test_gradients():
    torch.manual_seed(0)
    density, length = (torch.rand(2, 5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    colour, background = (torch.rand(2, *s, 3, dtype=torch.float64, requires_grad=True) for s in ((5,), ()))
    assert torch.autograd.gradcheck(composite, (density, colour, length, background))
    assert torch.autograd.gradcheck(sample_weights, (density, length))


def test_an_opaque_first_sample_hides_the_rest():
    density = torch.tensor([1e6, 5.0])
    colour, opacity, _ = composite(density, torch.tensor([[1.0, 0, 0], [0, 1, 0]]), torch.ones(2), torch.tensor([0.0, 0, 1]))
    assert opacity == 1
    assert colour.tolist() == [1.0, 0.0, 0.0]


def _fog(points):
    return torch.full(points.shape[:-1], 4.0, dtype=points.dtype), torch.full_like(points, 0.5)


def test_both_marches_agree_with_the_closed_form():
    rays = Rays(torch.zeros(1, 9, 3).double(), torch.nn.functional.normalize(torch.randn(1, 9, 3).double(), dim=-1))
    near, far = torch.full((1, 9), 0.2).double(), torch.full((1, 9), 0.7).double()
    black = torch.zeros(1, 9, 3).double()
    opacity = 1 - math.exp(-4.0 * 0.5)
    seen = two_passes(_fog, _fog, rays, near, far, black, (64, 128), None)
    assert seen.coarse is not None
    torch.testing.assert_close(seen.alpha, torch.full((1, 9), opacity).double(), atol=0.01, rtol=0)
    torch.testing.assert_close(seen.colour, torch.full((1, 9, 3), 0.5 * opacity).double(), atol=0.01, rtol=0)
    depth, lengths = expected_samples(lambda p: _fog(p)[0], rays, near, far, 6, 40, None)
    _, alpha, _ = composite(*_fog(rays.at(depth)), lengths, black)
    torch.testing.assert_close(alpha, torch.full((1, 9), opacity).double(), atol=0.01, rtol=0)


def test_where_the_proposal_sees_nothing_the_background_shows():
    rays = Rays(torch.zeros(1, 2, 3), torch.tensor([[[0.0, 0, 1], [1.0, 0, 0]]]))
    near, far = torch.full((1, 2), 0.1), torch.full((1, 2), 0.9)
    depth, lengths = expected_samples(lambda p: (p[..., 2] > 0.3).float(), rays, near, far, 4, 20, torch.rand(1, 2, 4))
    colour, alpha, _ = composite(*_fog(rays.at(depth)), lengths, torch.full((1, 2, 3), 0.9))
    assert alpha[0, 0] > 0.5
    assert alpha[0, 1] == 0
    assert colour[0, 1].tolist() == torch.full((3,), 0.9).tolist()
