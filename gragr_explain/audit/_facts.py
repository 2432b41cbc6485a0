"""What reasons, suggestions and tables are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from torch import Tensor

from gragr_explain.audit._evidence import Outside
from gragr_explain.audit._run import Run
from gragr_explain.context import quantile_ranks
from gragr_explain.field import GraphOperator


@dataclass(frozen=True)
class Facts:
    """What is known about the classes in question.

    Attributes:
        run: The training of the model in question.
        outside: What is known of each node without its own label.
        graph: The graph, prepared.
        y: The labels, ``[num_nodes]``.
        known: Which nodes the model was trained on, ``[num_nodes]``.
        class_names: What the classes are called.
        label: The class of each node that is in question, ``[num_nodes]``.
    """

    run: Run
    outside: Outside
    graph: GraphOperator
    y: Tensor
    known: Tensor
    class_names: Sequence[str]
    label: Tensor

    @cached_property
    def conflict_ranks(self) -> Tensor:
        """The share of nodes whose psi conflict is lower, of the training and of the self field, ``[num_nodes, 2]``.

        NaN where it is not defined.
        """
        conflict = self.run.conflict.t()
        return quantile_ranks(conflict, ~conflict.isnan())

    def of_predictions(self) -> Facts:
        """The same where not labels are in question but what the model predicts."""
        return replace(self, label=self.run.prediction, outside=replace(self.outside, held_out=None))
