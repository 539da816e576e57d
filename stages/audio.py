"""python stages/audio.py

Turn every clip's speech into features per video frame (section `audio` of params.yaml); a silent clip gives zeros.
"""

from castfield.speech.features import run
from castfield.stage import run_stage

if __name__ == "__main__":
    run_stage(run)
