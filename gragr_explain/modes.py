"""Training and evaluation mode, module by module, as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def uncompiled() -> AbstractContextManager[None]:
    """Run compiled models and layers as they were written: compiled ones skip hooks, and give a derivative but once."""
    stance: AbstractContextManager[None] = torch.compiler.set_stance("force_eager")
    return stance


def unwrapped(model: nn.Module) -> nn.Module:
    """The model in what ``torch.compile``, ``DataParallel`` or ``DistributedDataParallel`` makes of it.

    Example:
        >>> model = nn.Linear(1, 1)
        >>> unwrapped(nn.DataParallel(model)) is unwrapped(torch.compile(model)) is model
        True
    """
    inner = getattr(model, "_orig_mod", None)
    if isinstance(inner, nn.Module):
        return unwrapped(inner)
    return unwrapped(model.module) if isinstance(model, nn.DataParallel | DistributedDataParallel) else model


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Put every module of a model back into the mode that it was in, whatever happens as long as the context lasts.

    Modules may differ: a layer that is fine-tuned often has its batch normalisation frozen, in evaluation mode.

    Example:
        >>> model = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(1).eval())
        >>> with modes_kept(model):
        ...     _ = model.train()
        >>> [module.training for module in model]
        [True, False]
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Keep a model in evaluation mode as long as the context lasts; then every module has its own mode again.

    Example:
        >>> model = nn.Dropout().train()
        >>> with evaluating(model):
        ...     print(model.training)
        False
        >>> model.training
        True
    """
    with modes_kept(model):
        model.eval()
        yield
