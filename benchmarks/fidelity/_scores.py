"""How faithful the masks of an explainer are: GraphFramEx's protocol, prediction by prediction.

Amara et al., `"GraphFramEx: Towards Systematic Evaluation of Explainability Methods for Graph Neural Networks"
<https://arxiv.org/abs/2206.09677>`_ (LoG 2022).
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from torch import Tensor

from benchmarks._runs import Job
from benchmarks.fidelity._cases import problem
from benchmarks.fidelity._explainers import Explain, Masks, prepare
from benchmarks.fidelity._instance import Instance, Problem, probabilities

TOP = (3, 5, 10)
SHARES = (10, 20, 30, 40, 50)
FEATURES = ("features 10", "features 10 %")
EDGE_MASKS = (*(str(k) for k in TOP), *(f"{share} %" for share in SHARES), "soft")
Row = dict[str, Any]


def measure(job: Job) -> list[Row]:
    """Explain the instances of a case with one explainer, and see what the model makes of the masks.

    The *model* focus explains the predicted class, the *phenomenon* focus the true one; where the prediction is right,
    they are the same.

    Args:
        job: ``dataset``, ``backbone``, ``explainer``, ``instances`` and ``seed``.

    Returns:
        A row for each focus, instance and mask; for each focus and instance with the ``error`` where there is no mask.
    """
    case = problem(job["dataset"], job["backbone"], job["seed"])
    instances = case.instances[: job["instances"]]
    try:
        explain = prepare(job["explainer"], case, job["seed"])
    except Exception as error:  # other people's code raises what it likes; the page says what
        explain = _failing(error)
    rows: list[Row] = []
    for focus in ("model", "phenomenon"):
        for instance in instances:
            if focus == "model" or instance.predicted != instance.label:
                target = instance.predicted if focus == "model" else instance.label
                rows += [{"focus": focus, **row} for row in _rows(case, instance, target, explain)]
    right = [row for row in rows if row["right"]]
    return rows + [{**row, "focus": "phenomenon"} for row in right]


def _failing(error: Exception) -> Explain:
    def explain(instance: Instance, target: int) -> Masks:
        raise error

    return explain


def _rows(case: Problem, instance: Instance, target: int, explain: Explain) -> Iterator[Row]:
    """All that is measured of one explanation."""
    about: Row = {
        "instance": instance.name,
        "right": instance.predicted == instance.label,
        "num_heard": int(instance.heard.sum()),
    }
    start = time.process_time()
    try:
        masks = explain(instance, target)
    except Exception as error:
        yield {**about, "mask": "", "error": f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"[:200]}
        return
    about["seconds"] = time.process_time() - start
    order = tie_order(instance)
    chosen = {**hard_masks(masks.edges, instance.heard, order), "soft": masks.edges}
    names, stacked = list(chosen), torch.stack(list(chosen.values())).to(instance.x.dtype)
    ones = torch.ones_like(stacked[:1])
    found = _unique_probabilities(case, instance, torch.cat([ones, stacked, 1 - stacked]))
    full, kept, removed = found[0], found[1 : 1 + len(names)], found[1 + len(names) :]
    for row, name in enumerate(names):
        extra = {"unfaithfulness": unfaithfulness(full, kept[row])} if name == "soft" else {}
        if name == "soft" and instance.truth is not None:
            extra |= truth_scores(masks.edges, instance.truth, instance.heard, order)
        num = int((chosen[name] > 0).sum())
        yield {**about, "mask": name, "num_edges": num, **_compared(full, kept[row], removed[row], target), **extra}
    if masks.features is not None:
        yield from _feature_rows(case, instance, target, masks.features, full, about)


def _feature_rows(
    case: Problem, instance: Instance, target: int, mask: Tensor, full: Tensor, about: Row
) -> Iterator[Row]:
    """The same for masks of features: those that are not zero and can be heard are kept alone, or set to zero."""
    there = (instance.x != 0) & _heard_nodes(instance).unsqueeze(1)
    places = there.nonzero(as_tuple=True)
    values = mask.clamp(min=0)[places]
    order = torch.randperm(values.numel(), generator=_generator(instance))
    ranked = ranking(values, order)
    sizes = dict(zip(FEATURES, (10, math.ceil(values.numel() / 10)), strict=True))
    kept = instance.x.new_zeros(len(sizes), *instance.x.shape)
    for row, size in enumerate(sizes.values()):
        nodes, columns = (place[ranked[:size]] for place in places)
        kept[row, nodes, columns] = instance.x[nodes, columns]
    masks = instance.x.new_ones(2 * len(sizes), instance.num_edges)
    found = probabilities(case, instance, masks, torch.cat([kept, instance.x - kept]))
    for row, (name, size) in enumerate(sizes.items()):
        compared = _compared(full, found[row], found[len(sizes) + row], target)
        yield {**about, "mask": name, "num_edges": min(size, ranked.numel()), **compared}


def _compared(full: Tensor, kept: Tensor, removed: Tensor, target: int) -> Row:
    named = {"full": full, "kept": kept, "removed": removed}
    found: Row = {"target": target}
    found |= {f"p_{name}": float(probs[target]) for name, probs in named.items()}
    return found | {f"pred_{name}": int(probs.argmax()) for name, probs in named.items()}


def ranking(values: Tensor, order: Tensor) -> Tensor:
    """The places of what is above zero, the largest first, and those that are equal in a given order.

    Args:
        values: Shape ``[num_values]``.
        order: A permutation of the places, ``[num_values]``.

    Example:
        >>> ranking(torch.tensor([0.5, 0.0, 0.5, 0.9]), torch.tensor([2, 0, 1, 3]))
        tensor([3, 2, 0])
    """
    ranked = order[torch.argsort(values[order], descending=True, stable=True)]
    return ranked[values[ranked] > 0]


def hard_masks(edges: Tensor, heard: Tensor, order: Tensor) -> dict[str, Tensor]:
    """Masks that keep the most important edges: a number of them, or a share of those that are heard (rounded up).

    Edges of importance 0 are never chosen, so that fewer are kept where fewer are important.

    Args:
        edges: Importance of each edge, ``[num_edges]``.
        heard: Which edges can reach the prediction, ``[num_edges]``.
        order: In which order equally important ones are chosen, ``[num_edges]``.
    """
    ranked, num_heard = ranking(edges, order), int(heard.sum())
    sizes = {str(k): k for k in TOP} | {f"{share} %": math.ceil(share * num_heard / 100) for share in SHARES}
    masks = {}
    for name, size in sizes.items():
        masks[name] = torch.zeros_like(edges)
        masks[name][ranked[:size]] = 1
    return masks


def tie_order(instance: Instance) -> Tensor:
    """A random order of an instance's edges, the same for all explainers, ``[num_edges]``."""
    return torch.randperm(instance.num_edges, generator=_generator(instance))


def unfaithfulness(full: Tensor, kept: Tensor) -> float:
    """PyG's ``unfaithfulness``, ``1 - exp(-KL)``, of class probabilities of shape ``[num_classes]``.

    PyG's own function gives the same of an explanation whose ``index`` is a tensor; where it is an integer, it divides
    the divergence by the number of classes.

    Agarwal et al., `"Evaluating Explainability for Graph Neural Networks" <https://arxiv.org/abs/2208.09339>`_.
    """
    tiny = torch.finfo(full.dtype).tiny
    divergence = F.kl_div(full.clamp(min=tiny).log(), kept, reduction="sum")
    return 1 - math.exp(-max(float(divergence), 0.0))


def truth_scores(edges: Tensor, truth: Tensor, heard: Tensor, order: Tensor) -> Row:
    """How well importance tells the edges of a motif from the others that are heard, and how many of the top are."""
    true = truth[heard]
    auroc = float("nan") if true.all() or not true.any() else float(roc_auc_score(true, edges[heard]))
    in_motif = truth & heard
    count = int(in_motif.sum())
    return {"truth_auroc": auroc, "truth_recall": float(in_motif[ranking(edges, order)[:count]].sum()) / max(count, 1)}


def _unique_probabilities(case: Problem, instance: Instance, masks: Tensor) -> Tensor:
    """Class probabilities under masks, each different one computed once."""
    unique, place = torch.unique(masks, dim=0, return_inverse=True)
    return probabilities(case, instance, unique)[place]


def _heard_nodes(instance: Instance) -> Tensor:
    """The nodes whose features can reach the prediction, ``[num_nodes]``."""
    heard = torch.zeros(instance.x.size(0), dtype=torch.bool)
    heard[instance.edge_index[:, instance.heard].reshape(-1)] = True
    heard[instance.index] = True
    return heard


def _generator(instance: Instance) -> torch.Generator:
    return torch.Generator().manual_seed(zlib.crc32(f"ties of {instance.name}".encode()))
