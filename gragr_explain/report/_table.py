"""Explanations as a table: one row a node, or a graph."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from gragr_explain.arguments import check_type
from gragr_explain.context import FEATURES, ROLES, GradientContext
from gragr_explain.errors import InvalidArgumentError, UnsupportedModelError
from gragr_explain.explain import Explanations, NodeExplanations
from gragr_explain.files import as_path, atomic

_EDGES = pa.list_(pa.struct([("source", pa.int64()), ("target", pa.int64()), ("weight", pa.float64())]))
_FEATURES = pa.list_(pa.struct([("feature", pa.int64()), ("name", pa.string()), ("weight", pa.float64())]))
_ROWS_AT_ONCE = 1024


def to_frame(explanations: Explanations) -> pd.DataFrame:
    """The table of a batch of explanations.

    Args:
        explanations: The explanations of ``n`` nodes, or graphs.

    Returns:
        A data frame of ``n`` rows in the order of ``explanations.index``, with the columns

        - ``node`` and ``node_name``, or ``graph``; ``prediction`` (class id, or the value of a regression),
          ``prediction_name``, ``confidence``;
        - ``label``, ``label_name`` and ``correct``, missing where the label is not known;
        - ``reliability``: ``low``, ``medium`` or ``high``, how far the prediction can be relied on; and
          ``validation_right`` and ``validation_of``, about how many validation nodes the model is right, of how many
          that it is about as sure of; missing where that is not known;
        - of nodes: ``psi_<feature>`` and ``valid_<feature>`` of the six features; a psi that is not valid is missing;
          and ``role``, ``psi_source``;
        - ``edges``: a list of ``{source, target, weight}`` and ``features``: a list of
          ``{feature, name, weight}``, strongest first;
        - ``change_removed``, ``change_prediction``, ``change_confidence``: what is predicted without so many of the
          strongest connections, missing where it was not measured;
        - ``reliability_doubts``: what speaks against relying on the prediction;
        - ``rationale``, ``rationale_writer``, ``rationale_replaced``, ``rationale_problems``.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from torch_geometric.explain import Explainer
        >>> from torch_geometric.nn import GCN
        >>> from gragr_explain import GradientContextExplainer, explain_many
        >>> data = Data(x=torch.rand(4, 3), edge_index=torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]]))
        >>> explainer = Explainer(
        ...     model=GCN(3, 8, num_layers=2, out_channels=2),
        ...     algorithm=GradientContextExplainer(),
        ...     explanation_type="model",
        ...     node_mask_type="attributes",
        ...     edge_mask_type="object",
        ...     model_config=dict(mode="multiclass_classification", task_level="node", return_type="raw"),
        ... )
        >>> frame = to_frame(explain_many(explainer, data, [3, 0], progress=False))
        >>> frame["node"].tolist(), frame["psi_source"].tolist()
        ([3, 0], ['post hoc', 'post hoc'])
    """
    frame = numbers(explanations)
    names = explanations.feature_names
    frame["edges"] = _objects(
        [{"source": u, "target": v, "weight": w} for u, v, w in edges] for edges in explanations.edges
    )
    frame["features"] = _objects(
        [{"feature": f, "name": _name(names, f), "weight": w} for f, w in features]
        for features in explanations.features
    )
    changes = explanations.changes
    frame["change_removed"] = pd.Series([pd.NA if item is None else item.removed for item in changes], dtype="Int64")
    frame["change_prediction"] = _objects(None if item is None else item.prediction for item in changes)
    frame["change_confidence"] = pd.Series(
        [math.nan if item is None else item.confidence for item in changes], dtype=float
    )
    frame["reliability_doubts"] = _objects(list(each.doubts) for each in explanations.reliability)
    frame["rationale"] = _objects(rationale.text for rationale in explanations.rationales)
    frame["rationale_writer"] = _objects(rationale.writer for rationale in explanations.rationales)
    frame["rationale_replaced"] = pd.Series([item.replaced for item in explanations.rationales], dtype=bool)
    frame["rationale_problems"] = _objects(list(rationale.problems) for rationale in explanations.rationales)
    return frame


def numbers(explanations: Explanations) -> pd.DataFrame:
    """The part of the table that holds one number or one word a cell."""
    check_type("explanations", explanations, Explanations)
    index = explanations.index.cpu().numpy()
    prediction = explanations.prediction.cpu().numpy()
    if prediction.ndim != 1:
        raise UnsupportedModelError(
            f"expected one class or number for each prediction in a table, got predictions of shape "
            f"{list(prediction.shape)}"
        )
    classes = np.issubdtype(prediction.dtype, np.integer)
    of_nodes = isinstance(explanations, NodeExplanations)
    frame = pd.DataFrame({"node" if of_nodes else "graph": index})
    if isinstance(explanations, NodeExplanations):
        frame["node_name"] = _names(explanations.node_names, index)
    frame["prediction"] = prediction
    frame["prediction_name"] = _names(explanations.class_names if classes else None, prediction)
    frame["confidence"] = explanations.confidence.cpu().double().numpy()
    frame["label"], frame["label_name"] = _labels(explanations)
    correct = frame["label"] == frame["prediction"] if classes else pd.Series(pd.NA, frame.index)
    frame["correct"] = correct.astype("boolean").mask(frame["label"].isna())
    frame["reliability"] = _objects(each.level for each in explanations.reliability)
    validation = [each.validation for each in explanations.reliability]
    frame["validation_right"] = pd.Series([pd.NA if each is None else each.right for each in validation], dtype="Int64")
    frame["validation_of"] = pd.Series([pd.NA if each is None else each.of for each in validation], dtype="Int64")
    if isinstance(explanations, NodeExplanations):
        _add_psi(frame, explanations.context, explanations.index.cpu())
    return frame


def is_wrong(frame: pd.DataFrame) -> pd.Series:
    """Which predictions of :func:`numbers` contradict their label; none that has no label."""
    return frame["correct"].eq(False).fillna(False)


def _add_psi(frame: pd.DataFrame, context: GradientContext, index: Tensor) -> None:
    valid = context.valid[index].cpu().numpy()
    psi = np.where(valid, context.psi[index].cpu().double().numpy(), np.nan)
    for column, feature in enumerate(FEATURES):
        frame[f"psi_{feature}"] = psi[:, column]
    for column, feature in enumerate(FEATURES):
        frame[f"valid_{feature}"] = valid[:, column]
    frame["role"] = _roles(context, index)
    frame["psi_source"] = _objects([context.source] * len(index))


def write_parquet(frame: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write the table of :func:`to_frame` as one Parquet file, whole or not at all; missing values are null.

    Raises:
        InvalidTypeError: It is no table.
        InvalidArgumentError: It is another table.
        OutputError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> explanations = explain_many(explainer, data, progress=False)
        >>> path = Path(tempfile.mkdtemp()) / "explanations.parquet"
        >>> write_parquet(to_frame(explanations), path)
        >>> pd.read_parquet(path)["prediction"].tolist()
        [0, 0, 0, 1, 1, 1]
    """
    with atomic(as_path(path)) as (temporary,):
        save_parquet(frame, temporary)


def write_jsonl(frame: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write the table of :func:`to_frame` as JSON lines, whole or not at all; missing values are null.

    Raises:
        InvalidTypeError: It is no table.
        InvalidArgumentError: It is another table.
        OutputError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> explanations = explain_many(explainer, data, progress=False)
        >>> path = Path(tempfile.mkdtemp()) / "explanations.jsonl"
        >>> write_jsonl(to_frame(explanations), path)
        >>> [json.loads(line)["prediction"] for line in path.read_text().splitlines()]
        [0, 0, 0, 1, 1, 1]
    """
    with atomic(as_path(path)) as (temporary,):
        save_jsonl(frame, temporary)


def save_parquet(frame: pd.DataFrame, path: Path) -> None:
    """:func:`write_parquet` without its promise."""
    pq.write_table(to_table(frame), path)


def save_jsonl(frame: pd.DataFrame, path: Path) -> None:
    """:func:`write_jsonl` without its promise."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json_lines(to_table(frame)))


def to_table(frame: pd.DataFrame) -> pa.Table:
    """The table of :func:`to_frame` in Arrow's types, which do not depend on what the rows happen to hold.

    Missing values and NaN are null.

    Raises:
        InvalidTypeError: It is no table.
        InvalidArgumentError: It is another table.

    Example:
        >>> explanations = explain_many(explainer, data, progress=False)
        >>> table = to_table(to_frame(explanations))
        >>> table.num_rows, str(table.schema.field("psi_conflict").type)
        (6, 'double')
    """
    check_type("frame", frame, pd.DataFrame)
    if "prediction" not in frame:
        raise InvalidArgumentError(f"expected the table of to_frame, got one of the columns {list(frame)}")
    schema = table_schema(classes=frame["prediction"].dtype.kind == "i", graphs="graph" in frame)
    return pa.Table.from_pandas(frame, schema=schema, preserve_index=False)


def table_schema(*, classes: bool, graphs: bool = False) -> pa.Schema:
    """The names and types of the columns of :func:`to_table`.

    Args:
        classes: Whether predictions are classes; else they are the values of a regression.
        graphs: Whether they are of graphs; else they are of nodes.

    Example:
        >>> table_schema(classes=True).names[:3]
        ['node', 'node_name', 'prediction']
    """
    value = pa.int64() if classes else pa.float64()
    psi = [
        *((f"psi_{feature}", pa.float64()) for feature in FEATURES),
        *((f"valid_{feature}", pa.bool_()) for feature in FEATURES),
        ("role", pa.string()),
        ("psi_source", pa.string()),
    ]
    return pa.schema(
        [
            *([("graph", pa.int64())] if graphs else [("node", pa.int64()), ("node_name", pa.string())]),
            ("prediction", value),
            ("prediction_name", pa.string()),
            ("confidence", pa.float64()),
            ("label", value),
            ("label_name", pa.string()),
            ("correct", pa.bool_()),
            ("reliability", pa.string()),
            ("validation_right", pa.int64()),
            ("validation_of", pa.int64()),
            *([] if graphs else psi),
            ("edges", _EDGES),
            ("features", _FEATURES),
            ("change_removed", pa.int64()),
            ("change_prediction", pa.string()),
            ("change_confidence", pa.float64()),
            ("reliability_doubts", pa.list_(pa.string())),
            ("rationale", pa.string()),
            ("rationale_writer", pa.string()),
            ("rationale_replaced", pa.bool_()),
            ("rationale_problems", pa.list_(pa.string())),
        ]
    )


def json_lines(table: pa.Table) -> Iterator[str]:
    """The rows of :func:`to_table`, each as a line of strict JSON: missing and undefined numbers are null.

    Raises:
        InvalidTypeError: It is no table.

    Example:
        >>> explanations = explain_many(explainer, data, progress=False)
        >>> first = next(json_lines(to_table(to_frame(explanations))))
        >>> json.loads(first)["edges"][0]
        {'source': 1, 'target': 0, 'weight': 1.0}
    """
    check_type("table", table, pa.Table)
    for batch in table.to_batches(max_chunksize=_ROWS_AT_ONCE):
        for row in batch.to_pylist():
            values = {name: _json(value) for name, value in row.items()}
            yield json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n"


def _labels(explanations: Explanations) -> tuple[pd.Series, pd.Series]:
    """The labels and their names, missing where they are not known."""
    if explanations.label is None:
        kind = "Float64" if explanations.prediction.is_floating_point() else "Int64"
        unknown: list[object] = [pd.NA] * len(explanations.index)
        return pd.Series(unknown, dtype=kind), _objects(None for _ in unknown)
    label = explanations.label.cpu().numpy()
    if np.issubdtype(label.dtype, np.floating):
        return pd.Series(label, dtype="Float64").mask(np.isnan(label)), _objects(None for _ in label)
    return pd.Series(label, dtype="Int64").mask(label < 0), _names(explanations.class_names, label)


def _roles(context: GradientContext, index: Tensor) -> pd.Series:
    """The role of each node, missing where it is undefined."""
    column = FEATURES.index("role")
    values, valid = context.psi[index, column].tolist(), context.valid[index, column].tolist()
    return _objects(ROLES[value] if known else None for value, known in zip(values, valid, strict=True))


def _names(names: Sequence[str] | None, positions: np.ndarray) -> pd.Series:
    """What classes or nodes are called, missing where they have no name."""
    known = np.array([*(str(name) for name in (() if names is None else names)), None], dtype=object)
    inside = (positions >= 0) & (positions < len(known) - 1)
    return pd.Series(known[np.where(inside, positions, -1).astype(int)], dtype=object)


def _name(names: Sequence[str] | None, position: int) -> str | None:
    return str(names[position]) if names is not None and 0 <= position < len(names) else None


def _objects(values: Any) -> pd.Series:
    return pd.Series(list(values), dtype=object)


def _json(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
