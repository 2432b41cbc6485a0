"""The conflict pathway (eqs. 12 and 13)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gragr_explain.arguments import check_number, check_type
from gragr_explain.errors import InvalidGraphError, InvalidTypeError, UnsupportedModelError
from gragr_explain.field import GraphOperator, prepare
from gragr_explain.history import layer_input, message_passing_layers


class ConflictPathway(nn.Module):
    r"""A second way through every message-passing layer, for graphs whose edges carry conflict.

    .. math::
        H^{(l+1)} = (1 - \beta)\, H^{(l+1)}_{\text{base}} + \beta\, H^{(l+1)}_{\text{conf}}, \qquad
        H^{(l+1)}_{\text{conf}} = H^{(l)} W^{(l)}_{\text{conf}} + b^{(l)}

    GraGR paper, eqs. 12 and 13, which leave :math:`A_{\text{conf}}` open. Here it is the identity: where the gradients
    of neighbours oppose each other, the pathway lets a node speak for itself. Without an edge in it, it belongs to no
    graph in particular and costs one matrix product per layer. At :math:`\beta = 0` the model is the base model, bit
    for bit; at 1 it is a multilayer perceptron.

    Args:
        sizes: The input and output channels of each message-passing layer of the model; :func:`layer_sizes` finds them.

    Attributes:
        beta: The gate :math:`\beta` in ``[0, 1]``, the same for all layers, a scalar tensor.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> model, x, edge_index = GCN(2, 8, 2, 3), torch.rand(4, 2), torch.tensor([[0], [1]])
        >>> pathway = ConflictPathway(layer_sizes(model, lambda: model(x, edge_index)))
        >>> _ = pathway.beta.fill_(1.0)
        >>> with pathway.joined(model):
        ...     output = model(x, edge_index)
        >>> output.shape, [tuple(layer.weight.shape) for layer in pathway.layers]
        (torch.Size([4, 3]), [(8, 2), (3, 8)])
    """

    beta: Tensor

    def __init__(self, sizes: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        check_type("sizes", sizes, Sequence)
        self.layers = nn.ModuleList(nn.Linear(*size) for size in sizes)
        self.register_buffer("beta", torch.zeros(()))

    @contextmanager
    def joined(self, model: nn.Module) -> Iterator[None]:
        """Mix the pathway into every layer of the model, as long as the context lasts."""
        with ExitStack() as hooks:
            if bool(self.beta > 0):
                for layer, own in zip(message_passing_layers(model), self.layers, strict=True):
                    hooks.enter_context(layer.register_forward_hook(self._mixer(own), prepend=True, with_kwargs=True))
            yield

    def _mixer(self, own: nn.Module) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any], Tensor], Tensor]:
        def mix(_layer: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], base: Tensor) -> Tensor:
            return torch.lerp(base, own(layer_input(inputs, named)).to(base.dtype), self.beta.to(base.dtype))

        return mix


def layer_sizes(model: nn.Module, example: Callable[[], Any]) -> list[tuple[int, int]]:
    """The input and output channels of a model's message-passing layers, in the order in which they are registered.

    Args:
        model: The model.
        example: Runs it once.

    Raises:
        InvalidTypeError: If the example cannot be called.
        UnsupportedModelError: If the model has no message-passing layer, calls one several times or not at all, or one
            takes or returns something else than one matrix of node representations.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> model = GCN(6, 8, num_layers=2, out_channels=2)
        >>> layer_sizes(model, lambda: model(torch.eye(6), torch.tensor([[0], [1]])))
        [(6, 8), (8, 2)]
    """
    if not callable(example):
        raise InvalidTypeError(f"expected an example that can be called, got {type(example).__name__}")
    sizes: dict[nn.Module, tuple[int, int]] = {}

    def see(layer: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
        matrices = [
            value for value in (layer_input(inputs, named), output) if isinstance(value, Tensor) and value.dim() == 2
        ]
        if layer in sizes or len(matrices) != 2:
            reason = "is called several times" if layer in sizes else "is not from one matrix of nodes to another"
            raise UnsupportedModelError(f"no conflict pathway: {type(layer).__name__} {reason}; use pathway=False")
        sizes[layer] = (matrices[0].size(1), matrices[1].size(1))

    layers = message_passing_layers(model)
    with ExitStack() as hooks, torch.no_grad():
        for layer in layers:
            hooks.enter_context(layer.register_forward_hook(see, with_kwargs=True))
        example()
    unused = [type(layer).__name__ for layer in layers if layer not in sizes]
    if unused:
        raise UnsupportedModelError(f"no conflict pathway: the model does not call {unused[0]}; use pathway=False")
    return [sizes[layer] for layer in layers]


def first_field(y: Tensor, train_mask: Tensor, num_classes: int) -> Tensor:
    r"""The gradients of the training loss before anything is learned.

    .. math::
        g_v = \pi - \operatorname{onehot}(y_v) \text{ on training nodes, else } 0

    This is the gradient of the cross entropy with respect to the scores, at a model that predicts the classes'
    frequencies :math:`\pi` for every node. It depends on labels and graph alone. The gradients of a trained model do
    not say what is asked here: once the training labels are fitted, they are what is left over, and oppose each other
    on any graph.

    Args:
        y: Labels of shape ``[num_nodes]``.
        train_mask: The training nodes, of the same shape.
        num_classes: The number of classes.

    Returns:
        A field of shape ``[num_nodes, num_classes]``.

    Raises:
        InvalidGraphError: If the labels are no integers, or the mask is not one of the same nodes.
        InvalidTypeError: If labels or mask are no tensor, or the number no integer.

    Example:
        >>> first_field(torch.tensor([0, 1, 1]), torch.tensor([True, True, False]), 2)
        tensor([[-0.5000,  0.5000],
                [ 0.5000, -0.5000],
                [ 0.0000,  0.0000]])
    """
    check_type("y", y, Tensor)
    check_type("train_mask", train_mask, Tensor)
    check_number("num_classes", num_classes, whole=True, least=1)
    if y.dtype != torch.long or train_mask.dtype != torch.bool or y.dim() != 1 or y.shape != train_mask.shape:
        raise InvalidGraphError(
            f"expected integer labels of shape [num_nodes] and a mask as long, got {y.dtype} of {list(y.shape)} and "
            f"{train_mask.dtype} of {list(train_mask.shape)}"
        )
    wanted = F.one_hot(y.where(train_mask, 0), num_classes).to(torch.get_default_dtype())
    frequency = wanted[train_mask].mean(0)
    return torch.where(train_mask.unsqueeze(-1), frequency - wanted, 0)


def relative_conflict(field: Tensor, graph: GraphOperator) -> float:
    r"""How much more the gradients of neighbours oppose each other than those of any two nodes.

    .. math::
        \frac{\operatorname{mean}_{(i,j) \in E} \max(0, -\cos(g_i, g_j))}
             {\operatorname{mean}_{i \ne j} \max(0, -\cos(g_i, g_j))}

    Both means are over nodes that have a gradient (of the training loss with respect to the last layer, the training
    nodes). Below 1, edges link nodes that want the same; above, nodes that want the opposite. The second mean is taken
    over each node and the next ones in an order shuffled once and for all (that of the nodes may go by class), as many
    pairs as there are edges, so that the cost is linear.

    Args:
        field: The gradient field of shape ``[num_nodes, channels]``.
        graph: The prepared graph.

    Returns:
        The ratio; NaN where no edge links two nodes with a gradient, or no two nodes oppose each other.

    Raises:
        InvalidTypeError: If the field is no tensor of float32 or float64, or the graph is not prepared.
        InvalidGraphError: If the field has no row for each node.

    Example:
        >>> field = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        >>> opposed = GraphOperator(torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]]), 4)
        >>> relative_conflict(field, opposed) > 1  # every edge links two that oppose each other
        True
    """
    check_type("graph", graph, GraphOperator)
    prepare(field, graph)
    norm = torch.linalg.vector_norm(field, dim=-1)
    known = (norm > 0).nonzero().view(-1)
    pairs = graph.pairs[:, (norm[graph.pairs] > 0).all(0)]
    if pairs.size(1) == 0 or known.numel() < 2:
        return float("nan")
    direction = F.normalize(field, dim=-1)

    def opposition(first: Tensor, second: Tensor) -> float:
        return float((-torch.linalg.vecdot(direction[first], direction[second])).clamp(min=0).mean())

    order = torch.randperm(known.numel(), generator=torch.Generator().manual_seed(0), device="cpu")
    known = known[order.to(known.device)]
    shifts = range(1, min(known.numel(), 2 + pairs.size(1) // known.numel()))
    strangers = sum(opposition(known, known.roll(shift)) for shift in shifts) / len(shifts)
    return opposition(pairs[0], pairs[1]) / strangers if strangers > 0 else float("nan")
