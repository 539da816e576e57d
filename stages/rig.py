"""python stages/rig.py

Bake the parametric head and body of `rig.model` to arrays: data/rig/rig.npz and data/rig/body.npz.
"""

from castfield.config import Config
from castfield.layout import Layout
from castfield.rigs import bake
from castfield.stage import fresh, run_stage


def run(config: Config, layout: Layout) -> None:
    rig = bake(config.rig, fresh(layout.rig))
    valid = int(rig.landmark_valid.sum())
    print(f"{config.rig.model}: {len(rig.neutral)} vertices, {rig.identity_dim} identity, {rig.d} expression, {valid} of 478 landmarks")


if __name__ == "__main__":
    run_stage(run)
