"""The numbers that a condensation is made with."""

from __future__ import annotations

from dataclasses import dataclass

from gragr_explain.arguments import check_number


@dataclass(frozen=True)
class CondensationSettings:
    """How a graph is condensed. The defaults are those that GCond has for Cora, except ``lr_adj`` and ``damping``.

    Attributes:
        hops: How often the matching model propagates: :math:`\\hat{A}^{hops} X`.
        outer_steps: In each epoch, the steps of the condensed graph, along the training of one freshly drawn model.
        inner_steps: The steps of that model, on the condensed graph, between two of them.
        batch_size: The most training nodes of a class whose gradient is taken in one step.
        lr_feat: The learning rate of the condensed features, in their unit: features are moved by about so much a step,
            so that those of another size than GCond's data have, words that are there or not, need another.
        lr_adj: The learning rate of the condensed structure.
        lr_model: The learning rate of the matching model.
        damping: The strength :math:`\\lambda` with which gradient fields are damped.

    Example:
        >>> CondensationSettings(damping=0.0).lr_feat
        0.0001
    """

    hops: int = 2
    outer_steps: int = 20
    inner_steps: int = 15
    batch_size: int = 256
    lr_feat: float = 1e-4
    lr_adj: float = 1e-3
    lr_model: float = 0.01
    damping: float = 5.0

    def __post_init__(self) -> None:
        for name, least in (("hops", 0), ("outer_steps", 1), ("inner_steps", 0), ("batch_size", 1)):
            check_number(name, getattr(self, name), whole=True, least=least)
            object.__setattr__(self, name, int(getattr(self, name)))  # of NumPy's numbers, those that JSON can hold
        for name in ("lr_feat", "lr_adj", "lr_model", "damping"):
            check_number(name, getattr(self, name), least=0)
            object.__setattr__(self, name, float(getattr(self, name)))
