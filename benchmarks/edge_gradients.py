"""What He et al. (KDD 2025) say of edge gradients, on trained models: where it holds, and where it does not.

Layer by layer: are edge gradients what occlusion finds, on models without and with activations? At input level: does
GNNExplainer's mask tend to the positive signs of the edge gradients, with its penalties and without, on all edges and
on those whose derivative keeps its sign? On nodes with small computation graphs that no model was trained on, drawn
before anything is explained.
"""

from __future__ import annotations

import argparse
import copy
import os
from functools import lru_cache
from itertools import product
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch_geometric.data import Data
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.transforms import RemoveSelfLoops
from torch_geometric.utils import k_hop_subgraph

from benchmarks._page import _markdown, save_figure, spread, write_page
from benchmarks._runs import Job, run_all
from benchmarks._training import BACKBONES, epochs_of, graph_of, scores_of, trainer_of, with_sparse_input
from gragr_explain import EdgeGradientExplainer
from gragr_explain.explain import layer_gradients
from gragr_explain.messages import edge_mask_applied, masked_output
from gragr_explain.training import TABLE_5

matplotlib.use("Agg")
from matplotlib import pyplot as plt

EPOCHS = (10, 20, 50, 100, 200, 500, 1000)
RATES = (0.01, 0.1)
PENALTIES: dict[str, dict[str, float]] = {"off": {"edge_size": 0.0, "edge_ent": 0.0}, "on": {}}
MASKS = 250
FEWEST_EDGES, MOST_NODES = 8, 100
OBJECTIVES = ("score", "log-probability")


@lru_cache(maxsize=4)
def simple_graph(dataset: str, seed: int) -> tuple[Data, int]:
    """A graph without self-loops, on which PyG's masks and ours are the same, and its number of classes."""
    data, num_classes = graph_of(dataset, seed, normalize=False)
    return RemoveSelfLoops()(data.clone()), num_classes


@lru_cache(maxsize=1)
def trained(dataset: str, backbone: str, linear: bool, layers: int, seed: int) -> tuple[nn.Module, Data]:
    """A model in evaluation mode, perhaps one without activations, and its graph."""
    data, num_classes = simple_graph(dataset, seed)
    settings = TABLE_5[backbone]

    def new() -> nn.Module:
        torch.manual_seed(seed)
        sizes = (data.num_features, settings.hidden_channels, layers, num_classes)
        model: nn.Module = getattr(pyg, backbone)(*sizes, settings.dropout, act=None if linear else "relu")
        return model

    learning = with_sparse_input(new(), data)
    trainer_of("plain", learning).fit(data, epochs_of(dataset), progress=False)
    model = new()
    model.load_state_dict(learning.state_dict())
    return model.eval().requires_grad_(False), data


@lru_cache(maxsize=32)
def nodes_of(dataset: str, layers: int, seed: int, count: int) -> list[tuple[Tensor, Tensor, int]]:
    """Nodes with a small computation graph: features and edges around each, and its place among them.

    One ring more than messages travel, so that every node that is heard has its true degree.
    """
    data, _ = simple_graph(dataset, seed)
    candidates = (~data.train_mask).nonzero().view(-1)
    order = torch.randperm(candidates.numel(), generator=torch.Generator().manual_seed(seed))
    found: list[tuple[Tensor, Tensor, int]] = []
    for node in candidates[order].tolist():
        nodes, edge_index, place, _ = k_hop_subgraph(node, layers + 1, data.edge_index, relabel_nodes=True)
        heard = k_hop_subgraph(node, layers, data.edge_index, directed=True)[1].size(1)
        if heard >= FEWEST_EDGES and nodes.numel() <= MOST_NODES:
            found.append((data.x[nodes], edge_index, int(place)))
        if len(found) == count:
            break
    return found


# Layer by layer: edge gradients and occlusion -----------------------------------------------------------------------


def measure_occlusion(job: Job) -> dict[str, Any]:
    """The edge gradients of each layer, and the changes without each edge in each layer."""
    model, data = trained(job["dataset"], job["backbone"], job["linear"], job["layers"], job["seed"])
    exact = copy.deepcopy(model).double()
    result: dict[str, Any] = {"accuracy": scores_of(model, data)["test"]}
    result |= {f"{name} {kind}": [] for name in OBJECTIVES for kind in ("gradients", "changes", "deviation", "r")}
    for x, edge_index, node in nodes_of(job["dataset"], job["layers"], job["seed"], job["nodes"]):
        for name, gradients, changes in _gradients_and_changes(exact, x.double(), edge_index, node):
            largest = float(changes.abs().max())
            reached = gradients.abs() + changes.abs() > 1e-9 * largest
            if reached.sum() < 3:
                continue  # units that are dead at this node hear of no edge
            pair = torch.stack([gradients[reached], changes[reached]]) / largest
            result[f"{name} gradients"].append(pair[0].tolist())
            result[f"{name} changes"].append(pair[1].tolist())
            result[f"{name} deviation"].append(float((pair[0] - pair[1]).abs().max()))
            result[f"{name} r"].append(float(torch.corrcoef(pair)[0, 1]))
    return result


def _gradients_and_changes(
    model: nn.Module, x: Tensor, edge_index: Tensor, node: int
) -> list[tuple[str, Tensor, Tensor]]:
    """What every edge contributes in every layer by its gradient and by occlusion, to the scores and to log p."""

    def values(output: Tensor) -> Tensor:
        scores = output[node]
        return torch.stack([scores, scores.log_softmax(-1)])[:, label]

    label = int(model(x, edge_index)[node].argmax())
    gradients = [
        layer_gradients(model, lambda output: values(output)[0], x, edge_index)[0],
        layer_gradients(model, lambda output: values(output)[1], x, edge_index)[0],
    ]
    num_layers, num_edges = gradients[0].shape
    *_, near = k_hop_subgraph(node, num_layers, edge_index, num_nodes=x.size(0))
    ones = x.new_ones(num_layers, num_edges)
    whole = values(masked_output(model, ones, x, edge_index))
    changes = x.new_zeros(2, num_layers, num_edges)
    for layer, edge in product(range(num_layers), near.nonzero().view(-1).tolist()):
        mask = ones.clone()
        mask[layer, edge] = 0
        changes[:, layer, edge] = whole - values(masked_output(model, mask, x, edge_index))
    return list(zip(OBJECTIVES, gradients, changes, strict=True))


# At input level: edge gradients and GNNExplainer --------------------------------------------------------------------


def explainer_of(model: nn.Module, algorithm: Any) -> Explainer:
    return Explainer(
        model,
        algorithm,
        explanation_type="model",
        edge_mask_type="object",
        model_config={"mode": "multiclass_classification", "task_level": "node", "return_type": "raw"},
    )


@lru_cache(maxsize=64)
def signs_of(dataset: str, backbone: str, seed: int, place: int, nodes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Which edges are heard, which of them have a positive gradient, and which never have one of the other sign.

    Looked for on masks in ``[0, 1]``: uniform ones, ones of zeros and ones of any density, and those on the way to the
    signs.
    """
    model, _ = trained(dataset, backbone, False, 2, seed)
    x, edge_index, node = nodes_of(dataset, 2, seed, nodes)[place]
    exact, x = copy.deepcopy(model).double(), x.double()
    explanation = explainer_of(exact, EdgeGradientExplainer("sign"))(x, edge_index, index=node)
    evidence, label = explanation.edge_evidence, int(explanation.target[node])
    generator, shape = torch.Generator().manual_seed(0), (MASKS, evidence.numel())
    uniform, draw, density = (torch.rand(*size, generator=generator) for size in (shape, shape, (MASKS, 1)))
    way = 1 - torch.linspace(0, 1, 20).unsqueeze(1) * (1 - explanation.edge_mask)
    keeps = evidence != 0
    for mask in torch.cat([uniform, draw < density, way]).to(evidence):
        mask.requires_grad_()
        with edge_mask_applied(exact, mask, edge_index):
            support = exact(x, edge_index)[node].log_softmax(-1)[label]
        (gradient,) = torch.autograd.grad(support, mask)
        keeps &= gradient * evidence >= 0
    return evidence != 0, explanation.edge_mask > 0, keeps


def measure_mask(job: Job) -> dict[str, Any]:
    """How similar GNNExplainer's mask is to the positive signs after so many epochs, on all edges and on some."""
    where = (job["dataset"], job["backbone"], job["seed"], job["place"], job["nodes"])
    heard, positive, keeps = signs_of(*where)
    model, _ = trained(job["dataset"], job["backbone"], False, 2, job["seed"])
    x, edge_index, node = nodes_of(job["dataset"], 2, job["seed"], job["nodes"])[job["place"]]
    masks: list[Tensor] = []

    def note(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        (logits,) = optimizer.param_groups[0]["params"]
        masks.append(logits.detach().sigmoid())

    torch.manual_seed(job["seed"])
    algorithm = GNNExplainer(epochs=max(EPOCHS), lr=job["lr"], **PENALTIES[job["penalties"]])
    handle = register_optimizer_step_post_hook(note)
    try:
        final = explainer_of(copy.deepcopy(model), algorithm)(x, edge_index, index=node).edge_mask
    finally:
        handle.remove()
    assert torch.equal(final[heard], masks[-1][heard])
    result: dict[str, Any] = {"edges": int(heard.sum()), "kept share": float(keeps.sum() / heard.sum())}
    for name, edges in (("all", heard), ("kept", keeps)):
        wanted = positive[edges].float()
        result[f"{name} positive"] = float(wanted.mean())
        result[f"{name} constant"] = _cosine(torch.ones_like(wanted), wanted)
        for epoch in EPOCHS:
            mask = masks[epoch - 1][edges]
            result[f"{name} cosine {epoch}"] = _cosine(mask, wanted)
            result[f"{name} side {epoch}"] = float(((mask > 0.5) == wanted.bool()).float().mean())
    return result


def _cosine(one: Tensor, other: Tensor) -> float:
    """NaN where a mask has nothing in it."""
    lengths = one.norm() * other.norm()
    return float(one @ other / lengths) if lengths > 0 else float("nan")


# The page -----------------------------------------------------------------------------------------------------------


def occlusion_table(layered: pd.DataFrame) -> pd.DataFrame:
    """How far gradients are from occlusion on each kind of model, over the nodes of all data sets."""
    rows = []
    for (backbone, linear, layers), runs in layered.groupby(["backbone", "linear", "layers"], sort=False):
        row = {"model": backbone, "activation": "none" if linear else "ReLU", "layers": layers}
        for objective in OBJECTIVES:
            name = "scores" if objective == "score" else "log-probabilities"
            row[f"{name}: largest deviation"] = f"{_pooled(runs, f'{objective} deviation').max():.2g}"
            row[f"{name}: correlation"] = spread(list(_pooled(runs, f"{objective} r")), 3)
        rows.append({**row, "nodes": len(_pooled(runs, "score deviation"))})
    return pd.DataFrame(rows)


def mask_table(masks: pd.DataFrame, layered: pd.DataFrame) -> pd.DataFrame:
    """The similarity of GNNExplainer's masks to the signs on every data set and model, and how good the models are."""
    accuracy = layered[~layered.linear & (layered.layers == 2)].set_index(["dataset", "backbone"]).accuracy
    last = max(EPOCHS)
    settings = (
        (f"penalties off, lr 0.1, {last} epochs", 0.1, "off", last),
        (f"penalties on, lr 0.1, {last} epochs", 0.1, "on", last),
        ("as PyG sets it (penalties on, lr 0.01, 100 epochs)", 0.01, "on", 100),
    )
    rows = []
    for (dataset, backbone), runs in masks.groupby(["dataset", "backbone"], sort=False):
        row = {
            "data": dataset,
            "model": backbone,
            "test accuracy (%)": f"{accuracy[dataset, backbone]:.1f}",
            "edges": f"{runs.edges.mean():.0f}",
            "keep their sign (%)": f"{100 * (runs.edges * runs['kept share']).sum() / runs.edges.sum():.0f}",
            "a mask of ones": " / ".join(f"{runs[f'{name} constant'].mean():.3f}" for name in ("all", "kept")),
        }
        for title, lr, penalties, epoch in settings:
            own = runs[(runs.lr == lr) & (runs.penalties == penalties)]
            row[title] = " / ".join(spread(list(own[f"{name} cosine {epoch}"]), 3) for name in ("all", "kept"))
        rows.append(row)
    return pd.DataFrame(rows)


def verdict(layered: pd.DataFrame, masks: pd.DataFrame) -> list[str]:
    """What does not hold, and what does."""
    last = max(EPOCHS)

    def cosine(name: str, lr: float, penalties: str, epoch: int) -> float:
        return float(masks[(masks.lr == lr) & (masks.penalties == penalties)][f"{name} cosine {epoch}"].mean())

    def correlation(objective: str, linear: bool, attention: bool, layers: tuple[int, ...] = (2, 3)) -> float:
        chosen = (layered.linear == linear) & ((layered.backbone == "GAT") == attention) & layered.layers.isin(layers)
        return float(_pooled(layered[chosen], f"{objective} r").mean())

    sums = layered[layered.linear & (layered.backbone != "GAT")]
    ones, kept_ones = masks["all constant"].mean(), masks["kept constant"].mean()
    share = 100 * (masks.edges * masks["kept share"]).sum() / masks.edges.sum()
    usual = cosine("all", 0.01, "on", 100)
    nearer = "no nearer" if usual <= ones else "nearer"
    free = masks[(masks.lr == 0.1) & (masks.penalties == "off")]
    return [
        "**What does not hold.** GNNExplainer as PyG sets it (penalties on, learning rate 0.01, 100 epochs) is "
        f"{nearer} to the signs of the edge gradients than a mask of ones: the mean cosine is {usual:.3f} on all "
        f"edges and {cosine('kept', 0.01, 'on', 100):.3f} on those that keep their sign, that of a mask of ones "
        f"{ones:.3f} and {kept_ones:.3f}. After {last} epochs it is {cosine('all', 0.01, 'on', last):.3f} and "
        f"{cosine('kept', 0.01, 'on', last):.3f}. The condition matters: {share:.0f} % of the edges keep their sign, "
        f"and over all edges the cosine stays at {cosine('all', 0.1, 'off', last):.3f} without the penalties too. "
        "Layer by layer, edge gradients of linear models are occlusion for scores alone: for log-probabilities, by "
        "which classifiers are explained, the mean correlation on the same models is "
        f"{correlation('log-probability', True, False):.3f}. And GAT is not linear without activations, since the "
        "attention of a layer depends on what the layers before it heard: "
        f"{correlation('score', True, True, (2,)):.3f} with 2 layers, {correlation('score', True, True, (3,)):.3f} "
        "with 3.",
        "**What holds.** On GCN, GIN and GraphSAGE without activations, edge gradients of scores are occlusion: the "
        f"largest deviation is {_pooled(sums, 'score deviation').max():.0e} of the largest change. With ReLU the mean "
        "correlation over all models is "
        f"{_pooled(layered[~layered.linear & (layered.layers == 2)], 'score r').mean():.3f} with 2 layers and "
        f"{_pooled(layered[~layered.linear & (layered.layers == 3)], 'score r').mean():.3f} with 3. Without its "
        "penalties, at a learning rate of 0.1, GNNExplainer tends to the signs on the edges that keep them: the mean "
        f"cosine after {last} epochs is {cosine('kept', 0.1, 'off', last):.3f}, and "
        f"{100 * free[f'kept side {last}'].mean():.1f} % of these edges end on their side of one half.",
    ]


def draw_occlusion(layered: pd.DataFrame, dataset: str) -> None:
    """Gradients against occlusion on GCNs of one data set."""
    runs = layered[(layered.dataset == dataset) & (layered.backbone == "GCN")]
    figure, axes = plt.subplots(
        2, len(runs), figsize=(3 * len(runs), 6.2), layout="constrained", sharex=True, sharey=True, squeeze=False
    )
    for column, run in zip(axes.T, runs.to_dict("records"), strict=True):
        for axis, objective in zip(column, OBJECTIVES, strict=True):
            gradients, changes = (np.concatenate(run[f"{objective} {kind}"]) for kind in ("gradients", "changes"))
            axis.axline((0, 0), slope=1, color="gray", lw=0.8)
            axis.scatter(changes, gradients, s=5, alpha=0.5, color="tab:blue")
            correlation = np.mean(run[f"{objective} r"])
            kind = "linear" if run["linear"] else "ReLU"
            axis.set_title(f"{kind}, {run['layers']} layers: r = {correlation:.4f}", fontsize=9)
            axis.set_aspect("equal")
    for axis, objective in zip(axes[:, 0], OBJECTIVES, strict=True):
        axis.set_ylabel(f"edge gradient of the {objective}", fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("change without the edge", fontsize=9)
    save_figure(figure, "edge_gradients-occlusion.png")


def draw_masks(masks: pd.DataFrame) -> None:
    """The similarity of GNNExplainer's masks to the signs over the epochs."""
    figure, axes = plt.subplots(
        len(RATES), len(BACKBONES), figsize=(13, 6), layout="constrained", sharex=True, sharey=True, squeeze=False
    )
    for row, lr in zip(axes, RATES, strict=True):
        for axis, backbone in zip(row, BACKBONES, strict=True):
            own = masks[(masks.backbone == backbone) & (masks.lr == lr)]
            for penalties, colour in (("off", "tab:blue"), ("on", "tab:red")):
                for name, style, title in (("kept", "-", "edges that keep their sign"), ("all", "--", "all edges")):
                    runs = own[own.penalties == penalties][[f"{name} cosine {epoch}" for epoch in EPOCHS]]
                    mean, error = runs.mean(), runs.std() / runs.count() ** 0.5
                    axis.plot(EPOCHS, mean, style, color=colour, label=f"penalties {penalties}, {title}")
                    axis.fill_between(EPOCHS, mean - error, mean + error, color=colour, alpha=0.12, lw=0)
            for name, style in (("kept", "-"), ("all", "--")):
                axis.axhline(own[f"{name} constant"].mean(), color="gray", ls=style, lw=0.8)
            axis.set(title=f"{backbone}, learning rate {lr}", xscale="log")
            axis.grid(alpha=0.3)
    axes[0, 0].plot([], [], color="gray", lw=0.8, label="a mask of ones")
    for axis in axes[-1]:
        axis.set_xlabel("epochs of GNNExplainer")
    for axis in axes[:, 0]:
        axis.set_ylabel("cosine with the signs")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    save_figure(figure, "edge_gradients-masks.png")


def _pooled(runs: pd.DataFrame, column: str) -> np.ndarray:
    """What lists in a column hold, without NaN."""
    values = np.concatenate([np.asarray(entries, dtype=float) for entries in runs[column]])
    return values[~np.isnan(values)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    known = ["Cora", "Texas"] if "GRAGR_DATA" in os.environ else ["digits"]
    parser.add_argument("--datasets", nargs="+", default=known)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--nodes", type=int, default=3)
    options = parser.parse_args()
    layered = run_all(
        "edge-gradients-occlusion",
        [
            {"dataset": dataset, "backbone": backbone, "linear": linear, "layers": layers, "seed": 0, "nodes": 10}
            for dataset, backbone, linear, layers in product(options.datasets, BACKBONES, (True, False), (2, 3))
        ],
        measure_occlusion,
    )
    masks = run_all(
        "edge-gradients-masks",
        [
            {
                "dataset": dataset,
                "backbone": backbone,
                "seed": seed,
                "place": place,
                "nodes": options.nodes,
                "lr": lr,
                "penalties": penalties,
            }
            for dataset, backbone, seed, place, lr, penalties in product(
                options.datasets, BACKBONES, range(options.seeds), range(options.nodes), RATES, PENALTIES
            )
        ],
        measure_mask,
    )
    draw_occlusion(layered, options.datasets[0])
    draw_masks(masks)
    write_page(
        "edge_gradients",
        "Edge gradients, occlusion and GNNExplainer: what He et al. (KDD 2025) say of them",
        [
            *verdict(layered, masks),
            f"Data: {' and '.join(options.datasets)}, their self-loops removed, on which PyG's masks and ours differ. "
            f"Nodes that no model was trained on, whose computation graph has {FEWEST_EDGES} edges or more and, with "
            f"one ring more for their true degrees, {MOST_NODES} nodes or fewer, drawn before anything is explained.",
            "## Layer by layer: edge gradients and occlusion",
            "![Edge gradients against occlusion](edge_gradients-occlusion.png)",
            f"GCNs on {options.datasets[0]}: one point for each edge in each layer that the prediction hears it in, in "
            "units of the largest change at the node.",
            "The same for every model, over the nodes of all data sets; the score is that of the predicted class. The "
            "deviation is the largest of all, in units of the largest change at its node; correlations are means over "
            "nodes ± standard deviations. Nodes at which dead units leave fewer than three edges are left out.",
            _markdown(occlusion_table(layered)),
            "## At input level: edge gradients and GNNExplainer",
            "![Cosine similarity over the epochs](edge_gradients-masks.png)",
            "Cosine similarity of PyG's `GNNExplainer` mask with the mask that is 1 where the edge gradient is "
            "positive (the sign heuristic of `EdgeGradientExplainer`), over the edges that the prediction hears: mean "
            f"± standard error over {options.seeds} seeds of model and mask with {options.nodes} nodes each, on each "
            "data set. Grey: a mask of ones, for comparison. An edge keeps its sign where its gradient has the other "
            f"sign on none of {2 * MASKS} masks in [0, 1], uniform or of zeros and ones, nor on the straight way to "
            "the signs; that can show only that an edge does not keep it.",
            "In the table, all edges / those that keep their sign, mean ± standard deviation; accuracies are those of "
            "the first seed.",
        ],
        mask_table(masks, layered),
    )


if __name__ == "__main__":
    main()
