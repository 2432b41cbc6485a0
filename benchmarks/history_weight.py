"""How much the gradient attention of the training should weigh in the evidence of edges.

For each weight: the characterisation score of the ten strongest edges (from the probabilities that the model keeps when
it has only them, and when it has all but them; GraphFramEx), and the agreement of those edges between models trained
from different seeds (Jaccard index, of the evidence for the true label). On validation nodes: no test node is used.
"""

from __future__ import annotations

import argparse
from itertools import combinations

import pandas as pd
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.explain import Explainer
from torch_geometric.explain.metric import characterization_score
from tqdm import tqdm

from benchmarks._page import spread, write_page
from gragr_explain import GradientContextExplainer, GraGR
from gragr_explain.checkpoint import build_model
from gragr_explain.datasets import load_dataset
from gragr_explain.messages import masked_output

WEIGHTS = (0.0, 0.1, 0.25, 0.5, 1.0)
DEFAULT = GradientContextExplainer().history_weight
CASES = (
    ("Cora", "GCN"),
    ("Cora", "GAT"),
    ("Cora", "GraphSAGE"),
    ("Texas", "GCN"),
    ("Texas", "GIN"),
    ("Texas", "GraphSAGE"),
)
TOP = 10


def strongest(model: GraGR, data: Data, nodes: Tensor, target: Tensor, weight: float) -> list[Tensor]:
    """The masks of the strongest edges of each node, ``[num_edges]`` each."""
    explainer = Explainer(
        model,
        GradientContextExplainer(history_weight=weight),
        explanation_type="phenomenon",
        model_config={"mode": "multiclass_classification", "task_level": "node", "return_type": "raw"},
        edge_mask_type="object",
    )
    masks = []
    for node in nodes.tolist():
        evidence = explainer(data.x, data.edge_index, target=target, index=node).edge_evidence
        in_reach = evidence != 0
        edges = evidence.masked_fill(~in_reach, -torch.inf).topk(TOP).indices
        mask = torch.zeros_like(evidence)
        mask[edges] = in_reach[edges].float()
        masks.append(mask)
    return masks


@torch.no_grad()
def characterisation(model: GraGR, data: Data, nodes: Tensor, target: Tensor, masks: list[Tensor]) -> float:
    """The characterisation score of masks, from probabilities."""

    def probability(node: int, mask: Tensor) -> Tensor:
        output = masked_output(model, mask, data.x, data.edge_index)
        return output.softmax(-1)[node, target[node]]

    full = model(data.x, data.edge_index).softmax(-1)[nodes, target[nodes]]
    kept = torch.stack([probability(node, mask) for node, mask in zip(nodes.tolist(), masks, strict=True)])
    removed = torch.stack([probability(node, 1 - mask) for node, mask in zip(nodes.tolist(), masks, strict=True)])
    return float(characterization_score((full - removed).mean().clamp(min=0), (full - kept).mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--nodes", type=int, default=40)
    options = parser.parse_args()

    rows = []
    for dataset_name, backbone in tqdm(CASES, desc="cases"):
        dataset = load_dataset(dataset_name)
        data = dataset.data
        candidates = data.val_mask.nonzero().view(-1)
        order = torch.randperm(candidates.numel(), generator=torch.Generator().manual_seed(1))
        nodes = candidates[order[: options.nodes]]
        fidelity: dict[float, list[float]] = {weight: [] for weight in WEIGHTS}
        chosen: dict[float, list[list[Tensor]]] = {weight: [] for weight in WEIGHTS}
        for seed in range(options.seeds):
            torch.manual_seed(seed)
            model = GraGR(build_model(backbone, data.num_features, len(dataset.class_names)))
            model.fit(data, progress=False)
            with torch.no_grad():
                predicted = model(data.x, data.edge_index).argmax(-1)
            for weight in WEIGHTS:
                masks = strongest(model, data, nodes, predicted, weight)
                fidelity[weight].append(characterisation(model, data, nodes, predicted, masks))
                chosen[weight].append(strongest(model, data, nodes, data.y, weight))
        for weight in WEIGHTS:
            agreement = [
                float((first * second).sum() / (first + second).clamp(max=1).sum())
                for one, other in combinations(chosen[weight], 2)
                for first, second in zip(one, other, strict=True)
                if bool((first + second).any())
            ]
            rows.append(
                {
                    "data": dataset.name,
                    "model": backbone,
                    "weight": weight,
                    "characterisation": sum(fidelity[weight]) / len(fidelity[weight]),
                    "over seeds": spread(fidelity[weight], 3),
                    "agreement": sum(agreement) / len(agreement),
                }
            )
    found = pd.DataFrame(rows)
    means = found.groupby("weight")[["characterisation", "agreement"]].mean()
    table = found.drop(columns="characterisation").rename(
        columns={"over seeds": "characterisation", "agreement": "agreement between seeds"}
    )
    table["agreement between seeds"] = table["agreement between seeds"].map("{:.3f}".format)
    summary = "; ".join(
        f"{weight}: {row.characterisation:.3f} and {row.agreement:.3f}" for weight, row in means.iterrows()
    )
    cost = means.loc[0.0] - means.loc[DEFAULT]
    write_page(
        "history_weight",
        "How much the training's gradient attention should weigh in a mask",
        [
            "Evidence of an edge is its signed gradient times its relative gradient attention to the power of the "
            f"weight. Means over all cases, characterisation and agreement between seeds, by weight: {summary}.",
            f"Beside none, the default of {DEFAULT} costs {cost.characterisation:.4f} of the characterisation and "
            f"{cost.agreement:.4f} of the agreement (negative: it gains).",
            f"{options.seeds} seeds, {options.nodes} validation nodes (all where there are fewer), the {TOP} strongest "
            "edges. Cora with its full split.",
        ],
        table,
    )


if __name__ == "__main__":
    main()
