"""What there is to say for and against a class of each node, as numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gragr_explain.audit._run import Run
from gragr_explain.history import margins


@dataclass(frozen=True)
class Evidence:
    """One kind of evidence about a node's class.

    Attributes:
        name: Its column.
        sign: Whether more of it speaks against the class (1), for it (-1), or may do either (0).
        theme: What it is about; of the evidence on one theme, a reason names one piece.
    """

    name: str
    sign: int
    theme: str


EVIDENCE = (
    Evidence("held_out", -1, "held out"),
    Evidence("held_out_margin", -1, "held out"),
    Evidence("without_edges", -1, "without edges"),
    Evidence("without_edges_margin", -1, "without edges"),
    Evidence("neighbour_labels", -1, "neighbour labels"),
    Evidence("two_step_labels", -1, "neighbour labels"),
    Evidence("neighbour_predictions", -1, "neighbour predictions"),
    Evidence("nearest_labels", -1, "nearest labels"),
    Evidence("confidence", -1, "course"),
    Evidence("margin", -1, "course"),
    Evidence("early_margin", -1, "course"),
    Evidence("final_margin", -1, "course"),
    Evidence("turned", 1, "turned"),
    Evidence("norm", 1, "norm"),
    Evidence("persistence", 0, "norm"),
    Evidence("training_agreement", -1, "agreement"),
    Evidence("self_agreement", -1, "agreement"),
    Evidence("training_conflict", 1, "conflict"),
    Evidence("self_conflict", 1, "conflict"),
    Evidence("stability", 0, "psi"),
    Evidence("influence", 0, "psi"),
    Evidence("psi_confidence", 0, "psi"),
    Evidence("role", 0, "psi"),
    Evidence("receptiveness", 1, "psi"),
)
"""The columns of :func:`evidence`."""

NAMES = tuple(entry.name for entry in EVIDENCE)
SIGN = np.array([entry.sign for entry in EVIDENCE])


@dataclass(frozen=True)
class Outside:
    """What is known of each node's class without its own label, as shares or probabilities of all classes.

    Each is of shape ``[num_nodes, num_classes]``.

    Attributes:
        held_out: The mean prediction of the models that were not trained on the node; ``None`` where it must not count.
        bare: The same of models that saw no edges.
        near: The known labels one step away.
        far: The known labels two steps away.
    """

    held_out: Tensor | None
    bare: Tensor
    near: Tensor
    far: Tensor


def evidence(run: Run, outside: Outside, label: Tensor) -> Tensor:
    """The evidence about one class of each node.

    Args:
        run: A training.
        outside: What is known without the node's label.
        label: The class of each node that is in question, ``[num_nodes]``.

    Returns:
        Numbers of shape ``[num_nodes, num_evidence]``, columns as in :data:`EVIDENCE`, NaN where one is not defined.
    """
    column = label.unsqueeze(-1)
    turned = torch.stack([look.argmax(-1) != label for look in run.looks]).to(run.looks.dtype)
    early = run.margin[: max(1, run.margin.size(0) // 4)]
    found = {name: odds.gather(-1, column).squeeze(-1) for name, odds in class_odds(run, outside).items()}
    if outside.held_out is not None:
        found["held_out_margin"] = margins(outside.held_out, label)
    found |= {
        "without_edges_margin": margins(outside.bare, label),
        "margin": run.margin.mean(0),
        "early_margin": early.mean(0),
        "final_margin": margins(run.log_probs, label),
        "turned": turned.mean(0),
        "norm": _log(run.norm),
        "persistence": run.persistence,
        "training_agreement": run.agreement[0],
        "self_agreement": run.agreement[1],
        "training_conflict": _log(run.conflict[0]),
        "self_conflict": _log(run.conflict[1]),
        "stability": run.psi[:, 1],
        "influence": _log(run.psi[:, 2]),
        "psi_confidence": run.psi[:, 3],
        "role": run.psi[:, 4],
        "receptiveness": run.psi[:, 5],
    }
    unknown = torch.full_like(early[0], torch.nan)
    return torch.stack([found.get(name, unknown).double() for name in NAMES], dim=-1)


def class_odds(run: Run, outside: Outside) -> dict[str, Tensor]:
    """The evidence that is a share or a probability, as log-odds of every class, ``[num_nodes, num_classes]`` each."""
    shares = {
        "without_edges": outside.bare,
        "neighbour_labels": outside.near,
        "two_step_labels": outside.far,
        "neighbour_predictions": 0.01 + 0.98 * run.around,
        "nearest_labels": run.nearest,
        "confidence": run.looks.mean(0),
    }
    if outside.held_out is not None:
        shares["held_out"] = outside.held_out
    return {name: share.clamp(1e-6, 1 - 1e-6).logit() for name, share in shares.items()}


def _log(value: Tensor) -> Tensor:
    return value.clamp(min=1e-9).log()
