"""``audit``: which labels and which predictions are probably wrong, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch_geometric.data import Data
from tqdm.auto import tqdm

from gragr_explain.audit._checks import check_audit
from gragr_explain.audit._evidence import Outside, evidence
from gragr_explain.audit._facts import Facts
from gragr_explain.audit._folds import FOLDS, HeldOut, split, train_folds
from gragr_explain.audit._labels import count_plantings, doubt_labels, plantings
from gragr_explain.audit._predictions import PredictionExamples, validation_nodes
from gragr_explain.audit._result import Audit
from gragr_explain.audit._retraining import Retraining
from gragr_explain.audit._run import read_run
from gragr_explain.audit._table import doubts_table, suggest
from gragr_explain.audit._votes import neighbour_labels
from gragr_explain.field import GraphOperator
from gragr_explain.history import find_history, message_edges
from gragr_explain.labels import class_names_of
from gragr_explain.modes import evaluating, uncompiled, unwrapped


def audit(
    trained: nn.Module,
    data: Data,
    *,
    class_names: Sequence[str] | None = None,
    epochs: int | None = None,
    lr: float | None = None,
    weight_decay: float | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Audit:
    """Find the training labels and the predictions that are probably wrong.

    What a training says about each node (margins, gradients, what models without the node's label or without edges
    say, what labels are around it) is read by a Reasoner that was fitted without a clean label: the model is trained
    again with wrong labels that are planted among the given ones, drawn in three ways, and the Reasoner learns to tell
    them from the others. How many labels are wrong is not known; probabilities take the largest share that the evidence
    allows, so that labels of hard nodes, which nothing tells from wrong ones, are doubted as well.

    Whether a prediction is wrong is learned from training nodes that a model was not trained on, and from validation
    nodes, whose labels are used for this. Labels of other nodes are never looked at.

    The model is trained 13 to 19 times again, some of them without edges, from its first recorded weights. It is left
    as it is, and so is the global random state.

    Args:
        trained: A model for node classification whose training was recorded on this graph, such as a trained
            :class:`~gragr_explain.GraGR`, which is trained again with its own switches.
        data: The graph, with ``x``, ``edge_index``, ``y`` and ``train_mask``; ``val_mask`` where there is one.
        class_names: What the classes are called.
        epochs: For how many epochs to train; ``None`` for as many as were recorded.
        lr: With which learning rate; ``None`` takes Table 5's, as for ``weight_decay``.
        weight_decay: With which weight decay.
        seed: Of everything that is drawn: the same seed gives the same audit.
        progress: Whether to show a progress bar.

    Raises:
        InvalidTypeError: If the graph, its labels, masks or a number are of the wrong type.
        InvalidGraphError: If the graph cannot be used, has no labels, those of one class only, or fewer than 20
            training nodes.
        InvalidArgumentError: If a number is out of its range, or there are not as many names as classes.
        UnsupportedModelError: If the model does not return a finite score per node and class.
        HistoryError: If nothing was recorded of the model's training, or not what an audit needs.
        HistoryMismatchError: If the history belongs to another graph.
        TrainingError: If the loss of a training is not finite.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> from gragr_explain import GraGR
        >>> y = torch.arange(40) % 2
        >>> edges = torch.stack([torch.arange(40), (torch.arange(40) + 2) % 40])
        >>> data = Data(x=torch.eye(40), edge_index=torch.cat([edges, edges.flip(0)], dim=1), y=y.clone())
        >>> data.train_mask = torch.ones(40, dtype=torch.bool)
        >>> data.y[7] = 0  # which is wrong
        >>> trained = GraGR(GCN(40, 8, num_layers=2, out_channels=2)).fit(data, epochs=20, progress=False)
        >>> found = audit(trained, data, progress=False)
        >>> int(found.labels["node"].iloc[0]), int(found.labels["suggested"].iloc[0])
        (7, 1)
    """
    trained = unwrapped(trained)
    history, num_classes = check_audit(trained, data, epochs, seed)
    names = class_names_of(class_names, num_classes)
    known = data.train_mask
    graph = GraphOperator(message_edges(trained, data.edge_index), data.x.size(0))
    retraining = Retraining(trained, data, history, epochs or history.num_steps, lr, weight_decay)
    many = 2 * FOLDS + count_plantings(int(known.sum()))
    with evaluating(trained), uncompiled():
        own = read_run(trained, history, data, graph)
        with tqdm(total=many, desc="training again", disable=not progress) as bar:
            outside, examples = _hold_out(retraining, graph, num_classes, seed, bar)
            planted = []
            for example in plantings(retraining, outside, graph, seed):
                planted.append(example)
                bar.update()

    label = torch.where(known, data.y, own.prediction)
    about = evidence(own, outside, label)[known].cpu().numpy()
    labels, share = doubt_labels(planted)
    alone = (data.y[known].bincount()[data.y[known]] == 1).cpu().numpy()
    probability = np.where(alone, np.nan, labels.probability(about, share))
    suspect = np.zeros(known.numel(), dtype=bool)
    suspect[known.cpu().numpy()] = probability > 0.5
    examples.add(own, validation_nodes(data, num_classes), data.y)
    predictions = examples.fit(suspect)
    rest = examples.evidence(own)[~known].cpu().numpy()

    facts = Facts(own, outside, graph, data.y, known, names, label)
    of_predictions = facts.of_predictions()
    return Audit(
        labels=doubts_table(facts, labels.contributions(about), probability, suggest(facts, labels), known),
        predictions=doubts_table(
            of_predictions,
            predictions.contributions(rest),
            predictions.probability(rest),
            suggest(of_predictions, predictions),
            ~known,
        ),
        noise_rate=float(np.nanmean(probability)),
        num_trainings=many,
    )


def _hold_out(
    retraining: Retraining, graph: GraphOperator, num_classes: int, seed: int, bar: tqdm
) -> tuple[Outside, PredictionExamples]:
    """Train without each part of the labels, without edges and with them."""
    data = retraining.data
    parts = split(data.train_mask, data.y, seed)
    bare, held_out = (HeldOut(data.train_mask, num_classes) for _ in range(2))
    for part, model, graph_seen in train_folds(retraining, parts, seed, edges=False):
        bare.add(part, model, graph_seen)
        bar.update()
    near, far = neighbour_labels(data.y, data.train_mask, num_classes, graph)
    examples = PredictionExamples(Outside(None, bare.mean, near, far))
    for part, model, graph_seen in train_folds(retraining, parts, seed, edges=True):
        held_out.add(part, model, graph_seen)
        history = find_history(model)
        assert history is not None
        examples.add(read_run(model, history, graph_seen, graph), part, data.y)
        bar.update()
    return replace(examples.outside, held_out=held_out.mean), examples
