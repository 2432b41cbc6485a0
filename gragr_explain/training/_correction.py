"""The correction of a gradient field: detection, projection, smoothing."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gragr_explain.arguments import check_type
from gragr_explain.errors import TrainingError
from gragr_explain.field import (
    GraphOperator,
    detect_conflicts,
    jacobi_smooth,
    neighbour_sum,
    project_conflicts,
)
from gragr_explain.training._hyperparameters import Hyperparameters


def correct_field(
    field: Tensor,
    graph: GraphOperator,
    settings: Hyperparameters,
    *,
    conflict: bool = True,
    alignment: bool = True,
) -> tuple[Tensor, Tensor]:
    r"""Correct a gradient field: detect conflicts (eq. 1), project them (eq. 3), smooth (eq. 4).

    The paper's threshold :math:`\tau_{\text{mag}}` is taken in units of the mean gradient norm: a loss that is
    averaged over the training nodes divides every gradient by their number, and an absolute threshold of 0.1 would
    then never be reached. :math:`\alpha_{\text{smooth}}`, which Table 5 lists and the text leaves open, is the share
    of the smoothed field: :math:`(1 - \alpha)\, g' + \alpha (I + \lambda L)^{-1} g'`.

    Args:
        field: The gradient field of shape ``[num_nodes, channels]``.
        graph: The prepared graph.
        settings: Thresholds and strengths.
        conflict: Whether to project what is in conflict (section 4.1).
        alignment: Whether to smooth (section 4.2).

    Returns:
        The corrected field, of the same shape, and the mask of conflicting nodes of shape ``[num_nodes]``, which is
        detected in any case.

    Raises:
        InvalidTypeError: If the settings are of another type.
        TrainingError: If the field is not finite.

    Example:
        >>> from gragr_explain.training import TABLE_5
        >>> field = torch.tensor([[-1.0, 1.0], [1.0, 0.0]])
        >>> graph = GraphOperator(torch.tensor([[0, 1], [1, 0]]), 2)
        >>> correct_field(field, graph, TABLE_5["GCN"])[1]
        tensor([True, True])
    """
    check_type("settings", settings, Hyperparameters)
    context = neighbour_sum(field, graph)  # of the direction of the mean, which is all that counts here
    norm = torch.linalg.vector_norm(field, dim=-1)
    unit = float(norm.mean())
    if not math.isfinite(unit):
        raise TrainingError("a gradient is not finite, although the loss is; try a smaller learning rate")
    opposed = detect_conflicts(field, context, settings.tau_mag * unit, settings.tau_cos, norm=norm)
    corrected = project_conflicts(field, context, opposed) if conflict else field
    if not alignment or settings.smooth_iters == 0 or settings.alpha_smooth == 0:
        return corrected, opposed
    smooth = jacobi_smooth(corrected, graph, settings.lambda_smooth, settings.smooth_iters)
    return torch.lerp(corrected, smooth, settings.alpha_smooth), opposed
