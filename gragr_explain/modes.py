"""Training and evaluation mode, module by module, as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


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
