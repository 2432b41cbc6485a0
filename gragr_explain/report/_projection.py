"""A map of the graph: nodes on a plane."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits
from torch import Tensor

from gragr_explain.arguments import check_type
from gragr_explain.errors import InvalidGraphError

MOST_FOR_TSNE = 3000


def project(hidden: Tensor) -> np.ndarray:
    """Place nodes on a plane so that nodes which the model sees alike lie together.

    Up to 3,000 nodes are placed by t-SNE, more by their first two principal components; the same input always gives
    the same map.

    Args:
        hidden: The model's hidden representation, ``[num_nodes, channels]``.

    Returns:
        Positions in ``[0, 1]`` of shape ``[num_nodes, 2]``.

    Raises:
        InvalidTypeError: If ``hidden`` is no tensor.
        InvalidGraphError: If it has no channels.

    Example:
        >>> import torch
        >>> project(torch.eye(4)).shape
        (4, 2)
    """
    check_type("hidden", hidden, Tensor)
    if hidden.dim() < 2:
        raise InvalidGraphError(f"expected hidden of shape [num_nodes, channels], got {list(hidden.shape)}")
    from sklearn.decomposition import PCA  # scikit-learn takes a second to import
    from sklearn.manifold import TSNE

    points = np.nan_to_num(hidden.detach().cpu().flatten(1).double().numpy())
    if len(points) < 3 or np.ptp(points, axis=0).sum() == 0:
        return np.full((len(points), 2), 0.5)
    if points.shape[1] < 2:
        points = np.pad(points, [(0, 0), (0, 2 - points.shape[1])])
    plane = PCA(min(2, *points.shape), svd_solver="covariance_eigh").fit_transform(points)
    if 10 <= len(points) <= MOST_FOR_TSNE:
        scale = plane[:, :1].std() or 1.0
        tsne = TSNE(perplexity=min(30, (len(points) - 1) / 3), init=1e-4 * plane / scale, random_state=0)
        with threadpool_limits(1):  # its threads wait for one another in a busy loop: many are slower on a busy machine
            plane = tsne.fit_transform(points)
    low, extent = plane.min(axis=0), np.ptp(plane, axis=0)
    return (plane - low) / np.where(extent > 0, extent, 1)
