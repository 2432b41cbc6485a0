"""What the explanations of a graph depend on, in a form that can be compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.explain import Explainer

from gragr_explain import __version__
from gragr_explain.arguments import check_type
from gragr_explain.checkpoint import makeup
from gragr_explain.errors import InvalidTypeError
from gragr_explain.explain import GradientContextExplainer
from gragr_explain.history import GradientHistory
from gragr_explain.inputs import forward_arguments
from gragr_explain.rationale import Writer


def fingerprint(explainer: Explainer, data: Data) -> dict[str, Any]:
    """What the explanations of a graph's nodes depend on.

    Args:
        explainer: An explainer whose algorithm is a :class:`~gragr_explain.GradientContextExplainer`.
        data: The graph.

    Returns:
        Digests of the model, of what was recorded of its training and of the graph, and the settings in words and
        numbers. Where two are equal, so are the explanations, up to what the machine's arithmetic rounds, as long as
        the model's code is the same. Its output is not asked: no rounding of it is the same on every machine.

    Raises:
        InvalidTypeError: If the explainer's algorithm is another.
    """
    check_type("explainer", explainer, Explainer)
    algorithm = explainer.algorithm
    if not isinstance(algorithm, GradientContextExplainer):
        raise InvalidTypeError(f"expected an Explainer with a GradientContextExplainer, got {algorithm}")
    model = explainer.model
    history = algorithm.history_of(model)
    graph = {"x": data.x, "edge_index": data.edge_index, "y": data.get("y"), **forward_arguments(model, data)}
    return {
        "package": __version__,
        "model": digest(repr(model), json.dumps(makeup(model)), *_tensors(model.state_dict())),
        "history": _history(history) if isinstance(history, GradientHistory) else None,
        "graph": digest(*_tensors(graph)),
        "explains": str(explainer.explanation_type.value),
        "mode": str(explainer.model_config.mode.value),
        "return_type": str(getattr(explainer.model_config.return_type, "value", None)),
        "node_mask_type": str(getattr(explainer.node_mask_type, "value", None)),
        "evidence": algorithm.evidence,
        "search_edges": algorithm.search_edges,
        "refine": algorithm.refine,
        "ranked": algorithm.ranked,
        "history_weight": algorithm.history_weight,
        "scope": algorithm.scope,
        "class_names": _names(algorithm.class_names),
        "feature_names": _names(algorithm.feature_names),
        "node_names": _names(algorithm.node_names),
        "writer": _writer(algorithm.writer),
    }


def digest(*parts: str | Tensor) -> str:
    """The SHA-256 of texts and tensors.

    Example:
        >>> digest("a", torch.ones(2))[:8] == digest("a", torch.ones(2))[:8] != digest("a", torch.ones(3))[:8]
        True
    """
    found = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            found.update(f"{part.dtype} {list(part.shape)};".encode())
            found.update(part.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        else:
            found.update(f"{len(part)} {part};".encode())
    return found.hexdigest()


def _tensors(named: dict[str, Any]) -> Iterable[str | Tensor]:
    for name, value in named.items():
        if isinstance(value, Tensor):
            yield from (name, value)


def _history(history: GradientHistory) -> str:
    """What psi, the attention of edges and the reliability of predictions are taken from."""
    fields = {name: history.field(name) for name in sorted(history.fields)}
    return digest(*_tensors({**fields, "validation": history.validation}))


def _names(names: Sequence[str] | None) -> str | None:
    return None if names is None else digest(json.dumps([str(name) for name in names]))


def _writer(writer: Writer) -> str:
    """What a writer calls itself; of a function, where it is defined; of one that does not, its type."""
    if hasattr(writer, "__qualname__"):
        return f"{writer.__module__}.{writer.__qualname__}"
    kind = type(writer)
    return kind.__qualname__ if kind.__repr__ is object.__repr__ else repr(writer)
