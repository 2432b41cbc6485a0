"""Which parts of GraGR and GraGR++ are switched on, and whether that makes sense."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from torch_geometric.data import Data

from gragr_explain.arguments import check_number, check_type
from gragr_explain.errors import InvalidArgumentError, InvalidGraphError

_NEEDED_BY = {
    "alignment": ("lambda_smooth", "smooth_iters", "alpha_smooth"),
    "attention": ("beta_start", "beta_end"),
    "meta": ("meta_objective", "meta_lr"),
    "conflict_weight": ("exact_conflict",),
    "schedule": ("schedule_threshold", "schedule_min_epochs"),
    "pathway": ("pathway_threshold", "pathway_epochs"),
    "seeds": ("seed_epochs",),
}
"""The switch without which arguments have no effect, and these."""


@dataclass(frozen=True)
class Switches:
    """The parts of GraGR and GraGR++, each of which can be left out; see :class:`~gragr_explain.GraGR`."""

    conflict: bool = True
    alignment: bool = True
    attention: str | None = None
    meta: str | None = None
    meta_objective: str = "validation"
    conflict_weight: float = 0.0
    exact_conflict: bool = False
    schedule: bool = False
    schedule_threshold: float = 1e-3
    schedule_min_epochs: int = 10
    pathway: bool = False
    pathway_threshold: float = 0.5
    pathway_epochs: int = 10
    seeds: int = 1
    seed_epochs: int | None = None

    @property
    def corrects(self) -> bool:
        """Whether the gradients of hidden layers are looked at in the backward pass."""
        return bool(self.conflict or self.alignment or self.attention == "training")

    @property
    def reasons(self) -> bool:
        """Whether any part has something to do in an epoch."""
        return self.corrects or bool(self.attention or self.meta or self.conflict_weight or self.pathway)


def check_switches(switches: Switches, chosen: Mapping[str, Any]) -> None:
    """Check that switches mean something, and do not contradict each other.

    Raises:
        InvalidTypeError: If a number is none, a number of epochs or seeds no integer, or a flag no boolean.
        InvalidArgumentError: If they do not, or do.
    """
    allowed: dict[str, tuple[str | None, ...]] = {
        "attention": (None, "training", "predicted"),
        "meta": (None, "node", "class"),
        "meta_objective": ("validation", "conflict"),
    }
    for name, values in allowed.items():
        if getattr(switches, name) not in values:
            wanted = ", ".join(map(repr, values))
            raise InvalidArgumentError(f"expected {name} as one of {wanted}, got {getattr(switches, name)!r}")
    for name in ("conflict", "alignment", "exact_conflict", "schedule", "pathway"):
        check_type(name, getattr(switches, name), bool)
    least = {"conflict_weight": 0, "schedule_threshold": 0, "schedule_min_epochs": 0, "pathway_threshold": 0}
    least |= {"pathway_epochs": 1, "seeds": 1, "seed_epochs": 1}
    for name, low in least.items():
        whole = name.endswith(("epochs", "seeds"))
        check_number(name, getattr(switches, name), whole=whole, least=low, optional=name == "seed_epochs")
    given = {field.name for field in fields(switches) if getattr(switches, field.name) != field.default} | {*chosen}
    for switch, arguments in _NEEDED_BY.items():
        setting = getattr(switches, switch)
        useless = [name for name in arguments if name in given]
        if useless and (setting == 1 if switch == "seeds" else not setting):
            raise InvalidArgumentError(f"contradictory switches: {useless[0]} with {switch}={setting!r} has no effect")


def check_validation(switches: Switches, data: Data, num_classes: int) -> None:
    """Check that there are nodes to validate on, where a switch needs them.

    Raises:
        InvalidArgumentError: If there are none.
        InvalidGraphError: If one of them has no class that the model knows.
    """
    needs = {
        "meta with meta_objective='validation'": bool(switches.meta) and switches.meta_objective == "validation",
        f"seeds={switches.seeds}": switches.seeds > 1,
    }
    if data.get("val_mask") is None or not bool(data.val_mask.any()):
        for what, needed in needs.items():
            if needed:
                raise InvalidArgumentError(f"expected a val_mask with at least one node for {what}, got none")
        return
    known = data.y[data.val_mask]
    if any(needs.values()) and not 0 <= int(known.min()) <= int(known.max()) < num_classes:
        raise InvalidGraphError(
            f"expected validation labels in [0, {num_classes - 1}], got {int(known.min())} to {int(known.max())}"
        )
