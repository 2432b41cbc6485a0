"""Randomness that is decided by a seed and leaves no trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Draw by a seed, on the CPU and on one device, as long as the context lasts; then all goes on as without it.

    No other GPU is seeded, or even woken, as :func:`torch.manual_seed` would.

    Args:
        seed: The seed.
        device: The device.

    Example:
        >>> state = torch.get_rng_state()
        >>> with seeded(0):
        ...     first = torch.rand(3)
        >>> with seeded(0):
        ...     torch.equal(torch.rand(3), first)
        True
        >>> torch.equal(torch.get_rng_state(), state)
        True
    """
    device = torch.device(device)
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        for each in devices:
            torch.cuda.default_generators[each.index].manual_seed(seed)
        yield
