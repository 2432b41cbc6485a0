"""Numbers and flags in a form that JSON can hold, in few characters."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor


def to_json(payload: Mapping[str, Any]) -> str:
    """JSON that stays data inside a ``<script>`` element, whatever the names in it contain.

    Example:
        >>> to_json({"name": "</script>"})
        '{"name":"\\\\u003c/script\\\\u003e"}'
    """
    text = json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def flags(column: pd.Series, rows: Sequence[int]) -> list[bool | None]:
    """The cells of a column of flags, ``None`` where one is missing."""
    values = column.tolist()
    return [None if pd.isna(values[row]) else bool(values[row]) for row in rows]


def rank_bytes(rank: Tensor) -> str:
    """Ranks as one byte each, row by row; 255 where there is none."""
    return as_base64(torch.where(rank.isnan(), 255, (254 * rank.nan_to_num()).round()).to(torch.uint8).cpu().numpy())


def as_bytes(values: Tensor) -> str:
    """Values in [0, 255] as one byte each."""
    return as_base64(values.round().clamp(0, 255).to(torch.uint8).cpu().numpy())


def as_base64(values: np.ndarray) -> str:
    """The bytes of an array."""
    return base64.b64encode(values.tobytes()).decode("ascii")


def rounded(value: Any) -> int | float | None:
    """A number in four significant digits, ``None`` where it is missing or not finite."""
    try:
        value = float(value)
    except TypeError:
        return None
    if not np.isfinite(value):
        return None
    return int(value) if value.is_integer() and abs(value) < 2**53 else float(f"{value:.4g}")
