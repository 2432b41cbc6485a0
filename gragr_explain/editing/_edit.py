"""Correct predictions of a model, one by one or together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from gragr_explain.editing._accuracy import accuracy, counted_nodes
from gragr_explain.editing._descent import descend
from gragr_explain.editing._request import Method, Request, check_request
from gragr_explain.editing._result import Edit
from gragr_explain.editing._state import ModelState, whole_or_nothing
from gragr_explain.editing._subsets import node_subsets
from gragr_explain.errors import EditingError

Nodes = int | Sequence[int] | Tensor


def edit(
    model: nn.Module,
    data: Data,
    index: Nodes,
    target: Nodes,
    *,
    method: Method = "gre+",
    num_subsets: int = 10,
    steps: int = 3,
    max_steps: int = 50,
) -> Edit:
    r"""Change a model so that it predicts given nodes as they should be, and the others as before.

    GRE and GRE+ (Jiang et al., *Gradient Rewiring for Editable Graph Neural Network Training*, NeurIPS 2024) descend
    the targets' cross entropy along a gradient that is rewired so that the loss of other nodes does not rise, to first
    order: of all of them (:func:`gre`), or of each of ``num_subsets`` disjoint subsets of them (:func:`gre_plus`). Four
    things are not as published. The other nodes are not the training nodes alone, but all nodes of the graph: training
    nodes keep their labels, and the rest what the model predicts for them now, which takes no label and is what is not
    to change. Their gradients are taken anew in each step, not once before the first; the subsets follow the classes
    (:func:`node_subsets`); and the length of a step follows from what the targets still lack (see ``steps``), so
    that no learning rate must be chosen and no correction overshoots. The targets are none of the other nodes, since
    their label or prediction may be the mistake; of several targets, those that are right already are a subset more,
    and the loss of the wrong ones is descended.

    The model is changed in place. An edit that does not succeed, or ends with an error, leaves it as it was, bit for
    bit, and so does :meth:`Edit.undo`. Gradients of the user's own are not touched.

    Args:
        model: A model for node classification, to call as ``model(x, edge_index)``, or ``model(x)`` where it passes no
            messages; it may be a :class:`~gragr_explain.GraGR`, or a :class:`StitchedMLP` to change no weight of the
            GNN. Parameters that do not require gradients are not changed.
        data: The graph, with ``train_mask`` and labels ``y``, except for ``"gd"``; with ``test_mask`` the drawdown of
            the test accuracy is measured.
        index: The node or nodes to correct, all in one edit.
        target: The class that each shall have, or one for all.
        method: ``"gre+"``, ``"gre"``, or ``"gd"``, plain gradient descent.
        num_subsets: The number :math:`K` of subsets of ``"gre+"``.
        steps: In how many steps to get there, by the slope of the margin in each. More are taken where they do not
            suffice.
        max_steps: The number of steps after which the edit is given up.

    Returns:
        What was changed. Where every target is right already, a success in no step.

    Raises:
        InvalidTypeError: If the graph, the nodes, the classes or a number is of another type.
        InvalidGraphError: If the graph cannot be used, or has no training nodes or labels.
        InvalidIndexError: If a node is not in the graph, or a class is none of the model's.
        InvalidArgumentError: If the method is unknown, a number is out of range, no node is named, one shall have two
            classes, or there are fewer training nodes than subsets.
        UnsupportedModelError: If the model cannot be called with the graph or returns no scores of the nodes' classes.
        EditingError: If no parameter can change or has an effect on the targets, no step corrects them and keeps the
            loss of all subsets, or a number is not finite.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> from torch_geometric.nn import GCN
        >>> data = Data(x=torch.eye(6), edge_index=torch.tensor([[0, 1, 2, 3, 4, 5], [1, 0, 3, 2, 5, 4]]))
        >>> data.y, data.train_mask = torch.tensor([0, 0, 1, 1, 2, 2]), torch.ones(6, dtype=torch.bool)
        >>> model = GCN(6, 8, num_layers=2, out_channels=3).eval()
        >>> was = int(model(data.x, data.edge_index)[4].argmax())
        >>> done = edit(model, data, index=4, target=(was + 1) % 3, num_subsets=2)
        >>> done.success, int(model(data.x, data.edge_index)[4].argmax()) == (was + 1) % 3
        (True, True)
        >>> done.undo()
        >>> int(model(data.x, data.edge_index)[4].argmax()) == was
        True
    """
    settings = _Settings(method, num_subsets, steps, max_steps)
    with torch.enable_grad(), whole_or_nothing(model) as state:
        request = check_request(model, data, index, target, **vars(settings))
        return _edit(model, data, request, state, settings)


def edit_sequence(
    model: nn.Module,
    data: Data,
    index: Nodes,
    target: Nodes,
    *,
    method: Method = "gre+",
    num_subsets: int = 10,
    steps: int = 3,
    max_steps: int = 50,
) -> list[Edit]:
    """Correct nodes one after another, each on the model that the edits before have left.

    With ``"gre+"`` and ``"gre"``, an edit keeps the nodes that are corrected already, as it keeps the other nodes as
    they were before the first edit, and has no success if one of them turns back; plain gradient descent knows nothing
    of them. Neither labels nor predictions of the nodes are trusted: none of them is in a subset. A node that cannot be
    corrected is an :class:`Edit` without success, and the others are corrected all the same. Any other error, or an
    interruption, undoes all edits.

    Args:
        model: Here and below, as for :func:`edit`.
        data: The graph.
        index: The nodes, in order.
        target: The class that each shall have, or one for all.
        method: ``"gre+"``, ``"gre"`` or ``"gd"``.
        num_subsets: The number of subsets of ``"gre+"``.
        steps: The number of planned steps of each edit.
        max_steps: The number of steps after which one is given up.

    Returns:
        One edit a node; to take back all of them, undo the last first.

    Raises:
        GragrError: As :func:`edit`, before anything is changed.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> from torch_geometric.nn import GCN
        >>> data = Data(x=torch.eye(6), edge_index=torch.tensor([[0, 1, 2, 3, 4, 5], [1, 0, 3, 2, 5, 4]]))
        >>> data.y, data.train_mask = torch.tensor([0, 0, 1, 1, 2, 2]), torch.ones(6, dtype=torch.bool)
        >>> model = GCN(6, 8, num_layers=2, out_channels=3).eval()
        >>> before = model(data.x, data.edge_index).argmax(-1)
        >>> edits = edit_sequence(model, data, [0, 4], (before[[0, 4]] + 1) % 3, num_subsets=2)
        >>> [each.success for each in edits]
        [True, True]
        >>> for each in reversed(edits):
        ...     each.undo()
        >>> torch.equal(model(data.x, data.edge_index).argmax(-1), before)
        True
    """
    settings = _Settings(method, num_subsets, steps, max_steps)
    done: list[Edit] = []
    with whole_or_nothing(model):
        for request in _one_by_one(model, data, index, target, settings, in_sequence=True):
            done.append(_attempt(model, data, replace(request, before=_now(request), kept=_corrected(done)), settings))
    return done


def edit_independently(
    model: nn.Module,
    data: Data,
    index: Nodes,
    target: Nodes,
    *,
    method: Method = "gre+",
    num_subsets: int = 10,
    steps: int = 3,
    max_steps: int = 50,
) -> list[Edit]:
    """See what correcting each of some nodes would do: each edit is made on the model as it is, and taken back.

    Args:
        model: Here and below, as for :func:`edit`. It is left as it was.
        data: The graph; the label of none of the nodes is trusted, if it is a training node.
        index: The nodes.
        target: The class that each shall have, or one for all.
        method: ``"gre+"``, ``"gre"`` or ``"gd"``.
        num_subsets: The number of subsets of ``"gre+"``.
        steps: The number of planned steps of each edit.
        max_steps: The number of steps after which one is given up.

    Returns:
        One edit a node, without success where it cannot be corrected; there is nothing left to undo.

    Raises:
        GragrError: As :func:`edit`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> from torch_geometric.nn import GCN
        >>> data = Data(x=torch.eye(6), edge_index=torch.tensor([[0, 1, 2, 3, 4, 5], [1, 0, 3, 2, 5, 4]]))
        >>> data.y, data.train_mask = torch.tensor([0, 0, 1, 1, 2, 2]), torch.ones(6, dtype=torch.bool)
        >>> model = GCN(6, 8, num_layers=2, out_channels=3).eval()
        >>> before = model(data.x, data.edge_index).argmax(-1)
        >>> edits = edit_independently(model, data, [0, 4], (before[[0, 4]] + 1) % 3, num_subsets=2)
        >>> [each.success for each in edits], torch.equal(model(data.x, data.edge_index).argmax(-1), before)
        ([True, True], True)
    """
    settings = _Settings(method, num_subsets, steps, max_steps)
    done = []
    with whole_or_nothing(model):
        for request in _one_by_one(model, data, index, target, settings, in_sequence=False):
            made = _attempt(model, data, request, settings)
            made.undo()
            done.append(replace(made, _changed=[]))
    return done


@dataclass(frozen=True)
class _Settings:
    method: Method
    num_subsets: int
    steps: int
    max_steps: int


def _one_by_one(
    model: nn.Module, data: Data, index: Nodes, target: Nodes, settings: _Settings, *, in_sequence: bool
) -> list[Request]:
    """A request for each node; in a sequence, none keeps the present prediction of another one's node."""
    whole = check_request(model, data, index, target, **vars(settings))
    if in_sequence:
        whole = replace(whole, others=whole.others[~torch.isin(whole.others, whole.index)])
    pairs = zip(whole.index.split(1), whole.target.split(1), strict=True)
    return [replace(whole, index=node, target=label) for node, label in pairs]


@torch.no_grad()
def _now(request: Request) -> Tensor:
    return request.predict()


def _corrected(done: Sequence[Edit]) -> tuple[Tensor, Tensor] | None:
    """The nodes that edits have corrected, and their classes."""
    successes = [each for each in done if each.success]
    if not successes:
        return None
    return torch.cat([each.index for each in successes]), torch.cat([each.target for each in successes])


def _attempt(model: nn.Module, data: Data, request: Request, settings: _Settings) -> Edit:
    """An edit that has no success where it meets an :class:`EditingError`."""
    with torch.enable_grad(), whole_or_nothing(model) as state:
        try:
            return _edit(model, data, request, state, settings)
        except EditingError as error:
            state.restore()
            return _result(data, request, state, settings, 0, str(error))


def _edit(model: nn.Module, data: Data, request: Request, state: ModelState, settings: _Settings) -> Edit:
    parameters = [each for each in model.parameters() if each.requires_grad and each.is_floating_point()]
    subsets: list[Tensor] = []
    if settings.method != "gd":
        count = settings.num_subsets if settings.method == "gre+" else 1
        others = request.others[~torch.isin(request.others, request.index)]
        subsets = node_subsets(request.labels, others, count)
    steps, success = descend(request, parameters, subsets, min(settings.steps, settings.max_steps), settings.max_steps)
    if success and all(bool(parameter.isfinite().all()) for parameter in parameters):
        state.learned(request.index)
        return _result(data, request, state, settings, steps, "")
    state.restore()
    if success:
        raise EditingError("the edit made weights that are NaN or infinite")
    reason = f"not all targets had their class after {settings.max_steps} steps"
    return _result(data, request, state, settings, steps, reason)


@torch.no_grad()
def _result(data: Data, request: Request, state: ModelState, settings: _Settings, steps: int, reason: str) -> Edit:
    before = request.before
    after = before if reason else request.predict()
    changed = state.changed()
    counted = counted_nodes(data, "test_mask", request.index)
    accuracies = [accuracy(data, each.argmax(-1), counted) for each in (before, after)]
    return Edit(
        index=request.index,
        target=request.target,
        method=settings.method,
        success=not reason,
        reason=reason,
        steps=steps,
        prediction_before=before.argmax(-1),
        prediction_after=after.argmax(-1),
        probs_before=before[request.index].exp(),
        probs_after=after[request.index].exp(),
        accuracy_before=accuracies[0],
        accuracy_after=accuracies[1],
        change=_distance(changed),
        _changed=changed,
        _model=state.model,
    )


def _distance(changed: Sequence[tuple[Tensor, Tensor, Tensor]]) -> float:
    """How far tensors have moved, as a share of their length before."""
    weights = [(before.double(), after.double()) for _, before, after in changed if before.is_floating_point()]
    moved = sum(float((after - before).square().sum()) for before, after in weights)
    length = sum(float(before.square().sum()) for before, _ in weights)
    return math.sqrt(moved / length) if length else 0.0
