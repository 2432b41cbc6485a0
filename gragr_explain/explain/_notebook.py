"""How explanations show themselves in a notebook: HTML that stands alone, on light and on dark ground."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from markupsafe import Markup
from torch import Tensor
from torch_geometric.explain.config import ModelTaskLevel

from gragr_explain.context import FEATURES, ROLES
from gragr_explain.explain._names import Names
from gragr_explain.explain._objective import confidences, predictions
from gragr_explain.explain._strongest import strongest_edges, strongest_features
from gragr_explain.history import along_flow
from gragr_explain.inputs import check_index

if TYPE_CHECKING:
    from gragr_explain.explain._explanation import GradientExplanation
    from gragr_explain.explain._result import Explanations, GraphExplanations, NodeExplanations
    from gragr_explain.rationale import ChangeFact

_MOST_ROWS, _MOST_NAMED, _MOST_TEXT = 8, 6, 160

_BAR = Markup(
    '<span aria-hidden="true" style="display:inline-block;vertical-align:middle;width:5em;height:.5em;'
    "margin-right:.6em;border-radius:1em;background:linear-gradient(#4a86c8,#4a86c8) 0/{:.0f}% 100% no-repeat "
    'rgba(128,128,128,.28)"></span>'
)
_TABLE = Markup(
    '<table style="border-collapse:collapse;margin:.4em 0;font-size:.95em"><caption style="text-align:left;'
    'font-weight:bold;padding:.2em 0;color:inherit;caption-side:top">{}</caption>{}</table>'
)
_HEAD = Markup('<th scope="col" style="text-align:left;padding:.2em 1em .2em 0">{}</th>')
_NAME = Markup(
    '<th scope="row" style="text-align:left;vertical-align:top;font-weight:normal;padding:.2em 1em .2em 0">{}</th>'
)
_CELL = Markup('<td style="text-align:left;vertical-align:top;padding:.2em 1em .2em 0">{}</td>')
_BESIDE = Markup('<div style="display:flex;flex-wrap:wrap;gap:0 2.5em;align-items:flex-start">{}</div>')


def explanation_html(explanation: GradientExplanation) -> str:
    """One explanation: its text, what would change it, psi, and what supports it."""
    rationale = explanation.get("rationale")
    texts = [rationale] if isinstance(rationale, str) else list(rationale or [])
    parts = [_paragraph(text) for text in texts[:_MOST_ROWS]]
    if len(texts) > _MOST_ROWS:
        parts.append(_paragraph(f"and {len(texts) - _MOST_ROWS:,} more."))
    prediction, outcome = _outcome(explanation)
    if explanation.change is not None:
        parts.append(_paragraph(_change(explanation.change, prediction)))
    tables = [_psi(explanation), _edges(explanation), _features(explanation)]
    parts.append(_BESIDE.format(_joined(table for table in tables if table)))
    about = [f"predicted {prediction}" if prediction else "", outcome]
    return _box(_subject(explanation), ", ".join(filter(None, about)), parts)


def nodes_html(explanations: NodeExplanations) -> str:
    """Explanations of nodes: how many there are, how many predictions are right, and the first of them."""
    context, index = explanations.context, explanations.index.cpu()
    below, _ = context.shares(explanations.index[:_MOST_ROWS])
    names = explanations.node_names
    called = [str(node) if names is None else f"{names[node]} ({node})" for node in index[:_MOST_ROWS].tolist()]
    roles = [context.role(int(node)) or "not defined" for node in index[:_MOST_ROWS]]
    extra = {"conflict": [_above(share) for share in below[:, 0].tolist()], "role": roles}
    about = f"of a graph of {context.num_nodes:,}"
    return _many(explanations, "node", about, called, extra)


def graphs_html(explanations: GraphExplanations) -> str:
    """Explanations of graphs: how many there are, how many predictions are right, and the first of them."""
    called = [str(graph) for graph in explanations.index[:_MOST_ROWS].tolist()]
    return _many(explanations, "graph", f"of {explanations.num_graphs:,}", called, {})


def _many(explanations: Explanations, subject: str, about: str, called: list[str], extra: dict[str, list[Any]]) -> str:
    classified = not explanations.prediction.is_floating_point()
    count = len(explanations)
    columns: dict[str, list[Any]] = {
        subject: called,
        "prediction": [_value(explanations, value, classified) for value in explanations.prediction[: len(called)]],
    }
    if classified:
        columns["confidence"] = [_percent(value) for value in explanations.confidence[: len(called)].tolist()]
    said = []
    if classified and explanations.label is not None:
        known = explanations.label >= 0
        right = int((explanations.label == explanations.prediction)[known].sum())
        labels = explanations.label[: len(called)].tolist()
        columns["label"] = [explanations.class_name(label) if label >= 0 else "unknown" for label in labels]
        said.append(f"{right:,} of {int(known.sum()):,} predictions whose label is known are right.")
    replaced = sum(rationale.replaced for rationale in explanations.rationales)
    if replaced:
        said.append(f"{replaced:,} texts of a language model were replaced by the template's.")
    columns |= extra
    columns["rationale"] = [_short(each.text) for each in explanations.rationales[: len(called)]]
    title = f"The first {len(called)} of {count:,}" if count > len(called) else "All of them"
    parts = [_paragraph(" ".join(said))] if said else []
    parts += [_table(title, list(columns), zip(*columns.values(), strict=True))] if count else []
    return _box(f"{count:,} {subject if count == 1 else f'{subject}s'} explained", about, parts)


def _subject(explanation: GradientExplanation) -> str:
    level = _level(explanation)
    if level is None:
        return "Explanation"
    index = _index(explanation, level)
    if index is None:
        return "Explanation of the graph" if level == ModelTaskLevel.graph else f"Explanation of every {level.value}"
    outputs = index.tolist()
    if not outputs:
        return "Explanation"  # of a node that is not in this part of the graph
    if len(outputs) > 1:
        return f"Explanation of {len(outputs):,} {level.value}s"
    is_node = level == ModelTaskLevel.node
    return f"Explanation of {_names(explanation).of_node(outputs[0]) if is_node else f'{level.value} {outputs[0]}'}"


def _index(explanation: GradientExplanation, level: ModelTaskLevel) -> Tensor | None:
    """Which outputs were explained, ``[num_explained]``, in whatever form they were asked for; all if ``None``."""
    index, output = explanation.get("index"), explanation.get("prediction")
    if index is None:
        return None
    if level == ModelTaskLevel.node:
        size = explanation.x.size(0)
    else:
        size = len(explanation.target if output is None else output)
    return check_index(index, size)


def _level(explanation: GradientExplanation) -> ModelTaskLevel | None:
    """What was explained; PyG's ``Explainer`` says it, an algorithm that is called alone does not."""
    config = getattr(explanation, "_model_config", None)
    return None if config is None else config.task_level


def _names(explanation: GradientExplanation) -> Names:
    return getattr(explanation, "_names", Names())


def _outcome(explanation: GradientExplanation) -> tuple[str, str]:
    """The predicted class or number, and its probability, where one output is explained and its prediction known."""
    output, level = explanation.get("prediction"), _level(explanation)
    index = None if level is None else _index(explanation, level)
    if output is None or (index is not None and index.numel() != 1) or (index is None and len(output) != 1):
        return "", ""
    config = explanation._model_config
    found, sure = predictions(output, config), confidences(output, config)
    place = 0 if index is None else int(index)
    if sure is None:
        return _numbers(found[place]), ""
    return _names(explanation).of_class(int(found[place])), f"{_percent(float(sure[place]))} sure"


def _psi(explanation: GradientExplanation) -> Markup:
    """The psi of the explained node, each entry beside those of the graph's other nodes."""
    psi, below = explanation.get("psi"), getattr(explanation, "_below", None)
    if psi is None or below is None or _level(explanation) != ModelTaskLevel.node:
        return Markup()
    index = _index(explanation, ModelTaskLevel.node)
    if index is None or index.numel() != 1:
        return Markup()
    node = int(index)
    rows = []
    table = (psi[node].tolist(), explanation.psi_valid[node].tolist(), below[0].tolist())
    for name, value, known, share in zip(FEATURES, *table, strict=True):
        if name == "role":
            rows.append((name, ROLES[value] if known else "not defined", ""))
        else:
            rows.append((name, f"{value:.3g}" if known else "not defined", _above(share) if known else ""))
    source = "the finished model" if explanation.get("psi_source") == "post hoc" else "the training"
    return _table(f"psi, from {source}", ["", "value", "in the graph"], rows)


def _edges(explanation: GradientExplanation) -> Markup:
    mask = explanation.get("edge_mask")
    if mask is None:
        return Markup()
    messages = along_flow(explanation.edge_index, getattr(explanation, "_flow", ""))
    [found] = strongest_edges(mask, messages, torch.zeros_like(messages[0]), 1, _MOST_NAMED)
    title = "Strongest edges" if found else "No edge supports it"
    called = _names(explanation).of_node
    rows = [(f"{called(u)} → {called(v)}", _measured(weight, f"{weight:.3g}")) for u, v, weight in found]
    return _table(title, [], rows)


def _features(explanation: GradientExplanation) -> Markup:
    evidence = explanation.get("node_evidence")
    if evidence is None or evidence.dim() != 2 or evidence.size(1) == 1:
        return Markup()
    [found] = strongest_features(evidence.sum(0, keepdim=True), _MOST_NAMED)
    title = "Strongest features" if found else "No feature supports it"
    called = _names(explanation).of_feature
    return _table(title, [], [(called(column), _measured(weight, f"{weight:.3g}")) for column, weight in found])


def _change(change: ChangeFact, prediction: str) -> str:
    edges = "the edge" if change.removed == 1 else f"the {change.removed} edges"
    still = "still " if change.prediction == prediction else ""
    return (
        f"Without {edges} that {'supports' if change.removed == 1 else 'support'} it most, the model {still}predicts "
        f"“{change.prediction}”, {_percent(change.confidence)} sure."
    )


def _value(explanations: Explanations, value: Tensor, classified: bool) -> str:
    return explanations.class_name(int(value)) if classified else _numbers(value)


def _numbers(value: Tensor) -> str:
    return ", ".join(f"{entry:.4g}" for entry in value.reshape(-1).tolist())


def _above(share: float) -> Markup | str:
    """The share of nodes that surely have less."""
    if share != share:
        return "not defined"
    return _measured(share, f"above {_percent(share)}" if share else "above none")


def _measured(share: float, text: str) -> Markup | str:
    """A share in [0, 1] as a bar and in words."""
    if share != share:
        return "unknown"
    return Markup('<span style="white-space:nowrap">{}{}</span>').format(_BAR.format(100 * share), text)


def _percent(share: float) -> str:
    """A percentage that rounds neither up to all nor down to none."""
    return ">99%" if share > 0.995 else "<1%" if share < 0.005 else f"{share:.0%}"


def _short(text: str) -> str:
    return text if len(text) <= _MOST_TEXT else text[: _MOST_TEXT - 1].rstrip() + "…"


def _table(title: str, heads: list[str], rows: Iterable[tuple[Any, ...]]) -> Markup:
    lines = [_joined(_HEAD.format(head) for head in heads)] if any(heads) else []
    lines += [_joined([_NAME.format(name), *(_CELL.format(cell) for cell in cells)]) for name, *cells in rows]
    return _TABLE.format(title, _joined(Markup("<tr>{}</tr>").format(line) for line in lines))


def _paragraph(text: str) -> Markup:
    return Markup('<p style="margin:.4em 0">{}</p>').format(text)


def _joined(parts: Iterable[Markup]) -> Markup:
    return Markup().join(parts)


def _box(title: str, about: str, parts: Iterable[Markup]) -> str:
    head = Markup('<p style="margin:.4em 0"><b>{}</b>{}</p>').format(title, f" · {about}" if about else "")
    return str(
        Markup('<div style="max-width:60em;line-height:1.5;overflow-x:auto">{}{}</div>').format(head, _joined(parts))
    )
