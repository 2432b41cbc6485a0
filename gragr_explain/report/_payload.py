"""What the page's script knows: the explanations in a compact form that JSON can hold."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gragr_explain.context import FEATURES
from gragr_explain.report._layout import radial
from gragr_explain.report._projection import project
from gragr_explain.report._psi import REASONS, ROLE_MEANING, SOURCE_MEANING, WORDING, undefined_reasons
from gragr_explain.report._style import class_colours
from gragr_explain.report._table import numbers

if TYPE_CHECKING:
    import pandas as pd
    from torch_geometric.data import Data
    from torch_geometric.explain import Explanation

    from gragr_explain.explain import NodeExplanations
    from gragr_explain.history import GradientHistory

MOST_ROWS = 20_000
"""How many nodes the page can hold; the tables beside it hold them all."""
MOST_POINTS = 20_000
"""How many nodes the map shows."""
MOST_PIXELS = 4 * 2**20
"""How many pixels of node pictures the page holds; beyond, only nodes with a card and their neighbours have one."""
MOST_EDGES, MOST_FEATURES = 14, 12
"""How many edges and features of a full explanation a card shows."""

Edge = tuple[int, int, float]


class Evidence(NamedTuple):
    """What supports one prediction: edges, features, and the weight of every feature where it is known."""

    edges: list[Edge]
    features: list[tuple[int, float]]
    dense: Tensor | None


def build_payload(
    explanations: NodeExplanations,
    data: Data,
    *,
    history: GradientHistory | None,
    cards: Mapping[int, Explanation | None],
    image_shape: tuple[int, int] | None,
) -> dict[str, Any]:
    """Everything that the page shows of single nodes; arguments as for :func:`gragr_explain.report.export`."""
    frame = numbers(explanations)
    frame["rank"] = explanations.context.rank[explanations.index, 0].cpu().double().numpy()
    rows = _rows_shown(frame, list(cards))
    evidence = [_evidence(explanations, row, cards.get(int(frame["node"][row]))) for row in rows]
    reasons = undefined_reasons(explanations.context, data.edge_index)
    classes = _class_names(explanations)
    nodes = [int(frame["node"][row]) for row in rows]
    names = explanations.feature_names
    used = sorted({feature for item in evidence for feature, _ in item.features})
    return {
        "explained": len(frame),
        "source": SOURCE_MEANING[explanations.context.source],
        "classes": classes,
        "colours": class_colours(len(classes)),
        "featureNames": {f: str(names[f]) for f in used} if names is not None else {},
        "psi": [{"name": name, **WORDING[name].__dict__} for name in FEATURES],
        "roles": [{"name": name, "meaning": meaning} for name, meaning in ROLE_MEANING.items()],
        "reasons": REASONS,
        "rows": {
            "node": nodes,
            "prediction": [_number(frame["prediction"][row]) for row in rows],
            "label": [_number(frame["label"][row]) for row in rows],
            "correct": [None if frame["correct"].isna()[row] else bool(frame["correct"][row]) for row in rows],
            "confidence": [_number(frame["confidence"][row]) for row in rows],
            "role": [frame["role"][row] for row in rows],
            "psi": [[_number(frame[f"psi_{name}"][row]) for name in FEATURES] for row in rows],
            "rank": _ranks(explanations.context.rank[nodes]),
            "reason": reasons[nodes].tolist(),
            "rationale": [explanations.rationales[row].text for row in rows],
            "writer": [explanations.rationales[row].writer for row in rows],
            "problems": [
                list(explanations.rationales[row].problems) if explanations.rationales[row].replaced else None
                for row in rows
            ],
            "graph": [_graph(node, item.edges) for node, item in zip(nodes, evidence, strict=True)],
            "features": [[[f, _number(w)] for f, w in item.features] for item in evidence],
        },
        "cards": list(cards),
        "map": _map(explanations, nodes),
        "images": _images(data, image_shape, nodes, cards, evidence),
        "evidence": {
            node: _bytes(255 * item.dense.clamp(0, 1))
            for node, item in zip(nodes, evidence, strict=True)
            if item.dense is not None and image_shape is not None
        },
        "training": _training(history, nodes, explanations.context.num_nodes),
    }


def to_json(payload: Mapping[str, Any]) -> str:
    """JSON that stays data inside a ``<script>`` element, whatever the names in it contain.

    Example:
        >>> to_json({"name": "</script>"})
        '{"name":"\\\\u003c/script\\\\u003e"}'
    """
    text = json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _rows_shown(frame: pd.DataFrame, cards: Sequence[int]) -> list[int]:
    """All rows, or those with a card and then the most conflicting, in the order of the table."""
    if len(frame) <= MOST_ROWS:
        return list(range(len(frame)))
    first = (~frame["node"].isin(cards)).astype(int)
    order = frame.assign(first=first).sort_values(["first", "rank"], ascending=[True, False], kind="stable")
    return sorted(order.index[:MOST_ROWS])


def _evidence(explanations: NodeExplanations, row: int, explanation: Explanation | None) -> Evidence:
    """The evidence of the full explanation where there is one, else that of the batch."""
    edges, features, dense = explanations.edges[row], explanations.features[row], None
    edge_mask = explanation.get("edge_mask") if explanation is not None else None
    node_mask = explanation.get("node_mask") if explanation is not None else None
    if explanation is not None and edge_mask is not None and _peak(edge_mask) > 0:
        weight = edge_mask.detach().cpu() / _peak(edge_mask)
        strongest = weight.argsort(descending=True, stable=True)[:MOST_EDGES]
        strongest = strongest[weight[strongest] > 0]
        source, target = explanation.edge_index[:, strongest.to(explanation.edge_index.device)].tolist()
        edges = list(zip(source, target, weight[strongest].tolist(), strict=True))
    if node_mask is not None and node_mask.size(-1) > 1:
        node = int(explanations.index[row])
        own = node_mask[node if node_mask.size(0) > 1 else 0].detach().cpu().float()
        if _peak(own) > 0:
            dense = own / _peak(own)
            strongest = dense.argsort(descending=True, stable=True)[:MOST_FEATURES]
            strongest = strongest[dense[strongest] > 0]
            features = list(zip(strongest.tolist(), dense[strongest].tolist(), strict=True))
    return Evidence(edges, features, dense)


def _peak(mask: Tensor) -> float:
    return float(mask.max()) if mask.numel() else 0.0


def _graph(node: int, edges: Sequence[Edge]) -> dict[str, Any]:
    layout = radial(node, edges)
    return {
        "nodes": layout.nodes,
        "at": [round(1000 * part) for position in layout.positions for part in position],
        "edges": [[source, target, _number(weight)] for source, target, weight in layout.edges],
    }


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
        "at": _base64((65535 * positions).round().numpy().astype("<u2")),
        "prediction": [] if predictions.is_floating_point() else predictions.tolist(),
        "rank": _ranks(explanations.context.rank.cpu()[shown]),
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
        beside = {node for own, item in zip(nodes, evidence, strict=True) if own in cards for node in _ends(item.edges)}
        wanted = sorted(set(cards) | beside)
    low, high = float(x.min()), float(x.max())
    pixels = 255 * (x[wanted] - low) / ((high - low) or 1.0)
    return {"height": image_shape[0], "width": image_shape[1], "node": wanted, "pixels": _bytes(pixels)}


def _ends(edges: Sequence[Edge]) -> set[int]:
    return {node for source, target, _ in edges for node in (source, target)}


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
        "median": [_number(value) for value in values.median(dim=1).values],
        "confidence": _bytes(255 * values[:, list(nodes)].T),
    }


def _class_names(explanations: NodeExplanations) -> list[str]:
    """A name for every class that occurs; none for a regression."""
    if explanations.all_predictions.is_floating_point():
        return []
    highest = [
        part.max() for part in (explanations.all_predictions, explanations.label) if part is not None and part.numel()
    ]
    count = 1 + int(max(highest)) if highest else 0
    names = [str(name) for name in explanations.class_names] if explanations.class_names is not None else []
    return names + [f"class {label}" for label in range(len(names), count)]


def _ranks(rank: Tensor) -> str:
    """Ranks as one byte each, row by row; 255 where there is none."""
    return _base64(torch.where(rank.isnan(), 255, (254 * rank.nan_to_num()).round()).to(torch.uint8).cpu().numpy())


def _bytes(values: Tensor) -> str:
    return _base64(values.round().clamp(0, 255).to(torch.uint8).cpu().numpy())


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")


def _number(value: Any) -> int | float | None:
    """A number in four significant digits, ``None`` where it is missing or not finite."""
    try:
        value = float(value)
    except TypeError:
        return None
    if not np.isfinite(value):
        return None
    return int(value) if value.is_integer() and abs(value) < 2**53 else float(f"{value:.4g}")
