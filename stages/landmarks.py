"""python stages/landmarks.py

Find the face landmarks of the main person in every frame of every clip (section `landmarks` of params.yaml).
"""

from castfield.stage import run_stage
from castfield.tracking.landmarks import run

if __name__ == "__main__":
    run_stage(run)
