"""python stages/fit.py

Lay the rig on every clip: identity and focal length, pose and expression per frame (section `fit` of params.yaml).
"""

from castfield.stage import run_stage
from castfield.tracking.fitting import run

if __name__ == "__main__":
    run_stage(run)
