"""Node numbers as people write them."""

from __future__ import annotations

import re

from gragr_explain.errors import InvalidArgumentError, InvalidIndexError

_PART = re.compile(r"\s*\d+\s*(-\s*\d+\s*)?", re.ASCII)


def parse_nodes(text: str, num_nodes: int) -> list[int]:
    """The nodes that a list of numbers and ranges names, each once.

    Args:
        text: Such as ``"0,5,10-20"``; a range includes both its ends.
        num_nodes: The number of nodes of the graph.

    Raises:
        InvalidArgumentError: If the text is no such list.
        InvalidIndexError: If a node is not in the graph.

    Example:
        >>> parse_nodes("7,0-2,1", num_nodes=10)
        [7, 0, 1, 2]
    """
    nodes: dict[int, None] = {}
    for part in text.split(","):
        if not _PART.fullmatch(part):
            raise InvalidArgumentError(f"expected node numbers such as 0,5,10-20, got {part.strip()!r}")
        first, last = (int(number) for number in (part.split("-") * 2)[:2])
        if first > last:
            raise InvalidArgumentError(f"expected a range from the lower node to the higher, got {part!r}")
        if last >= num_nodes:
            raise InvalidIndexError(f"expected nodes in [0, {num_nodes - 1}], got {last}")
        nodes |= dict.fromkeys(range(first, last + 1))
    return list(nodes)
