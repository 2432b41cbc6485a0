"""What an audit finds."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Audit:
    """The labels and the predictions that are probably wrong.

    Both tables have the most doubtful row first, and these columns:

    - ``node``;
    - ``label`` and ``label_name``: the class in question, the given label in ``labels`` and the model's prediction in
      ``predictions``;
    - ``probability``: that it is wrong; NaN for the only training label of its class, of which nothing can be said;
    - ``suggested`` and ``suggested_name``: the class for which most speaks beside it;
    - ``prediction``, ``prediction_name`` and ``confidence``: what the model predicts;
    - ``reasons``: what speaks against it in words, the strongest first, at most three; empty where nothing does.

    Attributes:
        labels: One row for each training node.
        predictions: One row for each other node.
        noise_rate: The mean probability in ``labels``: the estimated share of wrong ones among the training nodes.
        num_trainings: How often the model was trained again.
    """

    labels: pd.DataFrame
    predictions: pd.DataFrame
    noise_rate: float
    num_trainings: int

    @property
    def flagged(self) -> pd.DataFrame:
        """The rows of ``labels`` that are more probably wrong than right."""
        return self.labels[self.labels["probability"] > 0.5]

    def to_frame(self) -> pd.DataFrame:
        """Both tables as one; its first column ``about`` says ``"label"`` or ``"prediction"``."""
        frame = pd.concat([self.labels, self.predictions], keys=["label", "prediction"], names=["about", None])
        return frame.reset_index(level="about").reset_index(drop=True)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(labels={len(self.labels)}, flagged={len(self.flagged)}, "
            f"predictions={len(self.predictions)}, noise_rate={self.noise_rate:.3f})"
        )

    def _repr_html_(self) -> str:
        return str(self.labels.head(20).to_html(index=False))
