"""Explanations as a table: one row a node."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gragr_explain.context import FEATURES
from gragr_explain.files import atomic

if TYPE_CHECKING:
    from gragr_explain.explain import NodeExplanations

_EDGES = pa.list_(pa.struct([("source", pa.int64()), ("target", pa.int64()), ("weight", pa.float64())]))
_FEATURES = pa.list_(pa.struct([("feature", pa.int64()), ("name", pa.string()), ("weight", pa.float64())]))


def to_frame(explanations: NodeExplanations) -> pd.DataFrame:
    """The table of a batch of explanations.

    Args:
        explanations: The explanations of ``n`` nodes.

    Returns:
        A data frame of ``n`` rows in the order of ``explanations.index``, with the columns

        - ``node``, ``prediction`` (class id, or the value of a regression), ``prediction_name``, ``confidence``;
        - ``label``, ``label_name`` and ``correct``, missing where the label is not known;
        - ``psi_<feature>`` and ``valid_<feature>`` of the six features; a psi that is not valid is missing;
        - ``role``, ``psi_source``;
        - ``edges``: a list of ``{source, target, weight}`` and ``features``: a list of
          ``{feature, name, weight}``, strongest first;
        - ``rationale``, ``rationale_writer``, ``rationale_replaced``, ``rationale_problems``.
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
    frame["rationale"] = _objects(rationale.text for rationale in explanations.rationales)
    frame["rationale_writer"] = _objects(rationale.writer for rationale in explanations.rationales)
    frame["rationale_replaced"] = pd.Series([item.replaced for item in explanations.rationales], dtype=bool)
    frame["rationale_problems"] = _objects(list(rationale.problems) for rationale in explanations.rationales)
    return frame


def numbers(explanations: NodeExplanations) -> pd.DataFrame:
    """The part of the table that holds one number or one word a cell."""
    index = explanations.index.cpu()
    context = explanations.context
    prediction = explanations.prediction.cpu().numpy()
    classes = np.issubdtype(prediction.dtype, np.integer)
    frame = pd.DataFrame({"node": index.numpy(), "prediction": prediction})
    frame["prediction_name"] = _objects(
        _name(explanations.class_names, value) if classes else None for value in prediction
    )
    frame["confidence"] = explanations.confidence.cpu().double().numpy()
    frame["label"], frame["label_name"] = _labels(explanations)
    correct = frame["label"] == frame["prediction"] if classes else pd.Series(pd.NA, frame.index)
    frame["correct"] = correct.astype("boolean").mask(frame["label"].isna())
    valid = context.valid[index].cpu().numpy()
    psi = np.where(valid, context.psi[index].cpu().double().numpy(), np.nan)
    for column, feature in enumerate(FEATURES):
        frame[f"psi_{feature}"] = psi[:, column]
    for column, feature in enumerate(FEATURES):
        frame[f"valid_{feature}"] = valid[:, column]
    frame["role"] = _objects(context.role(int(node)) for node in index)
    frame["psi_source"] = _objects([context.source] * len(index))
    return frame


def write_parquet(frame: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write the table of :func:`to_frame` as one Parquet file, whole or not at all; missing values are null.

    Raises:
        OutputError: The file cannot be written.
    """
    with atomic(Path(path)) as (temporary,):
        save_parquet(frame, temporary)


def write_jsonl(frame: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write the table of :func:`to_frame` as JSON lines, whole or not at all; missing values are null.

    Raises:
        OutputError: The file cannot be written.
    """
    with atomic(Path(path)) as (temporary,):
        save_jsonl(frame, temporary)


def save_parquet(frame: pd.DataFrame, path: Path) -> None:
    """:func:`write_parquet` without its promise."""
    pq.write_table(pa.Table.from_pandas(frame, schema=_schema(frame), preserve_index=False), path)


def save_jsonl(frame: pd.DataFrame, path: Path) -> None:
    """:func:`write_jsonl` without its promise."""
    columns = list(frame.columns)
    with path.open("w", encoding="utf-8") as file:
        for row in zip(*(frame[column].tolist() for column in columns), strict=True):
            values = dict(zip(columns, map(_json, row), strict=True))
            file.write(json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n")


def _schema(frame: pd.DataFrame) -> pa.Schema:
    """Types that do not depend on what the rows happen to hold: an empty list is a list of edges."""
    typed = {
        "edges": _EDGES,
        "features": _FEATURES,
        "rationale_problems": pa.list_(pa.string()),
        "correct": pa.bool_(),
    }
    number = {"i": pa.int64(), "f": pa.float64(), "b": pa.bool_()}
    return pa.schema(
        [
            (name, typed.get(name, number.get(getattr(dtype, "kind", "O"), pa.string())))
            for name, dtype in frame.dtypes.items()
        ]
    )


def _labels(explanations: NodeExplanations) -> tuple[pd.Series, pd.Series]:
    """The labels and their names, missing where they are not known."""
    if explanations.label is None:
        unknown: list[object] = [pd.NA] * len(explanations.index)
        return pd.Series(unknown, dtype="Int64"), _objects(None for _ in unknown)
    label = explanations.label.cpu().numpy()
    if np.issubdtype(label.dtype, np.floating):
        return pd.Series(label, dtype="Float64").mask(np.isnan(label)), _objects(None for _ in label)
    names = _objects(_name(explanations.class_names, value) if value >= 0 else None for value in label)
    return pd.Series(label, dtype="Int64").mask(label < 0), names


def _name(names: Sequence[str] | None, position: int) -> str | None:
    return str(names[position]) if names is not None and 0 <= position < len(names) else None


def _objects(values: Any) -> pd.Series:
    return pd.Series(list(values), dtype=object)


def _json(value: Any) -> Any:
    """A value that strict JSON can hold: missing and undefined numbers are null."""
    if value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value
