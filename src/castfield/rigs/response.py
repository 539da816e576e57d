"""How the face tracker answers to a face: not quite where the mesh is, and weaker or stronger than the mesh moves.

Its landmarks lie beside the mesh, by an offset of their own, and follow an action by half, or a neighbour's motion instead; and they
shift over the face as it turns. On rendered people with random expressions both sides are known, so the answer is learned: linear in
identity and expression, like the rig itself, and of second order in the side from which the face is seen. What a fit compares with the
tracker's points is then `Rig.seen`, the mesh's landmarks with this answer. What remains goes together over the face; its principal modes
tell the fit which errors to expect (generalised least squares).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from tqdm import tqdm

from castfield.errors import CastfieldError
from castfield.rigs.base import Rig
from castfield.rigs.correspondence import Camera, View, observe, several, turned_view
from castfield.rigs.stored import view_terms

PEOPLE, PER_PERSON = 45, 12
"""Random people, and random expressions and sides of each."""
ACTIVE = 0.22
"""Share of the actions that are at work in a random expression."""
TURN = 0.22, 0.14
"""Standard deviations of yaw and pitch, radians."""
FIRM_ACTION, FIRM_PERSON, FIRM_VIEW, FIRM_PLACE = 3.0, 30.0, 0.3, 0.1
"""How many views it takes to believe in half of what they say: ridge weights of expression, identity, side and offset."""
ROUNDS = 3
MODES = 40
"""Modes of the error that are kept."""


@dataclass(frozen=True)
class Answers:
    """What the tracker said to S views, against the mesh's landmarks. Metres across the line of sight at each landmark's depth."""

    error: np.ndarray
    """(S, L, 2) tracked less projected."""
    across: np.ndarray
    """(S, L, 2, 3) derivative of such a place for the landmark's place in the head."""
    identity: np.ndarray
    """(S, I)."""
    expression: np.ndarray
    """(S, d)."""
    view: np.ndarray
    """(S, 5) `view_terms`."""

    @property
    def known(self) -> np.ndarray:
        """(S, I + d + 5): what the answer is linear in."""
        return np.concatenate([self.identity, self.expression, self.view], 1)

    def part(self, views: np.ndarray) -> Answers:
        """Those of some views."""
        return Answers(self.error[views], self.across[views], self.identity[views], self.expression[views], self.view[views])


def attach(rig: Rig) -> Rig:
    """The rig with its `landmark_response`."""
    answers = ask(rig, views(rig))
    return replace(rig, landmark_response=torch.from_numpy(np.concatenate([learn(answers), modes(answers)])).float())


def views(rig: Rig) -> list[View]:
    """PEOPLE people with PER_PERSON random expressions each: few actions at once, mostly the same left and right."""
    rng = np.random.default_rng(1)
    names = rig.expression_names
    halves = [(names.index(n), names.index(n[:-4] + "Right")) for n in names if n.endswith("Left") and n[:-4] + "Right" in names]
    opposite = {names.index(n) for n in names if n in ("jawLeft", "mouthLeft") or n.startswith("eyeLook")}
    out = []
    for _ in range(PEOPLE):
        identity = 0.9 * rng.standard_normal(rig.identity_dim)
        for _ in range(PER_PERSON):
            expression = np.where(rng.random(rig.d) < ACTIVE, rng.random(rig.d) ** 1.3, 0.0)
            if rng.random() < 0.8:
                for left, right in halves:
                    if left not in opposite:
                        expression[right] = np.clip(expression[left] * rng.normal(1, 0.1), 0, 1)
            if "mouthClose" in names and "jawOpen" in names:  # lips meet over an open jaw, never through each other
                shut, jaw = names.index("mouthClose"), names.index("jawOpen")
                expression[shut] = min(expression[shut], 0.6 * expression[jaw])
            out.append(turned_view(identity, expression, rng.normal(0, TURN[0]), rng.normal(0, TURN[1])))
    return out


def ask(rig: Rig, pictures: list[View]) -> Answers:
    """Render the views small, as a tracker sees faces anyway, and compare."""
    camera = Camera(rig, size=256)
    with several() as trackers, tqdm(total=len(pictures), desc="rig: response", unit="view") as bar:
        points = observe(camera, pictures, trackers, bar)
    found = np.isfinite(points).all((1, 2))
    tracked, kept = points[found], [view for view, is_face in zip(pictures, found, strict=True) if is_face]
    if len(kept) < 0.8 * len(pictures):
        raise CastfieldError("the tracker does not find the rendered heads", expected=f"{len(pictures)} views", found=len(kept))
    identity, expression = (np.stack([getattr(v, name) for v in kept]) for name in ("identity", "expression"))
    shape = rig.landmarks(torch.from_numpy(identity).float(), torch.from_numpy(expression).float()).double().numpy()
    rotation, translation = np.stack([v.rotation for v in kept]), np.stack([v.translation for v in kept])
    place = shape @ rotation.transpose(0, 2, 1) + translation[:, None]
    depth = place[..., 2:]
    pixels = camera.focal * place[..., :2] / depth + camera.size / 2
    across = rotation[:, None, :2] - (place[..., :2] / depth)[..., None] * rotation[:, None, 2:]
    return Answers((tracked - pixels) * depth / camera.focal, across, identity, expression, view_terms(rotation))


def learn(answers: Answers) -> np.ndarray:
    """(1 + I + d + 5, L, 3) metres: offset of each landmark, and what identity, expression and the side add to it.

    By ridge regression, robust against views that were tracked badly. The offset has depth, which many sides show; the rest is
    learned across the face only.
    """
    error, across = answers.error, answers.across
    known = answers.known
    mean = known.mean(0)
    known = known - mean  # so that the offset and the rest are found almost independently
    widths = [part.shape[1] for part in (answers.identity, answers.expression, answers.view)]
    firm = np.diag(np.repeat([FIRM_PERSON, FIRM_ACTION, FIRM_VIEW], widths))
    count, landmarks = error.shape[:2]
    place, moves = np.zeros((landmarks, 3)), np.zeros((known.shape[1], landmarks, 2))
    trust = np.ones(count)
    flat = np.linalg.inv(across[..., :2])
    for _ in range(ROUNDS):
        rest = error - _across(across, known, moves)
        square = np.einsum("s,slac,slad->lcd", trust, across, across, optimize=True) + FIRM_PLACE * np.eye(3)
        place = np.linalg.solve(square, np.einsum("s,slac,sla->lc", trust, across, rest, optimize=True)[..., None])[..., 0]
        rest = error - np.einsum("slac,lc->sla", across, place)
        level = (flat @ rest[..., None])[..., 0].reshape(count, -1)
        weighted = (known * trust[:, None]).T
        moves = np.linalg.solve(weighted @ known + firm, weighted @ level).reshape(moves.shape)
        size = np.sqrt(((rest - _across(across, known, moves)) ** 2).sum(-1).mean(1))
        trust = 1 / (1 + (size / (2 * np.median(size))) ** 2)
    moves = np.concatenate([moves, np.zeros_like(moves[..., :1])], -1)
    return np.concatenate([place[None] - np.tensordot(mean, moves, 1), moves])


def modes(answers: Answers) -> np.ndarray:
    """(MODES, L, 3) metres: principal modes of the error that varies in one person, one standard deviation each.

    Measured on people of whom nothing was learned: each half's errors against what the other half taught.
    """
    _, person = np.unique(answers.identity, axis=0, return_inverse=True)
    person = person.reshape(-1)
    errors = []
    for half in (0, 1):
        tested = person % 2 == half
        left = remainder(answers.part(tested), learn(answers.part(~tested)))
        of = person[tested]
        for k in np.unique(of):  # a person's own constant offset is found by the fit
            several = (of == k).sum() / max(1, (of == k).sum() - 1)
            errors.append((left[of == k] - left[of == k].mean(0)) * np.sqrt(several))
    flat = np.concatenate(errors).reshape(len(answers.error), -1)
    size = np.linalg.norm(flat, axis=1)
    flat = flat[size < 2.5 * np.median(size)]
    _, spread, directions = np.linalg.svd(flat / np.sqrt(len(flat)), full_matrices=False)
    kept = (spread[:, None] * directions)[:MODES].reshape(-1, answers.error.shape[1], 2)
    return np.concatenate([kept, np.zeros_like(kept[..., :1])], -1)


def remainder(answers: Answers, response: np.ndarray) -> np.ndarray:
    """(S, L, 2) metres in the head's frontal plane: what is left of the error when the response is known."""
    told = np.concatenate([np.ones((len(answers.error), 1)), answers.known], 1)
    error = answers.error - np.einsum("slac,slc->sla", answers.across, np.tensordot(told, response, 1))
    return (np.linalg.inv(answers.across[..., :2]) @ error[..., None])[..., 0]


def _across(across: np.ndarray, known: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """(S, L, 2): moves (m, L, 2) of the head's frontal plane, for known (S, m), across the line of sight."""
    told = np.tensordot(known, moves, 1)
    return (across[..., :2] @ told[..., None])[..., 0]
