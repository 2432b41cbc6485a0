"""What one training says about every node, read from its history."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from gragr_explain.audit._votes import nearest_labels
from gragr_explain.context import psi_features
from gragr_explain.field import GraphOperator, alignment, neighbour_mean
from gragr_explain.history import GradientHistory, call_with, class_log_probs, hidden_representation, recorded_weights
from gragr_explain.inputs import forward_arguments


@dataclass(frozen=True)
class Run:
    """One training, as an audit looks at it.

    Attributes:
        looks: The probabilities of all classes at each recorded state of the weights but the first,
            ``[num_looks, num_nodes, num_classes]``; the last one is the model as it is.
        log_probs: Log-probabilities of the model as it is, ``[num_nodes, num_classes]``.
        around: The mean of the neighbours' probabilities over all looks, ``[num_nodes, num_classes]``.
        nearest: The labels of the training nodes whose hidden representations are most alike, as shares,
            ``[num_nodes, num_classes]``.
        margin: The margin of each node's label (of its prediction, where the model was not trained on it) in time
            slices of the training, ``[num_slices, num_nodes]``.
        norm: The mean norm of each node's training gradient, in units of the mean over the graph, ``[num_nodes]``.
        persistence: The mean cosine of successive training gradients, ``[num_nodes]``.
        agreement: The cosines of the training and of the self field with the neighbours' means, ``[2, num_nodes]``.
        conflict: psi conflict (eq. 18) of the training and of the self field, ``[2, num_nodes]``.
        psi: The six psi of the self field, ``[num_nodes, 6]``.

    Numbers that are not defined are NaN.
    """

    looks: Tensor
    log_probs: Tensor
    around: Tensor
    nearest: Tensor
    margin: Tensor
    norm: Tensor
    persistence: Tensor
    agreement: Tensor
    conflict: Tensor
    psi: Tensor

    @property
    def prediction(self) -> Tensor:
        """The predicted classes, ``[num_nodes]``."""
        return self.looks[-1].argmax(-1)

    @property
    def confidence(self) -> Tensor:
        """Their probabilities, ``[num_nodes]``."""
        return self.looks[-1].amax(-1)


@torch.no_grad()
def read_run(model: nn.Module, history: GradientHistory, data: Data, graph: GraphOperator) -> Run:
    """Look at a trained model, at what it was on the way, and at what was recorded of its gradients.

    Args:
        model: The model, in evaluation mode.
        history: Its history.
        data: The graph it was trained on, with the labels and the ``train_mask`` that it was trained with.
        graph: The same, prepared.
    """
    arguments = forward_arguments(model, data)
    hidden, output = hidden_representation(model, data.x, data.edge_index, **arguments)
    states = [weights for _, weights in recorded_weights(model)][1:-1]
    outputs = [call_with(model, weights, data.x, data.edge_index, **arguments) for weights in states]
    looks = torch.stack([class_log_probs(found).exp() for found in (*outputs, output)])
    around = torch.where(graph.degree.unsqueeze(-1) > 0, neighbour_mean(looks.mean(0), graph), torch.nan)
    training, own = (history.fields[name].to(data.x.device) for name in ("training", "self"))
    fields = torch.stack([training.mean, own.mean])
    agreement = torch.stack([alignment(field, neighbour_mean(field, graph)) for field in fields])
    psi, valid = zip(*(psi_features(field, graph, looks[-1].amax(-1)) for field in fields), strict=True)
    features = [torch.where(known, value, torch.nan) for value, known in zip(psi, valid, strict=True)]
    norm = training.norm_mean / training.norm_mean.mean().clamp(min=torch.finfo(fields.dtype).tiny)
    return Run(
        looks=looks,
        log_probs=class_log_probs(output),
        around=around,
        nearest=nearest_labels(hidden, data.y, data.train_mask, output.size(1)),
        margin=history.trajectories["margin"].values.to(data.x.device),
        norm=norm,
        persistence=training.persistence,
        agreement=agreement,
        conflict=torch.stack([value[:, 0] for value in features]),
        psi=features[1],
    )
