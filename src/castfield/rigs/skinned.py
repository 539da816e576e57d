"""What FLAME and SMPL-X have in common: bases of shape and expression, joints, and skinning (Loper et al. 2015).

The rig is linear, and talking is jaw; so turns of jaw and eyes become directions of the expression beside the model's own: the shift
that skinning, with its corrective shapes, gives every vertex of the mean person at a fixed angle. Between none and a fully open jaw
(20 degrees) the arc departs from the chord by r a^2 / 8, 2 mm at the chin.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from castfield.geometry import axis_angle_to_matrix
from castfield.rigs.assembly import Head, directions
from castfield.rigs.licensed import Licence

OPEN = 0.35
"""Angle of a fully open jaw, radians."""
SIDEWAYS = 0.06
"""Standard deviation of the jaw's turn to the side, radians."""
GAZE = 0.2
"""Standard deviation of an eye's turn, radians."""
IDENTITIES = 100
"""Identity directions kept, as trackers of faces commonly do."""


@dataclass(frozen=True)
class Joints:
    """Where a model keeps the joints of the head."""

    neck: int
    jaw: int
    eyes: tuple[int, int]
    """The person's left and right."""


@dataclass(frozen=True)
class Skinned:
    """The arrays of a model file."""

    neutral: np.ndarray
    """(V, 3)."""
    shape: np.ndarray
    """(V, 3, S)."""
    expression: np.ndarray
    """(V, 3, d)."""
    pose: np.ndarray
    """(V, 3, 9 (J - 1)) corrective shapes."""
    weights: np.ndarray
    """(V, J)."""
    joints: np.ndarray
    """(J, 3) of the mean person."""
    parents: np.ndarray
    """(J,); the root's own is itself or out of range."""
    faces: np.ndarray
    """(F, 3)."""

    @classmethod
    def read(cls, licence: Licence, values: dict[str, Any], where: Path, vertices: int, joints: int, shapes: dict[int, int]) -> Skinned:
        """Check and take apart the arrays of a file. shapes: number of shape directions by the number of all. Raises CastfieldError."""

        def array(name: str, *shape: int | None) -> np.ndarray:
            return licence.array(values, name, shape, where)

        neutral = array("v_template", vertices, 3).astype(np.float64)
        both = array("shapedirs", vertices, 3, None).astype(np.float64)
        if both.shape[2] not in shapes:
            expected = " or ".join(f"{n} (of these {k} of shape)" for n, k in shapes.items())
            raise licence.refusal("`shapedirs` has another number of directions", expected=expected, found=both.shape[2], where=where)
        first = shapes[both.shape[2]]
        faces = array("f", None, 3).astype(np.int64)
        if len(faces) == 0 or faces.min() < 0 or faces.max() >= vertices:
            raise licence.refusal("`f` names vertices that are not there", expected=f"0 to {vertices - 1}", where=where)
        regressor = array("J_regressor", joints, vertices).astype(np.float64)
        return cls(
            neutral,
            both[..., :first],
            both[..., first:],
            array("posedirs", vertices, 3, 9 * (joints - 1)).astype(np.float64),
            array("weights", vertices, joints).astype(np.float64),
            regressor @ neutral,
            array("kintree_table", 2, joints)[0].astype(np.int64),
            faces,
        )

    def below(self, joint: int) -> list[int]:
        """The joint and all that hang on it."""
        found = [joint]
        for child, parent in enumerate(self.parents):  # parents come before their children
            if child != joint and child > 0 and parent in found:
                found.append(child)
        return found

    def turned(self, joint: int, turn: tuple[float, float, float]) -> np.ndarray:
        """Shift (V, 3) of the mean person's vertices when a joint turns by an axis-angle vector in radians."""
        rotation = axis_angle_to_matrix(torch.tensor(turn, dtype=torch.float64)).numpy() - np.eye(3)
        correction = self.pose[..., 9 * (joint - 1) : 9 * joint] @ rotation.reshape(-1)
        share = self.weights[:, self.below(joint)].sum(1, keepdims=True)
        return correction + share * ((self.neutral + correction - self.joints[joint]) @ rotation.T)

    def head(self, joints: Joints, expressions: int, lids: dict[str, np.ndarray]) -> Head:
        """Head and neck, with jaw, lids and gaze as further directions. lids: (V, 3) shifts of closed lids by name."""

        def both_ways(joint: int, turn: tuple[float, float, float]) -> np.ndarray:
            return (self.turned(joint, turn) - self.turned(joint, (-turn[0], -turn[1], -turn[2]))) / 2

        actions = {"jawOpen": self.turned(joints.jaw, (OPEN, 0, 0)), **lids}
        signed = {"jawSideways": both_ways(joints.jaw, (0, SIDEWAYS, 0))}
        for side, joint in zip(("Left", "Right"), joints.eyes, strict=True):
            signed[f"eye{side}Pitch"] = both_ways(joint, (GAZE, 0, 0))
            signed[f"eye{side}Yaw"] = both_ways(joint, (0, GAZE, 0))
        own = self.expression[..., :expressions].transpose(2, 0, 1)
        one_sided = np.r_[np.ones(len(actions), bool), np.zeros(len(signed) + len(own), bool)]
        head = Head(
            neutral=self.neutral,
            identity=self.shape[..., :IDENTITIES].transpose(2, 0, 1),
            expression=np.concatenate([np.stack([*actions.values(), *signed.values()]), own]),
            names=(*actions, *signed, *directions(len(own))),
            one_sided=one_sided,
            faces=self.faces,
            eyes=np.stack([self.weights[:, joint] > 0.5 for joint in joints.eyes]),
            pivot=self.joints[joints.neck],
        )
        used = np.isin(np.arange(len(self.neutral)), self.faces)  # a vertex of no face has no place on the surface
        return head.restricted(np.flatnonzero((self.weights[:, self.below(joints.neck)].sum(1) >= 0.5) & used))
