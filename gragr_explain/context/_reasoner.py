"""The Reasoner (eq. 16): from a context vector to an explanation embedding."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gragr_explain.arguments import check_number
from gragr_explain.context._psi import FEATURES
from gragr_explain.errors import InvalidArgumentError, InvalidGraphError
from gragr_explain.seeds import seeded

_MOST_NODES = 10_000


class Reasoner(nn.Module):
    r"""The network from psi to an explanation embedding.

    .. math::
        e_v = W_2\, \sigma(W_1 c_v + b_1) + b_2

    GraGR paper, eq. 16. The context vector :math:`c_v` is standardised first, with what :meth:`fit` has seen, and its
    tails are drawn in by :math:`\operatorname{arsinh}`, since norms and conflict counts have very long ones; an entry
    that is not valid stands at the mean. Two linear heads read the embedding: one reconstructs the node's
    hidden representation, the other predicts its class, which is the paper's auxiliary signal.

    Args:
        hidden_channels: The width of the hidden representation to reconstruct.
        num_classes: The number of classes to predict; 0 for none.
        embedding_channels: The width of the embedding.
        width: The width of the layer in between.
        seed: Seed of the initial weights; the global random state is left alone.

    Example:
        >>> reasoner = Reasoner(hidden_channels=8, num_classes=3)
        >>> embedding = reasoner(torch.rand(5, 6), torch.ones(5, 6, dtype=torch.bool))
        >>> embedding.shape, reasoner.reconstruct(embedding).shape, reasoner.classify(embedding).shape
        (torch.Size([5, 16]), torch.Size([5, 8]), torch.Size([5, 3]))
    """

    mean: Tensor
    std: Tensor
    hidden_mean: Tensor
    hidden_std: Tensor

    def __init__(
        self,
        hidden_channels: int,
        num_classes: int = 0,
        embedding_channels: int = 16,
        width: int = 32,
        seed: int = 0,
    ) -> None:
        super().__init__()
        sizes = {"hidden_channels": hidden_channels, "embedding_channels": embedding_channels, "width": width}
        for name, size in sizes.items():
            check_number(name, size, whole=True, least=1)
        check_number("num_classes", num_classes, whole=True, least=0)
        check_number("seed", seed, whole=True, least=0)
        with seeded(seed):
            self.first = nn.Linear(len(FEATURES), width)
            self.second = nn.Linear(width, embedding_channels)
            self.decoder = nn.Linear(embedding_channels, hidden_channels)
            self.classifier = nn.Linear(embedding_channels, num_classes) if num_classes else None
        self.register_buffer("mean", torch.zeros(len(FEATURES)))
        self.register_buffer("std", torch.ones(len(FEATURES)))
        self.register_buffer("hidden_mean", torch.zeros(hidden_channels))
        self.register_buffer("hidden_std", torch.ones(hidden_channels))

    def forward(self, psi: Tensor, valid: Tensor) -> Tensor:
        """The embeddings of nodes.

        Args:
            psi: Context vectors of shape ``[num_nodes, 6]``.
            valid: Which of their entries mean something, of the same shape.

        Returns:
            Embeddings of shape ``[num_nodes, embedding_channels]``.

        Raises:
            InvalidGraphError: If a shape does not fit.
        """
        _check_psi(psi, valid)
        context = torch.asinh((psi.to(self.mean.dtype) - self.mean) / self.std) * valid
        return self.second(F.relu(self.first(context)))

    def reconstruct(self, embedding: Tensor) -> Tensor:
        """The hidden representation that the embedding stands for, ``[num_nodes, hidden_channels]``."""
        return self.decoder(embedding) * self.hidden_std + self.hidden_mean

    def classify(self, embedding: Tensor) -> Tensor:
        """The class scores that the embedding stands for, ``[num_nodes, num_classes]``.

        Raises:
            InvalidArgumentError: If the Reasoner was made without classes.
        """
        if self.classifier is None:
            raise InvalidArgumentError("this Reasoner predicts no classes: num_classes is 0")
        return self.classifier(embedding)

    def fit(
        self,
        psi: Tensor,
        valid: Tensor,
        hidden: Tensor,
        target: Tensor | None = None,
        *,
        epochs: int = 150,
        lr: float = 0.01,
    ) -> Reasoner:
        """Train the embedding to say what the node's hidden representation is, and what its class.

        Full-batch Adam on the mean squared error of the standardised representation plus the cross entropy of the
        class, on at most 10,000 nodes, evenly spread. The same input gives the same Reasoner.

        Args:
            psi: Context vectors of shape ``[num_nodes, 6]``.
            valid: Which of their entries mean something, of the same shape.
            hidden: Hidden representations of shape ``[num_nodes, hidden_channels]``.
            target: Classes of shape ``[num_nodes]``, -1 where unknown.
            epochs: The number of steps.
            lr: The learning rate.

        Returns:
            The Reasoner itself.

        Raises:
            InvalidGraphError: If a shape does not fit, or there is a class that is not one of ``num_classes``.
        """
        check_number("epochs", epochs, whole=True, least=0)
        check_number("lr", lr, least=0)
        _check_psi(psi, valid)
        self._check_goals(psi.size(0), hidden, target)
        psi, hidden = psi.detach(), hidden.detach()
        mean, std = _mean_and_std(psi, valid)
        self.mean.copy_(mean)
        self.std.copy_(std)
        self.hidden_mean.copy_(hidden.mean(0))
        self.hidden_std.copy_(_safe_std(hidden.var(0, unbiased=False)))

        many = min(psi.size(0), _MOST_NODES)
        rows = torch.arange(many, device=psi.device) * psi.size(0) // many
        psi, valid = psi[rows], valid[rows]
        goal = ((hidden[rows] - self.hidden_mean) / self.hidden_std).to(self.mean.dtype)
        optimizer = torch.optim.Adam(self.parameters(), lr=lr)
        with torch.enable_grad():
            for _ in range(epochs):
                embedding = self(psi, valid)
                loss = F.mse_loss(self.decoder(embedding), goal)
                if target is not None and self.classifier is not None and bool((target[rows] >= 0).any()):
                    loss = loss + F.cross_entropy(self.classifier(embedding), target[rows], ignore_index=-1)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return self

    def was_fitted_on(self, psi: Tensor, valid: Tensor) -> bool:
        """Whether :meth:`fit` has seen these context vectors, as far as their means and deviations tell."""
        mean, std = _mean_and_std(psi, valid)
        return torch.allclose(self.mean, mean.to(self.mean), rtol=1e-4) and torch.allclose(
            self.std, std.to(self.std), rtol=1e-4
        )

    def _check_goals(self, num_nodes: int, hidden: Tensor, target: Tensor | None) -> None:
        expected = (num_nodes, self.hidden_mean.numel())
        if hidden.shape != expected:
            raise InvalidGraphError(f"expected hidden of shape {list(expected)}, got {list(hidden.shape)}")
        if target is None or self.classifier is None:
            return
        if target.shape != (num_nodes,) or target.dtype != torch.long:
            raise InvalidGraphError(
                f"expected target of torch.int64 and shape [{num_nodes}], got {target.dtype} {list(target.shape)}"
            )
        if not -1 <= int(target.min()) <= int(target.max()) < self.classifier.out_features:
            raise InvalidGraphError(
                f"expected classes in [-1, {self.classifier.out_features - 1}] in target, "
                f"got {int(target.min())} to {int(target.max())}"
            )


def _check_psi(psi: Tensor, valid: Tensor) -> None:
    if psi.dim() != 2 or psi.size(1) != len(FEATURES) or psi.shape != valid.shape:
        raise InvalidGraphError(
            f"expected psi and valid of shape [num_nodes, {len(FEATURES)}], "
            f"got {list(psi.shape)} and {list(valid.shape)}"
        )


def _mean_and_std(psi: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """The mean and standard deviation of the valid entries of each feature, ``[6]`` each."""
    count = valid.sum(0).clamp(min=1)
    mean = (psi * valid).sum(0) / count
    return mean, _safe_std(((psi - mean).square() * valid).sum(0) / count)


def _safe_std(variance: Tensor) -> Tensor:
    return torch.where(variance > 0, variance.sqrt(), 1)
