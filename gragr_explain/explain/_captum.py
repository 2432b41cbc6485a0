"""``EdgeGradientAttribution``: the evidence of edges and features as a method of Captum."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch_geometric.explain.algorithm.captum import CaptumHeteroModel, CaptumModel, MaskLevelType
from torch_geometric.explain.config import ExplanationType, ModelConfig, ModelMode, ModelReturnType

from gragr_explain.errors import InvalidArgumentError, InvalidGraphError, InvalidTypeError
from gragr_explain.explain._objective import check_ignored, check_returned, support
from gragr_explain.history import check_output
from gragr_explain.inputs import check_classes, check_gradients_are_kept, check_graph
from gragr_explain.messages import edge_mask_applied

try:
    from captum.attr import GradientAttribution
    from captum.log import log_usage
except ModuleNotFoundError:  # the class is there all the same, and says what to install when one is made
    GradientAttribution = object

    def log_usage() -> Callable[[Callable], Callable]:
        return lambda method: method


Inputs = Tensor | tuple[Tensor, ...]


class EdgeGradientAttribution(GradientAttribution):
    r"""Attributes outputs to edges and features with one backward pass, as a method of `Captum <https://captum.ai>`_.

    What :class:`EdgeGradientExplainer` finds for :class:`torch_geometric.explain.Explainer`, for Captum's own metrics
    and for code written for any Captum method. Let :math:`s` be the log-probability of the target, :math:`m_e` the
    factor on the messages of edge :math:`e`, and :math:`x_{vi}` a feature. Attributions are signed,

    .. math::
        \frac{\partial s}{\partial m_e} \quad \text{(edge masks)}, \qquad
        x_{vi} \frac{\partial s}{\partial x_{vi}} \quad \text{(features)},

    at the inputs: with the edge mask of ones that :func:`~torch_geometric.nn.to_captum_input` makes, they are
    ``edge_evidence`` and ``node_evidence`` of :class:`EdgeGradientExplainer`. An input that the output does not depend
    on gets zeros.

    An output of one number is explained without a target, by its magnitude, as for regression. That is also the
    evidence of a binary classifier's raw score, up to a positive factor; probabilities of two classes take two columns.
    Several numbers are taken for classes, unless the ``model_config`` of PyG's Captum model says that they are those of
    a regression: then the target is the number to explain, and without one, their magnitudes are added up.

    ``forward_func`` is what :func:`~torch_geometric.nn.to_captum_model` returns, or any function of edge masks,
    features and additional arguments that returns outputs of shape ``[num_outputs, num_classes]``. A model is used in
    the mode it is in, so call ``model.eval()`` first, as for every Captum method.

    With PyG's Captum models there is one example at a time, since Captum would repeat the graph itself for more: set
    ``nt_samples_batch_size=1`` for :class:`captum.attr.NoiseTunnel` and ``max_examples_per_batch=1`` for
    :mod:`captum.metrics`. Two things are to be known of these metrics: :func:`captum.metrics.infidelity` compares
    attributions with differences of what *its* forward function returns, so give it one that returns
    log-probabilities; and that function sets edge masks as PyG does, which misplaces them where GCN or GAT replace the
    self-loops of a graph that has one at every node. Attributions set them as our explainers do, which does not, and
    which works too after ``GNNExplainer`` has left its mask on a model.

    PyG's :class:`~torch_geometric.explain.CaptumExplainer` takes the methods that its ``SUPPORTED_METHODS`` name, and
    this one from a subclass that adds it:

    .. code-block:: python

        class WithEdgeGradients(CaptumExplainer):
            SUPPORTED_METHODS = [*CaptumExplainer.SUPPORTED_METHODS, "EdgeGradientAttribution"]

        Explainer(model, WithEdgeGradients(EdgeGradientAttribution), ...)

    Args:
        forward_func: The function whose outputs are explained.
        mask_type: Which inputs are edge masks: all of them (``"edge"``), none (``"node"``) or the last
            (``"node_and_edge"``). PyG's Captum models say it themselves; other functions need it.
        return_type: What the function returns for classes, ``"raw"``, ``"log_probs"`` or ``"probs"``; of models, that
            is taken as it is said. By default what the ``model_config`` of PyG's Captum model says, or else ``"raw"``,
            and models are refused that seem to return something else.

    Raises:
        ImportError: If Captum is not installed.
        InvalidTypeError: If the function cannot be called, or is that of a heterogeneous graph.
        InvalidArgumentError: If ``mask_type`` is missing, unknown or contradicts the function, or ``return_type`` is
            unknown.

    Example:
        >>> from torch_geometric.nn import GCN, to_captum_input, to_captum_model
        >>> x, edge_index = torch.rand(4, 3), torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]])
        >>> model = GCN(3, 8, num_layers=2, out_channels=2).eval()
        >>> method = EdgeGradientAttribution(to_captum_model(model, "node_and_edge", output_idx=0))
        >>> inputs, arguments = to_captum_input(x, edge_index, "node_and_edge")
        >>> features, edges = method.attribute(inputs, target=1, additional_forward_args=arguments)
        >>> features.shape, edges.shape
        (torch.Size([1, 4, 3]), torch.Size([1, 6]))
    """

    def __init__(
        self, forward_func: Callable[..., Tensor], *, mask_type: str | None = None, return_type: str | None = None
    ) -> None:
        if GradientAttribution is object:
            raise ImportError(
                "EdgeGradientAttribution needs the package captum; install it with: pip install 'gragr-explain[captum]'"
            )
        if not callable(forward_func):
            raise InvalidTypeError(f"expected a forward function, got {type(forward_func).__name__}")
        if isinstance(forward_func, CaptumHeteroModel):
            raise InvalidTypeError("expected the model of a homogeneous graph, got that of a heterogeneous one")
        super().__init__(forward_func)
        self.mask_type = _mask_type(forward_func, mask_type)
        self.return_type = _return_type(forward_func, return_type)
        self._is_checked = return_type is None

    @property
    def _is_regression(self) -> bool:
        config = self.forward_func.model_config if isinstance(self.forward_func, CaptumModel) else None
        return config is not None and config.mode == ModelMode.regression

    @property
    def multiplies_by_inputs(self) -> bool:
        """Whether gradients are multiplied by the inputs: those of features are, those of edge masks are not.

        With both among the inputs it is true, as it is of a mask of ones.
        """
        return self.mask_type != MaskLevelType.edge

    @log_usage()  # captum.attr.NoiseTunnel takes only methods that are wrapped so
    def attribute(self, inputs: Inputs, target: Any = None, additional_forward_args: Any = None) -> Inputs:
        """Attribute outputs to inputs.

        Args:
            inputs: Edge masks of shape ``[1, num_edges]``, features of shape ``[1, num_nodes, num_features]``, or the
                features and the edge masks in a tuple. Functions other than PyG's Captum models may take any shapes,
                and several examples in the first dimension.
            target: The class, as an integer for all outputs, or a list or tensor of one for each; ``None`` where an
                output is one number, or all numbers of a regression are meant. Attributions of several outputs are
                added up.
            additional_forward_args: What else the function takes, as one object or a tuple.

        Returns:
            Signed attributions, in the form and the shapes of the inputs.

        Raises:
            InvalidTypeError: If an input is no tensor of floating-point numbers, or a target no integer.
            InvalidGraphError: If the graph cannot be used, an input has another shape, or there are as many targets
                as neither 1 nor the number of outputs.
            InvalidIndexError: If a target is no class of the model.
            InvalidArgumentError: If a target is missing, or something that the model takes; in inference mode.
            UnsupportedModelError: If a model has no message-passing layers or its edges cannot be masked, or the
                outputs have another shape, are not what they are said to be, or depend on the inputs without having
                gradients.
        """
        tensors = inputs if isinstance(inputs, tuple) else (inputs,)
        arguments = additional_forward_args
        if not isinstance(arguments, tuple):
            arguments = () if arguments is None else (arguments,)
        for tensor in tensors:
            if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
                got = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
                raise InvalidTypeError(f"expected inputs of floating-point numbers, got {got}")
        check_gradients_are_kept()
        if isinstance(self.forward_func, CaptumModel):
            _check_graph_inputs(self.mask_type, tensors, arguments)

        def score(*given: Tensor) -> Tensor:
            return self._support(self._output(given, arguments), target).sum()

        num_features = {MaskLevelType.edge: 0, MaskLevelType.node: len(tensors)}.get(self.mask_type, len(tensors) - 1)
        found = _evidence(score, tensors[:num_features], tensors[num_features:])
        return found if isinstance(inputs, tuple) else found[0]

    def _output(self, inputs: tuple[Tensor, ...], arguments: tuple[Any, ...]) -> Tensor:
        """What the function returns; edges of PyG's Captum models are masked by hooks on their messages."""
        function = self.forward_func
        if not isinstance(function, CaptumModel):
            return function(*inputs, *arguments)
        masks = inputs[-1:] if self.mask_type.with_edge else ()
        features = inputs[: len(inputs) - len(masks)]
        taken: list[Any] = [*(tensor[0] for tensor in features), *arguments]
        x, edge_index, *rest = taken
        with edge_mask_applied(function.model, masks[0][0], edge_index) if masks else nullcontext():
            output = function.model(x, edge_index, *rest)
        check_output(output)
        if self._is_checked:
            check_returned(output, function.model_config or _of_classes(self.return_type))
        return function.postprocess(output)

    def _support(self, output: Tensor, target: Any) -> Tensor:
        """How strongly each output stands for its target, ``[num_outputs]``."""
        check_output(output)
        one_number = output.dim() < 2 or output.shape[1:].numel() == 1
        num_classes = 1 if one_number else output.size(-1)
        classes = None if target is None else check_classes(target, num_classes, output.device)
        of_numbers = ModelConfig("regression", "node", "raw")
        if one_number or (self._is_regression and classes is None):
            return support(output, output, of_numbers, ExplanationType.model)
        if classes is None:
            raise InvalidArgumentError(f"expected a target for outputs of shape {list(output.shape)}, got None")
        if classes.numel() not in (1, output.size(0)):
            raise InvalidGraphError(
                f"expected a target class for each of {output.size(0)} outputs, got {classes.numel()}"
            )
        classes = classes.expand(output.size(0))
        if self._is_regression:
            chosen = output.gather(-1, classes.unsqueeze(-1))
            return support(chosen, chosen, of_numbers, ExplanationType.model)
        return support(output, classes, _of_classes(self.return_type), ExplanationType.model)


def _evidence(
    score: Callable[..., Tensor], features: tuple[Tensor, ...], masks: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Gradient times input of features, and the gradients of masks, of a scalar of both."""
    with torch.enable_grad():
        inputs = [tensor.detach().requires_grad_() for tensor in (*features, *masks)]
        scalar = score(*inputs)
        if not scalar.requires_grad:
            check_ignored(scalar, score(*(torch.zeros_like(tensor) for tensor in inputs)))
            return tuple(torch.zeros_like(tensor) for tensor in (*features, *masks))
        found = torch.autograd.grad(scalar, inputs, allow_unused=True, materialize_grads=True)
    times_input = [gradient * tensor.detach() for gradient, tensor in zip(found, features, strict=False)]
    return (*times_input, *found[len(features) :])


def _mask_type(forward_func: Callable[..., Tensor], wanted: str | None) -> MaskLevelType:
    """Which inputs are edge masks: what PyG's model says, or else what the caller says."""
    own = forward_func.mask_type.value if isinstance(forward_func, CaptumModel) else None
    name = own if wanted is None else wanted
    if name not in [kind.value for kind in MaskLevelType]:
        raise InvalidArgumentError(f"expected mask_type 'edge', 'node' or 'node_and_edge', got {name!r}")
    if own is not None and name != own:
        raise InvalidArgumentError(f"expected mask_type {own!r}, which is the model's, got {name!r}")
    return MaskLevelType(name)


def _return_type(forward_func: Callable[..., Tensor], wanted: str | None) -> ModelReturnType:
    """What a function returns for classes: what the caller says, or else what PyG's model says."""
    config = forward_func.model_config if isinstance(forward_func, CaptumModel) else None
    if wanted is None:
        return ModelReturnType.raw if config is None else config.return_type
    if wanted not in [kind.value for kind in ModelReturnType]:
        raise InvalidArgumentError(f"expected return_type 'raw', 'log_probs' or 'probs', got {wanted!r}")
    return ModelReturnType(wanted)


def _of_classes(return_type: ModelReturnType) -> ModelConfig:
    return ModelConfig("multiclass_classification", "node", return_type)


def _check_graph_inputs(mask_type: MaskLevelType, inputs: tuple[Tensor, ...], arguments: tuple[Any, ...]) -> None:
    """Check what PyG's Captum models take: one graph, with a dimension for the one example in front of its tensors."""
    names = {
        MaskLevelType.node: (["features"], ["edge_index"]),
        MaskLevelType.edge: (["an edge mask"], ["features", "edge_index"]),
        MaskLevelType.node_and_edge: (["features", "an edge mask"], ["edge_index"]),
    }
    own, others = names[mask_type]
    if len(inputs) != len(own) or len(arguments) < len(others):
        raise InvalidArgumentError(
            f"expected {' and '.join(own)} as inputs and {' and '.join(others)} as additional_forward_args, "
            f"got {len(inputs)} and {len(arguments)} of them"
        )
    if any(tensor.shape[:1] != (1,) for tensor in inputs):
        raise InvalidGraphError(
            f"expected inputs of one example, of shape [1, ...], got {[list(tensor.shape) for tensor in inputs]}; "
            "set nt_samples_batch_size=1 for NoiseTunnel, max_examples_per_batch=1 for Captum's metrics"
        )
    x, edge_index = (inputs[0][0], arguments[0]) if mask_type != MaskLevelType.edge else arguments[:2]
    check_graph(x, edge_index)
    if mask_type.with_edge and inputs[-1].shape != (1, edge_index.size(1)):
        raise InvalidGraphError(
            f"expected an edge mask of shape [1, {edge_index.size(1)}], got {list(inputs[-1].shape)}"
        )
