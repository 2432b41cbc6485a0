"""A streamed export takes no memory that grows with the number of nodes explained."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gragr_explain

HERE = Path(__file__).parent
ROOT = Path(gragr_explain.__file__).parents[1]
EXPORT = """
import resource, sys
import torch
from streamed_graphs import make_data, make_explainer
from gragr_explain.streaming import read_explanations, stream_export
torch.set_num_threads(1)
explainer, data = make_explainer(search_edges=0), make_data(9000, degree=4)
stream_export(explainer, data, sys.argv[1] + "/first", range(200), shard_size=200, progress=False).write_jsonl()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
export = stream_export(explainer, data, sys.argv[1] + "/all", shard_size=200, progress=False)
export.write_jsonl()
back = read_explanations(export, explainer, data)
assert all(rationale.text for rationale in back.rationales) and len(back) == 9000
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is in other units elsewhere")
def test_memory_is_bounded(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", EXPORT, tmp_path],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}", "OMP_NUM_THREADS": "1"},
    )
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) < 25, "the peak of memory grew with the nodes, in MiB"
