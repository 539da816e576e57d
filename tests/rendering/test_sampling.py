import numpy as np
import torch

from castfield.rendering.sampling import hierarchical, inverse_cdf, near_surface, stratified


def test_stratified_keeps_to_its_parts():
    near, far = torch.tensor([1.0, 2.0]), torch.tensor([2.0, 6.0])
    depth = stratified(near, far, 8, torch.rand(2, 8))
    edges = near[:, None] + (far - near)[:, None] * torch.arange(9) / 8
    assert (depth >= edges[:, :-1]).all()
    assert (depth <= edges[:, 1:]).all()
    torch.testing.assert_close(stratified(near, far, 2, None), torch.tensor([[1.25, 1.75], [3.0, 5.0]]))


def test_inverse_cdf_against_numpy():
    edges, weights = torch.tensor([[0.0, 1.0, 3.0, 4.0, 7.0]]).double(), torch.tensor([[1.0, 0.0, 4.0, 5.0]]).double()
    quantiles = torch.rand(1, 50, dtype=torch.float64).sort().values
    cdf = np.concatenate([[0], np.cumsum(weights[0] / weights.sum())])
    # NumPy's interpolation of the inverse; the empty bin makes a jump, which no random quantile hits.
    expected = np.interp(quantiles[0], cdf, edges[0])
    np.testing.assert_allclose(inverse_cdf(edges, weights, quantiles)[0], expected, atol=1e-9)


def test_fine_samples_follow_the_coarse_weights():
    """A histogram of many fine samples is the piecewise constant density that the weights describe."""
    torch.manual_seed(0)
    depth = torch.linspace(0, 10, 11, dtype=torch.float64)[None]
    weights = torch.tensor([[9.0, 1, 2, 3, 4, 5, 4, 3, 2, 1, 9]], dtype=torch.float64)
    merged = hierarchical(depth, weights, 200_000, torch.rand(1, 200_000, dtype=torch.float64))[0]
    assert (merged[1:] >= merged[:-1]).all()
    more = merged[~torch.isin(merged, depth[0])]
    counts, _ = np.histogram(more, bins=np.arange(0.5, 10.5))
    expected = weights[0, 1:-1] / weights[0, 1:-1].sum()
    np.testing.assert_allclose(counts / counts.sum(), expected, atol=3e-3)


def test_positions_carry_no_gradient():
    weights = torch.rand(1, 8, requires_grad=True)
    assert not hierarchical(torch.arange(8.0)[None], weights, 4, None).requires_grad


def test_near_surface_stands_for_the_whole_mass():
    edges = torch.linspace(0, 1, 11)[None]
    weights = torch.zeros(1, 10).index_fill(1, torch.tensor([4, 5]), 1.0)
    depth, length = near_surface(edges, weights, 4, None)
    assert (depth > 0.4).all()
    assert (depth < 0.6).all()
    assert abs(length.sum() - 0.2) < 0.01
    depth, length = near_surface(edges, weights, 4, torch.rand(1, 4))
    ends = torch.cat([torch.zeros(1, 1), length.cumsum(-1)], -1) + 0.4
    assert (depth >= ends[:, :-1] - 0.01).all()
    assert (depth <= ends[:, 1:] + 0.01).all()


def test_no_mass_is_no_nan():
    depth, length = near_surface(torch.linspace(0, 1, 5)[None], torch.zeros(1, 4), 3, None)
    assert torch.isfinite(depth).all()
    assert torch.isfinite(length).all()
