"""Explaining many nodes, or many graphs, at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

from torch import Tensor
from torch_geometric.data import Data, Dataset
from torch_geometric.explain import Explainer
from torch_geometric.explain.config import ModelTaskLevel
from tqdm.auto import tqdm

from gragr_explain.arguments import check_number, check_type
from gragr_explain.errors import InvalidArgumentError, InvalidTypeError
from gragr_explain.explain._explainer import GradientContextExplainer
from gragr_explain.explain._many_graphs import explain_graphs
from gragr_explain.explain._many_nodes import NodeJob
from gragr_explain.explain._result import GraphExplanations, NodeExplanations


@overload
def explain_many(
    explainer: Explainer,
    data: Data,
    index: Tensor | Sequence[int] | int | None = None,
    *,
    top_edges: int = 10,
    top_features: int = 10,
    memory_mb: int = 512,
    progress: bool = True,
) -> NodeExplanations: ...


@overload
def explain_many(  # type: ignore[overload-cannot-match]  # without PyG's types, everything is Data
    explainer: Explainer,
    data: Sequence[Data] | Dataset,
    index: Tensor | Sequence[int] | int | None = None,
    *,
    top_edges: int = 10,
    top_features: int = 10,
    memory_mb: int = 512,
    progress: bool = True,
) -> GraphExplanations: ...


def explain_many(
    explainer: Explainer,
    data: Data | Sequence[Data] | Dataset,
    index: Tensor | Sequence[int] | int | None = None,
    *,
    top_edges: int = 10,
    top_features: int = 10,
    memory_mb: int = 512,
    progress: bool = True,
) -> NodeExplanations | GraphExplanations:
    """Explain many nodes of a graph, or many graphs, in batches.

    A batch is explained as one disjoint union, with one backward pass: of the nodes' computation graphs, or of the
    graphs. Where a model's prediction depends on more than that (a normalisation over the whole graph or over the
    batch, a cache), which is tested on every batch, predictions are explained one after another instead, each node on
    the whole graph, each graph alone. Both give what ``explainer(data.x, data.edge_index, index=node)`` gives, and
    ``explainer(graph.x, graph.edge_index)``, where that is handed everything else that the model takes from the graph,
    such as ``edge_weight``.

    Graphs have no psi and no embeddings here: those of a graph's nodes are post hoc, and relative to the other nodes
    of their graph, which takes longer than all of the rest; ``explainer(graph.x, graph.edge_index).psi`` has them.

    Args:
        explainer: A :class:`~torch_geometric.explain.Explainer` for nodes or graphs whose algorithm is a
            :class:`GradientContextExplainer`.
        data: For nodes, their graph, with ``x`` and ``edge_index``; for graphs, a sequence of such, a
            :class:`~torch_geometric.data.Batch` or a :class:`~torch_geometric.data.Dataset`. What else a model takes
            by the name it has in the graph, as ``edge_weight`` or ``edge_attr``, is passed to it, and so is ``batch``;
            ``y`` is reported as the true label (and explained, where a phenomenon is).
        index: The nodes, or graphs, to explain; all if ``None``.
        top_edges: How many of the edges that support a prediction are kept.
        top_features: How many of the features that support a prediction are kept.
        memory_mb: How much memory, about, a batch may take, in MiB. A batch has at least one node or graph, whatever
            memory that takes.
        progress: Whether to show a progress bar.

    Raises:
        InvalidTypeError: If the explainer's algorithm is another, or an input of the wrong type.
        InvalidArgumentError: If the explainer is for edges, a number is not positive, or there is not a name for each
            class, feature or node, where they have names.
        InvalidGraphError: If a graph cannot be used, or the graphs are not of one kind.
        UnsupportedModelError: If the model has no message-passing layers, or its edges cannot be masked.
        InvalidIndexError: If a node is not in the graph, or a graph not in the sequence.
        HistoryMismatchError: If the history was recorded on another graph.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> data = Data(x=torch.rand(4, 3), edge_index=torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]]))
        >>> explainer = Explainer(
        ...     model=GCN(3, 8, num_layers=2, out_channels=2),
        ...     algorithm=GradientContextExplainer(),
        ...     explanation_type="model",
        ...     node_mask_type="attributes",
        ...     edge_mask_type="object",
        ...     model_config=dict(mode="multiclass_classification", task_level="node", return_type="raw"),
        ... )
        >>> len(explain_many(explainer, data, [0, 3], progress=False))
        2
    """
    levels = (ModelTaskLevel.node, ModelTaskLevel.graph)
    options = {"top_edges": top_edges, "top_features": top_features, "memory_mb": memory_mb}
    algorithm = _checked_algorithm(explainer, levels, options)
    if explainer.model_config.task_level == ModelTaskLevel.graph:
        return explain_graphs(explainer, algorithm, data, index, progress=progress, **options)
    job = NodeJob.prepare(explainer, algorithm, data, index)
    with _progress(job, progress) as bar:
        return job.explain(job.nodes, bar, **options)


def explain_parts(
    explainer: Explainer,
    data: Data,
    index: Tensor | Sequence[int] | int | None = None,
    *,
    part_size: int = 4096,
    top_edges: int = 10,
    top_features: int = 10,
    memory_mb: int = 512,
    progress: bool = False,
) -> Iterator[NodeExplanations]:
    """Explain many nodes of a graph, some thousands at a time, for graphs whose explanations do not fit into memory.

    The model is run on the graph once, by this call; the explanations of the nodes are made part by part, as they are
    asked for. Put together they are what :func:`explain_many` gives. Between parts, the model is in the mode it was
    in; its weights and the graph have to stay as they are.

    Args:
        explainer: A :class:`~torch_geometric.explain.Explainer` for nodes whose algorithm is a
            :class:`GradientContextExplainer`.
        data: The graph.
        index: The nodes to explain; all of them if ``None``.
        part_size: How many nodes a part has; the last has what is left.
        top_edges: How many edges to keep for each node, at most.
        top_features: How many features to keep for each node, at most.
        memory_mb: How much memory a batch may use, about, beside the model.
        progress: Whether to show a progress bar.

    Returns:
        The explanations of one part after another, in the order of ``index``; none, where no node is asked for.

    Raises:
        InvalidArgumentError: If the explainer is not of nodes, or a number is not positive.
        GragrError: If :func:`explain_many` raises one.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> data = Data(x=torch.rand(4, 3), edge_index=torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]]))
        >>> explainer = Explainer(
        ...     model=GCN(3, 8, num_layers=2, out_channels=2),
        ...     algorithm=GradientContextExplainer(),
        ...     explanation_type="model",
        ...     node_mask_type="attributes",
        ...     edge_mask_type="object",
        ...     model_config=dict(mode="multiclass_classification", task_level="node", return_type="raw"),
        ... )
        >>> [part.index.tolist() for part in explain_parts(explainer, data, part_size=3)]
        [[0, 1, 2], [3]]
    """
    options = {"top_edges": top_edges, "top_features": top_features, "memory_mb": memory_mb}
    algorithm = _checked_algorithm(explainer, (ModelTaskLevel.node,), {**options, "part_size": part_size})
    job = NodeJob.prepare(explainer, algorithm, data, index)

    def parts() -> Iterator[NodeExplanations]:
        with _progress(job, progress) as bar:
            for nodes in job.nodes.split(part_size) if job.nodes.numel() else ():
                yield job.explain(nodes, bar, **options)

    return parts()


def _checked_algorithm(
    explainer: Explainer, levels: Sequence[ModelTaskLevel], options: dict[str, int]
) -> GradientContextExplainer:
    """The algorithm of an explainer of outputs at one of these levels, where all options are positive."""
    check_type("explainer", explainer, Explainer)
    algorithm, level = explainer.algorithm, explainer.model_config.task_level
    if not isinstance(algorithm, GradientContextExplainer):
        raise InvalidTypeError(f"expected an Explainer with a GradientContextExplainer, got {algorithm}")
    if level not in levels:
        expected = " or ".join(f"{level.value}-level" for level in levels)
        got = f"got one of task level {level.value!r}"
        raise InvalidArgumentError(f"expected an Explainer of a {expected} model, {got}")
    for name, number in options.items():
        check_number(name, number, whole=True, least=1)
    return algorithm


def _progress(job: NodeJob, shown: bool) -> tqdm:
    return tqdm(total=job.nodes.numel(), desc="explaining", unit="node", disable=not shown)
