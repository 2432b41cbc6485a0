"""Listening to a model's message-passing layers while it trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from gragr_explain.arguments import check_number
from gragr_explain.errors import UnsupportedModelError
from gragr_explain.modes import hooked

Listener = Callable[[list[Tensor], Tensor], None]
"""Called after a forward pass with the outputs of the message-passing layers, in order, and the model's own output."""


def message_passing_layers(model: nn.Module) -> list[MessagePassing]:
    """The message-passing layers of a model, in the order in which they are registered.

    Raises:
        UnsupportedModelError: If the model is no module, or has no such layer.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> message_passing_layers(GCN(8, 16, num_layers=2))
        [GCNConv(8, 16), GCNConv(16, 16)]
    """
    if not isinstance(model, nn.Module):
        raise UnsupportedModelError(f"expected a torch.nn.Module, got {type(model).__name__}")
    layers = [module for module in model.modules() if isinstance(module, MessagePassing)]
    if not layers:
        raise UnsupportedModelError(
            f"expected a model with torch_geometric.nn.MessagePassing layers, {type(model).__name__} has none"
        )
    return layers


def layer_input(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a layer is called with first, as a hook sees it: the features, by place or by name.

    Example:
        >>> layer_input(("features", "edges"), {}), layer_input((), {"x": "features"})
        ('features', 'features')
    """
    return args[0] if args else kwargs.get("x")


def message_edges(model: nn.Module, edge_index: Tensor) -> Tensor:
    """The edges in the direction in which a model's messages travel.

    Args:
        model: A model made of ``MessagePassing`` layers.
        edge_index: Edges of shape ``[2, num_edges]``.

    Returns:
        Senders and receivers of shape ``[2, num_edges]``: the ``edge_index`` as it is, or turned round where the
        layers' flow is ``"target_to_source"``.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> message_edges(GCN(2, 4, 1, flow="target_to_source"), torch.tensor([[0], [1]]))
        tensor([[1],
                [0]])
    """
    return along_flow(edge_index, message_flow(model))


def message_flow(model: nn.Module) -> str:
    """Which way a model's messages travel along its edges: ``"source_to_target"`` or ``"target_to_source"``.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> message_flow(GCN(2, 4, 1)), message_flow(GCN(2, 4, 1, flow="target_to_source"))
        ('source_to_target', 'target_to_source')
    """
    return message_passing_layers(model)[0].flow


def along_flow(edge_index: Tensor, flow: str) -> Tensor:
    """Senders and receivers of messages along edges, both of shape ``[2, num_edges]``.

    Example:
        >>> along_flow(torch.tensor([[0, 1], [2, 3]]), "target_to_source")
        tensor([[2, 3],
                [0, 1]])
    """
    return edge_index.flip(0) if flow == "target_to_source" else edge_index


def hidden_layer(outputs: list[Tensor], output: Tensor, layer: int | None = None) -> int:
    """Which layer's output is taken as the hidden representation ``h``.

    Args:
        outputs: The outputs of the message-passing layers, in order.
        output: The output of the whole model.
        layer: The wanted layer, counted from the end if negative. If ``None``, the last but one where the model's
            outputs are nodes and it has two or more layers, since the last then already holds the predictions;
            else the last.

    Returns:
        The position of the layer in ``outputs``.

    Raises:
        UnsupportedModelError: If the model has no such layer.

    Example:
        >>> first, last = torch.zeros(5, 16), torch.zeros(5, 3)
        >>> hidden_layer([first, last], output=last), hidden_layer([first, last], output=last, layer=-1)
        (0, 1)
    """
    if layer is None:
        by_node = output.shape[:1] == outputs[-1].shape[:1]
        return len(outputs) - 2 if by_node and len(outputs) > 1 else len(outputs) - 1
    check_number("layer", layer, whole=True)
    if not -len(outputs) <= layer < len(outputs):
        raise UnsupportedModelError(f"expected a layer of the model's {len(outputs)}, got layer {layer}")
    return layer % len(outputs)


def hidden_representation(model: nn.Module, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
    """Run a model once and return what it hides beside what it returns.

    Args:
        model: A model made of ``MessagePassing`` layers.
        *args: What its forward pass takes.
        **kwargs: What else its forward pass takes.

    Returns:
        The hidden representation of shape ``[num_nodes, channels]`` (see :func:`hidden_layer`), and the model's
        output, both on the autograd graph where autograd is on.

    Raises:
        UnsupportedModelError: If the model has no message-passing layer, does not return one tensor, or computes layers
            again in the backward pass (:func:`check_not_recomputed`).

    Example:
        >>> from torch_geometric.nn import GCN
        >>> hidden, output = hidden_representation(GCN(2, 8, 2, 3), torch.rand(4, 2), torch.tensor([[0], [1]]))
        >>> hidden.shape, output.shape
        (torch.Size([4, 8]), torch.Size([4, 3]))
    """
    outputs: list[Tensor] = []

    def keep(_layer: nn.Module, _args: Any, output: Any) -> Any:
        hidden, output = _set_apart(output)
        outputs.append(hidden)
        return output

    with hooked(layer.register_forward_hook(keep) for layer in message_passing_layers(model)):
        output = model(*args, **kwargs)
    check_output(output)
    if not all(isinstance(hidden, Tensor) and hidden.requires_grad for hidden in outputs):
        check_not_recomputed(output)
    if not outputs:
        raise UnsupportedModelError(f"{type(model).__name__} did not call any of its message-passing layers")
    return outputs[hidden_layer(outputs, output)], output


def check_not_recomputed(output: Tensor) -> None:
    """Check that no layer of what an output was made by runs without autograd, to be computed again backwards.

    Raises:
        UnsupportedModelError: If one does, so that nobody can take gradients of what it makes.

    Example:
        >>> check_not_recomputed(torch.ones(2, requires_grad=True).exp())
    """
    steps, seen = [output.grad_fn], set[Any]()
    while steps:
        step = steps.pop()
        if step is None or step in seen:
            continue
        if step.name() == "CheckpointFunctionBackward":
            raise UnsupportedModelError(
                "expected layers that gradients can be taken of, got some under torch.utils.checkpoint with "
                "use_reentrant=True; switch that off (ckpt_grad=False of a DeepGCNLayer), or use use_reentrant=False"
            )
        seen.add(step)
        steps += [ahead for ahead, _ in step.next_functions]


@contextmanager
def tap(model: nn.Module, listener: Listener) -> Iterator[None]:
    """Call a listener after each forward pass in training mode, as long as the context lasts.

    Args:
        model: A model made of ``MessagePassing`` layers.
        listener: Called with the layers' outputs and the model's output, which are on the autograd graph. Passes
            without autograd do not count, nor do those of a copy that is made of the model meanwhile.

    Raises:
        UnsupportedModelError: If the model has no message-passing layer; from such a forward pass, if the model does
            not return one tensor, or computes layers again in the backward pass (:func:`check_not_recomputed`).

    Example:
        >>> from torch_geometric.nn import GCN
        >>> model, seen = GCN(3, 8, num_layers=2, out_channels=2), []
        >>> with tap(model, lambda outputs, output: seen.append([list(each.shape) for each in (*outputs, output)])):
        ...     _ = model(torch.eye(3), torch.tensor([[0, 1], [1, 2]]))
        >>> seen
        [[[3, 8], [3, 2], [3, 2]]]
    """
    layers = message_passing_layers(model)
    outputs: list[Tensor] = []
    copies: list[Tensor] = []
    apart = True  # until the first pass has shown that the model changes none of them in place
    unheard = False  # whether a layer has run without autograd

    def listening() -> bool:
        return model.training and torch.is_grad_enabled()

    def begin(*_: Any) -> None:
        nonlocal unheard
        outputs.clear()
        copies.clear()
        unheard = False

    def keep(module: nn.Module, _args: Any, output: Any) -> Any:
        nonlocal unheard
        unheard = unheard or not torch.is_grad_enabled()
        if listening() and any(module is layer for layer in layers):
            hidden, output = _set_apart(output) if apart else (_hidden_of(output), output)
            outputs.append(hidden)
            copies.append(_hidden_of(output))
        return output

    def end(_model: nn.Module, _args: Any, output: Any) -> None:
        nonlocal apart
        if listening() and unheard and isinstance(output, Tensor):
            check_not_recomputed(output)
        if listening() and outputs:
            apart = apart and any(
                copy is not hidden and copy._version for copy, hidden in zip(copies, outputs, strict=True)
            )
            check_output(output)
            if output.requires_grad:
                listener(list(outputs), output)
        begin()

    handles = [layer.register_forward_hook(Hook(keep)) for layer in layers]
    handles += [model.register_forward_pre_hook(Hook(begin)), model.register_forward_hook(Hook(end))]
    with hooked(handles):
        yield


class Hook:
    """A hook that stays with its model: in a copy of the model, or a pickled one, it does nothing."""

    def __init__(self, act: Callable[..., Any] | None = None) -> None:
        self._act = act

    @torch.compiler.disable
    def __call__(self, *args: Any) -> Any:
        return None if self._act is None else self._act(*args)

    def __reduce__(self) -> tuple[type[Hook], tuple[()]]:
        return Hook, ()


def _set_apart(output: Any) -> tuple[Tensor, Any]:
    """A layer's output as it is, and a copy of it for the model to go on with, which may change it in place.

    An activation in place would leave its own result in the layer's output, and its own gradient. Of several that
    listen, all get the same output.
    """
    hidden = _hidden_of(output)
    if hasattr(hidden, "set_apart"):
        return hidden.set_apart, output
    if not isinstance(hidden, Tensor) or type(output) not in (tuple, type(hidden)):
        return hidden, output
    copy: Any = hidden.clone()
    copy.set_apart = hidden
    return hidden, (copy, *output[1:]) if isinstance(output, tuple) else copy


def _hidden_of(output: Any) -> Any:
    return output[0] if isinstance(output, tuple) else output


def check_output(output: Any) -> None:
    """Check that a model returns one tensor.

    Raises:
        UnsupportedModelError: If it returns something else.

    Example:
        >>> check_output((torch.ones(2), torch.ones(3)))
        Traceback (most recent call last):
            ...
        gragr_explain.errors.UnsupportedModelError: expected a model that returns one tensor, got tuple
    """
    if not isinstance(output, Tensor):
        raise UnsupportedModelError(f"expected a model that returns one tensor, got {type(output).__name__}")
