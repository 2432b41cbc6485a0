"""What a model says of its nodes, as a function of its weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from gragr_explain.errors import UnsupportedModelError
from gragr_explain.history import call_with, class_log_probs, hidden_representation
from gragr_explain.inputs import forward_arguments

_MOST_ENTRIES = 2**22  # of one tensor, so that a few together take some tens of megabytes


def trained_names(model: nn.Module, data: Data) -> tuple[list[str], list[str]]:
    """The trainable parameters that have an effect on a model's output.

    Args:
        model: The model, in evaluation mode.
        data: A graph that it takes.

    Returns:
        All of them; and of these the last layer's, which come after the hidden representation, or all where none do.

    Raises:
        UnsupportedModelError: If there are none, or they are in half precision.
    """
    trainable = {name: value for name, value in model.named_parameters() if value.requires_grad}
    with torch.enable_grad():
        hidden, output = hidden_representation(model, data.x, data.edge_index, **forward_arguments(model, data))
        below = _reached(hidden, list(trainable.values()))
        above = _reached(output, list(trainable.values()))
    found = [name for name, high in zip(trainable, above, strict=True) if high]
    if not found:
        raise UnsupportedModelError("expected a model whose output depends on a parameter that requires_grad, got none")
    if half := [name for name in found if trainable[name].dtype not in (torch.float32, torch.float64)]:
        raise UnsupportedModelError(
            f"expected weights in single or double precision, got {trainable[half[0]].dtype} in {half[0]!r}; ask a "
            "copy, copy.deepcopy(model).float()"
        )
    last = [name for name, low, high in zip(trainable, below, above, strict=True) if high and not low]
    return found, last or found


def _reached(value: Tensor, parameters: list[nn.Parameter]) -> list[bool]:
    if not value.requires_grad or not parameters:
        return [False] * len(parameters)
    found = torch.autograd.grad(value.sum(), parameters, retain_graph=True, allow_unused=True)
    return [gradient is not None for gradient in found]


class Jacobian:
    r"""The Jacobian :math:`J` of all nodes' log-probabilities with respect to some weights, as a product.

    Nothing of the size of the Jacobian is ever held: :meth:`pull` multiplies by its transpose (backpropagation),
    :meth:`push` by itself (the derivative of the backpropagation, which is linear in what is propagated).

    Args:
        model: The model, in evaluation mode.
        data: The graph.
        weights: All its weights and buffers, by name.
        names: With respect to which of them.
    """

    def __init__(self, model: nn.Module, data: Data, weights: dict[str, Tensor], names: list[str]) -> None:
        own = [weights[name].detach() for name in names]
        arguments = forward_arguments(model, data)
        with torch.enable_grad():
            self._own = torch.cat([value.reshape(-1) for value in own]).requires_grad_()
            parts = self._own.split([value.numel() for value in own])
            taken = {name: part.view_as(value) for name, part, value in zip(names, parts, own, strict=True)}
            output = call_with(model, {**weights, **taken}, data.x, data.edge_index, **arguments)
            self._output = class_log_probs(output).to(self._own.dtype)
            self._cotangent = torch.zeros_like(self._output, requires_grad=True)
            (self._pulled,) = torch.autograd.grad(self._output, self._own, self._cotangent, create_graph=True)
        self.log_probs = self._output.detach()
        self.num_weights = self._own.numel()
        sizes = [len(value) for value in own if value.dim()]
        width = max(self.log_probs.size(1), *sizes)  # of what the weights make of a node
        most = max(self.num_weights, width * max(data.x.size(0), data.edge_index.size(1)))
        self.at_once = max(1, _MOST_ENTRIES // most)
        """How many rows to multiply by at once."""

    def pull(self, rows: Tensor) -> Tensor:
        """From ``[num_rows, num_nodes, num_classes]`` to ``[num_rows, num_weights]``."""
        return torch.autograd.grad(self._output, self._own, rows, retain_graph=True, is_grads_batched=True)[0]

    def push(self, rows: Tensor) -> Tensor:
        """From ``[num_rows, num_weights]`` to ``[num_rows, num_nodes, num_classes]``."""
        return torch.autograd.grad(self._pulled, self._cotangent, rows, retain_graph=True, is_grads_batched=True)[0]

    def gradients(self, nodes: Tensor, labels: Tensor) -> Tensor:
        """The gradients of the nodes' losses, the negative log-probabilities of their labels.

        Args:
            nodes: At most ``at_once`` of them, ``[num_rows]``.
            labels: One for each.

        Returns:
            Gradients of shape ``[num_rows, num_weights]``.
        """
        rows = self.log_probs.new_zeros(nodes.numel(), *self.log_probs.shape)
        rows[torch.arange(nodes.numel(), device=nodes.device), nodes, labels] = -1
        return self.pull(rows)

    def products(self, rows: Tensor, nodes: Tensor, labels: Tensor) -> Tensor:
        """The inner products of some vectors with the gradients of nodes' losses.

        Args:
            rows: At most ``at_once`` vectors, ``[num_rows, num_weights]``.
            nodes: Any number of nodes, ``[num_nodes]``.
            labels: One for each.

        Returns:
            Products of shape ``[num_rows, num_nodes]``.
        """
        return -self.push(rows)[:, nodes, labels]
