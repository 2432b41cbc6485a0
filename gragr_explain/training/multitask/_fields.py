"""Where the gradient fields of several tasks oppose each other, and the removal of what opposes."""

from __future__ import annotations

from torch import Tensor

from gragr_explain.arguments import check_type
from gragr_explain.errors import InvalidGraphError
from gragr_explain.field import detect_conflicts, project_conflicts


def task_context(fields: Tensor) -> Tensor:
    r"""The contextual gradient of a task: the mean of the other tasks' gradients.

    Args:
        fields: The tasks' fields of shape ``[num_tasks, num_rows, channels]``, of two tasks or more.

    Returns:
        The contexts, of the same shape.

    Raises:
        InvalidTypeError: If ``fields`` is no tensor.
        InvalidGraphError: If the fields have another shape, or there is only one.
    """
    check_type("fields", fields, Tensor)
    if fields.dim() != 3 or fields.size(0) < 2:
        raise InvalidGraphError(
            f"expected fields of shape [num_tasks, num_rows, channels] of two tasks or more, got {list(fields.shape)}"
        )
    return (fields.sum(0) - fields) / (fields.size(0) - 1)


def project_tasks(fields: Tensor, tau_cos: float = -0.1) -> tuple[Tensor, Tensor]:
    r"""Remove from each task's gradient what opposes the other tasks.

    .. math::
        g'_i = g_i - \frac{g_i^\top g_{\text{ctx}}}{\|g_{\text{ctx}}\|^2}\, g_{\text{ctx}}, \qquad
        g_{\text{ctx}} = \frac{1}{T - 1} \sum_{j \ne i} g_j

    GraGR paper, eqs. 1 and 3 with tasks in place of neighbours (section 2, task-level conflict), at each row by itself:
    two tasks may agree about one graph and quarrel about another.

    Args:
        fields: The tasks' fields of shape ``[num_tasks, num_rows, channels]``, of two tasks or more.
        tau_cos: The cosine with its context below which a task's gradient is in conflict.

    Returns:
        The projected fields, of the same shape, and the mask of conflicts of shape ``[num_tasks, num_rows]``.

    Raises:
        InvalidTypeError: If ``fields`` is no tensor.
        InvalidGraphError: If the fields have another shape, or there is only one.
        InvalidArgumentError: If ``tau_cos`` is outside ``[-1, 1]``.

    Example:
        >>> import torch
        >>> fields = torch.tensor([[[3.0, 1.0]], [[-1.0, 0.0]]])
        >>> projected, conflict = project_tasks(fields)
        >>> projected[0], conflict.view(-1)
        (tensor([[0., 1.]]), tensor([True, True]))
    """
    context = task_context(fields)
    conflict = detect_conflicts(fields, context, 0.0, tau_cos)
    return project_conflicts(fields, context, conflict), conflict
