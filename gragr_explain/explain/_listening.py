"""What the message-passing layers of a model do while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from gragr_explain.explain._rows import SharedRows
from gragr_explain.history import message_passing_layers
from gragr_explain.modes import hooked


@dataclass
class Calls:
    """What message-passing layers did.

    Attributes:
        order: Which of them passed messages, in the order in which they did.
        largest: The size of the largest messages.
        begun: How often messages had been passed whenever a layer was called.
    """

    order: list[MessagePassing] = field(default_factory=list)
    largest: int = 0
    begun: set[int] = field(default_factory=set)


@contextmanager
def listening(model: nn.Module) -> Iterator[Calls]:
    """Note the calls of a model's message-passing layers, as long as the context lasts."""
    calls = Calls()

    def begins(_layer: MessagePassing, _inputs: Any) -> None:
        calls.begun.add(len(calls.order))

    def passes(layer: MessagePassing, _inputs: Any) -> None:
        calls.order.append(layer)

    def sent(_layer: MessagePassing, _inputs: Any, messages: Tensor) -> None:
        if not isinstance(messages, SharedRows):
            calls.largest = max(calls.largest, messages.numel())

    layers = message_passing_layers(model)
    handles = [layer.register_forward_pre_hook(begins) for layer in layers]
    handles += [layer.register_propagate_forward_pre_hook(passes) for layer in layers]
    handles += [layer.register_message_forward_hook(sent) for layer in layers]
    with hooked(handles):
        yield calls


@contextmanager
def layer_outputs(model: nn.Module) -> Iterator[list[Tensor]]:
    """Note what the message-passing layers return, in the order in which they are called."""
    outputs: list[Tensor] = []

    def keep(_layer: nn.Module, _inputs: Any, output: Any) -> None:
        outputs.append((output[0] if isinstance(output, tuple) else output).detach())

    with hooked(layer.register_forward_hook(keep) for layer in message_passing_layers(model)):
        yield outputs
