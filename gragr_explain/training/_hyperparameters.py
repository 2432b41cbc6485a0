"""The paper's hyperparameters (Table 5), per backbone."""

from dataclasses import dataclass

from torch import nn

from gragr_explain.arguments import check_number
from gragr_explain.history import message_passing_layers


@dataclass(frozen=True)
class Hyperparameters:
    """One row of Table 5 of the GraGR paper.

    The first five fields configure the backbone and its optimiser, the others GraGR itself: ``tau_mag`` and
    ``tau_cos`` are the thresholds of eq. 1, ``lambda_smooth`` and ``smooth_iters`` the strength and the number of
    Jacobi steps of eq. 4, ``alpha_smooth`` the share of the smoothed field in the corrected one, ``beta_start`` and
    ``beta_end`` the sharpness of the attention (eq. 5) when it begins and at the end of the training, and ``meta_lr``
    the rate at which weights of losses follow their hypergradient (eq. 8).

    Example:
        >>> TABLE_5["GAT"].tau_mag, TABLE_5["GAT"].tau_cos
        (0.15, -0.15)
    """

    hidden_channels: int
    num_layers: int
    dropout: float
    lr: float
    weight_decay: float
    tau_mag: float
    tau_cos: float
    lambda_smooth: float
    smooth_iters: int
    alpha_smooth: float
    beta_start: float = 1.0
    beta_end: float = 2.0
    meta_lr: float = 0.001


TABLE_5 = {
    "GCN": Hyperparameters(64, 2, 0.5, 0.01, 5e-4, 0.10, -0.10, 0.10, 3, 0.1, meta_lr=0.001),
    "GAT": Hyperparameters(32, 2, 0.5, 0.01, 5e-4, 0.15, -0.15, 0.05, 2, 0.1, meta_lr=0.0005),
    "GIN": Hyperparameters(64, 2, 0.5, 0.01, 5e-4, 0.05, -0.05, 0.20, 5, 0.1, meta_lr=0.01),
    "GraphSAGE": Hyperparameters(64, 2, 0.5, 0.01, 5e-4, 0.05, -0.05, 0.20, 5, 0.1, meta_lr=0.01),
}
"""Table 5's values by the name of the backbone, as PyG's ``torch_geometric.nn`` names it."""


def hyperparameters_of(model: nn.Module) -> Hyperparameters:
    """Table 5's row for a model, found from the kind of its message-passing layers.

    A model made of layers that Table 5 does not list gets the row of ``GCN``.

    Raises:
        UnsupportedModelError: If the model has no message-passing layer.

    Example:
        >>> from torch_geometric.nn import GAT
        >>> hyperparameters_of(GAT(8, 8, num_layers=2, out_channels=3)).tau_cos
        -0.15
    """
    kinds = " ".join(type(layer).__name__ for layer in message_passing_layers(model))
    for marker, name in (("GAT", "GAT"), ("GIN", "GIN"), ("SAGE", "GraphSAGE")):
        if marker in kinds:
            return TABLE_5[name]
    return TABLE_5["GCN"]


def check_hyperparameters(settings: Hyperparameters) -> None:
    """Check GraGR's own numbers before anything is trained with them.

    Raises:
        InvalidTypeError: If one is no number.
        InvalidArgumentError: If one is outside its range.
    """
    ranges = {
        "tau_mag": "[0, inf]",
        "tau_cos": "[-1, 1]",
        "lambda_smooth": "[0, inf)",
        "smooth_iters": "[0, inf)",
        "alpha_smooth": "[0, 1]",
        "beta_start": "[0, inf)",
        "beta_end": "[0, inf)",
        "meta_lr": "[0, inf)",
    }
    for name, interval in ranges.items():
        check_number(name, getattr(settings, name), whole=name == "smooth_iters", within=interval)
