"""Where the nodes of a small subgraph are drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gragr_explain.explain import Edge


@dataclass(frozen=True)
class Layout:
    """A small subgraph, placed around one node.

    Attributes:
        nodes: The nodes; the first is the one in the middle.
        positions: Their places in the unit disc, the first at the origin.
        edges: ``(source, target, weight)`` with source and target as positions in ``nodes``, strongest first.
    """

    nodes: list[int]
    positions: list[tuple[float, float]]
    edges: list[Edge]


def radial(centre: int, edges: Sequence[Edge]) -> Layout:
    """Place a subgraph on rings around a node: its neighbours on the first, theirs on the next.

    Each node gets a sector of its ring that is as wide as the leaves beyond it, so that no branches cross. A node to
    which no edge leads from the centre is placed on the first ring. Self-loops are left out.

    Args:
        centre: The node in the middle.
        edges: ``(source, target, weight)``, strongest first.

    Example:
        >>> radial(7, [(3, 7, 1.0)]).positions
        [(0.0, 0.0), (0.0, -1.0)]
    """
    edges = [edge for edge in edges if edge[0] != edge[1]]
    linked: dict[int, list[int]] = {centre: []}
    for source, target, _ in edges:
        linked.setdefault(source, []).append(target)
        linked.setdefault(target, []).append(source)
    depth, children = _tree(centre, linked)
    rings = max(depth.values(), default=0) or 1
    angles = _angles(centre, children)
    nodes = list(depth)
    positions = []
    for node in nodes:
        radius = (depth[node] / rings) ** 0.75  # the inner rings are the crowded ones
        x, y = radius * math.sin(angles[node]), -radius * math.cos(angles[node])
        positions.append((round(x, 3) + 0.0, round(y, 3) + 0.0))
    place = {node: position for position, node in enumerate(nodes)}
    return Layout(nodes, positions, [(place[u], place[v], weight) for u, v, weight in edges])


def _tree(centre: int, linked: dict[int, list[int]]) -> tuple[dict[int, int], dict[int, list[int]]]:
    """A breadth-first tree over all nodes: depths, in the order of the visit, and children."""
    depth: dict[int, int] = {centre: 0}
    children: dict[int, list[int]] = {node: [] for node in linked}
    for stray in [centre, *linked]:
        if stray not in depth:
            depth[stray] = 1
            children[centre].append(stray)
        queue = [stray]
        for node in queue:
            for neighbour in linked[node]:
                if neighbour not in depth:
                    depth[neighbour] = depth[node] + 1
                    children[node].append(neighbour)
                    queue.append(neighbour)
    return depth, children


def _angles(centre: int, children: dict[int, list[int]]) -> dict[int, float]:
    """The middle of each node's sector, clockwise from the top."""
    order = [centre]
    for node in order:
        order.extend(children[node])
    leaves: dict[int, int] = {}
    for node in reversed(order):
        leaves[node] = sum(leaves[child] for child in children[node]) or 1
    start = {centre: 0.0}
    angles = {}
    turn = 2 * math.pi / leaves[centre]
    first = children[centre][0] if children[centre] else centre
    shift = turn * leaves[first] / 2
    for node in order:
        angles[node] = start[node] + turn * leaves[node] / 2 - shift
        place = start[node]
        for child in children[node]:
            start[child] = place
            place += turn * leaves[child]
    return angles
