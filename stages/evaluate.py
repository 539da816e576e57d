"""python stages/evaluate.py

Measure every render against the real footage (section `evaluate` of params.yaml).
"""

from castfield.evaluation.evaluate import run
from castfield.stage import run_stage

if __name__ == "__main__":
    run_stage(run)
