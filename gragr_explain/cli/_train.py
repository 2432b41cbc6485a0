"""``gragr-explain train``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gragr_explain.cli._edit import PAGE, SUMMARY
from gragr_explain.cli._options import Overwrite, Seed, check_free
from gragr_explain.cli._terminal import console, print_dataset, show_progress, suggest


class Method(StrEnum):
    """How to train."""

    plain = "plain"
    gragr = "gragr"
    plus = "gragr++"


def train(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="digits, Cora, CiteSeer, PubMed (each also with -public), Cornell, Texas, Wisconsin, WikiCS, or the "
            "path of a saved graph (.pt, .safetensors).",
            show_default=False,
        ),
    ],
    model: Annotated[str, typer.Option(help="GCN, GAT, GIN or GraphSAGE, set up as in Table 5 of the paper.")] = "GCN",
    out: Annotated[Path, typer.Option(help="The folder for the model and its gradient history.")] = Path("out"),
    epochs: Annotated[int, typer.Option(min=1, help="How many epochs to train.")] = 100,
    split: Annotated[int, typer.Option(min=0, help="Which of the data set's splits to train on.")] = 0,
    seed: Seed = 0,
    method: Annotated[
        Method,
        typer.Option(
            help="gragr corrects conflicting gradients; gragr++ does so only once the loss has reached a plateau, "
            "chooses among four seeds, and does without edges where neighbours oppose each other; plain only records."
        ),
    ] = Method.gragr,
    overwrite: Overwrite = False,
) -> None:
    """Train a model on a graph, and record how it learns.

    Data sets are downloaded once, or read from the folder that the environment
    variable GRAGR_DATA names. A graph of your own is a saved torch_geometric
    Data, or a dictionary of tensors, with x, edge_index and y.

    Examples:
        gragr-explain train digits
        gragr-explain train Cora --model GAT --out cora-gat
        gragr-explain train Texas --method gragr++ --split 3 --epochs 200
        gragr-explain train graph.pt --method plain
    """
    import torch

    from gragr_explain.checkpoint import build_model, save_checkpoint
    from gragr_explain.cli._work import describe_accuracy
    from gragr_explain.datasets import load_dataset
    from gragr_explain.files import check_writable
    from gragr_explain.training import GraGR, GraGRPlusPlus

    check_free(out, overwrite)
    loaded = load_dataset(dataset, split=split)
    torch.manual_seed(seed)
    network = build_model(model, loaded.data.num_features, len(loaded.class_names))
    check_writable(out)
    print_dataset(loaded)
    trainers = {
        Method.plain: lambda: GraGR(network, conflict=False, alignment=False),
        Method.gragr: lambda: GraGR(network),
        Method.plus: lambda: GraGRPlusPlus(network),
    }
    trainer = trainers[method]()
    trained = trainer.fit(loaded.data, epochs=epochs, progress=show_progress())
    if trained.pathway is not None and (open_by := float(trained.pathway.beta)) > 0:
        how = "without the edges" if open_by == 1 else f"with {1 - open_by:.0%} of what the edges say"
        console.print(f"neighbours oppose each other here: the model does {how} (its conflict pathway is open)")
    save_checkpoint(trained, out, dataset=loaded.name, split=split)
    for stale in (PAGE, SUMMARY):  # of the model that was there
        (out / stale).unlink(missing_ok=True)
    console.print(f"{describe_accuracy(trained, loaded)}; the model and its history are in {out}", soft_wrap=True)
    suggest(["explain", out, 0], ["export", out])
