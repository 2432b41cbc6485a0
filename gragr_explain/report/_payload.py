"""What the page's script knows: the explanations in a compact form that JSON can hold."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import Tensor

from gragr_explain.context import FEATURES
from gragr_explain.explain import Edge
from gragr_explain.report._encoding import as_base64, as_bytes, flags, rank_bytes, rounded
from gragr_explain.report._evidence import Evidence, ends, evidence_of
from gragr_explain.report._histogram import histogram
from gragr_explain.report._layout import radial
from gragr_explain.report._projection import project
from gragr_explain.report._psi import REASONS, ROLE_MEANING, SOURCE_MEANING, WORDING, undefined_reasons
from gragr_explain.report._style import class_colours

if TYPE_CHECKING:
    from torch_geometric.data import Data
    from torch_geometric.explain import Explanation

    from gragr_explain.context import GradientContext, Influences
    from gragr_explain.explain import Explanations, NodeExplanations
    from gragr_explain.history import GradientHistory
    from gragr_explain.rationale import ChangeFact, ValidationFact
    from gragr_explain.report._findings import Findings

MOST_ROWS = 20_000
"""How many nodes the page can hold; the tables beside it hold them all."""
MOST_POINTS = 20_000
"""How many nodes the map shows."""
MOST_PIXELS = 4 * 2**20
"""How many pixels of node pictures the page holds; beyond, only nodes with a card and their neighbours have one."""


Behind = list[list[tuple[int, int, float | int | None]]]
"""Training nodes for a prediction, and against it: each node, its label, and its weight."""


def build_payload(
    explanations: NodeExplanations,
    data: Data,
    findings: Findings,
    *,
    history: GradientHistory | None,
    cards: Mapping[int, Explanation | None],
    image_shape: tuple[int, int] | None,
    influences: Influences | None,
) -> dict[str, Any]:
    """Everything that the page shows of single nodes.

    Args:
        explanations: The explanations.
        data: The graph that was explained.
        findings: What stands out in the explanations.
        history: As for :func:`gragr_explain.report.export`.
        cards: The nodes on cards, in this order, each with its full explanation where there is one.
        image_shape: As for :func:`gragr_explain.report.export`.
        influences: As for :func:`gragr_explain.report.export`.
    """
    frame = findings.frame
    rows = _rows_shown(frame, list(cards))
    evidence = [evidence_of(explanations, row, cards.get(int(frame["node"][row]))) for row in rows]
    reasons = undefined_reasons(explanations.context, data.edge_index)
    classes = class_names_of(explanations, explanations.all_predictions)
    nodes = [int(frame["node"][row]) for row in rows]
    names = explanations.feature_names
    counted = history.conflict_count if history is not None and findings.recorded and history.num_steps else None
    changes = [explanations.changes[row] for row in rows]
    behind = _influences(influences, nodes)
    used = sorted({feature for item in evidence for feature, _ in item.features})
    return {
        "subject": "node",
        "explainsLabels": explanations.explains_labels,
        "explained": len(frame),
        "source": SOURCE_MEANING[explanations.context.source],
        "classes": classes,
        "colours": class_colours(len(classes)),
        "labelOptions": [label_option(classes, label) for label in range(len(classes))],
        "names": _node_names(explanations, nodes, evidence, behind),
        "featureNames": {f: str(names[f]) for f in used} if names is not None else {},
        "psi": [
            {"name": name, **WORDING[name].__dict__, "distribution": _distribution(explanations, column)}
            for column, name in enumerate(FEATURES)
        ],
        "roles": [{"name": name, "meaning": meaning} for name, meaning in ROLE_MEANING.items()],
        "reasons": REASONS,
        "rows": {
            "id": nodes,
            **prediction_rows(explanations, frame, rows),
            "seen": flags(frame["seen"], rows),
            "conflicts": flags(frame["conflicts"], rows),
            "role": [frame["role"][row] for row in rows],
            "psi": [[rounded(frame[f"psi_{name}"][row]) for name in FEATURES] for row in rows],
            "rank": _shares_below(explanations.context, nodes),
            "reason": reasons[nodes].tolist(),
            "graph": [
                _graph(node, item.edges, 0 if change is None else change.removed)
                for node, item, change in zip(nodes, evidence, changes, strict=True)
            ],
            "features": [[[f, rounded(w)] for f, w in item.features] for item in evidence],
        },
        "cards": list(cards),
        "map": _map(explanations, nodes),
        "images": _images(data, image_shape, nodes, cards, evidence),
        "evidence": {
            node: as_bytes(255 * item.dense.clamp(0, 1))
            for node, item in zip(nodes, evidence, strict=True)
            if item.dense is not None and image_shape is not None
        },
        "steps": history.num_steps if history is not None else 0,
        "conflictSteps": [int(counted[node]) for node in nodes] if counted is not None else None,
        "training": _training(history, nodes, explanations.context.num_nodes),
        "influences": behind,
    }


def _rows_shown(frame: pd.DataFrame, cards: Sequence[int]) -> list[int]:
    """All rows, or those with a card and then the most conflicting, in the order of the table."""
    if len(frame) <= MOST_ROWS:
        return list(range(len(frame)))
    first = (~frame["node"].isin(cards)).astype(int)
    order = frame.assign(first=first).sort_values(["first", "rank_conflict"], ascending=[True, False], kind="stable")
    return sorted(order.index[:MOST_ROWS])


def _node_names(
    explanations: NodeExplanations,
    nodes: Sequence[int],
    evidence: Sequence[Evidence],
    behind: Sequence[Behind | None] | None,
) -> dict[int, str] | None:
    """The names of the explained nodes, of those around and of those behind them, where nodes have names."""
    names = explanations.node_names
    if names is None:
        return None
    named = set(nodes).union(*(ends(item.edges) for item in evidence))
    named.update(node for both in behind or () for found in both or () for node, _, _ in found)
    return {node: str(names[node]) for node in sorted(named)}


def _influences(influences: Influences | None, nodes: Sequence[int]) -> list[Behind | None] | None:
    """For each node, its proponents and its opponents, the strongest of both as 1."""
    if influences is None:
        return None
    rows = {node: row for row, node in enumerate(influences.index.tolist())}
    labels = dict(zip(influences.train.tolist(), influences.label.tolist(), strict=True))
    return [_behind(influences, rows[node], labels) if node in rows else None for node in nodes]


def _behind(influences: Influences, row: int, labels: Mapping[int, int]) -> Behind:
    both = influences.proponents(row), influences.opponents(row)
    most = max((abs(score) for found in both for _, score in found), default=1.0)
    return [[(node, labels[node], rounded(abs(score) / most)) for node, score in found] for found in both]


def _graph(node: int, edges: Sequence[Edge], removed: int) -> dict[str, Any]:
    """The subgraph, drawn; ``key``: how many of its first edges were taken away to see what would change."""
    layout = radial(node, edges)
    return {
        "nodes": layout.nodes,
        "at": [round(1000 * part) for position in layout.positions for part in position],
        "edges": [[source, target, rounded(weight)] for source, target, weight in layout.edges],
        "key": min(removed, sum(source != target for source, target, _ in edges)),
    }


def _distribution(explanations: NodeExplanations, column: int) -> dict[str, Any] | None:
    """How a psi is distributed over the graph, the fullest bin as 100."""
    context = explanations.context
    values = context.psi[:, column][context.valid[:, column]].cpu().double().numpy()
    if not len(values):
        return None
    found = histogram(values)
    return {
        "low": found.edges[0],
        "high": found.edges[-1],
        "scale": found.scale,
        "bars": [round(100 * share / max(found.shares)) for share in found.shares],
    }


def _shares_below(context: GradientContext, nodes: Sequence[int]) -> str:
    """The share of the graph's nodes whose psi are smaller than those of some nodes, for each psi."""
    below, _ = context.shares(torch.tensor(nodes, dtype=torch.long, device=context.psi.device))
    return rank_bytes(below)


def _change(change: ChangeFact | None) -> list[Any] | None:
    """How many edges were taken away, what is predicted then, and how surely."""
    return None if change is None else [change.removed, change.prediction, rounded(change.confidence)]


def _map(explanations: NodeExplanations, nodes: Sequence[int]) -> dict[str, Any]:
    """Places, classes and ranks of the nodes on the map: all of them, or the page's own and then as many as fit."""
    num_nodes = explanations.context.num_nodes
    shown = torch.arange(num_nodes)
    if num_nodes > MOST_POINTS:
        others = torch.ones(num_nodes, dtype=torch.bool)
        others[list(nodes)] = False
        others = others.nonzero().view(-1)
        room = max(MOST_POINTS - len(nodes), 0)
        spread = others[torch.linspace(0, len(others) - 1, room).long()] if room and len(others) else others[:0]
        shown = torch.cat([torch.tensor(list(nodes), dtype=torch.long), spread]).sort().values
    positions = torch.from_numpy(project(explanations.hidden)).float()[shown]
    predictions = explanations.all_predictions.cpu()[shown]
    return {
        "total": num_nodes,
        "node": shown.tolist(),
        "at": as_base64((65535 * positions).round().numpy().astype("<u2")),
        "prediction": [] if predictions.is_floating_point() else predictions.tolist(),
        "rank": _shares_below(explanations.context, shown.tolist()),
    }


def _images(
    data: Data,
    image_shape: tuple[int, int] | None,
    nodes: Sequence[int],
    cards: Mapping[int, Explanation | None],
    evidence: Sequence[Evidence],
) -> dict[str, Any] | None:
    """The features of nodes as grey pictures of one byte a pixel."""
    if image_shape is None or data.x is None:
        return None
    x = data.x.detach().cpu().float()
    wanted: list[int] = list(range(x.size(0)))
    if x.numel() > MOST_PIXELS:
        beside = {node for own, item in zip(nodes, evidence, strict=True) if own in cards for node in ends(item.edges)}
        wanted = sorted(set(cards) | beside)
    low, high = float(x.min()), float(x.max())
    pixels = 255 * (x[wanted] - low) / ((high - low) or 1.0)
    return {"height": image_shape[0], "width": image_shape[1], "node": wanted, "pixels": as_bytes(pixels)}


def _training(history: GradientHistory | None, nodes: Sequence[int], num_nodes: int) -> dict[str, Any] | None:
    """The confidence of each node over the training, and the graph's median."""
    trajectory = history.trajectories.get("confidence") if history is not None else None
    if trajectory is None or trajectory.count == 0 or trajectory.values.size(1) != num_nodes:
        return None
    values = trajectory.values.cpu().nan_to_num().clamp(0, 1)
    if len(values) < 2:
        return None
    return {
        "starts": trajectory.starts,
        "steps": trajectory.count,
        "median": [rounded(value) for value in values.median(dim=1).values],
        "confidence": as_bytes(255 * values[:, list(nodes)].T),
    }


def label_option(classes: Sequence[str], label: int) -> str:
    """How ``gragr-explain edit --label`` is given a class: by number, or by name where a class is named like a number.

    Example:
        >>> label_option(["Agents", "Theory"], 1), label_option(["9", "1"], 1), label_option(["2", "1", "a b"], 2)
        ('1', '1', "'a b'")
    """
    return shlex.quote(classes[label]) if str(label) in classes else str(label)


def _validation(found: ValidationFact | None) -> str | None:
    """About how many validation nodes the model is right, in as few words as there is room for."""
    return None if found is None else f"right about {found.right} of {found.of} like it"


def class_names_of(explanations: Explanations, predictions: Tensor) -> list[str]:
    """A name for every class that is predicted or a label; none for a regression."""
    if predictions.is_floating_point():
        return []
    named = 0 if explanations.class_names is None else len(explanations.class_names)
    seen = [part for part in (predictions, explanations.label) if part is not None and part.numel()]
    return [explanations.class_name(label) for label in range(max([named, *(1 + int(part.max()) for part in seen)]))]


def prediction_rows(explanations: Explanations, frame: pd.DataFrame, rows: Sequence[int]) -> dict[str, list[Any]]:
    """What the page holds of some predictions, be they of nodes or of graphs."""
    rationales = [explanations.rationales[row] for row in rows]
    return {
        "prediction": [rounded(frame["prediction"][row]) for row in rows],
        "label": [rounded(frame["label"][row]) for row in rows],
        "correct": flags(frame["correct"], rows),
        "confidence": [rounded(frame["confidence"][row]) for row in rows],
        "reliability": [frame["reliability"][row] for row in rows],
        "validation": [_validation(explanations.reliability[row].validation) for row in rows],
        "rationale": [rationale.text for rationale in rationales],
        "writer": [rationale.writer for rationale in rationales],
        "problems": [list(rationale.problems) if rationale.replaced else None for rationale in rationales],
        "change": [_change(explanations.changes[row]) for row in rows],
    }
