"""Interaction modules: how expression e and identity i become one condition (MI-NeRF, section 3.2, Tables 1 and 4).

Every module is called as `module(e, i, l)` with e, i (..., d) and the latent code l (..., L), which only `M_latent`
uses, and gives (..., module.out_dim). `k` (rank), `N` (degree) and `o` (output dimension) are the paper's letters; 0
means the paper's choice for that module.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from castfield.errors import ConfigError, nearest


def _matrix(rows: int, columns: int) -> nn.Linear:
    """A learnable matrix (rows, columns), applied to the last axis."""
    return nn.Linear(columns, rows, bias=False)


class Interaction(nn.Module):
    """Base of all modules."""

    def __init__(self, out_dim: int) -> None:
        super().__init__()
        self.out_dim = out_dim


class Multiplicative(Interaction):
    """M: C[(U1 e) * (U2 i)] + W2 e + W3 i (paper eq. 1); U1, U2 (k, d), C (o, k), W2, W3 (o, d); k = 8, o = d."""

    def __init__(self, d: int, k: int, N: int, o: int, latent: int) -> None:
        super().__init__(o or d)
        k = k or 8
        self.U1, self.U2, self.C = _matrix(k, d), _matrix(k, d), _matrix(self.out_dim, k)
        self.W2, self.W3 = _matrix(self.out_dim, d), _matrix(self.out_dim, d)

    def forward(self, e: Tensor, i: Tensor, l: Tensor | None = None) -> Tensor:  # noqa: E741 - the paper's letter
        return self.C(self.U1(e) * self.U2(i)) + self.W2(e) + self.W3(i)


class HighDegree(Interaction):
    """H: x1 = U(1,1) e + U(1,2) i, xn = x(n-1) + (U(n,1) e + U(n,2) i) * x(n-1), H = C xN (paper eq. 2); k = o = d, N = 2."""

    def __init__(self, d: int, k: int, N: int, o: int, latent: int) -> None:
        super().__init__(o or d)
        k = k or d
        degree = N or 2
        self.U_e = nn.ModuleList(_matrix(k, d) for _ in range(degree))
        self.U_i = nn.ModuleList(_matrix(k, d) for _ in range(degree))
        self.C = _matrix(self.out_dim, k)

    def forward(self, e: Tensor, i: Tensor, l: Tensor | None = None) -> Tensor:  # noqa: E741
        x = self.U_e[0](e) + self.U_i[0](i)
        for of_e, of_i in zip(list(self.U_e)[1:], list(self.U_i)[1:], strict=True):
            x = x + (of_e(e) + of_i(i)) * x
        return self.C(x)


class Baseline(Interaction):
    """`baseline`: e and i side by side, without a module: (..., 2 d)."""

    def __init__(self, d: int, k: int, N: int, o: int, latent: int) -> None:
        super().__init__(2 * d)

    def forward(self, e: Tensor, i: Tensor, l: Tensor | None = None) -> Tensor:  # noqa: E741
        return torch.cat([e, i], -1)


class Concatenation(Interaction):
    """`concat`: [W2 e; W3 i] (paper appendix B, b): (..., 2 d)."""

    def __init__(self, d: int, k: int, N: int, o: int, latent: int) -> None:
        super().__init__(2 * d)
        self.W2, self.W3 = _matrix(d, d), _matrix(d, d)

    def forward(self, e: Tensor, i: Tensor, l: Tensor | None = None) -> Tensor:  # noqa: E741
        return torch.cat([self.W2(e), self.W3(i)], -1)


class A1(Interaction):
    """A1: W2 e + W3 i."""

    def __init__(self, d: int, k: int, N: int, o: int, latent: int) -> None:
        super().__init__(d)
        self.W2, self.W3 = _matrix(d, d), _matrix(d, d)

    def forward(self, e: Tensor, i: Tensor, l: Tensor | None = None) -> Tensor:  # noqa: E741
        return self.W2(e) + self.W3(i)


class A2(A1):
    """A2: (e * i) + W2 e + W3 i."""

    def forward(self, e: Tensor, i: Tensor, l: Tensor | None = None) -> Tensor:  # noqa: E741
        return e * i + self.W2(e) + self.W3(i)


class A3(Interaction):
    """A3: W1 (e * i) + W1 e + W1 i."""

    def __init__(self, d: int, k: int, N: int, o: int, latent: int) -> None:
        super().__init__(d)
        self.W1 = _matrix(d, d)

    def forward(self, e: Tensor, i: Tensor, l: Tensor | None = None) -> Tensor:  # noqa: E741
        return self.W1(e * i) + self.W1(e) + self.W1(i)


class A4(A3):
    """A4: W1 (e * i)."""

    def forward(self, e: Tensor, i: Tensor, l: Tensor | None = None) -> Tensor:  # noqa: E741
        return self.W1(e * i)


class A5(A1):
    """A5: (W2 e) * (W3 i) + W2 e + W3 i."""

    def forward(self, e: Tensor, i: Tensor, l: Tensor | None = None) -> Tensor:  # noqa: E741
        of_e, of_i = self.W2(e), self.W3(i)
        return of_e * of_i + of_e + of_i


class A6(A1):
    """A6: W1 (e * i) + W2 e + W3 i."""

    def __init__(self, d: int, k: int, N: int, o: int, latent: int) -> None:
        super().__init__(d, k, N, o, latent)
        self.W1 = _matrix(d, d)

    def forward(self, e: Tensor, i: Tensor, l: Tensor | None = None) -> Tensor:  # noqa: E741
        return self.W1(e * i) + self.W2(e) + self.W3(i)


class A7(Interaction):
    """A7: W x2 e x3 i with a full tensor W (d, d, d)."""

    def __init__(self, d: int, k: int, N: int, o: int, latent: int) -> None:
        super().__init__(d)
        self.W = nn.Parameter((torch.rand(d, d, d) * 2 - 1) / d)  # as nn.Linear would for a fan-in of d x d

    def forward(self, e: Tensor, i: Tensor, l: Tensor | None = None) -> Tensor:  # noqa: E741
        return torch.einsum("abc,...b,...c->...a", self.W, e, i)


class WithLatent(Interaction):
    """M_latent: C[E*I*L + E*I + E*L + I*L + E + I + L], E = U1 e, I = U2 i, L = U3 l (paper eq. 13); o = k = d."""

    def __init__(self, d: int, k: int, N: int, o: int, latent: int) -> None:
        super().__init__(o or d)
        if not latent:
            raise ConfigError(
                "the module 'M_latent' multiplies latent codes", expected="train.latent: true", cure="or choose another module"
            )
        k = k or d
        self.U1, self.U2, self.U3, self.C = _matrix(k, d), _matrix(k, d), _matrix(k, latent), _matrix(self.out_dim, k)

    def forward(self, e: Tensor, i: Tensor, l: Tensor | None = None) -> Tensor:  # noqa: E741
        if l is None:
            raise ValueError("M_latent needs the latent code")
        of_e, of_i, of_l = self.U1(e), self.U2(i), self.U3(l)
        pairs = of_e * of_i + of_e * of_l + of_i * of_l
        return self.C(of_e * of_i * of_l + pairs + of_e + of_i + of_l)


MODULES: dict[str, Callable[[int, int, int, int, int], Interaction]] = {
    "M": Multiplicative, "H": HighDegree, "baseline": Baseline, "concat": Concatenation, "M_latent": WithLatent,
    "A1": A1, "A2": A2, "A3": A3, "A4": A4, "A5": A5, "A6": A6, "A7": A7,
}  # fmt: skip


def build_module(name: str, d: int, *, k: int = 0, N: int = 0, o: int = 0, latent: int = 0) -> Interaction:
    """A module by name for expression and identity dimension d. Raises ConfigError for an unknown name."""
    if name not in MODULES:
        raise ConfigError(f"no such module '{name}'", expected=nearest(name, MODULES), where="params.yaml: module")
    return MODULES[name](d, k, N, o, latent)
