"""The energy that a gradient flow descends."""

from __future__ import annotations

import torch
from torch import Tensor

from gragr_explain.arguments import check_number, check_type
from gragr_explain.errors import InvalidArgumentError, InvalidGraphError
from gragr_explain.models._mixing import check_symmetric


def flow_energy(
    field: Tensor,
    around: Tensor,
    w: Tensor,
    omega: Tensor | None = None,
    *,
    beta: float = 0.0,
    source: Tensor | None = None,
) -> Tensor:
    r"""The energy :math:`\mathcal{E}^{\text{tot}}` of which GRAFF's dynamics is the gradient flow.

    .. math::
        \mathcal{E}^{\text{tot}}(F) = \frac{1}{2} \sum_i \langle f_i, \Omega f_i \rangle
            - \frac{1}{2} \sum_{i,j} \bar{a}_{ij} \langle f_i, W f_j \rangle - \beta \langle F, F(0) \rangle

    Gradient-flow slides, "A more general energy", with the source term that the framework adds. On an undirected
    graph, :math:`-\nabla_F \mathcal{E}^{\text{tot}} = -F\Omega + \bar{A} F W + \beta F(0)`.

    Args:
        field: The representations :math:`F`, of shape ``[num_nodes, channels]``.
        around: Their sums over neighbours :math:`\bar{A} F`, of the same shape; for example
            :func:`gragr_explain.field.normalized_neighbour_sum`, which takes a directed graph without its directions.
        w: The symmetric mixing :math:`W` of shape ``[channels, channels]``.
        omega: The external field :math:`\Omega`, symmetric of the same shape, or its diagonal, ``[channels]``; zero by
            default.
        beta: The strength :math:`\beta` of the source.
        source: The source :math:`F(0)`, of the same shape as ``field``.

    Returns:
        A scalar in the square of the field's unit.

    Raises:
        InvalidTypeError: If one of them is no tensor.
        InvalidGraphError: If fields are of different shapes, or not finite.
        InvalidArgumentError: If a mixing is not symmetric or does not fit the channels, or there is a ``beta`` but no
            source.

    Example:
        >>> from gragr_explain.field import normalized_neighbour_sum
        >>> field, edge_index = torch.tensor([[1.0], [3.0]]), torch.tensor([[0, 1], [1, 0]])
        >>> around = normalized_neighbour_sum(field, edge_index)
        >>> flow_energy(field, around, w=torch.tensor([[1.0]]), omega=torch.tensor([1.0]))
        tensor(2.)
    """
    for name, part in (("field", field), ("around", around)):
        check_type(name, part, Tensor)
    check_type("source", source, Tensor, optional=True)
    check_type("omega", omega, Tensor, optional=True)
    if field.dim() != 2 or around.shape != field.shape or (source is not None and source.shape != field.shape):
        shapes = [list(part.shape) for part in (field, around, source) if part is not None]
        raise InvalidGraphError(f"expected fields of one shape [num_nodes, channels], got {shapes}")
    if not all(bool(part.isfinite().all()) for part in (field, around, source) if part is not None):
        raise InvalidGraphError("expected finite representations, got NaN or infinite values")
    check_number("beta", beta, within="(-inf, inf)")
    if beta and source is None:
        raise InvalidArgumentError(f"expected a source for beta={beta}, got none")
    check_symmetric(w, field.size(1))
    energy = -torch.sum(field * (around @ w)) / 2
    if omega is not None:
        omega = omega.diag() if omega.dim() == 1 else omega
        check_symmetric(omega, field.size(1), "omega")
        energy = energy + torch.sum(field * (field @ omega)) / 2
    return energy if source is None else energy - beta * torch.sum(field * source)
