"""Condensed nodes as prototypes: which real nodes each stands for."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from torch import Tensor, nn
from torch_geometric.data import Data

from gragr_explain.arguments import check_names, check_number, check_type
from gragr_explain.condensation._matching import propagate
from gragr_explain.condensation._modalities import modality_features
from gragr_explain.condensation._settings import CondensationSettings
from gragr_explain.errors import InvalidArgumentError, InvalidGraphError, UnsupportedModelError
from gragr_explain.history import hidden_representation
from gragr_explain.inputs import forward_arguments, trial_errors
from gragr_explain.labels import labels_of
from gragr_explain.modes import evaluating

_SHADES = ("#2563a8", "#b9cbe3")
_DRAWN = ("node", "label", "class", "stands_for", "purity", "features")


def prototypes(
    condensed: Data,
    data: Data,
    *,
    model: nn.Module | None = None,
    nearest: int = 5,
    strongest: int = 5,
    feature_names: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
) -> pd.DataFrame:
    """What each node of a condensed graph stands for.

    A condensed node stands for the real nodes that are nearer to it than to any other condensed node, by the cosine
    of what the matching saw, the propagated features, or of a model's hidden representation. Real nodes of which that
    is zero are like none of them, and are not counted.

    Args:
        condensed: What :func:`condense` has returned; its ``record`` says how often features were propagated.
        data: The graph that was condensed, with the features that the condensed graph has
            (:func:`modality_features`). Nodes with a negative label count as nodes of no class.
        model: A model, trained on either graph, in whose hidden representation to compare nodes.
        nearest: The number of real nodes to list.
        strongest: The number of features to list.
        feature_names: The name of each feature; by default its number.
        class_names: The name of each class; by default its number.

    Returns:
        A table with a row for each condensed node: ``node``; ``label`` and ``class``; ``nearest``, the real nodes most
        like it, most alike first, and ``similarity``, their cosines; ``stands_for``, the number of real nodes it
        stands for, and ``purity``, the share of them that are of its class (NaN for none); ``features``, those by
        which it exceeds the mean of the condensed graph most, as far as it does.

    Raises:
        InvalidTypeError: If an argument is of the wrong type.
        InvalidGraphError: If a graph cannot be used, has no labels, the features of both are not the same, or the model
            cannot take them.
        InvalidArgumentError: If a number is out of range, or names are too few.
        UnsupportedModelError: If the model cannot be used, or what it holds of a node is not finite.

    Example:
        >>> from gragr_explain.condensation import condense
        >>> from gragr_explain.datasets import load_dataset
        >>> data = load_dataset("digits").data
        >>> table = prototypes(condense(data, 0.02, epochs=1, progress=False), data)
        >>> table.shape, int(table.stands_for.sum()) == data.num_nodes
        ((36, 8), True)
    """
    check_number("nearest", nearest, whole=True, least=1)
    check_number("strongest", strongest, whole=True, least=1)
    _check_pair(condensed, data)
    condensed = copy.copy(condensed).to(data.x.device)
    names = _names("feature", feature_names, data.x.size(1))
    classes = _names("class", class_names, 1 + int(max(data.y.max(), condensed.y.max())))
    hops = _hops(condensed)
    own_rows, rows = (_representation(graph, model, hops) for graph in (condensed, data))
    similarity = own_rows @ rows.to(own_rows.dtype).t()
    best = similarity.topk(min(nearest, similarity.size(1)), dim=1)
    owner, owned = similarity.argmax(0), rows.any(1)
    stands_for = torch.bincount(owner[owned], minlength=condensed.y.numel())
    own = torch.bincount(owner[owned & (condensed.y[owner] == data.y)], minlength=condensed.y.numel())
    excess = condensed.x - condensed.x.mean(0)
    top = [
        [names[column] for column, value in zip(columns, values, strict=True) if value > 0]
        for values, columns in zip(*map(Tensor.tolist, excess.topk(min(strongest, excess.size(1)), dim=1)), strict=True)
    ]
    return pd.DataFrame(
        {
            "node": range(condensed.y.numel()),
            "label": condensed.y.tolist(),
            "class": [classes[label] for label in condensed.y.tolist()],
            "nearest": best.indices.tolist(),
            "similarity": best.values.tolist(),
            "stands_for": stands_for.tolist(),
            "purity": (own / stands_for).tolist(),
            "features": top,
        }
    )


def draw_prototypes(table: pd.DataFrame, ax: Axes, most: int = 24) -> Axes:
    """Draw how many real nodes each condensed node stands for, and by which features it stands out.

    Args:
        table: The table of :func:`prototypes`.
        ax: Where to draw.
        most: The number of condensed nodes to draw: those that stand for most.

    Returns:
        The axes.

    Raises:
        InvalidTypeError: If ``table`` is no table, ``ax`` no axes, or ``most`` no integer.
        InvalidArgumentError: If it is not positive, or the table is empty or another.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from gragr_explain.condensation import condense
        >>> table = prototypes(condense(data, 0.4, epochs=1, progress=False), data)
        >>> draw_prototypes(table, Figure().add_subplot()).get_xlabel()
        'real nodes that it stands for'
    """
    check_type("table", table, pd.DataFrame)
    check_type("ax", ax, Axes)
    check_number("most", most, whole=True, least=1)
    missing = [name for name in _DRAWN if name not in table]
    if missing:
        raise InvalidArgumentError(f"expected a table of prototypes, got one without {', '.join(missing)}")
    if table.empty:
        raise InvalidArgumentError("expected at least one prototype, got none")
    shown = table.sort_values("stands_for", ascending=False, kind="stable").head(most)
    shown = shown.sort_values(["label", "stands_for"], ascending=[True, False], kind="stable")
    own = shown.stands_for * shown.purity.fillna(0)
    places = range(len(shown))
    ax.barh(places, own, color=_SHADES[0], label="of its class")
    ax.barh(places, shown.stands_for - own, left=own, color=_SHADES[1], label="of other classes")
    for place, row in zip(places, shown.itertuples(), strict=True):
        ax.text(row.stands_for, place, "  " + ", ".join(row.features), va="center", fontsize=7)
    labels = [f"{node}: {name}" for node, name in zip(shown["node"], shown["class"], strict=True)]
    ax.set_yticks(list(places), labels, fontsize=7)
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.set_xlim(0, 1.6 * max(1, int(shown.stands_for.max())))
    ax.set_xlabel("real nodes that it stands for")
    ax.legend(loc="lower right", fontsize=7)
    return ax


def _hops(condensed: Data) -> int:
    """How often the features were propagated that were matched; by default as often as by default."""
    record = condensed.get("record")
    settings = record.get("settings") if isinstance(record, dict) else None
    hops = settings.get("hops") if isinstance(settings, dict) else None
    return hops if isinstance(hops, int) else CondensationSettings.hops


def _representation(data: Data, model: nn.Module | None, hops: int) -> Tensor:
    """Rows of unit length, or of zero, by which nodes are compared."""
    if model is None:
        hidden = propagate(data.x, data.edge_index, data.get("edge_weight"), hops)
    else:
        check_type("model", model, nn.Module)
        with torch.no_grad(), evaluating(model), trial_errors(data.x):
            hidden, _ = hidden_representation(model, data.x, data.edge_index, **forward_arguments(model, data))
        if not bool(hidden.isfinite().all()):
            raise UnsupportedModelError("expected a model whose hidden representation is finite, got NaN or infinity")
    return F.normalize(hidden.flatten(1), dim=1)


def _check_pair(condensed: Data, data: Data) -> None:
    for graph in (condensed, data):
        modality_features(graph)
        labels_of(graph)
    if condensed.x.size(1) != data.x.size(1):
        raise InvalidGraphError(
            f"expected graphs of the same features, got {condensed.x.size(1)} of the condensed and {data.x.size(1)} of "
            "the real one; with encoders, let the real one have those of modality_features"
        )


def _names(kind: str, names: Sequence[str] | None, count: int) -> list[str]:
    if names is None:
        return [str(place) for place in range(count)]
    check_names(f"{kind}_names", names)
    if len(names) < count:
        raise InvalidArgumentError(f"expected {count} {kind} names, got {len(names)}")
    return [str(name) for name in names]
