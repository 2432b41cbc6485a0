"""Whether a model still has weights that it had while it was recorded."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from gragr_explain.errors import HistoryError, warn_caller
from gragr_explain.history._history import GradientHistory
from gragr_explain.history._trajectory import holder


def weights_checksum(model: nn.Module) -> Tensor:
    """What the parameters of a model are known by: the sum of the bits of their numbers in single precision.

    It is the same on every device, and for the same numbers in double precision; buffers, such as the statistics of a
    batch normalisation, are left out.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> before = weights_checksum(layer)
        >>> bool(weights_checksum(layer.double()) == before), bool(weights_checksum(nn.Linear(2, 1)) == before)
        (True, False)
    """
    numbers = [parameter.detach() for parameter in model.parameters() if not is_lazy(parameter)]
    numbers = [torch.view_as_real(found) if found.is_complex() else found for found in numbers]
    sums = [found.float().contiguous().view(torch.int32).sum(dtype=torch.long) for found in numbers]
    if len({found.device for found in sums}) == 1:
        return torch.stack(sums).sum()  # where it is: to ask a GPU for it at every step would halt it
    return torch.tensor(sum(map(int, sums)))


def knows_weights(history: GradientHistory, model: nn.Module) -> bool | None:
    """Whether a model's weights are some that a history has seen; ``None`` where that cannot be told.

    It cannot while the recording goes on, of histories that earlier versions wrote, and of models in half precision
    that were trained in single precision.

    Args:
        history: What was recorded.
        model: The model whose training it was, or one that wraps it.

    Example:
        >>> knows_weights(trained.history, trained), knows_weights(trained.history, nn.Linear(6, 2))
        (True, False)
    """
    if history.checksums is None:
        return None
    try:
        _, module = holder(model, history)
    except HistoryError:  # of a model of another make
        return False
    if bool((history.checksums == weights_checksum(module).cpu()).any()):
        return True
    rounded = any(parameter.is_floating_point() and parameter.itemsize < 4 for parameter in module.parameters())
    return None if rounded else False


def warn_of_other_weights(history: GradientHistory, model: nn.Module) -> None:
    """Warn where a model was changed since it was recorded, so that its history is not wholly its own.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warn_of_other_weights(trained.history, nn.Linear(6, 2))
        >>> len(caught)
        1
    """
    if knows_weights(history, model) is False:
        warn_caller(
            "the model's weights are none that it had while it was recorded: it was trained further, averaged or "
            "edited since, and what is told of how it learned is of before; an explainer with history=False goes by "
            "what the model is now"
        )
