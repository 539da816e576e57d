"""What the identity codes say: who lies near whom."""

from __future__ import annotations

import numpy as np


def neighbours(codes: np.ndarray) -> np.ndarray:
    """Cosine distances between codes (n, d) -> (n, n) in [0, 2], zero on the diagonal.

    The codes' common mean is taken away first: what all people share says nothing about who is alike.
    """
    centred = codes.astype(np.float64) - codes.mean(0)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = centred / np.where(length > 0, length, 1)
    distance = np.clip(1 - unit @ unit.T, 0, 2)
    np.fill_diagonal(distance, 0)
    return distance


def perplexity_for(count: int) -> float:
    """A perplexity that suits few codes: a third of the others, at most 30 and at least 1."""
    return float(min(30.0, max(1.0, (count - 1) / 3)))


def layout_of(codes: np.ndarray, seed: int) -> np.ndarray | None:
    """t-SNE (van der Maaten and Hinton 2008) of codes (n, d) -> (n, 2), seeded; None under 3 codes, where there is nothing to lay out."""
    if len(codes) < 3:
        return None
    from sklearn.manifold import TSNE

    method = TSNE(
        2, perplexity=perplexity_for(len(codes)), init="pca", method="exact", random_state=seed, learning_rate=10.0, metric="cosine"
    )
    return method.fit_transform(codes.astype(np.float64) - codes.mean(0)).astype(np.float64)
