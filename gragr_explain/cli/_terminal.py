"""What the commands print."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.columns import Columns
from rich.console import Console
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from gragr_explain.datasets import GraphDataset
    from gragr_explain.explain import NodeExplanations

console = Console(markup=False, highlight=False)
"""Standard output. Nothing in a text is taken for markup: names of classes and features may hold brackets."""


def show_progress() -> bool:
    """Whether somebody watches: a progress bar in a log file is only noise."""
    return sys.stderr.isatty()


def print_dataset(dataset: GraphDataset) -> None:
    """Say what a data set is, in two lines."""
    data = dataset.data
    parts = (int(data[name].sum()) for name in ("train_mask", "val_mask", "test_mask"))
    console.print(
        f"{dataset.name}: {data.num_nodes:,} nodes, {data.num_edges:,} edges, {data.num_features:,} features, "
        f"{len(dataset.class_names)} classes",
        "\n  {:,} nodes for training, {:,} for validation, {:,} for testing".format(*parts),
        sep="",
    )


def suggest(*commands: Sequence[object]) -> None:
    """Say what to run next, so that it can be pasted into a shell, whatever folders are called."""
    lines = [shlex.join(["gragr-explain", *map(str, command)]) for command in commands]
    console.print("\nnext:  " + "\n       ".join(lines), soft_wrap=True)


def print_explanation(explanations: NodeExplanations, row: int) -> None:
    """Show one explanation: the prediction, psi, what supports it, the rationale."""
    node = int(explanations.index[row])
    console.print(Rule(Text(f"node {node}", style="bold"), align="left"))
    console.print(_headline(explanations, row))
    tables = [_psi_table(explanations, node), _edge_table(explanations, row), _feature_table(explanations, row)]
    console.print(Padding(Columns([table for table in tables if table.row_count], padding=(0, 4)), (1, 0)))
    print_rationale(explanations, row)


def print_rationale(explanations: NodeExplanations, row: int) -> None:
    """Show the text of one explanation, and whether it replaces a language model's."""
    rationale = explanations.rationales[row]
    console.print(rationale.text)
    if rationale.replaced:
        problems = "; ".join(rationale.problems)
        console.print(Text(f"(the language model's text is not shown: {problems})", style="dim"))
    console.print()


def _headline(explanations: NodeExplanations, row: int) -> str:
    """The prediction of one node in a line."""
    prediction, confidence = int(explanations.prediction[row]), float(explanations.confidence[row])
    line = f"predicted {explanations.class_name(prediction)}, {confidence:.1%} sure"
    label = -1 if explanations.label is None else int(explanations.label[row])
    if label < 0:
        return f"{line}; its label is not known"
    if label == prediction:
        return f"{line}; its label says the same"
    return f"{line}; its label says {explanations.class_name(label)}"


def _psi_table(explanations: NodeExplanations, node: int) -> Table:
    import torch

    from gragr_explain.context import FEATURES

    context = explanations.context
    below = context.shares(torch.tensor([node], device=context.psi.device))[0][0]
    table = _table("psi", "value", "above")
    for column, name in enumerate(FEATURES):
        if not bool(context.valid[node, column]):
            table.add_row(name, "undefined", "")
            continue
        if name == "role":
            table.add_row(name, context.role(node), "")
            continue
        table.add_row(name, f"{float(context.psi[node, column]):.4g}", f"{float(below[column]):.0%} of nodes")
    return table


def _edge_table(explanations: NodeExplanations, row: int) -> Table:
    node = int(explanations.index[row])
    table = _table("edge", "weight", "predicted")
    for source, target, weight in explanations.edges[row]:
        other = target if source == node else source
        predicted = explanations.class_name(int(explanations.all_predictions[other]))
        table.add_row(f"{source} \N{RIGHTWARDS ARROW} {target}", f"{weight:.2f}", predicted)
    return table


def _feature_table(explanations: NodeExplanations, row: int) -> Table:
    table = _table("feature", "weight")
    names = explanations.feature_names
    for column, weight in explanations.features[row]:
        table.add_row(names[column] if names else f"feature {column}", f"{weight:.2f}")
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(name, justify="right" if name in ("value", "weight") else "left", no_wrap=True)
    return table
