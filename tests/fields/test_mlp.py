from dataclasses import replace

import torch

from castfield.config import MLPConfig, TrainConfig
from castfield.fields.mlp import RadianceMLP
from castfield.systems.mi_nerf import PaperSystem, Spec


def hand_count(condition: int) -> int:
    """The description of appendix E, added up by hand; weights and biases."""
    point = 63 + condition
    trunk = (point * 256 + 256) + 3 * (256 * 256 + 256) + ((256 + point) * 256 + 256) + 3 * (256 * 256 + 256)
    density = 256 + 1
    colour = ((256 + 27) * 128 + 128) + 3 * (128 * 128 + 128) + (128 * 3 + 3)
    return trunk + density + colour


def test_parameter_count_is_what_the_paper_describes():
    condition = 79 + 32
    network = RadianceMLP(condition, MLPConfig())
    assert sum(p.numel() for p in network.parameters()) == hand_count(condition) == 636420
    frames = (100, 50)
    system = PaperSystem(Spec("M", 79, frames, replace(TrainConfig(), field="mlp")))
    module = 2 * 8 * 79 + 79 * 8 + 2 * 79 * 79
    codes = 2 * 79 + 150 * 32
    attention = sum(sum(3 * a * b + b for a, b in zip([n, 16, 8, 4, 2], [16, 8, 4, 2, 1], strict=True)) + 8 * 8 + 8 for n in (79, 32))
    assert sum(p.numel() for p in system.parameters()) == 2 * hand_count(condition) + module + codes + attention


def test_shapes_and_gradients():
    torch.manual_seed(0)
    small = replace(MLPConfig(), width=8, layers=4, colour_width=4, colour_layers=2, frequencies_x=2, frequencies_v=1)
    network = RadianceMLP(3, small).double()
    points, directions, condition = (torch.randn(*s, 3, dtype=torch.float64, requires_grad=True) for s in ((2, 2, 2), (2, 2), (2,)))
    density, colour = network(points, directions, condition)
    assert density.shape == (2, 2, 2)
    assert colour.shape == (2, 2, 2, 3)
    assert (density >= 0).all()
    assert (colour > 0).all()
    assert (colour < 1).all()
    assert torch.autograd.gradcheck(lambda p, c: network(p, directions.detach(), c), (points, condition))


def test_density_does_not_depend_on_direction_but_colour_does():
    torch.manual_seed(0)
    network = RadianceMLP(0, MLPConfig(width=16, colour_width=8))
    points, none = torch.randn(1, 1, 5, 3), torch.zeros(1, 0)
    first, second = (network(points, torch.tensor([[v]]), none) for v in ([0.0, 0.0, 1.0], [0.0, 1.0, 0.0]))
    torch.testing.assert_close(first[0], second[0])
    assert (first[1] - second[1]).abs().max() > 1e-5
