"""SR-GM: a large graph condensed into a small one whose nodes are prototypes."""

from gragr_explain.condensation._condense import condense
from gragr_explain.condensation._files import load_condensed, save_condensed
from gragr_explain.condensation._modalities import Modality, modality_features
from gragr_explain.condensation._prototypes import draw_prototypes, prototypes
from gragr_explain.condensation._settings import CondensationSettings

__all__ = [
    "CondensationSettings",
    "Modality",
    "condense",
    "draw_prototypes",
    "load_condensed",
    "modality_features",
    "prototypes",
    "save_condensed",
]
