"""Exporting any number of nodes from one process."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.explain import Explainer
from tqdm.auto import tqdm

from gragr_explain.errors import OutputError
from gragr_explain.streaming._export import Export
from gragr_explain.streaming._manifest import Manifest
from gragr_explain.streaming._run import Run

SHARD_SIZE = 4096


def stream_export(
    explainer: Explainer,
    data: Data,
    folder: str | os.PathLike[str],
    index: Tensor | Sequence[int] | None = None,
    *,
    shard_size: int = SHARD_SIZE,
    top_edges: int = 10,
    top_features: int = 10,
    memory_mb: int = 512,
    overwrite: bool = False,
    progress: bool = True,
) -> Export:
    """Explain any number of nodes, and write the explanations as shards of a Parquet table while they are made.

    Memory does not grow with the number of explained nodes, beyond what the graph itself takes. Each shard is written
    beside its place and put there once it is whole and on the disk. Killed at any moment and called again, the export
    goes on with the shards that are missing; a complete one is left as it is::

        folder/manifest.json                     what the export is made of, written first
        folder/explanations/part-00000.parquet   the first shard_size nodes, and so on

    ``pandas.read_parquet(folder / "explanations")`` reads what is there; the columns are those of
    :func:`gragr_explain.report.to_frame`. The nodes of a shard are explained in the same batches whatever was finished
    before, so that the same machine writes the same bytes.

    Args:
        explainer: An explainer for nodes whose algorithm is a :class:`~gragr_explain.GradientContextExplainer`.
        data: The graph.
        folder: Where to write; created where it is missing.
        index: The nodes to explain, each once, in the order of the table; all if ``None``.
        shard_size: How many nodes a shard holds, which is also what may be lost when the process is killed.
        top_edges: How many of the edges that support a prediction are kept.
        top_features: How many of the features that support a prediction are kept.
        memory_mb: How much memory, about, a batch of explanations may take, in MiB.
        overwrite: Whether to remove the shards of an earlier export, its ``explanations.jsonl`` and its
            ``report.html``, and begin anew.
        progress: Whether to show a progress bar, with the time that is left.

    Returns:
        The complete export.

    Raises:
        InvalidIndexError: If a node is not in the graph, or named twice; known before any work, as are all mistakes
            in the arguments (see :func:`gragr_explain.explain.explain_many`).
        UnsupportedModelError: If the model's outputs are several numbers each, for which the table has no column; known
            before any work, too.
        OutputError: If the folder cannot be written to, a disk is full, or another process is exporting to the same
            folder. Shards that are finished stay.
        ExportError: If the folder holds an export of another model, graph, list of nodes, settings or version, a
            damaged shard, or other files in the shards' place. Nothing is overwritten.

    Example:
        >>> import tempfile, torch
        >>> from torch_geometric.nn import GCN
        >>> from gragr_explain import GradientContextExplainer
        >>> data = Data(x=torch.rand(4, 3), edge_index=torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]]))
        >>> explainer = Explainer(
        ...     model=GCN(3, 8, num_layers=2, out_channels=2),
        ...     algorithm=GradientContextExplainer(),
        ...     explanation_type="model",
        ...     node_mask_type="attributes",
        ...     edge_mask_type="object",
        ...     model_config=dict(mode="multiclass_classification", task_level="node", return_type="raw"),
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     export = stream_export(explainer, data, folder, shard_size=3, progress=False)
        ...     export.complete, [shard.name for shard in export.shards()]
        (True, ['part-00000.parquet', 'part-00001.parquet'])
    """
    options = {"top_edges": top_edges, "top_features": top_features, "memory_mb": memory_mb}
    run = Run.plan(explainer, data, folder, index, shard_size, **options)
    with run.begun(overwrite) as todo:
        for _ in watched(run.write(todo), run.manifest, todo, progress):
            pass
    return Export(run.folder, run.manifest)


def watched(written: Iterable[int], manifest: Manifest, todo: Sequence[int], progress: bool) -> Iterator[int]:
    """Pass on the shards as they are written, behind a progress bar; what cannot be written says what stays.

    Args:
        written: The shards, each once it is written.
        manifest: What the export is going to be.
        todo: Which shards are to be written.
        progress: Whether to show a progress bar.
    """
    left = sum(len(manifest.rows(shard)) for shard in todo)
    finished = manifest.num_shards - len(todo)
    bar = tqdm(
        total=manifest.num_nodes,
        initial=manifest.num_nodes - left,
        desc="explaining",
        unit="node",
        smoothing=0.05,
        disable=not progress,
    )
    with bar:
        try:
            for shard in written:
                finished += 1
                bar.update(len(manifest.rows(shard)))
                yield shard
        except OutputError as error:
            raise OutputError(
                f"{error}; {finished} of {manifest.num_shards} shards are finished and stay, and the same export goes "
                "on from there"
            ) from error
