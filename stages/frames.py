"""python stages/frames.py

Cut every clip to one square around the head, at 25 frames a second, and its sound to 16 kHz (section `frames` of params.yaml).
"""

from castfield.frames import run
from castfield.stage import run_stage

if __name__ == "__main__":
    run_stage(run)
