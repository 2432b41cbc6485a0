"""Drawings of one explanation: its subgraph and its features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from torch import Tensor

from gragr_explain.arguments import check_number, check_type
from gragr_explain.errors import InvalidArgumentError, InvalidIndexError
from gragr_explain.explain import NodeExplanations
from gragr_explain.report._layout import radial
from gragr_explain.report._style import CALM, INK, SOFT, axes_to_draw_on, class_colours, style

_EVIDENCE = LinearSegmentedColormap.from_list("evidence", [(1, 0.35, 0.1, 0), (1, 0.35, 0.1, 0.9)])


def draw_subgraph(explanations: NodeExplanations, node: int, ax: Axes | None = None) -> Axes:
    """Draw the edges that support a prediction, the node in the middle and coloured by predicted class.

    Args:
        explanations: The explanations.
        node: The node, one of ``explanations.index``.
        ax: Where to draw; on a figure of pyplot's by default, which a notebook shows.

    Raises:
        InvalidTypeError: The explanations are of another type, or ``ax`` is no axes.
        InvalidIndexError: The node was not explained.

    Example:
        >>> explanations = explain_many(explainer, data, progress=False)
        >>> ax = draw_subgraph(explanations, 2)
        >>> sorted(text.get_text() for text in ax.texts if text.get_text())  # the nodes
        ['0', '1', '2', '3']
    """
    row = row_of(explanations, node)
    layout = radial(node, explanations.edges[row])
    classes = explanations.all_predictions[layout.nodes].tolist()
    palette = class_colours(1 + max((int(label) for label in explanations.all_predictions.tolist()), default=0))
    if explanations.all_predictions.is_floating_point():
        classes, palette = [0] * len(classes), [CALM]
    paired = {(source, target) for source, target, _ in layout.edges}
    with style():
        ax = axes_to_draw_on(ax, width=4, height=4)
        for source, target, weight in reversed(layout.edges):
            bend = 0.14 if (target, source) in paired else 0
            ax.annotate(
                "", layout.positions[target], layout.positions[source],
                arrowprops={
                    "arrowstyle": "-|>", "connectionstyle": f"arc3,rad={bend}", "shrinkA": 11, "shrinkB": 13,
                    "linewidth": 0.6 + 2.6 * weight, "alpha": 0.3 + 0.6 * weight, "color": INK,
                },
            )  # fmt: skip
        for position, (name, label) in enumerate(zip(layout.nodes, classes, strict=True)):
            x, y = layout.positions[position]
            ax.scatter(x, y, s=620 if position == 0 else 380, color=palette[label], zorder=3)
            ax.text(x, y, str(name), ha="center", va="center", fontsize=8, color="white", zorder=4)
        ax.set(xlim=(-1.25, 1.25), ylim=(1.25, -1.25), xticks=[], yticks=[], aspect="equal", title=f"Node {node}")
        ax.spines["bottom"].set_visible(False)
    return ax


def draw_features(
    explanations: NodeExplanations,
    node: int,
    *,
    x: Tensor | None = None,
    image_shape: tuple[int, int] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the features that support a prediction: bars, or evidence laid over the node's picture.

    Args:
        explanations: The explanations.
        node: The node, one of ``explanations.index``.
        x: Node features of shape ``[num_nodes, height * width]``, for a picture.
        image_shape: ``(height, width)`` where a node's features are the pixels of a picture.
        ax: Where to draw; on a figure of pyplot's by default, which a notebook shows.

    Raises:
        InvalidTypeError: The explanations are of another type, or ``ax`` is no axes.
        InvalidIndexError: The node was not explained.
        InvalidArgumentError: Only one of ``x`` and ``image_shape`` is given, or they do not fit.

    Example:
        >>> explanations = explain_many(explainer, data, progress=False)
        >>> ax = draw_features(explanations, 2)
        >>> [label.get_text() for label in ax.get_yticklabels()]
        ['feature 2', 'feature 1', 'feature 0']
    """
    row = row_of(explanations, node)
    if (x is None) != (image_shape is None):
        raise InvalidArgumentError("expected both x and image_shape, or neither; got one of them")
    features = explanations.features[row]
    with style():
        ax = axes_to_draw_on(ax)
        ax.set_title(f"Node {node}")
        ax.grid(False)
        if x is not None and image_shape is not None:
            check_type("x", x, Tensor)
            if x.dim() != 2 or x.size(0) != explanations.context.num_nodes:
                raise InvalidArgumentError(
                    f"expected x of shape [{explanations.context.num_nodes}, height * width], got {list(x.shape)}"
                )
            check_image_shape(image_shape, x.size(1))
            evidence = np.zeros(x.size(-1))
            for feature, weight in features:
                evidence[feature] = weight
            ax.imshow(x[node].detach().cpu().double().numpy().reshape(image_shape), cmap="gray")
            ax.imshow(evidence.reshape(image_shape), cmap=_EVIDENCE, vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
        else:
            names = explanations.feature_names
            labels = [str(names[f]) if names is not None else f"feature {f}" for f, _ in features]
            places = range(len(features))
            ax.barh(places, [weight for _, weight in features], color=SOFT, height=0.7)
            ax.set_yticks(places, labels)
            ax.invert_yaxis()
            ax.set(xlim=(0, 1), xlabel="weight")
    return ax


def check_image_shape(image_shape: tuple[int, int], num_features: int) -> None:
    """Check that a node's features can be the pixels of a picture.

    Raises:
        InvalidArgumentError: They cannot.
    """
    is_shape = isinstance(image_shape, Sequence) and [type(size) for size in image_shape] == [int, int]
    if not is_shape or min(image_shape) < 1 or image_shape[0] * image_shape[1] != num_features:
        raise InvalidArgumentError(
            f"expected an image_shape (height, width) with height * width = {num_features} features, got {image_shape}"
        )


def row_of(explanations: NodeExplanations, node: int) -> int:
    """The row of a node in a batch of explanations.

    Raises:
        InvalidTypeError: The explanations are of another type, or the node is no integer.
        InvalidIndexError: The node was not explained.
    """
    check_type("explanations", explanations, NodeExplanations)
    check_number("node", node, whole=True)
    rows = (explanations.index == node).nonzero().view(-1)
    if not len(rows):
        raise InvalidIndexError(f"expected one of the {len(explanations.index)} explained nodes, got node {node}")
    return int(rows[0])
