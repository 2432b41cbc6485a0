"""``GradientContextExplainer``: explanations from how a model learned."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.explain import ExplainerAlgorithm, Explanation
from torch_geometric.explain.config import ExplanationType, ModelMode, ModelTaskLevel
from tqdm.auto import tqdm

from gragr_explain.arguments import check_names, check_number, check_type
from gragr_explain.context import Influences, TrainedOn
from gragr_explain.errors import InvalidArgumentError, InvalidTypeError
from gragr_explain.explain._change import changes
from gragr_explain.explain._context import ModelContext, model_context
from gragr_explain.explain._copies import messages_of_a_copy, with_batch
from gragr_explain.explain._explanation import GradientExplanation
from gragr_explain.explain._facts import change_fact, output_facts
from gragr_explain.explain._found import FoundInGraph, FoundInParts
from gragr_explain.explain._gradients import gradients_at_ones
from gragr_explain.explain._masks import feature_evidence, support_mask
from gragr_explain.explain._memo import Memo
from gragr_explain.explain._names import Names
from gragr_explain.explain._node_parts import Inputs
from gragr_explain.explain._objective import check_known, support, targets_of
from gragr_explain.explain._strongest import strongest_edges, strongest_features
from gragr_explain.explain._trials import UnionTrials
from gragr_explain.explain._union import Union, graph_alone
from gragr_explain.explain._usage import usage, use_mask
from gragr_explain.explain.search import Where, search
from gragr_explain.history import GradientHistory, find_history, message_edges, message_flow
from gragr_explain.inputs import check_graph, check_index, check_same_graph, forward_arguments
from gragr_explain.labels import classes_of, values_of
from gragr_explain.messages import mask_dtype
from gragr_explain.modes import evaluating
from gragr_explain.rationale import ChangeFact, Facts, TemplateWriter, Writer, distinct_names, judge

EVIDENCE = ("supports", "uses")
_MEMORY = 512 * 2**20
_OF_A_PASS = 64 * 2**20  # on a CPU: larger tensors come from the system, page by page, each time anew


class GradientContextExplainer(ExplainerAlgorithm):
    r"""Explains a model's outputs by the gradients it learned with.

    For use with :class:`torch_geometric.explain.Explainer`. One backward pass gives the signed evidence of every edge
    and feature: the gradient of the output's log-likelihood with respect to a factor on the edge's messages, and
    gradient times input for features. The gradient attention of the training (GraGR paper, eq. 5) weighs edges whose
    ends learned together. What speaks for the output is scaled to a mask of features in ``[0, 1]``. The edge mask
    answers one of two questions, which no one mask answers best (``reports/fidelity.md``):

    - *What supports this output?* (``evidence="supports"``) A short search that the gradients guide ranks the edges
      without which the output is lost, and which alone suffice for it. What speaks against the output is zero.
    - *What does the model use?* (``evidence="uses"``) How often walks against the messages, led by the magnitude of the
      gradients, pass both ends of an edge: a structure that the model looks at, whether it speaks for the output or
      against it. What ``change`` and ``rationale`` call support is the part of it that speaks for the output.

    Where several outputs are explained at once, both are taken from the gradients at the whole graph. What lies
    outside the computation graph is zero.

    Beside the masks, the :class:`~torch_geometric.explain.Explanation` has

    - ``psi``, the six context features of every node (eqs. 15 to 26), ``[num_nodes, 6]``, columns as in
      :data:`~gragr_explain.context.FEATURES`; ``psi_valid``, which of them mean something; and ``psi_rank``, the share
      of the graph's nodes that have less, of which those that have as much count half, NaN where they mean nothing;
    - ``psi_source``: ``"self"`` or ``"training"``, the recorded field that psi is from, or ``"post hoc"``, the
      gradients of the model's own outputs, where nothing was recorded;
    - ``embedding``, the Reasoner's embeddings (eq. 16), ``[num_nodes, embedding_channels]``;
    - ``edge_evidence`` and ``node_evidence``, the signed evidence from which the masks are made;
    - ``change``, what is predicted without the edges that support the output most, a
      :class:`~gragr_explain.rationale.ChangeFact`: the fewest of the 1, 2, 3, 5 or 10 strongest edges, self-loops left
      aside, without which it is another class or, where it never is, the most. The model runs on the graph without
      them, so that degrees and attention are those of what is left; of one that takes its own edges alone, such as
      :class:`~gragr_explain.GraGR` with ``attention`` or layers that cache, their messages are gone. ``None`` for
      regression, for several outputs, and where no edge supports the output;
    - ``influences``, which training nodes are behind the prediction (:func:`gragr_explain.context.influences`), where
      ``train_data`` says what the model was trained on; else ``None``, and no time is spent on it;
    - ``reliability``, how far the prediction can be relied on, a :class:`~gragr_explain.rationale.Reliability`: where
      the history has labels of validation nodes, by about how many of those most like it in confidence and conflict the
      model is right (``reports/reliability.md``); a list for several outputs;
    - ``rationale``, the text of the explanation (eq. 17), and ``rationale_replaced``, whether it stands in for a text
      of a language model that claimed what the explanation does not support; lists for several outputs.

    The same inputs give the same explanation: nothing is drawn at random.

    Args:
        history: What was recorded while the model was trained. By default it is found on the model;
            ``False`` explains without it.
        evidence: Whether the edge mask shows what ``"supports"`` the output or what the model ``"uses"``.
        search_edges: How many supporting edges to search for; 0 takes the gradients as they are, several times faster.
        refine: Whether the ranking that the search finds edge by edge is refined: compared with one that is cut down
            from all edges, and improved by moves and exchanges of single edges, in up to 1,024 edges; in a time that
            grows with the square of ``search_edges``. By default that of graphs is. Those of nodes and links are,
            which takes many times longer, only where gradients misled the search or led to little, in up to 64 edges:
            those of a node's computation graph, or of the whole graph of links. That is seldom with GCN and GAT on
            citation graphs, sometimes with GIN, mostly where motifs were learned. By default nothing is refined for
            models of which no copies can be explained in one pass.
        ranked: Whether the first few of the edges found are to explain well, too, as one ranking does for all numbers
            of edges. ``False`` is for where the number is known: a search for the set of at most ``search_edges`` edges
            that explains best together, which goes on from the ranking in up to 1,024 edges, of nodes, links and graphs
            alike (``reports/known_size.md``). It takes two to six times as long as a ranking, and very long for models
            of which no copies can be explained in one pass.
        history_weight: How much the gradient attention of the training weighs in the evidence of edges, as an
            exponent: 0 is not at all, 1 is in full. The default costs neither fidelity nor stability, and more gains
            none (``reports/history_weight.md``).
        train_data: The graph with the labels ``y`` and the ``train_mask`` that the model was trained with, for
            ``influences``. The first explanation of a model then takes longer, since all others share what it finds.
        scope: Whether psi's confidence feature is taken per node (``"ego"``) or for the whole ``"graph"`` (eq. 21).
        writer: Who writes rationales; by default a template. See :class:`~gragr_explain.rationale.LLMWriter`.
        class_names: Names of the classes, for rationales.
        feature_names: Names of the features, for rationales.
        node_names: Names of the nodes, for rationales. A name that several nodes have gets the node's number.

    Raises:
        InvalidTypeError: If ``history`` is no history, ``refine`` or ``ranked`` no bool, ``train_data`` no graph, names
            are no sequence, or ``writer`` cannot be called.
        InvalidArgumentError: If two classes have one name, ``history_weight`` is outside ``[0, 1]``, ``search_edges``
            below 0, ``evidence`` or ``scope`` unknown, or nothing is to be refined and not ranked either.

    Example:
        >>> from torch_geometric.explain import Explainer
        >>> from torch_geometric.nn import GCN
        >>> x, edge_index = torch.rand(4, 3), torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]])
        >>> explainer = Explainer(
        ...     model=GCN(3, 8, num_layers=2, out_channels=2),
        ...     algorithm=GradientContextExplainer(),
        ...     explanation_type="model",
        ...     node_mask_type="attributes",
        ...     edge_mask_type="object",
        ...     model_config=dict(mode="multiclass_classification", task_level="node", return_type="raw"),
        ... )
        >>> explanation = explainer(x, edge_index, index=0)
        >>> explanation.edge_mask.shape, explanation.psi.shape, explanation.psi_source
        (torch.Size([6]), torch.Size([4, 6]), 'post hoc')
    """

    def __init__(
        self,
        history: GradientHistory | bool | None = None,
        *,
        evidence: str = "supports",
        search_edges: int = 10,
        refine: bool | None = None,
        ranked: bool = True,
        history_weight: float = 0.1,
        train_data: Data | None = None,
        scope: str = "ego",
        writer: Writer | None = None,
        class_names: Sequence[str] | None = None,
        feature_names: Sequence[str] | None = None,
        node_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        if not (history is None or history is False or isinstance(history, GradientHistory)):
            raise InvalidTypeError(f"expected a GradientHistory, False or None, got {type(history).__name__}")
        if evidence not in EVIDENCE:
            raise InvalidArgumentError(f"expected evidence 'supports' or 'uses', got {evidence!r}")
        check_number("search_edges", search_edges, whole=True, least=0)
        check_type("refine", refine, bool, optional=True)
        check_type("ranked", ranked, bool)
        if refine is False and not ranked:
            raise InvalidArgumentError("expected refine to be True or None for a set that is not ranked, got False")
        check_number("history_weight", history_weight, within="[0, 1]")
        check_type("train_data", train_data, Data, optional=True)
        if writer is not None and not callable(writer):
            raise InvalidTypeError(f"expected a writer of rationales to be callable, got {type(writer).__name__}")
        if scope not in ("ego", "graph"):
            raise InvalidArgumentError(f"expected scope 'ego' or 'graph', got {scope!r}")
        for name, names in (("class_names", class_names), ("feature_names", feature_names), ("node_names", node_names)):
            if names is not None:
                check_names(name, names)
        self.history = history
        self.evidence = evidence
        self.search_edges = search_edges
        self.refine = refine
        self.ranked = ranked
        self.history_weight = history_weight
        self.train_data = train_data
        self.scope = scope
        self.writer = TemplateWriter() if writer is None else writer
        if class_names is not None and len(set(map(str, class_names))) < len(class_names):
            raise InvalidArgumentError(f"expected class_names that differ, got {list(class_names)}")
        self.class_names = class_names
        self.feature_names = feature_names
        self.node_names = None if node_names is None else distinct_names(node_names)
        self._memo: Memo[ModelContext] = Memo()
        self._trained_on: Memo[TrainedOn] = Memo()

    @property
    def names(self) -> Names:
        """What rationales call classes, features and nodes."""
        return Names(self.class_names, self.feature_names, self.node_names)

    @property
    def explains_features(self) -> bool:
        """Whether a mask of features is asked for, and features are spoken of."""
        return self.explainer_config.node_mask_type is not None

    def supports(self) -> bool:
        """Every explanation type, mask type, mode, task level and return type of PyG is supported."""
        return True

    @torch.no_grad()
    def forward(
        self,
        model: nn.Module,
        x: Tensor,
        edge_index: Tensor,
        *,
        target: Tensor,
        index: int | Tensor | None = None,
        **kwargs: Any,
    ) -> Explanation:
        """Explain outputs of a model; called by :class:`torch_geometric.explain.Explainer`.

        Args:
            model: The model.
            x: Node features of shape ``[num_nodes, num_features]``.
            edge_index: Edges of shape ``[2, num_edges]``.
            target: The targets of all of the model's outputs.
            index: Which outputs to explain; all of them if ``None``.
            **kwargs: What else the model takes.

        Raises:
            InvalidTypeError: If an input is of the wrong type, or a graph is heterogeneous.
            InvalidGraphError: If the graph cannot be used.
            InvalidArgumentError: If there is not a name for each class, feature or node, where they have names.
            InvalidIndexError: If the index is out of range.
            UnsupportedModelError: If the model has no message-passing layers, or its edges cannot be masked.
            HistoryMismatchError: If the history was recorded on another graph.
            GragrError: If ``train_data`` is given and is another graph, or
                :func:`~gragr_explain.context.influences` raises one.
        """
        with evaluating(model):
            shared = self.context(model, x, edge_index, target=target, **kwargs)
            chosen = check_index(index, shared.output.size(0), x.device)
            wanted = torch.arange(shared.output.size(0), device=x.device) if chosen is None else chosen
            check_known(target, wanted, shared.output.size(0), self.model_config)
            if chosen is not None and chosen.numel() == 1 and shared.parts is not None:
                inputs = Inputs(x, edge_index, kwargs)
                found = self.explain_nodes(model, inputs, chosen, target, shared).whole(inputs)
            else:
                found = self._explain_whole(model, x, edge_index, target, wanted, shared, kwargs)

        explanation = GradientExplanation(edge_evidence=found.edges)
        explanation._names = self.names
        explanation._flow = message_flow(model)
        if self.explainer_config.edge_mask_type is not None:
            explanation.edge_mask = found.edge_mask
        if self.explains_features:
            explanation.node_evidence = feature_evidence(found.features, self.explainer_config.node_mask_type)
            explanation.node_mask = support_mask(explanation.node_evidence)
        explanation.psi, explanation.psi_valid = shared.gradients.psi, shared.gradients.valid
        explanation.psi_rank = shared.gradients.rank
        explanation.psi_source = shared.gradients.source
        if shared.parts is not None:
            explanation._below = shared.gradients.shares(wanted)[0]
        explanation.embedding = shared.embedding
        change = change_fact(found.changes[0], self.names) if len(found.changes) == 1 else None
        explanation["change"] = change
        if self.train_data is not None:
            check_same_graph(self.train_data, x, edge_index)
            explanation["influences"] = self._influences(model, self.train_data, target, chosen)
        alone = partial(self._evidence, model, Inputs(x, edge_index, kwargs), target=target, shared=shared)
        facts = self._facts(chosen, target, shared, found, change, kwargs.get("batch"), alone)
        reliability = [judge(each) for each in facts]
        explanation["reliability"] = reliability[0] if len(reliability) == 1 else reliability
        written = self.writer(facts)
        texts, replaced = [each.text for each in written], [each.replaced for each in written]
        explanation.rationale = texts[0] if len(written) == 1 else texts
        explanation.rationale_replaced = replaced[0] if len(written) == 1 else replaced
        return explanation

    def context(
        self, model: nn.Module, x: Tensor, edge_index: Tensor, *, target: Tensor, **kwargs: Any
    ) -> ModelContext:
        """What the explanations of all of a model's outputs share; kept while model and graph stay the same.

        Takes and raises what :meth:`forward` does.
        """
        if isinstance(x, dict) or isinstance(edge_index, dict):
            raise InvalidTypeError("expected a homogeneous graph, got dictionaries of a heterogeneous one")
        check_graph(x, edge_index)
        if self.explains_features and not x.is_floating_point():
            raise InvalidTypeError(f"a node mask needs features of floating-point numbers, got {x.dtype}")
        if self.feature_names is not None and len(self.feature_names) < x[0].numel():
            raise InvalidArgumentError(f"expected {x[0].numel()} feature_names, got {len(self.feature_names)}")
        if self.node_names is not None:
            check_names("node_names", self.node_names, x.size(0))
        history = self.history_of(model)
        explanation_type = self.explainer_config.explanation_type
        sources = [model, x, edge_index, history, self.scope, self.model_config, explanation_type]
        sources += [None if history is None else history.validation, *kwargs, *kwargs.values()]
        if explanation_type == ExplanationType.phenomenon:
            sources.append(target)
        shared = self._memo.get(
            sources,
            lambda: model_context(
                model,
                x,
                edge_index,
                target=target,
                history=history,
                config=self.model_config,
                explanation_type=explanation_type,
                scope=self.scope,
                **kwargs,
            ),
        )
        self.check_class_names(shared.output)
        return shared

    def history_of(self, model: nn.Module) -> GradientHistory | None:
        """The history that a model is explained from: the one given, or else the model's own; ``None`` for none."""
        return find_history(model) if self.history is None else self.history or None

    def check_class_names(self, output: Tensor) -> None:
        """Check whether each class of a model's output, ``[num_outputs, *]``, has a name, where classes have names.

        A model of one output has two classes.

        Raises:
            InvalidArgumentError: If there are fewer.
        """
        mode, count = self.model_config.mode, 0
        if mode == ModelMode.binary_classification:
            count = 2
        elif mode == ModelMode.multiclass_classification and output.dim() == 2:
            count = output.size(1)
        if self.class_names is not None and len(self.class_names) < count:
            raise InvalidArgumentError(f"expected {count} class_names, got {len(self.class_names)}")

    def _influences(self, model: nn.Module, data: Data, target: Tensor, chosen: Tensor | None) -> Influences:
        """The training nodes behind outputs."""
        arguments = forward_arguments(model, data)
        sources = [model, find_history(model), *(data.get(name) for name in ("x", "edge_index", "y", "train_mask"))]
        sources += [*arguments, *arguments.values()]
        trained_on = self._trained_on.get(sources, lambda: TrainedOn(model, data))
        return trained_on.influences(chosen, target.reshape(-1) if chosen is None else target.reshape(-1)[chosen])

    def explain_nodes(
        self,
        model: nn.Module,
        inputs: Inputs,
        nodes: Tensor,
        target: Tensor,
        shared: ModelContext,
        memory: int = _MEMORY,
    ) -> FoundInParts:
        """The evidence for the outputs of some nodes, each in its computation graph.

        Args:
            model: The model, in evaluation mode.
            inputs: What it is called with.
            nodes: The nodes, ``[num_nodes]``. As many of the first are explained as fit into the memory.
            target: The targets of all of the model's outputs.
            shared: The model on its graph.
            memory: Bytes that may be used, about.
        """
        assert shared.parts is not None
        part, edges, features = shared.parts.gradients(
            model,
            inputs,
            nodes,
            memory,
            lambda output: self._support(output, target[nodes[: output.size(0)]]).sum(),
        )
        explained = target[part.ego.node[part.ego.centre]]
        factor = self._factor(shared, part.ego.edge)
        edges = edges if factor is None else edges * factor
        room = min(memory // 2, _OF_A_PASS) if inputs.x.device.type == "cpu" else memory // 2
        at_once = None if part.is_whole else shared.parts.footprint.masks_within(room, part.union)
        trials = self.trials(model, part.union, explained, at_once)
        mask = self.edge_mask(trials, edges, factor)
        support = self.supporting(mask, edges)
        between = inputs.edge_index[:, part.ego.edge]
        changed = changes(trials, support, between, shared.prediction[part.ego.node[part.ego.centre]])
        return FoundInParts(edges, mask, support, changed, part, features)

    def trials(self, model: nn.Module, union: Union, target: Tensor, at_once: int | None) -> UnionTrials:
        """Several outputs, each with a part of the graph of its own, under masks of their edges.

        Args:
            model: The model, in evaluation mode.
            union: The graph.
            target: The target of each output, ``[num_parts, *]``.
            at_once: How many copies of the graph a pass may take; ``None`` where the model does not take copies.
        """
        explanation_type, copies = self.explainer_config.explanation_type, at_once is not None
        return UnionTrials(model, union, target, self.model_config, explanation_type, at_once or 1, copies)

    def edge_mask(self, trials: UnionTrials, evidence: Tensor, factor: Tensor | None) -> Tensor:
        """The mask of the edges of several outputs.

        Args:
            trials: The outputs.
            evidence: Signed evidence of their edges, ``[num_edges]``.
            factor: What gradients of edges are multiplied with, ``[num_edges]``.
        """
        if evidence.numel() == 0 or (self.evidence == "supports" and self.search_edges == 0):
            return support_mask(evidence, trials.edge_part)
        if self.evidence == "uses":
            magnitude = usage(trials) if factor is None else usage(trials) * factor
            return use_mask(magnitude, message_edges(trials.model, trials.union.edge_index), trials.edge_part)
        classes = self.model_config.mode != ModelMode.regression
        where, length = self._refined(trials), self.search_edges
        return search(trials, factor, classes=classes, length=length, where=where, ranked=self.ranked)

    def _refined(self, trials: UnionTrials) -> Where:
        """Which rankings are refined: by default none where a model takes no copies, which would take long."""
        if self.refine or not self.ranked:
            return Where.EVERYWHERE
        if self.refine is False:
            return Where.NOWHERE
        if not trials.copies:
            return Where.NOWHERE
        return Where.EVERYWHERE if self.model_config.task_level == ModelTaskLevel.graph else Where.FAILED

    def supporting(self, mask: Tensor, evidence: Tensor) -> Tensor:
        """What of a mask speaks for the outputs, and may be said to: all of it, unless it shows what is used.

        Args:
            mask: From :meth:`edge_mask`, ``[num_edges]``.
            evidence: Signed evidence of the edges, ``[num_edges]``.
        """
        return mask if self.evidence == "supports" else torch.where(evidence > 0, mask, 0)

    def _explain_whole(
        self,
        model: nn.Module,
        x: Tensor,
        edge_index: Tensor,
        target: Tensor,
        wanted: Tensor,
        shared: ModelContext,
        kwargs: dict[str, Any],
    ) -> FoundInGraph:
        """The evidence for some outputs, added up, on the whole graph."""
        targets, factor = targets_of(target, wanted, shared.output.size(0)), self._factor(shared)
        edges, features = self._evidence(model, Inputs(x, edge_index, kwargs), wanted, target=target, shared=shared)
        if wanted.numel() != 1:
            mask = use_mask(edges.abs(), shared.messages) if self.evidence == "uses" else support_mask(edges)
            return FoundInGraph(edges, mask, self.supporting(mask, edges), [None] * wanted.numel(), features)
        arguments = with_batch(model, x, kwargs, self.model_config.task_level)
        place = edge_index.new_zeros(x.size(0)), edge_index.new_zeros(edge_index.size(1))
        union = Union(x, edge_index, arguments, wanted, shared.output.size(0), *place)
        own: Tensor | slice = slice(None)
        if self.model_config.task_level == ModelTaskLevel.graph:
            union, own = graph_alone(model, union, shared.output[wanted])
        largest = None
        if self.search_edges or self.evidence == "uses":
            largest = messages_of_a_copy(model, union, union, shared.output[wanted])
        size = mask_dtype(x).itemsize * (2 * union.x.numel() + 3 * (largest or 0))
        at_once = None if largest is None else max(1, _MEMORY // max(size, 1))
        trials = self.trials(model, union, targets, at_once)
        mask = torch.zeros_like(edges)
        mask[own] = self.edge_mask(trials, edges[own], None if factor is None else factor[own])
        support = self.supporting(mask, edges)
        changed = changes(trials, support[own], union.edge_index, shared.prediction[wanted])
        return FoundInGraph(edges, mask, support, changed, features)

    def _evidence(
        self, model: nn.Module, inputs: Inputs, wanted: Tensor, *, target: Tensor, shared: ModelContext
    ) -> tuple[Tensor, Tensor]:
        """The signed evidence of edges, ``[num_edges]``, and of the features of nodes, for the sum of some outputs."""
        targets = targets_of(target, wanted, shared.output.size(0))
        edges, features = gradients_at_ones(
            model,
            lambda output: self._support(output[wanted], targets).sum(),
            inputs.x,
            inputs.edge_index,
            inputs.arguments,
        )
        factor = self._factor(shared)
        return edges if factor is None else edges * factor, features.made() * inputs.x

    def _support(self, output: Tensor, target: Tensor) -> Tensor:
        return support(output, target, self.model_config, self.explainer_config.explanation_type)

    def _factor(self, shared: ModelContext, edges: Tensor | slice = slice(None)) -> Tensor | None:
        """The attention of the training that weighs edges, ``[num_edges]``; ``None`` where none was recorded."""
        if shared.gradients.source == "post hoc" or self.history_weight == 0:
            return None
        return shared.attention[edges] ** self.history_weight

    def _facts(
        self,
        chosen: Tensor | None,
        target: Tensor,
        shared: ModelContext,
        found: FoundInGraph,
        change: ChangeFact | None,
        batch: Tensor | None,
        alone: Callable[[Tensor], tuple[Tensor, Tensor]],
    ) -> list[Facts]:
        """What rationales may state of some outputs.

        Args:
            chosen: Which outputs; all of them if ``None``.
            target: The targets of all of the model's outputs.
            shared: The model on its graph.
            found: What speaks for them, added up.
            change: What is predicted without what supports a single output most.
            batch: Which graph each node belongs to, where the outputs are those of several graphs.
            alone: Finds the evidence for one output, ``[1]``.
        """
        level = self.model_config.task_level
        outputs = range(shared.output.size(0)) if chosen is None else chosen.tolist()
        phenomenon = self.explainer_config.explanation_type == ExplanationType.phenomenon
        edges, features = [], []
        supports = self._own_support(outputs, shared, found, batch, alone)
        for mask, messages, evidence in tqdm(supports, "what supports each", len(outputs), unit=level.value, delay=2):
            edges += strongest_edges(mask, messages, torch.zeros_like(messages[0]), 1, 10)
            features += strongest_features(evidence.reshape(1, -1), 10) if self.explains_features else [[]]
        read = values_of if shared.confidence is None else classes_of
        known = read(target, shared.output.size(0)) if phenomenon else None
        labels = None if known is None else known[list(outputs)].tolist()
        changes = [change] * len(outputs)
        return output_facts(outputs, level.value, shared, edges, features, changes, labels, self.names, phenomenon)

    def _own_support(
        self,
        outputs: Sequence[int],
        shared: ModelContext,
        found: FoundInGraph,
        batch: Tensor | None,
        alone: Callable[[Tensor], tuple[Tensor, Tensor]],
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """For each output its mask, the messages that it is of, and its features' evidence; see :meth:`_facts`."""
        level, receivers = self.model_config.task_level, shared.messages[1]
        if len(outputs) == 1:
            yield found.support, shared.messages, found.features.sum(0)
        elif level == ModelTaskLevel.node:  # of a mask that several nodes share, what arrives at a node is its own
            arriving = torch.argsort(receivers, stable=True)
            ends = torch.bincount(receivers, minlength=found.features.size(0)).cumsum(0).tolist()
            for node in outputs:
                near = arriving[ends[node - 1] if node else 0 : ends[node]]
                yield found.support[near], shared.messages[:, near], found.features[node]
        elif level == ModelTaskLevel.graph and batch is not None:
            for graph in outputs:
                nodes = batch == graph
                inside = nodes[receivers]
                yield found.support[inside], shared.messages[:, inside], found.features[nodes].sum(0)
        else:
            for output in outputs:
                evidence, features = alone(receivers.new_tensor([output]))
                yield support_mask(evidence), shared.messages, features.sum(0)
