"""What others look at to tell which predictions are wrong; all scores are higher for more doubtful ones."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor, nn
from torch_geometric.data import Data

FAILURES = {
    "audit": "audit (ours)",
    "softmax": "Softmax confidence",
    "entropy": "Entropy",
    "energy": "Energy",
    "temperature": "Temperature scaling",
    "dropout": "MC dropout",
}
PROBABILITIES = ("audit", "softmax", "temperature", "dropout")
"""Those whose scores are the probability to be wrong."""
PASSES = 30


@torch.no_grad()
def failure_scores(model: nn.Module, data: Data, seed: int) -> dict[str, np.ndarray]:
    """The scores of every method but ours, ``[num_nodes]`` each.

    Args:
        model: The trained model, in evaluation mode.
        data: The graph; the temperature is fitted on its validation labels.
        seed: What dropout draws by.
    """
    output = model(data.x, data.edge_index).double()
    probs = output.softmax(-1)
    scores = {
        "softmax": 1 - probs.amax(-1),
        "entropy": -torch.special.xlogy(probs, probs).sum(-1),
        "energy": -output.logsumexp(-1),
        "temperature": 1 - (output / _temperature(output[data.val_mask], data.y[data.val_mask])).softmax(-1).amax(-1),
        "dropout": 1 - _dropout_probs(model, data, seed).gather(1, probs.argmax(-1, keepdim=True)).view(-1),
    }
    return {name: score.numpy() for name, score in scores.items()}


def _temperature(output: Tensor, y: Tensor) -> float:
    """By what scores are divided so that they say most of the labels (Guo et al., 2017)."""

    def loss(log_temperature: float) -> float:
        return float(F.cross_entropy(output / np.exp(log_temperature), y))

    return float(np.exp(minimize_scalar(loss, bounds=(-4, 4), method="bounded").x))


def _dropout_probs(model: nn.Module, data: Data, seed: int) -> Tensor:
    """The mean probabilities with dropout (Gal & Ghahramani, 2016)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model.train()
        passes = [model(data.x, data.edge_index).double().softmax(-1) for _ in range(PASSES)]
        model.eval()
    return torch.stack(passes).mean(0)
