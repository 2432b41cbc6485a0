"""EGNN: a small network beside a GNN, which is edited in its place."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data

from gragr_explain.arguments import check_number
from gragr_explain.errors import EditingError, InvalidTypeError, UnsupportedModelError
from gragr_explain.history import are_probabilities, class_log_probs
from gragr_explain.inputs import check_data, trial_output
from gragr_explain.labels import training_nodes
from gragr_explain.modes import evaluating
from gragr_explain.seeds import seeded


class StitchedMLP(nn.Module):
    r"""A GNN whose weights are frozen, and beside it an MLP that reads the same features.

    .. math::
        f(x_v) = \text{GNN}(x, A)_v + \text{MLP}(x_v)

    EGNN (Liu et al., *Editable Graph Neural Network for Node Classifications*, 2023): an edit changes the MLP alone,
    and so does not spread along the edges. The last layer of the MLP starts at zero, so that the whole starts as the
    GNN, prediction by prediction; :meth:`fit` gives the MLP hidden features that mean something.

    Args:
        model: The GNN, to call as ``model(x, edge_index)``. A copy of it is kept, and frozen.
        data: The graph, for the width of its features and the number of its classes.
        hidden_channels: The width of the MLP's hidden layer.
        seed: Seed of its first weights; the global random state is left alone.

    Raises:
        InvalidTypeError: If the graph is no :class:`~torch_geometric.data.Data`, its features are no floating-point
            numbers, or a number is none.
        InvalidArgumentError: If one is out of range.
        InvalidGraphError: If it cannot be used.
        UnsupportedModelError: If the model cannot be called with it or returns no class scores, or probabilities.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> data = Data(x=torch.rand(4, 5), edge_index=torch.tensor([[0, 1], [1, 0]]))
        >>> gnn = GCN(5, 8, num_layers=2, out_channels=3).eval()
        >>> stitched = StitchedMLP(gnn, data).eval()
        >>> bool(torch.equal(stitched(data.x, data.edge_index), gnn(data.x, data.edge_index)))
        True
    """

    def __init__(self, model: nn.Module, data: Data, hidden_channels: int = 64, seed: int = 0) -> None:
        super().__init__()
        check_data(data)
        if not data.x.is_floating_point():
            raise InvalidTypeError(f"expected features of floating-point numbers, got {data.x.dtype}")
        check_number("hidden_channels", hidden_channels, whole=True, least=1)
        check_number("seed", seed, whole=True, least=0)
        output = trial_output(model, data)
        if not isinstance(output, Tensor) or output.dim() != 2 or output.size(1) < 2:
            got = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise UnsupportedModelError(f"expected a model that returns scores of two or more classes, got {got}")
        if are_probabilities(output):
            raise UnsupportedModelError(
                "expected a model that returns scores, to which others can be added; got one "
                "that returns probabilities: let it return what it takes the softmax of"
            )
        self.model = copy.deepcopy(model).requires_grad_(False)
        with seeded(int(seed)):
            first, last = nn.Linear(data.x.size(-1), hidden_channels), nn.Linear(hidden_channels, output.size(1))
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.mlp = nn.Sequential(first, nn.ReLU(), last)
        self.mlp.to(output)
        self.train(model.training)

    def forward(self, x: Tensor, edge_index: Tensor, **arguments: Any) -> Tensor:
        """The GNN's scores plus the MLP's, ``[num_nodes, num_classes]``."""
        scores: Tensor = self.model(x, edge_index, **arguments) + self.mlp(x)
        return scores

    @torch.enable_grad()
    def fit(self, data: Data, epochs: int = 100, lr: float = 0.01, weight_decay: float = 5e-4) -> StitchedMLP:
        """Train the MLP as EGNN does: on the training nodes' labels, and to leave the GNN's predictions as they are.

        The loss is the cross entropy on the training nodes, plus the Kullback-Leibler divergence from the GNN's
        predictions; full-batch Adam. EGNN takes the divergence for the training nodes alone and decays no weights. Here
        it is for all nodes, whose predictions shall stay as much, and weights decay, since an MLP that knows its
        training nodes by heart changes more of the other predictions in an edit.

        Args:
            data: The graph, with ``train_mask`` and ``y``.
            epochs: The number of epochs.
            lr: The learning rate.
            weight_decay: The weight decay of Adam.

        Returns:
            Itself.

        Raises:
            InvalidTypeError: If a number is none.
            InvalidArgumentError: If one is out of range.
            InvalidGraphError: If there is no training node, or one has no class that the model knows.
            EditingError: If the loss is not finite.
        """
        check_data(data)
        check_number("epochs", epochs, whole=True, least=0)
        check_number("lr", lr, least=0)
        check_number("weight_decay", weight_decay, least=0)
        scores = trial_output(self.model, data)
        train = training_nodes(data, scores.size(-1))
        optimizer = torch.optim.Adam(self.mlp.parameters(), lr=lr, weight_decay=weight_decay)
        own, y = class_log_probs(scores), data.y[train]
        with evaluating(self):
            for _ in range(epochs):
                optimizer.zero_grad()
                log_probs = class_log_probs(scores + self.mlp(data.x))
                stays = F.kl_div(log_probs, own, reduction="batchmean", log_target=True)
                loss = F.nll_loss(log_probs[train], y) + stays
                if not bool(loss.isfinite()):
                    raise EditingError("the loss of the stitched MLP became NaN or infinite")
                loss.backward()
                optimizer.step()
        optimizer.zero_grad()
        return self
