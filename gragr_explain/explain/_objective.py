"""The number that an explanation explains, for every kind of model."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.explain.config import ExplanationType, ModelConfig, ModelMode, ModelReturnType

from gragr_explain.errors import InvalidGraphError, UnsupportedModelError
from gragr_explain.history import are_probabilities, is_sigmoid


def log_likelihood(output: Tensor, target: Tensor, config: ModelConfig) -> Tensor:
    """The log-probability that a classifier gives to each target class.

    Logarithms rather than probabilities, because their gradient does not vanish where the model is certain.

    Args:
        output: The model's output, of shape ``[num_outputs, num_classes]``, or for two classes in one score
            ``[num_outputs, 1]`` or ``[num_outputs]``.
        target: Classes of shape ``[num_outputs]``.
        config: What the model returns.

    Returns:
        Log-probabilities of shape ``[num_outputs]``.

    Raises:
        UnsupportedModelError: If the output has no such shape.
        InvalidGraphError: If a target is no class of the model.
    """
    target = _classes(target)
    if config.mode == ModelMode.binary_classification:
        score = _one_score(output)
        _check_targets(target, score.size(0), 2)
        if config.return_type == ModelReturnType.raw:
            return F.logsigmoid(torch.where(target == 1, score, -score))
        return _log(torch.where(target == 1, score, 1 - score))
    if output.dim() != 2:
        raise UnsupportedModelError(f"expected outputs of shape [num_outputs, num_classes], got {list(output.shape)}")
    _check_targets(target, *output.shape)
    scores = output.gather(-1, target.unsqueeze(-1)).squeeze(-1)
    if config.return_type == ModelReturnType.raw:
        return scores - output.logsumexp(-1)
    return _log(scores) if config.return_type == ModelReturnType.probs else scores


def support(output: Tensor, target: Tensor, config: ModelConfig, explanation_type: ExplanationType) -> Tensor:
    r"""How strongly a model's outputs stand for their targets; what speaks for the target raises it.

    For classifiers, the :func:`log_likelihood` of the target. For regression, the magnitude :math:`|\hat y|` of a
    prediction that is explained as it is (its distance from itself has no gradient), and
    :math:`-\tfrac12 (\hat y - y)^2` for a phenomenon.

    Args:
        output: The model's outputs, of shape ``[num_outputs, *]``.
        target: Their targets, of shape ``[num_outputs]`` for classifiers and that of ``output`` for regression.
        config: What the model returns.
        explanation_type: Whether the model's prediction or a phenomenon is explained.

    Returns:
        A number per output, of shape ``[num_outputs]``.

    Raises:
        UnsupportedModelError: If the outputs are not what the model is said to return.
        InvalidGraphError: If there is not a target for each output.

    Example:
        >>> config = ModelConfig("multiclass_classification", "node", "raw")
        >>> support(torch.zeros(1, 4), torch.tensor([2]), config, ExplanationType.model).exp()
        tensor([0.2500])
    """
    if config.mode != ModelMode.regression:
        return log_likelihood(output, target, config)
    if explanation_type == ExplanationType.model:
        return output.abs().flatten(1).sum(-1) if output.dim() > 1 else output.abs()
    if target.numel() != output.numel():
        raise InvalidGraphError(f"expected targets of shape {list(output.shape)}, got {list(target.shape)}")
    error = (output - target.view_as(output)).square() / 2
    return -(error.flatten(1).sum(-1) if error.dim() > 1 else error)


def strength(output: Tensor, target: Tensor, config: ModelConfig, explanation_type: ExplanationType) -> Tensor:
    """How strongly outputs stand for their targets where probabilities come close to 0 or 1.

    For classifiers, the log-odds of the target, which tell certain predictions apart when their likelihoods are all 1;
    for regression, what :func:`support` is. Takes, returns and raises what :func:`support` does.

    Example:
        >>> config = ModelConfig("multiclass_classification", "node", "raw")
        >>> strength(torch.tensor([[40.0, 0.0, 0.0]]), torch.tensor([0]), config, ExplanationType.model)
        tensor([39.3069])
    """
    if config.mode == ModelMode.regression:
        return support(output, target, config, explanation_type)
    likelihood = log_likelihood(output, target, config)
    if config.mode == ModelMode.binary_classification:
        return likelihood - log_likelihood(output, 1 - _classes(target), config)
    if output.size(1) == 1:
        return likelihood
    scores = _log(output) if config.return_type == ModelReturnType.probs else output
    own = torch.nn.functional.one_hot(_classes(target), output.size(1)).bool()
    return scores[own] - scores.masked_fill(own, -torch.inf).logsumexp(-1)


def confidences(output: Tensor, config: ModelConfig) -> Tensor | None:
    """The probability of the predicted class of each output, ``[num_outputs]``; ``None`` for regression."""
    if config.mode == ModelMode.regression:
        return None
    return log_likelihood(output, predictions(output, config), config).exp()


def predictions(output: Tensor, config: ModelConfig) -> Tensor:
    """What a model predicts: a class or number for each output, ``[num_outputs]``, or several numbers for each."""
    if config.mode == ModelMode.regression:
        return output.squeeze(-1) if output.dim() > 1 else output
    if config.mode == ModelMode.multiclass_classification:
        return output.argmax(-1)
    return (_one_score(output) > (0 if config.return_type == ModelReturnType.raw else 0.5)).long()


def known_targets(target: Tensor, prediction: Tensor) -> Tensor:
    """Targets with what a model predicts in the place of those that are not known.

    Args:
        target: Classes, negative or NaN where they are not known, or the numbers of a regression, NaN where they are
            not.
        prediction: The predicted classes, ``[num_outputs]``, or numbers, ``[num_outputs, *]``.
    """
    if prediction.is_floating_point():
        known = target.reshape(prediction.shape) if target.numel() == prediction.numel() else target
        return torch.where(known.isnan(), prediction, known) if known.shape == prediction.shape else known
    known = _classes(target)
    return torch.where(known < 0, prediction, known) if known.shape == prediction.shape else known


def targets_of(target: Tensor, wanted: Tensor, num_outputs: int) -> Tensor:
    """The targets of some outputs, ``[num_wanted, *]``; those of others need not be known.

    Raises:
        InvalidGraphError: If there is not a target for each output.
    """
    if target.numel() % max(num_outputs, 1) or bool(target.numel()) != bool(num_outputs):
        raise InvalidGraphError(f"expected a target for each of {num_outputs} outputs, got {target.numel()}")
    return target.reshape(num_outputs, -1)[wanted]


def check_known(target: Tensor, wanted: Tensor, num_outputs: int, config: ModelConfig) -> None:
    """Check that the targets of some outputs of a regression are known; those of a classifier are checked as classes.

    Raises:
        InvalidGraphError: If one is NaN, or there is not a target for each output.
    """
    if config.mode == ModelMode.regression:
        unknown = wanted[targets_of(target, wanted, num_outputs).isnan().any(-1)]
        if unknown.numel():
            raise InvalidGraphError(f"expected known targets to explain, got NaN for output {int(unknown[0])}")


def check_returned(output: Tensor, config: ModelConfig) -> None:
    """Check that a classifier returns probabilities, or their logarithms, where it is said to, and there alone.

    Args:
        output: The model's outputs, ``[num_outputs, *]``.
        config: What the model is said to return.

    Raises:
        UnsupportedModelError: If it does not.
    """
    if config.mode == ModelMode.regression or not output.numel():
        return
    if config.return_type == ModelReturnType.raw:
        _check_scores(output, config)
        return
    numbers = output.detach().double()
    slack = 10 * torch.finfo(output.dtype).eps ** 0.5 if output.is_floating_point() else 0.0
    kind, is_probability = config.return_type.value, config.return_type == ModelReturnType.probs
    probabilities = numbers if is_probability else numbers.exp()
    lowest, highest = float(probabilities.min()), float(probabilities.max())
    if not -slack <= lowest <= highest <= 1 + slack:
        got = f"{float(numbers.min()):.4g} to {float(numbers.max()):.4g}"
    elif config.mode == ModelMode.multiclass_classification and output.dim() == 2:
        total = probabilities.sum(-1)
        worst = float(total[(total - 1).abs().argmax()])
        if abs(worst - 1) <= slack:
            return
        got = f"probabilities that add up to {worst:.4g}"
    else:
        return
    raise UnsupportedModelError(
        f"expected a model that returns {kind!r}, as its model_config says, got {got}; "
        "for scores without bounds, set return_type='raw'"
    )


def check_ignored(scalar: Tensor, without: Tensor) -> None:
    """Check that a scalar without gradients does not depend on what they were to be taken of.

    Args:
        scalar: What was made of the inputs.
        without: What is made of zeros in their place.

    Raises:
        UnsupportedModelError: If the two differ.
    """
    if not torch.equal(scalar.detach(), without.detach()):
        raise UnsupportedModelError(
            "expected an output with gradients, got one that depends on the inputs and has none; "
            "does the model run under torch.no_grad(), or detach what it returns?"
        )


def _check_scores(output: Tensor, config: ModelConfig) -> None:
    """Of one output alone, that it adds up to 1 may be chance."""
    if config.mode == ModelMode.multiclass_classification:
        is_table = output.dim() == 2 and min(output.shape) > 1
        bounded = is_table and output.is_floating_point() and are_probabilities(output.detach())
    else:
        bounded = is_sigmoid(output)
    if bounded:
        raise UnsupportedModelError(
            "expected a model that returns 'raw', as its model_config says, got probabilities; "
            "for those, set return_type='probs'"
        )


def _classes(target: Tensor) -> Tensor:
    """Targets as classes, ``[num_outputs]``, -1 for NaN."""
    return target.reshape(-1).nan_to_num(nan=-1).long()


def _one_score(output: Tensor) -> Tensor:
    """The score of each output of a binary classifier, ``[num_outputs]``."""
    if output.shape[1:].numel() != 1:
        raise UnsupportedModelError(
            f"expected a binary classifier to return one score for each output, got outputs of shape "
            f"{list(output.shape)}; wrap a model of several labels to return the one that is to be explained"
        )
    return output.reshape(-1)


def _check_targets(target: Tensor, num_outputs: int, num_classes: int) -> None:
    if target.numel() != num_outputs:
        raise InvalidGraphError(f"expected a target class for each of {num_outputs} outputs, got {target.numel()}")
    if target.numel() and not 0 <= int(target.min()) <= int(target.max()) < num_classes:
        raise InvalidGraphError(
            f"expected target classes in [0, {num_classes - 1}], got {int(target.min())} to {int(target.max())}"
        )


def _log(probability: Tensor) -> Tensor:
    return probability.clamp(min=torch.finfo(probability.dtype).tiny).log()
