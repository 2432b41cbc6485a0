"""An edit, before and after, as one HTML page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from torch_geometric.data import Data

from gragr_explain.arguments import check_type
from gragr_explain.editing._accuracy import accuracy, counted_nodes, known_labels
from gragr_explain.editing._result import Edit
from gragr_explain.labels import class_names_of

_TEMPLATE = files("gragr_explain.editing") / "templates" / "edit.html.j2"
_METHODS = {"gre+": "GRE+", "gre": "GRE", "gd": "Gradient descent"}
_PARTS = {"train_mask": "training", "val_mask": "validation", "test_mask": "test"}


def summarise_edit(edit: Edit, data: Data, class_names: Sequence[str] | None = None) -> dict[str, Any]:
    """What an edit has done, as plain values that JSON can hold.

    Args:
        edit: The edit.
        data: The graph, with labels ``y`` (negative where unknown) and masks where it has them.
        class_names: The name of each class.

    Returns:
        - ``method``, ``success``, ``reason``, ``steps`` and ``change``, as :class:`Edit` has them;
        - ``targets``: of each its ``node``, the classes ``before``, ``after`` and ``label`` by name, and ``classes``
          with the probability ``before`` and ``after`` of each;
        - ``accuracies``: of the nodes for training, validation and test, as far as there are some;
        - ``flips``: of each other node that is predicted otherwise its ``node``, ``before``, ``after``, ``label``,
          a ``verdict`` and its ``kind`` (``"right"``, ``"wrong"`` or ``""``).

    Raises:
        InvalidTypeError: If the edit or the graph is of another type, or the names are no sequence.
        InvalidArgumentError: If there are not as many names as classes.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from gragr_explain.editing import edit
        >>> _ = torch.manual_seed(0)
        >>> data = Data(x=torch.eye(4), edge_index=torch.tensor([[0, 1], [1, 0]]))
        >>> done = edit(GCN(4, 8, 2, out_channels=2), data, index=3, target=1, method="gd")
        >>> summarise_edit(done, data, ["blue", "red"])["targets"][0]["after"]
        'red'
    """
    check_type("edit", edit, Edit)
    check_type("data", data, Data)
    count = edit.probs_before.size(1)
    names = class_names_of(class_names, count)
    y = known_labels(data)
    asked = set(edit.index.tolist())

    def name_of_label(node: int) -> str | None:
        return names[int(y[node])] if 0 <= int(y[node]) < count else None

    return {
        "method": edit.method,
        "success": edit.success,
        "reason": edit.reason,
        "steps": edit.steps,
        "change": edit.change,
        "targets": [
            {
                "node": node,
                "before": names[int(edit.prediction_before[node])],
                "after": names[int(edit.prediction_after[node])],
                "label": name_of_label(node),
                "classes": [
                    {"name": names[c], "before": before[c], "after": after[c], "asked": c == target}
                    for c in range(count)
                ],
            }
            for node, target, before, after in zip(
                edit.index.tolist(),
                edit.target.tolist(),
                edit.probs_before.tolist(),
                edit.probs_after.tolist(),
                strict=True,
            )
        ],
        "accuracies": _accuracies(edit, data),
        "flips": [
            {
                "node": flip.node,
                "before": names[flip.before],
                "after": names[flip.after],
                "label": name_of_label(flip.node),
                **_verdict(int(y[flip.node]), flip.before, flip.after),
            }
            for flip in edit.flips
            if flip.node not in asked
        ],
    }


def render_edit(edit: Edit, data: Data, class_names: Sequence[str] | None = None, *, title: str) -> str:
    """The page of an edit: what was corrected, what it cost, and which other predictions changed.

    The page holds no script, and a content security policy that lets a browser load nothing. Every name is escaped.

    Args:
        edit: The edit.
        data: The graph.
        class_names: The name of each class.
        title: The page's title.

    Returns:
        A complete HTML document.

    Raises:
        InvalidTypeError: If the edit or the graph is of another type, or the names are no sequence.
        InvalidArgumentError: If there are not as many names as classes.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from gragr_explain import edit
        >>> _ = torch.manual_seed(0)
        >>> data = Data(x=torch.eye(6), edge_index=torch.tensor([[0, 1, 2, 3, 4, 5], [1, 0, 3, 2, 5, 4]]))
        >>> model = GCN(6, 8, num_layers=2, out_channels=3).eval()
        >>> wrong = int(model(data.x, data.edge_index)[4].argmax())
        >>> done = edit(model, data, 4, (wrong + 1) % 3, method="gd")
        >>> render_edit(done, data, ["cat", "dog", "<owl>"], title="Node 4").count("&lt;owl&gt;") > 0
        True
    """
    summary = summarise_edit(edit, data, class_names)
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return template.render(title=title, sentences=edit_sentences(summary), **summary)


def edit_sentences(summary: dict[str, Any]) -> list[str]:
    """What :func:`summarise_edit` has found, in words.

    Raises:
        InvalidTypeError: If the summary is none.

    Example:
        >>> from gragr_explain.editing import edit
        >>> edit_sentences(summarise_edit(edit(trained, data, index=2, target=1, method="gd"), data))[1]
        '0 other predictions changed.'
    """
    check_type("summary", summary, dict)
    if not summary["success"]:
        return [f"The model is as it was: {summary['reason']}."]
    if not summary["steps"]:
        return ["Nothing was to be corrected: the model, which predicts what was asked for, is as it was."]
    kinds = [flip["kind"] for flip in summary["flips"]]
    steps, others = summary["steps"], len(kinds)
    nodes = f"{len(summary['targets'])} predictions" if len(summary["targets"]) > 1 else "the prediction"
    lines = [
        f"{_METHODS[summary['method']]} corrected {nodes} in {steps} step{'' if steps == 1 else 's'}; the weights "
        f"moved by {100 * summary['change']:.2g} % of their length.",
        f"{others} other prediction{'' if others == 1 else 's'} changed"
        + (
            f": {kinds.count('right')} to what the label says, {kinds.count('wrong')} away from it, "
            f"{kinds.count('')} neither."
            if others
            else "."
        ),
    ]
    test = [row for row in summary["accuracies"] if row["name"] == _PARTS["test_mask"]]
    if test:
        lines.append(
            f"Test accuracy, without the corrected nodes: {test[0]['before']:.2f} % before, {test[0]['after']:.2f} % "
            "after."
        )
    return lines


def _accuracies(edit: Edit, data: Data) -> list[dict[str, Any]]:
    rows = []
    for mask_name, name in _PARTS.items():
        counted = counted_nodes(data, mask_name, edit.index)
        if counted.numel():
            before, after = (
                accuracy(data, prediction, counted) for prediction in (edit.prediction_before, edit.prediction_after)
            )
            rows.append({"name": name, "count": counted.numel(), "before": before, "after": after})
    return rows


def _verdict(label: int, before: int, after: int) -> dict[str, str]:
    if label < 0:
        return {"verdict": "", "kind": ""}
    if after == label:
        return {"verdict": "right now", "kind": "right"}
    return {"verdict": "wrong now", "kind": "wrong"} if before == label else {"verdict": "still wrong", "kind": ""}
