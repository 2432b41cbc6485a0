"""Exports that are killed with SIGKILL and started again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import gragr_explain

HERE = Path(__file__).parent
ROOT = Path(gragr_explain.__file__).parents[1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_twenty_random_moments(tmp_path):
    run = subprocess.run(
        [sys.executable, HERE / "killed_exports.py", tmp_path, "20", "0"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}", "OMP_NUM_THREADS": "1"},
    )
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert report["kills"] == 20
    assert len(set(report["progress"])) > 5, "the moments are all the same"
