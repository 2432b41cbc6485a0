"""Graph condensation: a small synthetic graph on which models learn what they would on a large one."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from tqdm import tqdm

from gragr_explain.arguments import check_number, check_type
from gragr_explain.condensation._condensation import STRUCTURE_EPOCHS, Condensation
from gragr_explain.condensation._damping import smooth_features
from gragr_explain.condensation._modalities import Modality, modality_features
from gragr_explain.condensation._selection import check_classes, class_sizes, draw_nodes
from gragr_explain.condensation._settings import CondensationSettings
from gragr_explain.condensation._target import make_target
from gragr_explain.errors import CheckpointError, InvalidArgumentError, InvalidGraphError, InvalidTypeError, warn_caller
from gragr_explain.files import check_writable
from gragr_explain.inputs import check_undirected
from gragr_explain.pairs import read_pair, write_single

_STILL = 1e-4  # below it, features have practically not moved
_SWOLLEN = 3.0  # above it, features are more what was learned than what they began as
_CHECKPOINT = "condensation", "gragr-explain condensation", 1


@torch.inference_mode(False)
@torch.enable_grad()
def condense(
    data: Data,
    ratio: float,
    *,
    modalities: Mapping[str, Modality] | None = None,
    decouple: bool = True,
    damp: bool = True,
    structure: bool = False,
    epochs: int = 40,
    seed: int = 0,
    settings: CondensationSettings | None = None,
    folder: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Data:
    r"""Condense a graph into a small one by structurally regularised gradient matching.

    The condensed features :math:`X'` begin as those of training nodes. In each epoch a linear model (SGC) is drawn
    and trained on the condensed graph; on its way, :math:`X'` follows the field :math:`F = \nabla_{X'} D` of the
    distance between the gradients that the model has on the condensed and on the real graph, class by class (GCond,
    Jin et al., 2022, arXiv 2110.07580). SR-GM (Shen et al., arXiv 2511.20222) changes two things:

    - *Decoupling*: each modality's part of the gradients has a distance and a field of its own. Where, at a condensed
      node, one of them conflicts with the mean of the others (:math:`\cos < 0`), it loses its part along that mean
      (:func:`gragr_explain.training.project_tasks`). With one modality there is nothing to decouple.
    - *Damping*: gradient fields are replaced by the nearest fields of less Dirichlet energy,
      :math:`(I + \lambda L)^{-1} G`: the field at the real nodes' logits along the graph, so that a gradient
      speaks for the neighbourhood of its node; and :math:`F` among the condensed nodes of a class, so that what moves
      them apart by chance does not add up. The features are damped alike where they begin.

    The paper's text beyond its abstract was not at hand; how its two ideas enter here is this package's reading.
    With both switched off, this is GCond's matching; with ``structure=False`` of its variant without edges, GCond-X.

    Args:
        data: The graph, with ``x``, ``edge_index``, ``y`` and ``train_mask``, and ``edge_weight`` where it has one.
            Labels of other nodes than training nodes only tell which classes there are; they may be negative where
            unknown.
            Directed graphs are refused: what is condensed stands for neighbourhoods, and damping has no directions.
        ratio: The number of condensed nodes as a share of the graph's nodes, in ``(0, 1)``. Classes share them as they
            share the training nodes.
        modalities: The modalities by name, each a slice of the features, column numbers, or an encoder; see
            :func:`modality_features`. By default, all features are one.
        decouple: Whether to decouple the modalities' gradients.
        damp: Whether to damp gradient fields.
        structure: Whether to learn edges and their weights as a function of the features, as GCond does: every pair of
            nodes has an edge, whose ``edge_weight`` is in ``(0, 1)``. A layer that takes no weights, such as SAGEConv
            or GATConv, learns little of all of them: hand it those from 0.5 on,
            ``data.edge_index[:, data.edge_weight >= 0.5]``. Without, a condensed node is linked to itself alone, and
            stands for a node with its neighbourhood. Of every 50 epochs, the first ten change the edges alone, the
            others the features.
        epochs: The number of models to match, each anew.
        seed: What the random choices follow from: on one machine, the same seed gives the same graph.
        settings: The other numbers.
        folder: Where to keep the condensation after every epoch, as ``condensation.safetensors``. If it is there
            already, it is gone on with, and ends as if it had never been interrupted, at whatever moment that was; with
            more epochs, as if it had been asked for them at once.
        progress: Whether to show a progress bar.

    Returns:
        The condensed graph: ``x`` of shape ``[num_condensed, channels]``, with the columns of
        :func:`modality_features`, ``y``, ``edge_index``, ``edge_weight`` where edges were learned, a ``train_mask`` of
        all nodes, and ``record``, a dictionary of how it was made: settings, seed, modalities, the real nodes that
        the condensed ones began as, and for each epoch the distance, the conflict between modalities, and the
        Dirichlet energy of the field before and after damping.

    Raises:
        InvalidTypeError: If an argument is of the wrong type.
        InvalidGraphError: If the graph has no nodes, edges, labels or training nodes, features that are not finite or
            all zero, a class without a training node, or directions, in its edges or in their weights.
        InvalidArgumentError: If a number is out of range, the ratio leaves a class without a node, or less than two
            nodes to learn a structure of, or modalities overlap or leave features out.
        CheckpointError: If ``folder`` holds another condensation, or one of more epochs, or a damaged one.
        OutputError: If ``folder`` cannot be written.
        TrainingError: If the condensed graph is no longer finite.

    Warns:
        UserWarning: If the features hardly moved, as those do that are large beside ``settings.lr_feat``.

    Example:
        >>> from gragr_explain.datasets import load_dataset
        >>> data = load_dataset("digits").data
        >>> halves = {"upper": slice(0, 32), "lower": slice(32, 64)}
        >>> condensed = condense(data, 0.02, modalities=halves, epochs=1, progress=False)
        >>> condensed.x.shape, condensed.y.bincount().tolist()
        (torch.Size([36, 64]), [3, 4, 3, 4, 4, 4, 4, 3, 3, 4])
    """
    settings = CondensationSettings() if settings is None else settings
    _check_arguments(decouple, damp, structure, epochs, seed, settings)
    epochs, seed = int(epochs), int(seed)
    x, columns = modality_features(data, modalities)
    if not bool(x.any()):
        raise InvalidGraphError("expected features to condense, got none but zeros")
    check_classes(data)
    check_undirected(data.edge_index, data.x.size(0), data.get("edge_weight"))
    labels = data.y[data.train_mask].cpu()
    sizes = class_sizes(labels, data.x.size(0), ratio)
    if structure and int(sizes.sum()) < 2:
        raise InvalidArgumentError(f"expected a ratio that leaves two nodes to learn edges between, got {ratio}")
    folder = None if folder is None else check_writable(folder)

    generator = torch.Generator().manual_seed(seed)
    begins = smooth_features(data, x, settings.damping) if damp else x
    begun_as = data.train_mask.cpu().nonzero().view(-1)[draw_nodes(labels, sizes, generator)]
    begun = begins[begun_as.to(x.device)]
    target = make_target(data, x, settings.hops, settings.batch_size, settings.damping if damp else 0.0)
    condensation = Condensation(
        target,
        begun,
        sizes,
        list(columns.values()),
        settings,
        decouple=decouple,
        damp=damp,
        structure=structure,
        generator=generator,
    )
    made_with = {
        "ratio": float(ratio),
        "seed": seed,
        "decouple": decouple,
        "damp": damp,
        "structure": structure,
        "settings": asdict(settings),
        "modalities": {name: part.tolist() for name, part in columns.items()},
        "source": _fingerprint(data, x),
    }
    if folder is not None:
        _resume(condensation, folder, made_with, epochs)
    with tqdm(range(epochs), initial=condensation.epoch, desc="condensing", unit="epoch", disable=not progress) as bar:
        while condensation.epoch < epochs:
            condensation.run_epoch()
            if folder is not None:
                content = {"made_with": made_with, "epoch": condensation.epoch, "curves": condensation.curves}
                write_single(folder, *_CHECKPOINT, condensation.state(), content)
            bar.set_postfix(distance=f"{condensation.curves['loss'][-1]:.3f}", refresh=False)
            bar.update()
    if settings.lr_feat and (not structure or epochs > STRUCTURE_EPOCHS):
        _warn_of_lengths(condensation.x, begun)
    return _finished(condensation, {**made_with, "epochs": epochs, "begun_as": begun_as.tolist()})


def _check_arguments(
    decouple: bool, damp: bool, structure: bool, epochs: int, seed: int, settings: CondensationSettings
) -> None:
    for name, switch in (("decouple", decouple), ("damp", damp), ("structure", structure)):
        if not isinstance(switch, bool):
            raise InvalidTypeError(f"expected {name} as True or False, got {switch!r}")
    check_number("epochs", epochs, whole=True, least=1)
    check_number("seed", seed, whole=True, least=0)
    check_type("settings", settings, CondensationSettings)


def _warn_of_lengths(x: Tensor, begun: Tensor) -> None:
    """Warn if features are practically those that they began as, or so long that nothing of these is left."""
    length = begun.norm().clamp(min=torch.finfo(x.dtype).tiny)
    moved, grown = float((x.detach() - begun).norm() / length), float(x.detach().norm() / length)
    said = ""
    if moved < _STILL:
        said = (
            f"the condensed features moved by {moved:.1g} of their length from the nodes they began as: they are large "
            "beside settings.lr_feat; scale them down, or raise it"
        )
    elif grown > _SWOLLEN:
        said = (
            f"the condensed features are {grown:.2g} times as long as the nodes they began as: they are small beside "
            "settings.lr_feat; scale them up, or lower it"
        )
    if said:
        warn_caller(said)


def _fingerprint(data: Data, x: Tensor) -> dict[str, Any]:
    """Which graph is condensed."""
    digest = hashlib.sha256()
    for value in (x, data.edge_index, data.get("edge_weight"), data.train_mask, data.y[data.train_mask]):
        if isinstance(value, Tensor):
            digest.update(f"{value.dtype}{list(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return {
        "num_nodes": data.x.size(0),
        "num_edges": data.edge_index.size(1),
        "num_features": x.size(1),
        "num_training": int(data.train_mask.sum()),
        "sha256": digest.hexdigest(),
    }


def _resume(condensation: Condensation, folder: Path, made_with: dict[str, Any], epochs: int) -> None:
    """Go on with the condensation in a folder, if there is one.

    Raises:
        CheckpointError: If it is another one, one of more epochs, or damaged.
    """
    if not (folder / f"{_CHECKPOINT[0]}.safetensors").is_file():
        return
    tensors, content = read_pair(folder, *_CHECKPOINT, CheckpointError)
    known = content.get("made_with")
    if known != json.loads(json.dumps(made_with)):
        names = [name for name, value in made_with.items() if not isinstance(known, dict) or known.get(name) != value]
        raise CheckpointError(
            f"expected the same condensation in '{folder}', got one with other {', '.join(names)}; use another folder"
        )
    try:
        if int(content["epoch"]) > epochs:
            raise CheckpointError(
                f"expected a condensation of at most {epochs} epochs in '{folder}', got one of {content['epoch']}"
            )
        condensation.restore(tensors, int(content["epoch"]), content["curves"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"the condensation in '{folder}' is damaged: {error!r}") from error


def _finished(condensation: Condensation, record: dict[str, Any]) -> Data:
    """The condensed graph as others can use it."""
    x, adjacency = condensation.x.detach().clone(), condensation.adjacency()
    curves = {name: list(values) for name, values in condensation.curves.items()}
    condensed = Data(x=x, y=condensation.y.clone())
    if adjacency is None:
        condensed.edge_index = torch.arange(x.size(0), device=x.device).repeat(2, 1)
    else:
        condensed.edge_index = adjacency.nonzero().t().contiguous()
        condensed.edge_weight = adjacency[condensed.edge_index[0], condensed.edge_index[1]]
    condensed.train_mask = torch.ones_like(condensed.y, dtype=torch.bool)
    condensed.record = {**record, "curves": curves}
    return condensed
