"""What was recorded of a training: gradient fields, trajectories, weights, curves."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from gragr_explain.arguments import check_number, check_type
from gragr_explain.errors import HistoryError, HistoryMismatchError
from gragr_explain.files import as_path
from gragr_explain.history._running import FieldRecord, Trajectory

ATTRIBUTE = "gradient_history"
"""The attribute of a model under which its history is found."""


@dataclass
class GradientHistory:
    """How a model learned, per node and in memory that does not grow with the number of epochs.

    Of the whole graph, some numbers an epoch are kept: ``curves`` and ``checksums``.

    Two gradient fields are kept, each with respect to the hidden representation of one layer. The ``"training"``
    field is the gradient of the loss that the model was trained on; it is exactly zero for nodes outside the
    receptive field of the training nodes. The ``"self"`` field is that of the loss against the true label on
    training nodes and the predicted label on all others, so that every node has one.

    Attributes:
        fields: Running statistics of each field, by name.
        trajectories: ``"confidence"``, ``"margin"`` and ``"norm"`` of each node over the training, in a bounded
            number of time slices; and ``"alignment"``, the cosine of its self field with its neighbours', each time
            that field was taken, NaN where one of the two is zero.
        snapshots: Whole fields at the steps asked for, by ``(name, step)``.
        weights: The model's ``state_dict`` at up to eight steps spread over the training, and at its end, by step.
        start: The weights before the choice among seeds that went ahead of the recording; empty where none did.
        around: At the same steps, the state of what a wrapper puts around the model, such as GraGR's pathway and
            attention, by its name in the wrapper.
        conflict_count: In how many recorded steps each node was in conflict, ``[num_nodes]``.
        curves: One number per epoch for the whole graph, such as ``"loss"``, by name.
        validation: The classes of the validation nodes, -1 for all other nodes, ``[num_nodes]``: labels that the model
            was not trained on, by which explanations tell how often it is right where it is as sure. ``None`` where the
            recorder was given none.
        arguments: The names of what the model was called with beside features and edges, such as ``"edge_weight"``.
        checksums: What the weights of each step are known by, ``[num_states]``, so that explanations can tell whether
            the model has changed since; ``None`` while the recording goes on.
        graph_digest: What the graph is known by (:func:`graph_digest`); ``None`` where the recorder was given none.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> from gragr_explain.history import GradientRecorder
        >>> model, x, edge_index = GCN(3, 4, 2, 2), torch.rand(3, 3), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> with GradientRecorder(model) as history:
        ...     model(x, edge_index).square().sum().backward()
        >>> history
        GradientHistory(num_nodes=3, channels=4, num_steps=1, fields=['self', 'training'])
    """

    fields: dict[str, FieldRecord] = field(default_factory=dict)
    trajectories: dict[str, Trajectory] = field(default_factory=dict)
    snapshots: dict[tuple[str, int], Tensor] = field(default_factory=dict)
    weights: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    start: dict[str, Tensor] = field(default_factory=dict)
    around: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    conflict_count: Tensor | None = None
    curves: dict[str, list[float]] = field(default_factory=dict)
    validation: Tensor | None = None
    arguments: set[str] = field(default_factory=set)
    checksums: Tensor | None = None
    graph_digest: str | None = None

    @property
    def num_steps(self) -> int:
        """The number of training steps recorded."""
        return self.fields["training"].count if "training" in self.fields else 0

    @property
    def num_nodes(self) -> int:
        """The number of nodes of the graph trained on; 0 while nothing is recorded."""
        return next((record.mean.size(0) for record in self.fields.values()), 0)

    def field(self, name: str) -> Tensor:
        """The mean of a recorded field over the training, of shape ``[num_nodes, channels]``.

        Args:
            name: ``"training"`` or ``"self"``.

        Raises:
            HistoryError: If no such field was recorded.
        """
        if name not in self.fields:
            raise HistoryError(f"expected one of the recorded fields {sorted(self.fields)}, got {name!r}")
        return self.fields[name].mean

    def attach(self, model: nn.Module) -> None:
        """Let explainers find this history on a model."""
        setattr(model, ATTRIBUTE, self)

    def check_graph(self, num_nodes: int, x: Tensor | None = None, edge_index: Tensor | None = None) -> None:
        """Check that a graph can be the one that was trained on: by its number of nodes, and by what is in it.

        Args:
            num_nodes: Its number of nodes.
            x: Its features; where they are given, ``edge_index`` has to be, too, and all of them are read once.
            edge_index: Its edges.

        Raises:
            InvalidTypeError: If the number is none.
            HistoryMismatchError: If it cannot.
        """
        check_number("num_nodes", num_nodes, whole=True)
        if self.num_nodes != num_nodes:
            raise HistoryMismatchError(
                f"expected the graph of {self.num_nodes} nodes that the history was recorded on, got one of {num_nodes}"
            )
        if x is None or edge_index is None or self.graph_digest is None:
            return
        if graph_digest(x, edge_index) != self.graph_digest:
            raise HistoryMismatchError(
                f"expected the graph that the history was recorded on, got another one of {num_nodes} nodes, "
                "with other features or edges"
            )

    def save(self, folder: str | Path) -> None:
        """Write the history into a folder, as ``history.safetensors`` and ``history.json``.

        Raises:
            OutputError: If the folder cannot be written.
        """
        from gragr_explain.history._files import save_history

        save_history(self, as_path(folder))

    @classmethod
    def load(cls, folder: str | Path, device: torch.device | str = "cpu") -> GradientHistory:
        """Read a history that :meth:`save` has written.

        Raises:
            HistoryError: If there is none, or it is damaged, foreign, or written by a newer version.
        """
        from gragr_explain.history._files import load_history

        return load_history(as_path(folder), torch.device(device))

    def __repr__(self) -> str:
        channels = next((record.mean.size(1) for record in self.fields.values()), 0)
        return (
            f"{type(self).__name__}(num_nodes={self.num_nodes}, channels={channels}, num_steps={self.num_steps}, "
            f"fields={sorted(self.fields)})"
        )


def graph_digest(x: Tensor, edge_index: Tensor) -> str:
    """What a graph is known by: a SHA-256 of its features and edges.

    It is the same on every device, for features in double precision, and for the edges in another order.

    Args:
        x: Features of shape ``[num_nodes, ...]``.
        edge_index: Edges of shape ``[2, num_edges]``.

    Example:
        >>> x, edge_index = torch.eye(2), torch.tensor([[0, 1], [1, 0]])
        >>> graph_digest(x, edge_index) == graph_digest(x.double(), edge_index.flip(1))
        True
        >>> graph_digest(x, edge_index) == graph_digest(x, edge_index[:, :1])
        False
    """
    edges = (edge_index[0].long() * x.size(0) + edge_index[1]).sort().values
    found = hashlib.sha256(f"{list(x.shape)} {list(edges.shape)}".encode())
    for part in (x.detach().float(), edges):
        found.update(part.cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def find_history(model: nn.Module) -> GradientHistory | None:
    """The history that was recorded on a model, or on a model that it wraps; ``None`` where nothing was.

    Example:
        >>> find_history(nn.Linear(2, 1)) is None
        True
    """
    check_type("model", model, nn.Module)
    for module in model.modules():
        history = getattr(module, ATTRIBUTE, None)
        if isinstance(history, GradientHistory) and history.num_steps > 0:
            return history
    return None
