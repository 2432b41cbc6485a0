"""Explanations that were exported, as explanations again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Generic, TypeVar, cast

import pyarrow as pa
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.explain import Explainer

from gragr_explain.arguments import check_type
from gragr_explain.errors import ExportError
from gragr_explain.explain import Edge, Feature, GradientContextExplainer, NodeExplanations, explain_many
from gragr_explain.inputs import check_data, forward_arguments
from gragr_explain.modes import evaluating
from gragr_explain.rationale import ChangeFact, Rationale, Reliability, ValidationFact
from gragr_explain.report import table_schema
from gragr_explain.streaming._export import Export
from gragr_explain.streaming._fingerprint import fingerprint
from gragr_explain.streaming._shards import read_shard

T = TypeVar("T")
_RELIABILITY = ["reliability", "reliability_doubts", "validation_right", "validation_of", "valid_conflict"]


def read_explanations(export: Export, explainer: Explainer, data: Data) -> NodeExplanations:
    """Read a complete export back, for example to make a page of it, without explaining any node again.

    Numbers are read at once. Edges, features, changes and rationales are read from the shards when they are asked for,
    one shard at a time, so that they take no memory that grows with the number of nodes.

    Args:
        export: The export.
        explainer: The explainer that it was made with.
        data: The graph that it was made of, for psi and what the model predicts for all of its nodes.

    Raises:
        InvalidTypeError: If the export or the graph is of another type.
        ExportError: If the export is not complete, is damaged, or was made of another model, graph or settings.

    Example:
        >>> import tempfile, torch
        >>> from torch_geometric.data import Data
        >>> from torch_geometric.explain import Explainer
        >>> from torch_geometric.nn import GCN
        >>> from gragr_explain import GradientContextExplainer
        >>> data = Data(x=torch.rand(4, 3), edge_index=torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]]))
        >>> explainer = Explainer(
        ...     model=GCN(3, 8, num_layers=2, out_channels=2),
        ...     algorithm=GradientContextExplainer(),
        ...     explanation_type="model",
        ...     node_mask_type="attributes",
        ...     edge_mask_type="object",
        ...     model_config=dict(mode="multiclass_classification", task_level="node", return_type="raw"),
        ... )
        >>> from gragr_explain import stream_export
        >>> written = stream_export(explainer, data, tempfile.mkdtemp(), progress=False)
        >>> read_explanations(written, explainer, data).index
        tensor([0, 1, 2, 3])
    """
    check_type("export", export, Export)
    check_data(data)
    export.check_complete()
    for name, value in fingerprint(explainer, data).items():
        if export.manifest.made_of.get(name) != value:
            raise ExportError(
                f"expected the export of this explainer and this graph in '{export.folder}', got one of another run, "
                f"which differs in: {name.replace('_', ' ')}"
            )
    whole = explain_many(explainer, data, [], progress=False)  # what all explanations share, and none of them
    columns = ["node", "confidence", "label", *_RELIABILITY]
    schema = table_schema(classes=export.manifest.classes)
    of_none = pa.schema([schema.field(name) for name in columns]).empty_table()  # of no nodes, there is no shard
    numbers = pa.concat_tables([of_none, *export.tables(columns)])
    index = _tensor(numbers["node"]).to(data.x.device)
    no_label = math.nan if whole.label is not None and whole.label.is_floating_point() else -1
    rows = _Rows(export)
    return NodeExplanations(
        index=index,
        prediction=whole.all_predictions[index],
        confidence=_tensor(numbers["confidence"], math.nan).to(whole.confidence),
        label=None if whole.label is None else _tensor(numbers["label"], no_label).to(whole.label),
        context=whole.context,
        all_predictions=whole.all_predictions,
        embedding=_embedding(explainer, data, whole)[index],
        hidden=whole.hidden,
        edges=cast(list[Any], _Column(rows, _edges)),
        features=cast(list[Any], _Column(rows, _features)),
        changes=cast(list[Any], _Column(rows, _change)),
        rationales=cast(list[Any], _Column(rows, _rationale)),
        reliability=[_reliability(row) for row in numbers.select(_RELIABILITY).to_pylist()],
        class_names=whole.class_names,
        feature_names=whole.feature_names,
        node_names=whole.node_names,
        explains_labels=whole.explains_labels,
        flow=whole.flow,
    )


class _Rows:
    """The rows of an export, of which one shard at a time is in memory."""

    def __init__(self, export: Export) -> None:
        self.num_nodes, self._size = export.manifest.num_nodes, export.manifest.shard_size
        columns = ["edges", "features", "change_removed", "change_prediction", "change_confidence"]
        columns += ["rationale", "rationale_writer", "rationale_replaced", "rationale_problems"]
        self._shard = lru_cache(maxsize=1)(lambda shard: read_shard(export.folder, export.manifest, shard, columns))

    def __getitem__(self, row: int) -> Callable[[str], Any]:
        """What a column says in a row."""
        shard, place = divmod(row, self._size)
        table = self._shard(shard)
        return lambda name: table[name][place].as_py()


class _Column(Sequence[T], Generic[T]):
    """One value for each row, made when it is asked for."""

    def __init__(self, rows: _Rows, make: Callable[[Callable[[str], Any]], T]) -> None:
        self._rows, self._make = rows, make

    def __len__(self) -> int:
        return self._rows.num_nodes

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self[each] for each in range(*row.indices(len(self)))]
        if not -len(self) <= row < len(self):
            raise IndexError(f"expected a row in [0, {len(self) - 1}], got {row}")
        return self._make(self._rows[row % len(self)])


def _edges(cell: Callable[[str], Any]) -> list[Edge]:
    return [(edge["source"], edge["target"], edge["weight"]) for edge in cell("edges")]


def _features(cell: Callable[[str], Any]) -> list[Feature]:
    return [(feature["feature"], feature["weight"]) for feature in cell("features")]


def _change(cell: Callable[[str], Any]) -> ChangeFact | None:
    removed = cell("change_removed")
    return None if removed is None else ChangeFact(removed, cell("change_prediction"), cell("change_confidence"))


def _rationale(cell: Callable[[str], Any]) -> Rationale:
    problems = tuple(cell("rationale_problems"))
    return Rationale(cell("rationale"), cell("rationale_writer"), cell("rationale_replaced"), problems)


def _reliability(row: dict[str, Any]) -> Reliability:
    level, doubts, right, of, conflict = (row[name] for name in _RELIABILITY)
    return Reliability(level, tuple(doubts), None if of is None else ValidationFact(right, of, conflict))


def _tensor(column: pa.ChunkedArray, missing: float | None = None) -> Tensor:
    """A column of numbers."""
    filled = column if missing is None else column.fill_null(missing)
    return torch.from_numpy(filled.to_numpy().copy())


def _embedding(explainer: Explainer, data: Data, whole: NodeExplanations) -> Tensor:
    """The Reasoner's embeddings of all nodes, which the algorithm still knows from what it has just been asked."""
    algorithm, model = cast(GradientContextExplainer, explainer.algorithm), explainer.model
    target = data.y if explainer.explanation_type.value == "phenomenon" else whole.all_predictions
    with evaluating(model):
        arguments = forward_arguments(model, data)
        return algorithm.context(model, data.x, data.edge_index, target=target, **arguments).embedding
