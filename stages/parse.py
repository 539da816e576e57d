"""python stages/parse.py

Separate head, torso and background of every clip and make its background plate (section `parse` of params.yaml).
"""

from castfield.stage import run_stage
from castfield.tracking.parsing import run

if __name__ == "__main__":
    run_stage(run)
