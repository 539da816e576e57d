"""MediaPipe's networks come without what the package draws with, and what comes later is whole."""

import subprocess
import sys

NAMES = "('matplotlib.pyplot', 'sounddevice')"


def _told(code: str) -> str:
    return subprocess.run([sys.executable, "-c", f"import sys\n{code}"], capture_output=True, text=True, check=True).stdout.strip()


def test_a_network_brings_neither_matplotlib_nor_the_sound_device():
    code = f"from castfield.solutions import solution\nsolution('face_mesh')\nprint([n for n in {NAMES} if n in sys.modules])"
    assert _told(code) == "[]"


def test_who_wants_matplotlib_afterwards_gets_all_of_it():
    code = (
        "from castfield.solutions import solution\nsolution('face_mesh')\n"
        "import matplotlib.pyplot\nprint(hasattr(matplotlib.pyplot, 'figure'))"
    )
    assert _told(code) == "True"


def test_who_had_matplotlib_before_keeps_it():
    code = (
        "import matplotlib.pyplot as before\nfrom castfield.solutions import solution\nsolution('face_mesh')\n"
        "import mediapipe, matplotlib.pyplot as after\n"
        "print(before is after, mediapipe.solutions.drawing_utils.plt is before)"
    )
    assert _told(code) == "True True"
