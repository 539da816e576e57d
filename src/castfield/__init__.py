"""Castfield: one radiance field for a whole cast, from ordinary video."""

import os

__version__ = "0.1.0"

# Threads that wait should sleep: spinning ones stall each other as soon as another program wants a core. Read when PyTorch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Products of matrices give the same bits on any number of threads, so that two processes of one thread do what one of two does.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
