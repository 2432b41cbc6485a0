"""A model as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from gragr_explain.arguments import check_type
from gragr_explain.errors import UnsupportedModelError
from gragr_explain.history import find_history
from gragr_explain.inputs import same_numbers
from gragr_explain.modes import evaluating, uncompiled


class ModelState:
    """The tensors of a model, to be put back bit for bit.

    Args:
        model: The model; its parameters and all of its buffers are copied, and the validation labels of its history.

    Raises:
        UnsupportedModelError: If it has layers that have no weights yet.
    """

    def __init__(self, model: nn.Module) -> None:
        if any(is_lazy(parameter) for parameter in model.parameters()):
            raise UnsupportedModelError("expected a model with weights, got lazy layers that no graph has been through")
        self.model, history = model, find_history(model)
        self._validation = None if history is None else history.validation
        tensors: list[Tensor] = [*model.parameters(), *model.buffers()]
        tensors += [] if self._validation is None else [self._validation]
        self._tensors = [(tensor, tensor.detach().clone()) for tensor in tensors]

    @torch.no_grad()
    def restore(self) -> None:
        """Put the tensors back."""
        for tensor, kept in self._tensors:
            tensor.copy_(kept)

    def learned(self, nodes: Tensor) -> None:
        """Judge the model by the labels of nodes no longer: it has been shown them."""
        if self._validation is not None and len(self._validation) > int(nodes.max()):
            self._validation[nodes.to(self._validation.device)] = -1

    def changed(self) -> list[tuple[Tensor, Tensor, Tensor]]:
        """The tensors that are another now: each with what it held then, and a copy of what it holds."""
        return [
            (tensor, kept, tensor.detach().clone()) for tensor, kept in self._tensors if not same_numbers(tensor, kept)
        ]


@contextmanager
def whole_or_nothing(model: nn.Module) -> Iterator[ModelState]:
    """Put a model back as it was when the block ends with any error, an interruption among them.

    The model is in evaluation mode in the block, and afterwards in the modes that it came in.

    Raises:
        InvalidTypeError: If it is no model.
    """
    check_type("model", model, nn.Module)
    state = ModelState(model)
    try:
        with evaluating(model), uncompiled():
            yield state
    except BaseException:
        state.restore()
        raise
