"""``gragr-explain`` in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import gragr_explain


def gragr(*arguments, folder=None, **environment):
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "gragr_explain", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ
        | {"PYTHONPATH": str(Path(gragr_explain.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
        | environment,
    )
