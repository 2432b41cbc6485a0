"""A model as it was: training and evaluation mode, module by module, and no hooks left on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.hooks import RemovableHandle


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


@contextmanager
def hooked(handles: Iterable[RemovableHandle]) -> Iterator[None]:
    """Keep hooks as long as the context lasts; then they are removed, whatever happened.

    Args:
        handles: What the registration of each hook returned. Of an iterator, hooks that are registered before a
            registration fails are removed, too.

    Example:
        >>> model = nn.Linear(1, 1)
        >>> with hooked([model.register_forward_hook(lambda *_: print("called"))]):
        ...     _ = model(torch.ones(1))
        called
        >>> len(model._forward_hooks)
        0
    """
    with ExitStack() as hooks:
        for handle in handles:
            hooks.enter_context(handle)
        yield
