"""GraphCleaner (Li, Xiong, Hooi, ICML 2023), as its authors' code does it."""

from __future__ import annotations

import numpy as np
import torch
from cleanlab.count import compute_confident_joint, estimate_latent
from scipy import sparse
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.utils import to_scipy_sparse_matrix

_RATE, _STEPS, _EPOCHS, _WIDTH = 0.5, 3, 500, 32


def graph_cleaner(probs: Tensor, data: Data, num_classes: int, seed: int) -> np.ndarray:
    """How doubtful each training label is, ``[num_train]``.

    Half of the validation labels are replaced by what the estimated confusion of classes draws, and a small network
    learns to tell them from the others by how the label agrees with predictions and labels up to three steps away. As
    it is made for nodes that a model was not trained on, it gets such predictions for the training nodes too.

    Args:
        probs: Probabilities from models that were not trained on the node, ``[num_nodes, num_classes]``.
        data: The graph; its validation labels are the ones to learn from.
        num_classes: The number of classes.
        seed: What it draws by.
    """
    random = np.random.default_rng(seed)
    known = (data.train_mask | data.val_mask).numpy()
    y, held = data.y.clamp(min=0).numpy(), data.val_mask.numpy()
    planted, chosen = _plant(y, held, probs.numpy(), num_classes, random)
    agreement = _agreement(probs.numpy(), y, planted, known, data, num_classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _learn(torch.from_numpy(agreement[held]).float(), torch.from_numpy(chosen[held]).float())
    with torch.no_grad():
        scores = network(torch.from_numpy(agreement[data.train_mask.numpy()]).float())
    found: np.ndarray = (scores[:, 1] - scores[:, 0]).numpy()  # in the order of the softmax, which saturates
    return found


def _plant(
    y: np.ndarray, held: np.ndarray, probs: np.ndarray, num_classes: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Validation labels of which half are replaced, and which ones."""
    noise = _confusion(y[held], probs[held], num_classes)
    able = [node for node in held.nonzero()[0] if noise[y[node]].sum() > 0]
    planted, chosen = y.copy(), np.zeros(len(y), dtype=bool)
    for node in random.choice(able, round(_RATE * len(able)), replace=False):
        likely = noise[y[node]]
        planted[node], chosen[node] = random.choice(num_classes, p=likely / likely.sum()), True
    return planted, chosen


def _confusion(y: np.ndarray, probs: np.ndarray, num_classes: int) -> np.ndarray:
    """How likely each class is to be given in place of another, by confident learning; the diagonal is left out."""
    noise = np.zeros((num_classes, num_classes))
    present, position = np.unique(y, return_inverse=True)
    own = probs[:, present] / probs[:, present].sum(1, keepdims=True).clip(1e-12)
    joint = compute_confident_joint(position, own)
    _, given, _ = estimate_latent(joint, position)
    noise[np.ix_(present, present)] = np.nan_to_num(given).T
    np.fill_diagonal(noise, 0)
    return noise


def _agreement(
    probs: np.ndarray, y: np.ndarray, planted: np.ndarray, known: np.ndarray, data: Data, num_classes: int
) -> np.ndarray:
    """The label's entry in predictions and labels of the node and around it, ``[num_nodes, 7]``."""
    labels = np.eye(num_classes)[y] * known[:, None]
    adjacency = to_scipy_sparse_matrix(data.edge_index, num_nodes=data.num_nodes).tocsr()
    scale = [sparse.diags((1e-10 + np.asarray(adjacency.sum(way)).ravel()) ** -0.5) for way in (1, 0)]
    step = scale[0] @ adjacency @ scale[1]
    walk, columns = step, [probs]
    around: list[np.ndarray] = []
    for number in range(_STEPS):
        if number:
            walk = step @ walk
        walk = walk.tolil()
        walk.setdiag(0)
        walk = walk.tocsr()
        columns.append(walk @ probs)
        around.append(walk @ labels)
    own = np.eye(num_classes)[planted]
    return np.stack([(own * part).sum(1) for part in (*columns, *around)], axis=1)


def _learn(agreement: Tensor, wrong: Tensor) -> nn.Module:
    """A network of one hidden layer, fitted with the L1 loss of its probability."""
    network = nn.Sequential(
        nn.Linear(agreement.size(1), _WIDTH), nn.ReLU(), nn.BatchNorm1d(_WIDTH), nn.Linear(_WIDTH, 2)
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=5e-4)
    for _ in range(_EPOCHS):
        optimizer.zero_grad()
        nn.functional.l1_loss(network(agreement).softmax(-1)[:, 1], wrong).backward()
        optimizer.step()
    return network.eval()
