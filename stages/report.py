"""python stages/report.py: one self-contained page -> data/report/index.html"""

from castfield.report.page import run
from castfield.stage import run_stage

if __name__ == "__main__":
    run_stage(run)
