"""What a model is made of, beside the values of its tensors."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from gragr_explain.arguments import check_type

_WITHOUT_EFFECT = ("training", "cached", "fuse", "explain")  # on what a model in evaluation mode says of a graph


def makeup(model: nn.Module) -> dict[str, str]:
    """What a model computes follows from, beside its weights, by name.

    These are the kinds of its modules, their settings (numbers, texts and functions, as far as they are public
    attributes), and the shapes and types of its tensors. They are the same in every process and on every machine. What
    a module's code does, and what is hooked to it, they do not say.

    Raises:
        InvalidTypeError: If the model is no module.

    Example:
        >>> makeup(nn.Sequential(nn.Dropout(0.25)))["0.p"]
        '0.25'
        >>> makeup(nn.Linear(2, 3))["bias"]
        'torch.float32 [3]'
    """
    check_type("model", model, nn.Module)
    parts = {}
    for place, module in model.named_modules():
        parts[place] = _name(type(module))
        for name, value in vars(module).items():
            if not name.startswith("_") and name not in _WITHOUT_EFFECT and (text := _text(value)) is not None:
                parts[f"{place}.{name}".lstrip(".")] = text
    for name, value in model.state_dict().items():
        if isinstance(value, Tensor):
            parts[name] = f"{value.dtype} {list(value.shape)}"
    return parts


def _text(value: Any) -> str | None:
    """A setting as a text; ``None`` of what is none, as of one that is not set."""
    if isinstance(value, bool | int | float | str):
        return repr(value)
    return _name(value) if hasattr(value, "__qualname__") else None


def _name(kind: Any) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
