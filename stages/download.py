"""python stages/download.py

Fetch and verify the footage that the manifest `data/manifests/<dataset>.yaml` names; the synthetic cast is filmed here.
"""

from castfield.download import run
from castfield.stage import run_stage

if __name__ == "__main__":
    run_stage(run)
