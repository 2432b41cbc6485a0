"""The explainers that are compared, each with its authors' settings."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch_geometric.explain import (
    AttentionExplainer,
    CaptumExplainer,
    Explainer,
    ExplainerAlgorithm,
    Explanation,
    GNNExplainer,
    GraphMaskExplainer,
    PGExplainer,
)

from benchmarks.fidelity._baselines import distance, pagerank
from benchmarks.fidelity._cases import MOTIF_DATASETS, level_of
from benchmarks.fidelity._instance import Instance, Problem
from benchmarks.fidelity._shuffled import shuffled
from gragr_explain import EdgeGradientExplainer, GradientContextExplainer, OcclusionExplainer
from gragr_explain.explain._masks import support_mask
from gragr_explain.history import find_history, message_passing_layers
from gragr_explain.training._trajectories import reset_parameters

SHAPLEY_SAMPLES, SHAPLEY_CALLS = 25, 3000
_FAST, _MEDIUM, _SLOW, _SLOWEST = range(4)


@dataclass(frozen=True)
class Masks:
    """What an explainer says of one prediction.

    Attributes:
        edges: Importance of each edge, ``[num_edges]``, never negative; 0 is not chosen.
        features: Importance of each feature of each node, ``[num_nodes, num_features]``; ``None`` where it has none.
    """

    edges: Tensor
    features: Tensor | None = None


Explain = Callable[[Instance, int], Masks]
"""From an instance and the class that is explained to masks."""


@dataclass(frozen=True)
class Method:
    """One of the explainers.

    Attributes:
        settings: What it is run with, in words; results of other settings are made anew.
        speed: 0 for the fastest, 3 for the slowest: what is measured first.
        prepare: From a problem and a seed to its explanations, trained where it is one that is.
        applies: Whether it is for a data set and backbone.
        own: Whether it is this package's, so that its results depend on the code.
        uses: Whether it shows what a model uses, for the prediction or against it, not what supports that. How well
            that is done is asked of motifs.
    """

    settings: str
    speed: int
    prepare: Callable[[Problem, int], Explain]
    applies: Callable[[str, str], bool] = lambda dataset, backbone: True
    own: bool = False
    uses: bool = False


def prepare(name: str, problem: Problem, seed: int = 0) -> Explain:
    """An explainer, ready to explain predictions of a model.

    It works on a copy of the model, since some explainers leave traces on theirs. What it draws at random depends on
    the seed and the instance, not on what was explained before. Edges from which no message reaches the prediction
    get 0 from all explainers.

    Args:
        name: One of :data:`EXPLAINERS`.
        problem: The model.
        seed: Seed of all that is drawn.
    """
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        run = EXPLAINERS[name].prepare(problem, seed)

    def explain(instance: Instance, target: int) -> Masks:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Captum warns of its hooks, each time
            torch.manual_seed(1_000_003 * seed + instance.name)
            masks = run(instance, target)
        edges = masks.edges.detach()
        if edges.shape != (instance.num_edges,) or not bool(edges.isfinite().all()):
            raise ValueError(f"expected {instance.num_edges} finite numbers, got {list(edges.shape)} of {edges}")
        return Masks(edges.clamp(min=0) * instance.heard, None if masks.features is None else masks.features.detach())

    return explain


def has_features(dataset: str) -> bool:
    """Whether features are explained: on generated graphs they are constant."""
    return dataset not in MOTIF_DATASETS


def explainer_of(
    problem: Problem,
    algorithm: ExplainerAlgorithm,
    *,
    kind: str = "phenomenon",
    nodes: bool = False,
    edges: bool = True,
) -> Explainer:
    """PyG's explainer of a copy of a problem's model."""
    return Explainer(
        deepcopy(problem.model),
        algorithm,
        explanation_type=kind,
        node_mask_type="attributes" if nodes else None,
        edge_mask_type="object" if edges else None,
        model_config={"mode": "multiclass_classification", "task_level": problem.level, "return_type": "raw"},
    )


def explanation_of(explainer: Explainer, problem: Problem, instance: Instance, target: int | None) -> Explanation:
    """What PyG's explainer says of an instance."""
    num_outputs = instance.x.size(0) if problem.level == "node" else 1
    return explainer(
        instance.x,
        instance.edge_index,
        target=None if target is None else torch.full((num_outputs,), target),
        index=instance.index if problem.level == "node" else None,
        **problem.arguments(instance.x.size(0)),
    )


def _plain(
    build: Callable[[Problem], ExplainerAlgorithm],
    *,
    nodes: bool = False,
    always_nodes: bool = False,
    scale: bool = False,
    magnitude: bool = False,
    kind: str = "phenomenon",
) -> Callable[[Problem, int], Explain]:
    """An explainer with masks of edges and, with ``nodes``, of features, both from one call."""

    def prepare(problem: Problem, seed: int) -> Explain:
        wanted = (nodes or always_nodes) and has_features(problem.dataset)
        explainer = explainer_of(problem, build(problem), kind=kind, nodes=wanted or always_nodes)

        def explain(instance: Instance, target: int) -> Masks:
            found = explanation_of(explainer, problem, instance, None if kind == "model" else target)
            edges = found.edge_mask.abs() if magnitude else found.edge_mask
            return Masks(support_mask(edges) if scale else edges, found.node_mask if wanted else None)

        return explain

    return prepare


def _separately(build: Callable[[], ExplainerAlgorithm], *, scale: bool = False) -> Callable[[Problem, int], Explain]:
    """An explainer whose masks of edges and of features depend on each other, so that each has a call of its own."""

    def prepare(problem: Problem, seed: int) -> Explain:
        edges = explainer_of(problem, build())
        nodes = explainer_of(problem, build(), nodes=True, edges=False)

        def explain(instance: Instance, target: int) -> Masks:
            mask = explanation_of(edges, problem, instance, target).edge_mask
            wanted = has_features(problem.dataset)
            features = explanation_of(nodes, problem, instance, target).node_mask if wanted else None
            return Masks(support_mask(mask) if scale else mask, features)

        return explain

    return prepare


def _shapley(problem: Problem, seed: int) -> Explain:
    """Edges that are not heard are one player, so that no sample is spent on them."""

    def explain(instance: Instance, target: int) -> Masks:
        num_heard = int(instance.heard.sum())
        player = torch.where(instance.heard, instance.heard.cumsum(0) - 1, num_heard).unsqueeze(0)
        samples = max(1, min(SHAPLEY_SAMPLES, SHAPLEY_CALLS // (num_heard + 1)))
        algorithm = CaptumExplainer("ShapleyValueSampling", n_samples=samples, feature_mask=(player,))
        explainer = explainer_of(problem, algorithm)
        with torch.no_grad():
            return Masks(support_mask(explanation_of(explainer, problem, instance, target).edge_mask))

    return explain


def _pg_explainer(problem: Problem, seed: int) -> Explain:
    """Trained on other instances, for what the model predicts of them; its masks do not depend on the target."""
    algorithm = PGExplainer(epochs=30, lr=0.003)
    explainer = explainer_of(problem, algorithm)
    for epoch in range(algorithm.epochs):
        for instance in problem.training_instances:
            num_outputs = instance.x.size(0) if problem.level == "node" else 1
            algorithm.train(
                epoch,
                explainer.model,
                instance.x,
                instance.edge_index,
                target=torch.full((num_outputs,), instance.predicted),
                index=instance.index if problem.level == "node" else None,
                **problem.arguments(instance.x.size(0)),
            )
    return lambda instance, target: Masks(explanation_of(explainer, problem, instance, target).edge_mask)


def _ours(history: str) -> Callable[[Problem, int], Explain]:
    """On the whole graph where the model has a history, which belongs to it; on the instance's own where it has none.

    Args:
        history: ``"own"``, ``"none"`` or ``"shuffled"``.
    """

    def prepare(problem: Problem, seed: int) -> Explain:
        nodes = has_features(problem.dataset)
        bare = explainer_of(problem, GradientContextExplainer(history=False), nodes=nodes)
        recorded = find_history(problem.model)
        if recorded is None or history == "none":
            return lambda instance, target: _masks_of(explanation_of(bare, problem, instance, target), nodes)
        used = shuffled(recorded, seed) if history == "shuffled" else recorded
        used = replace(used, graph_digest=None)  # noise makes another graph of the one that it was recorded on
        whole = explainer_of(problem, GradientContextExplainer(history=used), nodes=nodes)
        (data,) = problem.graphs
        with torch.no_grad():
            predicted = problem.model(data.x, data.edge_index).argmax(-1)

        def explain(instance: Instance, target: int) -> Masks:
            if instance.origin is None:
                return _masks_of(explanation_of(bare, problem, instance, target), nodes)
            node = instance.name
            targets = predicted if int(predicted[node]) == target else data.y  # kept, so that the graph's psi is
            if int(targets[node]) != target:
                targets = torch.full_like(predicted, target)
            found = whole(data.x, data.edge_index, target=targets, index=node)
            features = found.node_mask[instance.nodes] if nodes else None
            return Masks(found.edge_mask[instance.origin], features)

        return explain

    return prepare


def with_random_weights(problem: Problem, seed: int) -> Problem:
    """A problem whose model has learned nothing (Adebayo et al., 2018): its weights are drawn anew."""
    model = deepcopy(problem.model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(10_000 + seed)
        reset_parameters(model)
    return replace(problem, model=model)


def _masks_of(found: Explanation, nodes: bool) -> Masks:
    return Masks(found.edge_mask, found.node_mask if nodes else None)


def _random(problem: Problem, seed: int) -> Explain:
    nodes = has_features(problem.dataset)
    return lambda instance, target: Masks(
        torch.rand(instance.num_edges), torch.rand_like(instance.x) if nodes else None
    )


def _captum(name: str) -> Callable[[Problem, int], Explain]:
    """A method of Captum whose gradients with respect to edges and features do not depend on each other."""
    return _plain(lambda problem: CaptumExplainer(name), nodes=True, scale=True)


def _with_history(dataset: str, backbone: str) -> bool:
    return level_of(dataset) == "node" and dataset not in MOTIF_DATASETS


EXPLAINERS: dict[str, Method] = {
    "ours": Method("GradientContextExplainer()", _FAST, _ours("own"), own=True),
    "ours, no history": Method(
        "GradientContextExplainer(history=False)", _FAST, _ours("none"), applies=_with_history, own=True
    ),
    "ours, shuffled history": Method(
        "GradientContextExplainer(), nodes of the history permuted",
        _FAST,
        _ours("shuffled"),
        applies=_with_history,
        own=True,
    ),
    **{
        name: Method(
            f"GradientContextExplainer(history=False, refine={refine})",
            _FAST,
            _plain(
                lambda problem, refine=refine: GradientContextExplainer(  # type: ignore[misc]
                    history=False, refine=refine
                ),
                nodes=True,
            ),
            applies=lambda dataset, backbone: level_of(dataset) == "node",
            own=True,
        )
        for name, refine in (("ours, never refined", False), ("ours, always refined", True))
    },
    "ours, uses": Method(
        "GradientContextExplainer(history=False, evidence='uses')",
        _FAST,
        _plain(lambda problem: GradientContextExplainer(history=False, evidence="uses")),
        uses=True,
        own=True,
    ),
    "ours, uses, random weights": Method(
        "GradientContextExplainer(history=False, evidence='uses') of a model whose weights are drawn anew",
        _FAST,
        lambda problem, seed: _plain(lambda _: GradientContextExplainer(history=False, evidence="uses"))(
            with_random_weights(problem, seed), seed
        ),
        uses=True,
        own=True,
    ),
    **{
        f"{name}, magnitude": Method(
            f"CaptumExplainer({name!r}), absolute values",
            _FAST,
            _plain(lambda problem, name=name: CaptumExplainer(name), scale=True, magnitude=True),  # type: ignore[misc]
            uses=True,
        )
        for name in ("Deconvolution", "GuidedBackprop", "IntegratedGradients")
    },
    "EdgeGradient": Method(
        "EdgeGradientExplainer()", _FAST, _plain(lambda problem: EdgeGradientExplainer(), nodes=True), own=True
    ),
    "Saliency": Method("CaptumExplainer('Saliency')", _FAST, _captum("Saliency")),
    "InputXGradient": Method("CaptumExplainer('InputXGradient')", _FAST, _captum("InputXGradient")),
    "Deconvolution": Method("CaptumExplainer('Deconvolution')", _FAST, _captum("Deconvolution")),
    "GuidedBackprop": Method("CaptumExplainer('GuidedBackprop')", _FAST, _captum("GuidedBackprop")),
    "AttentionExplainer": Method(
        "AttentionExplainer()",
        _FAST,
        _plain(lambda problem: AttentionExplainer(), kind="model"),
        applies=lambda dataset, backbone: backbone == "GAT",
    ),
    "PageRank": Method(
        "personalised, restart 0.15",
        _FAST,
        lambda problem, seed: lambda instance, target: Masks(pagerank(problem, instance)),
    ),
    "PageRank, weaker end": Method(
        "personalised, restart 0.05, the rank of an edge's weaker end",
        _FAST,
        lambda problem, seed: (
            lambda instance, target: Masks(pagerank(problem, instance, restart=0.05, of_weaker_end=True))
        ),
        uses=True,
    ),
    "distance": Method(
        "1 / (1 + hops)",
        _FAST,
        lambda problem, seed: lambda instance, target: Masks(distance(instance)),
        applies=lambda dataset, backbone: level_of(dataset) == "node",
    ),
    "random": Method("uniform", _FAST, _random),
    "Occlusion": Method(
        "OcclusionExplainer()", _MEDIUM, _plain(lambda problem: OcclusionExplainer(progress=False)), own=True
    ),
    "IntegratedGradients": Method(
        "CaptumExplainer('IntegratedGradients')",
        _MEDIUM,
        _separately(lambda: CaptumExplainer("IntegratedGradients"), scale=True),
    ),
    "PGExplainer": Method("PGExplainer(epochs=30, lr=0.003), 30 training instances", _MEDIUM, _pg_explainer),
    "GNNExplainer": Method(
        "GNNExplainer(epochs=200), edges and features each by themselves",
        _SLOW,
        _separately(lambda: GNNExplainer(epochs=200)),
    ),
    "ShapleyValueSampling": Method(
        f"CaptumExplainer('ShapleyValueSampling', n_samples={SHAPLEY_SAMPLES}), at most {SHAPLEY_CALLS} calls",
        _SLOW,
        _shapley,
    ),
    "GraphMaskExplainer": Method(
        "GraphMaskExplainer(num_layers)",
        _SLOWEST,
        _plain(
            lambda problem: GraphMaskExplainer(len(message_passing_layers(problem.model)), log=False), always_nodes=True
        ),
    ),
}
"""The explainers by name."""


def settings_of(name: str) -> dict[str, Any]:
    """What an explainer's results depend on, beside the code of the package."""
    method = EXPLAINERS[name]
    return {"settings": method.settings, "own": method.own}
