"""Where the nodes of a whole graph are drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence

import networkx as nx
import numpy as np
from scipy.sparse.csgraph import shortest_path

from gragr_explain.explain import Edge
from gragr_explain.report._evidence import ends

MOST_NODES = 120
"""How many nodes of a graph are drawn: those around its support."""

_GAP = 1.5  # between components, in lengths of an edge


def drawn_nodes(num_nodes: int, links: Sequence[tuple[int, int]], support: Sequence[Edge]) -> list[int]:
    """The nodes to draw: all of a small graph, of a larger one those nearest the ends of what supports its prediction.

    Args:
        num_nodes: The number of nodes.
        links: Its edges.
        support: The edges that support its prediction, strongest first.

    Example:
        >>> drawn_nodes(3, [(0, 1)], [])
        [0, 1, 2]
    """
    if num_nodes <= MOST_NODES:
        return list(range(num_nodes))
    graph = nx.Graph(links)
    graph.add_nodes_from(range(num_nodes))
    starts = sorted(ends(support)) or [max(range(num_nodes), key=graph.degree)]
    near = nx.multi_source_dijkstra_path_length(graph, set(starts))
    return sorted(sorted(near, key=lambda node: (near[node], node))[:MOST_NODES])


def placed(nodes: Sequence[int], links: Sequence[tuple[int, int]]) -> list[tuple[float, float]]:
    """Places of nodes, by Kamada and Kawai (1989), which draws linked nodes about as far apart as all others.

    Components lie beside each other, the largest first.

    Args:
        nodes: The nodes.
        links: The edges between them.

    Returns:
        For each node its place, where the mean edge has length 1.

    Example:
        >>> places = placed([4, 5, 9], [(4, 5)])
        >>> round(math.dist(places[0], places[1]), 3), math.dist(places[0], places[2]) > 1
        (1.0, True)
    """
    graph = nx.Graph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from((source, target) for source, target in links if source != target)
    boxes = [_component(graph.subgraph(part)) for part in sorted(nx.connected_components(graph), key=len, reverse=True)]
    row = 1.6 * math.sqrt(sum(math.prod(size) for _, size in boxes))
    found: dict[int, tuple[float, float]] = {}
    left = top = height = 0.0
    for places, (width, tall) in boxes:
        if left and left + width > row:
            left, top, height = 0.0, top + height, 0.0
        found |= {node: (left + x, top + y) for node, (x, y) in places.items()}
        left, height = left + width, max(height, tall)
    return [found[node] for node in nodes]


def _component(graph: nx.Graph) -> tuple[dict[int, tuple[float, float]], tuple[float, float]]:
    """The places of a connected graph's nodes, and the box that they and the gap beside them take."""
    nodes = sorted(graph)
    places = np.zeros((len(nodes), 2))
    if len(nodes) > 1:
        ordered = nx.Graph()  # in the order of their numbers, so that the same graph is drawn the same way
        ordered.add_nodes_from(nodes)
        ordered.add_edges_from(sorted(graph.edges))
        places = _lying(_least_stress(ordered))
    places -= places.min(0)
    width, height = places.max(0) + _GAP
    return {node: (float(x), float(y)) for node, (x, y) in zip(nodes, places, strict=True)}, (width, height)


def _least_stress(graph: nx.Graph) -> np.ndarray:
    """The better of two layouts: one begins with a circle, the other, where there is one, with a planar drawing."""
    distance = shortest_path(nx.to_numpy_array(graph), unweighted=True)
    distances = {node: dict(zip(graph, row, strict=True)) for node, row in zip(graph, distance.tolist(), strict=True)}
    starts = [None, *([nx.planar_layout(graph)] if nx.is_planar(graph) else [])]
    found = []
    for start in starts:
        layout = nx.kamada_kawai_layout(graph, dist=distances, pos=start)
        places = np.array([layout[node] for node in graph])
        apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
        near = distance == 1
        places, apart = places / (apart[near].mean() or 1.0), apart / (apart[near].mean() or 1.0)
        stress = float((((apart - distance) / np.where(distance > 0, distance, 1)) ** 2).sum())
        found.append((stress, places - places.mean(0)))
    return min(found, key=lambda each: each[0])[1]


def _lying(places: np.ndarray) -> np.ndarray:
    """Places turned so that they are wider than high."""
    _, _, axes = np.linalg.svd(places, full_matrices=False)
    axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])[:, None]
    turned: np.ndarray = places @ axes.T
    return turned
