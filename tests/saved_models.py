"""Saves a model into one folder again and again; run by ``test_checkpoint.py`` in processes of their own."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch_geometric.data import Data

from gragr_explain import GraGR
from gragr_explain.checkpoint import build_model, save_checkpoint


def main(folder: Path, name: str, times: int) -> None:
    """Save a model that says it is of the data set ``name``."""
    data = Data(x=torch.rand(20, 4), edge_index=torch.randint(20, (2, 60)), y=torch.arange(20) % 3)
    data.train_mask = torch.arange(20) < 12
    trained = GraGR(build_model("GCN", 4, 3)).fit(data, epochs=2, progress=False)
    for _ in range(times):
        save_checkpoint(trained, folder, dataset=name)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
