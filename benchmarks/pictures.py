"""The paper's figures 2, 3, 5, 6, 7 and 8 from trainings of our own: what conflict looks like on a graph.

One GCN on one graph, trained by GraGR++ with the gate open from the start, so that there is something to see.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import matplotlib
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from sklearn.decomposition import PCA
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_networkx

from benchmarks._page import save_figure, write_page
from benchmarks._training import graph_of, new_model
from gragr_explain.field import (
    GraphOperator,
    alignment,
    conflict_energy,
    detect_conflicts,
    gradient_attention,
    jacobi_smooth,
    neighbour_mean,
)
from gragr_explain.history import hidden_representation
from gragr_explain.training import GraGRPlusPlus, correct_field

matplotlib.use("Agg")
import itertools

import networkx
from matplotlib import pyplot as plt


def save(name: str, draw: Callable[[list[Axes]], None], panels: int, size: tuple[float, float]) -> None:
    """Draw a figure of some panels and save it."""
    figure, axes = plt.subplots(1, panels, figsize=size, layout="constrained")
    draw(list(np.atleast_1d(axes)))
    save_figure(figure, name)


def draw_seeds(axes: list[Axes], val_acc: Tensor, chosen: int) -> None:
    """Figure 2: the trajectories among which one is chosen."""
    for seed, curve in enumerate(val_acc):
        axes[0].plot(
            100 * curve, lw=2.4 if seed == chosen else 1, label=f"seed {seed}" + " (chosen)" * (seed == chosen)
        )
    axes[0].axvline(val_acc.size(1) - 1, color="gray", ls="--")
    axes[0].set(xlabel="epoch", ylabel="validation accuracy (%)")
    axes[0].legend(fontsize=7)


def draw_embeddings(axes: list[Axes], hidden: Tensor, smooth: Tensor, before: Tensor, after: Tensor) -> None:
    """Figure 5: the conflicting nodes in the embedding space, before and after smoothing."""
    plane = PCA(2, random_state=0).fit(hidden)
    for axis, points, conflict, title in (
        (axes[0], plane.transform(hidden), before, "before"),
        (axes[1], plane.transform(smooth), after, "after"),
    ):
        axis.scatter(points[~conflict, 0], points[~conflict, 1], s=3, color="tab:blue", alpha=0.3, label="no conflict")
        axis.scatter(points[conflict, 0], points[conflict, 1], s=7, color="tab:red", label="conflict")
        axis.set(title=f"{title}: {int(conflict.sum())} nodes in conflict", xlabel="PC 1", ylabel="PC 2")
        axis.legend(fontsize=7)


def draw_alignment(axes: list[Axes], before: Tensor, after: Tensor) -> None:
    """Figure 6: how gradients agree with those around them, before and after the correction."""
    for values, title in ((before, "before"), (after, "after")):
        known = values[~values.isnan()]
        axes[0].hist(known, bins=50, range=(-1, 1), alpha=0.55, label=f"{title}: mean {float(known.mean()):.3f}")
    axes[0].set(xlabel="cosine with the neighbours' mean gradient", ylabel="nodes")
    axes[0].legend()


def draw_topology(axes: list[Axes], degree: Tensor, clustering: Tensor, conflict: Tensor) -> None:
    """Figure 7: degree against clustering, and how often nodes of a degree are in conflict."""
    axes[0].scatter(degree[~conflict], clustering[~conflict], s=4, alpha=0.3, label="no conflict")
    axes[0].scatter(degree[conflict], clustering[conflict], s=8, color="tab:red", label="conflict")
    axes[0].set(xscale="log", xlabel="degree", ylabel="clustering coefficient")
    axes[0].legend(fontsize=7)
    edges = [1, 2, 3, 4, 6, 9, 17, int(degree.max()) + 1]
    shares = [100 * float(conflict[(degree >= a) & (degree < b)].float().mean()) for a, b in itertools.pairwise(edges)]
    axes[1].bar([f"{a}-{b - 1}" if b - a > 1 else str(a) for a, b in itertools.pairwise(edges)], shares)
    axes[1].set(xlabel="degree", ylabel="in conflict (%)")


def draw_attention(axes: list[Axes], data: Data, alpha: Tensor, node: int) -> None:
    """Figure 8: the messages to a conflicting node, uniform and by the agreement of gradients."""
    into = data.edge_index[1] == node
    senders = data.edge_index[0, into].tolist()
    star = networkx.star_graph(len(senders))
    place = networkx.spring_layout(star, seed=0)
    for axis, weights, title in (
        (axes[0], torch.full((len(senders),), 1 / len(senders)), "uniform"),
        (axes[1], alpha[into], "by gradients"),
    ):
        networkx.draw(
            star,
            place,
            ax=axis,
            labels={0: str(node), **{i + 1: str(sender) for i, sender in enumerate(senders)}},
            node_color=["tab:red"] + ["lightsteelblue"] * len(senders),
            width=[1 + 8 * float(weight) for weight in weights],
            font_size=7,
        )
        axis.set_title(f"messages to node {node}, {title}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="Cora")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    data, num_classes = graph_of(options.dataset, options.seed, normalize=False)
    model = new_model("GCN", data, num_classes, options.seed)
    trained = GraGRPlusPlus(model, schedule=False, pathway=False, seeds=6, seed_epochs=30).fit(data, 100)
    history, selection = trained.history, trained.selection
    assert history is not None
    assert selection is not None
    field = history.field("self")
    graph = GraphOperator(data.edge_index, field.size(0))
    unit = float(field.norm(dim=-1).mean())

    def conflicts(gradients: Tensor) -> Tensor:
        return detect_conflicts(gradients, neighbour_mean(gradients, graph), trained.settings.tau_mag * unit, -0.1)

    corrected, conflict = correct_field(field, graph, trained.settings)
    with torch.no_grad():
        hidden, _ = hidden_representation(trained, data.x, data.edge_index)
    smooth = jacobi_smooth(hidden, graph, trained.settings.lambda_smooth, trained.settings.smooth_iters)
    topology = to_networkx(data, to_undirected=True)
    clustering = torch.tensor([networkx.clustering(topology, node) for node in range(field.size(0))])
    alpha = gradient_attention(torch.nn.functional.normalize(field, dim=-1), graph, trained.settings.beta_end)
    middling = conflict & (graph.degree >= 5) & (graph.degree <= 9)
    node = int(middling.nonzero()[0]) if middling.any() else int(graph.degree.argmax())

    save("pictures-seeds.png", lambda a: draw_seeds(a, selection.val_acc, selection.chosen), 1, (6, 3.6))
    save(
        "pictures-embedding.png",
        lambda a: draw_embeddings(a, hidden, smooth, conflict, conflicts(corrected)),
        2,
        (11, 4.4),
    )
    before, after = (alignment(g, neighbour_mean(g, graph)) for g in (field, corrected))
    save("pictures-alignment.png", lambda a: draw_alignment(a, before, after), 1, (6, 3.6))
    save("pictures-topology.png", lambda a: draw_topology(a, graph.degree, clustering, conflict), 2, (11, 3.8))
    save("pictures-attention.png", lambda a: draw_attention(a, data, alpha, node), 2, (9, 4))
    rows = [
        {
            "field": name,
            "nodes in conflict": int(conflicts(g).sum()),
            "conflict energy": f"{float(conflict_energy(g, graph)):.4f}",
            "mean cosine with the neighbours": f"{float(cosine.nanmean()):.4f}",
        }
        for name, g, cosine in (("as recorded", field, before), ("corrected", corrected, after))
    ]
    write_page(
        "pictures",
        f"What conflict looks like: GCN on {options.dataset} (figures 2, 3, 5, 6, 7, 8)",
        [
            "The self field of one training: the gradients of all nodes, against the true label on training nodes and "
            "the predicted one elsewhere, as a mean over the epochs. Nodes in conflict are those of eq. 1. A picture "
            "of one training, not a measurement of many.",
            "![Seed selection](pictures-seeds.png)",
            "**Seed selection (figure 2).** Validation accuracy of six seeds; the one with the lowest validation loss "
            "at the dashed line goes on.",
            "![Conflicting nodes in the embedding space](pictures-embedding.png)",
            "**Conflicting nodes in the embedding space (figures 3 and 5)**: the hidden representation before and "
            "after Laplacian smoothing, with the nodes in conflict before and after the gradients are corrected.",
            "![Alignment before and after](pictures-alignment.png)",
            "**Alignment (figure 6)** of each gradient with the mean of its neighbours', before and after the "
            "correction.",
            "![Degree against clustering](pictures-topology.png)",
            "**Topology (figure 7).** Which nodes are in conflict, by degree and clustering coefficient.",
            "![Attention](pictures-attention.png)",
            "**Attention (figure 8).** The messages to one conflicting node.",
        ],
        pd.DataFrame(rows),
    )


if __name__ == "__main__":
    main()
