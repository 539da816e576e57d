"""Every module of the table against its formula written out with explicit sums."""

import pytest
import torch

from castfield.errors import ConfigError
from castfield.fields.interaction import MODULES, build_module

D, L = 5, 3


def mv(matrix, vector):
    """Matrix times vector by explicit loops."""
    return torch.stack([sum(matrix[r, c] * vector[c] for c in range(matrix.shape[1])) for r in range(matrix.shape[0])])


def reference(name, m, e, i, l):  # noqa: E741 - the paper's letter
    w = {n: p for n, p in m.named_parameters()}
    g = lambda n: w[f"{n}.weight"]  # noqa: E731
    match name:
        case "M":
            return mv(g("C"), mv(g("U1"), e) * mv(g("U2"), i)) + mv(g("W2"), e) + mv(g("W3"), i)
        case "H":
            x = mv(g("U_e.0"), e) + mv(g("U_i.0"), i)
            n = 1
            while f"U_e.{n}.weight" in w:
                x = x + (mv(g(f"U_e.{n}"), e) + mv(g(f"U_i.{n}"), i)) * x
                n += 1
            return mv(g("C"), x)
        case "baseline":
            return torch.stack([*e, *i])
        case "concat":
            return torch.stack([*mv(g("W2"), e), *mv(g("W3"), i)])
        case "A1":
            return mv(g("W2"), e) + mv(g("W3"), i)
        case "A2":
            return e * i + mv(g("W2"), e) + mv(g("W3"), i)
        case "A3":
            return mv(g("W1"), e * i) + mv(g("W1"), e) + mv(g("W1"), i)
        case "A4":
            return mv(g("W1"), e * i)
        case "A5":
            return mv(g("W2"), e) * mv(g("W3"), i) + mv(g("W2"), e) + mv(g("W3"), i)
        case "A6":
            return mv(g("W1"), e * i) + mv(g("W2"), e) + mv(g("W3"), i)
        case "A7":
            return torch.stack([sum(w["W"][a, b, c] * e[b] * i[c] for b in range(D) for c in range(D)) for a in range(D)])
        case "M_latent":
            x, y, z = mv(g("U1"), e), mv(g("U2"), i), mv(g("U3"), l)
            return mv(g("C"), x * y * z + x * y + x * z + y * z + x + y + z)
    raise AssertionError(name)


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("sizes", [{}, {"k": 4, "N": 3, "o": 7}])
def test_formula_and_gradient(name, sizes):
    torch.manual_seed(0)
    module = build_module(name, D, latent=L, **sizes).double()
    e, i, l = (torch.randn(2, 4, n, dtype=torch.float64, requires_grad=True) for n in (D, D, L))  # noqa: E741
    out = module(e, i, l)
    assert out.shape == (2, 4, module.out_dim)
    torch.testing.assert_close(out[1, 2], reference(name, module, e[1, 2], i[1, 2], l[1, 2]))
    assert torch.autograd.gradcheck(lambda *v: module(*v), (e[0, :1], i[0, :1], l[0, :1]))


def test_sizes_of_the_paper():
    count = lambda m: sum(p.numel() for p in m.parameters())  # noqa: E731
    d = 79
    assert count(build_module("M", d)) == 2 * 8 * d + d * 8 + 2 * d * d
    assert count(build_module("M", d, k=32)) == 2 * 32 * d + d * 32 + 2 * d * d
    assert count(build_module("M", d, o=256)) == 2 * 8 * d + 256 * 8 + 2 * 256 * d
    assert count(build_module("H", d)) == 2 * 2 * d * d + d * d
    assert count(build_module("H", d, N=4)) == 4 * 2 * d * d + d * d
    assert count(build_module("A7", d)) == d**3
    assert count(build_module("baseline", d)) == 0
    assert build_module("baseline", d).out_dim == build_module("concat", d).out_dim == 2 * d
    assert count(build_module("M_latent", d, latent=32)) == 2 * d * d + d * 32 + d * d


def test_multiplication_is_there():
    """M is not additive: e's effect depends on i; A1's does not."""
    torch.manual_seed(1)
    e0, e1, i0, i1 = torch.randn(4, D)
    for name, additive in (("M", False), ("A1", True), ("concat", True)):
        m = build_module(name, D, latent=L)
        mixed = m(e1, i1) - m(e0, i1) - (m(e1, i0) - m(e0, i0))
        assert bool(mixed.abs().max() < 1e-6) is additive


def test_refusals():
    with pytest.raises(ConfigError, match="did you mean 'concat'"):
        build_module("conkat", D)
    with pytest.raises(ConfigError, match="latent"):
        build_module("M_latent", D, latent=0)
