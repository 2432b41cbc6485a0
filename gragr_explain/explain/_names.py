"""What texts call classes, features and nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Names:
    """Names of the classes, the features and the nodes, each ``None`` where they have none.

    Example:
        >>> names = Names(classes=["Theory"])
        >>> names.of_class(0), names.of_class(1), names.of_node(17)
        ('Theory', 'class 1', 'node 17')
    """

    classes: Sequence[str] | None = None
    features: Sequence[str] | None = None
    nodes: Sequence[str] | None = None

    def of_class(self, number: int) -> str:
        """What a class is called; ``class 3`` where it has no name."""
        if self.classes is None or not 0 <= number < len(self.classes):
            return f"class {number}"
        return str(self.classes[number])

    def of_feature(self, column: int) -> str:
        """What a feature is called."""
        return f"feature {column}" if self.features is None else str(self.features[column])

    def of_node(self, node: int) -> str:
        """What a node is called."""
        return f"node {node}" if self.nodes is None else self.nodes[node]
