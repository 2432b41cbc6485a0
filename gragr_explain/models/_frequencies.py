"""Whether the layers of a model favour low or high frequencies, for any model of message-passing layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from gragr_explain.arguments import check_type
from gragr_explain.errors import UnsupportedModelError
from gragr_explain.field import GraphOperator, largest_frequency, rayleigh_quotient
from gragr_explain.history import (
    call_with,
    find_history,
    full_precision,
    layer_input,
    message_passing_layers,
    recorded_weights,
)
from gragr_explain.inputs import check_data, forward_arguments, trial_errors
from gragr_explain.models._limit import Dominance
from gragr_explain.modes import evaluating, hooked, uncompiled

_UNCHANGED = 1e-3


@dataclass(frozen=True)
class FrequencyProfile:
    r"""The mean frequency of a model's representations, before and after each of its message-passing layers.

    Frequencies are Rayleigh quotients :math:`\operatorname{tr}(F^\top \Delta F) / \|F\|^2` of the normalised Laplacian
    (:func:`gragr_explain.field.rayleigh_quotient`): 0 is as smooth as the graph allows, :attr:`largest` as rough, and 1
    what random rows have. Gradient-flow slides: a dynamics that lowers it is dominated by the low frequencies, one that
    raises it by the high ones. All of a representation counts: a bias, which is alike for all nodes, lowers the mean
    frequency, too.

    Attributes:
        layers: The names of the layers, in the order in which they are called.
        before: The mean frequency of what each layer is given, ``[num_layers]``; NaN for a zero representation.
        after: The mean frequency of what it returns, ``[num_layers]``.
        largest: The largest frequency :math:`\rho_\Delta` of the graph.
    """

    layers: tuple[str, ...]
    before: Tensor
    after: Tensor
    largest: float

    @property
    def dominance(self) -> tuple[Dominance, ...]:
        """Which frequencies each layer favours: ``"low"``, ``"high"``, or ``"neither"`` where it changes nothing."""
        return tuple(self._direction(float(change)) for change in self.after - self.before)

    @property
    def overall(self) -> Dominance:
        """Which frequencies the model favours, from what its first layer is given to what its last one returns."""
        return self._direction(float(self.after[-1] - self.before[0]))

    def _direction(self, change: float) -> Dominance:
        if not abs(change) > _UNCHANGED * self.largest:
            return "neither"
        return "low" if change < 0 else "high"


def frequency_profile(model: nn.Module, data: Data) -> FrequencyProfile:
    """Whether a model's dynamics is dominated by low or high frequencies, layer by layer.

    One forward pass in evaluation mode; the model is left as it was.

    Args:
        model: A model made of :class:`~torch_geometric.nn.MessagePassing` layers, of any kind.
        data: The graph; its directions do not count for frequencies.

    Raises:
        UnsupportedModelError: If the model has no message-passing layer, does not call one, or one returns something
            else than a representation of each node, of finite numbers.
        InvalidGraphError: If the graph cannot be used: NaN, wrong shapes, no nodes.
        InvalidTypeError: If ``data`` is no :class:`~torch_geometric.data.Data`.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> data = Data(x=torch.eye(3), edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        >>> profile = frequency_profile(GCN(3, 8, num_layers=2), data)
        >>> profile.layers, profile.largest
        (('convs.0', 'convs.1'), 2.0)
    """
    return _profile(model, data, {}, *_spectrum(model, data))


def frequency_history(model: nn.Module, data: Data) -> dict[int, FrequencyProfile]:
    """The same at every step of a recorded training of which the history has the weights.

    Args:
        model: A model with a history, or one that wraps it; it is left as it was.
        data: The graph it was trained on.

    Returns:
        The profiles, by the step.

    Raises:
        HistoryError: If no training was recorded on the model, or the weights in the history are another model's.
        HistoryMismatchError: If the history belongs to another graph.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from gragr_explain import GraGR
        >>> data = Data(x=torch.eye(4), edge_index=torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]]))
        >>> data.y, data.train_mask = torch.tensor([0, 0, 1, 1]), torch.ones(4, dtype=torch.bool)
        >>> trained = GraGR(GCN(4, 8, 2, 2)).fit(data, epochs=4, progress=False)
        >>> list(frequency_history(trained, data))
        [0, 1, 2, 3, 4]
    """
    graph, largest = _spectrum(model, data)
    history = find_history(model)
    if history is not None:  # else recorded_weights raises
        history.check_graph(data.x.size(0), data.x, data.edge_index)
    return {step: _profile(model, data, weights, graph, largest) for step, weights in recorded_weights(model)}


def _spectrum(model: nn.Module, data: Data) -> tuple[GraphOperator, float]:
    check_type("model", model, nn.Module)
    check_data(data)
    weight = forward_arguments(model, data).get("edge_weight")
    graph = GraphOperator(data.edge_index, data.x.size(0), weight).undirected
    return graph, largest_frequency(graph)


def _profile(
    model: nn.Module, data: Data, weights: Mapping[str, Tensor], graph: GraphOperator, largest: float
) -> FrequencyProfile:
    """The profile of a model with some of its weights replaced."""
    layers = message_passing_layers(model)
    names = {module: name for name, module in model.named_modules() if module in layers}
    called: list[str] = []
    quotients: list[tuple[Tensor, Tensor]] = []

    def measure(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        called.append(names[layer])
        quotients.append((_quotient(layer_input(args, kwargs), layer, graph), _quotient(output, layer, graph)))

    measured = hooked(layer.register_forward_hook(measure, with_kwargs=True) for layer in layers)
    with measured, uncompiled(), evaluating(model), torch.no_grad(), trial_errors(data.x):
        call_with(model, weights, data.x, data.edge_index, **forward_arguments(model, data))
    if not called:
        raise UnsupportedModelError(f"{type(model).__name__} did not call any of its message-passing layers")
    before, after = zip(*quotients, strict=True)
    return FrequencyProfile(tuple(called), torch.stack(before).cpu(), torch.stack(after).cpu(), largest)


def _quotient(field: Any, layer: nn.Module, graph: GraphOperator) -> Tensor:
    field = field[0] if isinstance(field, tuple | list) else field
    if not isinstance(field, Tensor) or field.dim() != 2 or field.size(0) != graph.num_nodes:
        got = list(field.shape) if isinstance(field, Tensor) else type(field).__name__
        raise UnsupportedModelError(
            f"expected {type(layer).__name__} to take and return representations of shape "
            f"[{graph.num_nodes}, channels], got {got}"
        )
    if not bool(field.isfinite().all()):
        raise UnsupportedModelError(f"expected {type(layer).__name__} to take and return finite numbers, got others")
    return rayleigh_quotient(full_precision(field.detach()), graph)
