import matplotlib
import numpy as np
import pytest
import torch
from made_explanations import make_data, make_explanations
from matplotlib import pyplot
from matplotlib.axes import Axes

from gragr_explain.context import FEATURES
from gragr_explain.errors import InvalidArgumentError, InvalidIndexError
from gragr_explain.history import GradientHistory
from gragr_explain.report import (
    conflict_map,
    draw_features,
    draw_subgraph,
    export,
    project,
    psi_distribution,
    psi_distributions,
    role_counts,
    to_frame,
    training_curve,
    training_curves,
    trajectory,
)
from gragr_explain.report._style import class_colours, new_axes, to_svg

matplotlib.use("Agg")
SHAPES = [{}, {"labels": False}, {"regression": True}, {"flat": True}, {"nodes": [3]}, {"nodes": []}]


@pytest.fixture(autouse=True)
def closed():
    yield
    pyplot.close("all")


@pytest.mark.parametrize("options", SHAPES)
@pytest.mark.parametrize("edges", [True, False])
def test_figures_of_any_batch_can_be_drawn(options, edges):
    explanations = make_explanations(make_data(edges=edges), **options)
    psi_distributions(explanations)[0].figure.draw_without_rendering()
    role_counts(explanations).figure.draw_without_rendering()
    conflict_map(explanations, positions=np.random.default_rng(0).random((40, 2))).figure.draw_without_rendering()
    if len(explanations):
        draw_subgraph(explanations, 3).figure.draw_without_rendering()
        draw_features(explanations, 3).figure.draw_without_rendering()


def test_axes_of_the_caller_are_used(explanations, history, data):
    for draw in (
        lambda ax: psi_distribution(explanations, "conflict", ax),
        lambda ax: role_counts(explanations, ax),
        lambda ax: conflict_map(explanations, ax=ax),
        lambda ax: training_curve(history, "Loss", ax),
        lambda ax: trajectory(explanations, history, "confidence", ax),
        lambda ax: draw_subgraph(explanations, 3, ax),
        lambda ax: draw_features(explanations, 3, x=data.x, image_shape=(2, 3), ax=ax),
    ):
        ax = new_axes()
        assert draw(ax) is ax


def test_no_setting_is_touched(explanations, history):
    before = dict(matplotlib.rcParams)
    for axes in (psi_distributions(explanations), training_curves(history)):
        assert all(isinstance(ax, Axes) for ax in axes)
        assert len({ax.figure for ax in axes}) == 1
    assert dict(matplotlib.rcParams) == before


def test_what_is_drawn_is_pyplots_so_that_a_notebook_shows_it(explanations):
    ax = role_counts(explanations)
    assert pyplot.fignum_exists(ax.figure.number)
    assert pyplot.gca() is ax


def test_a_page_leaves_no_figure_behind(explanations, data, history, tmp_path):
    before = pyplot.get_fignums()
    export(explanations, tmp_path, data=data, history=history, formats=["html"])
    assert pyplot.get_fignums() == before


def test_the_map_has_every_node_once_and_rings_the_wrong_ones(explanations):
    ax = conflict_map(explanations)
    grey, coloured, rings = (len(points.get_offsets()) for points in ax.collections)
    undefined = int((~explanations.context.valid[:, 0]).sum())
    wrong = int(((explanations.label >= 0) & (explanations.label != explanations.prediction)).sum())
    assert (grey, coloured, rings) == (undefined, 40 - undefined, wrong)


def test_role_counts_add_up(explanations):
    ax = role_counts(explanations)
    counts = {name.get_text(): bar.get_width() for name, bar in zip(ax.get_yticklabels(), ax.patches, strict=True)}
    roles = [explanations.context.role(int(node)) or "not defined" for node in explanations.index]
    assert {name: count for name, count in counts.items() if count} == {role: roles.count(role) for role in set(roles)}


def test_training_curves_leave_out_what_was_not_recorded(history):
    assert [ax.get_title(loc="left") for ax in training_curves(history)] == [
        "Loss",
        "Accuracy",
        "Nodes in conflict",
    ]
    assert training_curves(GradientHistory()) == []
    assert list(training_curve(history, "Loss").lines[0].get_ydata()) == [2.0, 1.0, 0.5]


def test_a_trajectory_shows_the_medians_of_right_and_wrong_predictions(explanations, history):
    lines = {line.get_label(): line for line in trajectory(explanations, history, "norm").lines}
    correct = to_frame(explanations)["correct"]
    values = history.trajectories["norm"].values
    for label, members in (("right predictions", correct.eq(True)), ("wrong predictions", correct.eq(False))):
        expected = np.median(values[:, members.fillna(False).to_numpy(bool)], axis=1)
        np.testing.assert_allclose(lines[label].get_ydata(), expected, rtol=1e-6)
    unlabelled = trajectory(make_explanations(make_data(), labels=False), history, "confidence")
    assert [line.get_label() for line in unlabelled.lines] == ["explained nodes"]


def test_names_are_not_mathematics(data):
    hostile = ["$\\frac{$", "a & b < c", "💥", "$x$", "</svg>", "'"]
    explanations = make_explanations(data, feature_names=hostile)
    ax = draw_features(explanations, 0)
    assert "$\\frac{$" in to_svg(ax, "f")


def test_an_svg_takes_the_colours_of_its_page(explanations):
    svg = to_svg(psi_distribution(explanations, "conflict"), "one")
    assert "currentColor" in svg
    assert "var(--accent)" in svg
    assert "http" not in svg
    assert isinstance(to_svg(new_axes(), "two"), str)


def test_bad_arguments(explanations, history, data):
    with pytest.raises(InvalidArgumentError, match="'colour'"):
        psi_distribution(explanations, "colour")
    with pytest.raises(InvalidArgumentError, match="'Speed'"):
        training_curve(history, "Speed")
    with pytest.raises(InvalidArgumentError, match="'margins'"):
        trajectory(explanations, history, "margins")
    with pytest.raises(InvalidArgumentError, match="of 41 nodes over two steps or more"):
        trajectory(make_explanations(make_data(41)), history, "norm")
    with pytest.raises(InvalidArgumentError, match="over two steps or more, got one of \\[\\]"):
        trajectory(explanations, GradientHistory(), "norm")
    with pytest.raises(InvalidIndexError, match="node 99"):
        draw_subgraph(explanations, 99)
    with pytest.raises(InvalidArgumentError, match="both x and image_shape"):
        draw_features(explanations, 3, x=data.x)
    with pytest.raises(InvalidArgumentError, match=r"= 6 features, got \(3, 3\)"):
        draw_features(explanations, 3, x=data.x, image_shape=(3, 3))


@pytest.mark.parametrize(
    "hidden",
    [
        torch.randn(40, 8),
        torch.randn(40, 1),
        torch.zeros(40, 8),
        torch.randn(2, 8),
        torch.zeros(0, 8),
        torch.full((5, 2), torch.nan),
        torch.randn(3100, 8),
    ],
)
def test_projections_are_finite_inside_the_square_and_the_same_every_time(hidden):
    positions = project(hidden)
    assert positions.shape == (len(hidden), 2)
    assert ((positions >= 0) & (positions <= 1)).all()
    np.testing.assert_array_equal(positions, project(hidden))


def test_clusters_stay_together():
    centres = 20 * torch.eye(3).repeat_interleave(20, dim=0)
    positions = project(centres + torch.randn(60, 3, generator=torch.Generator().manual_seed(0)))
    means = positions.reshape(3, 20, 2).mean(axis=1, keepdims=True)
    spread = np.linalg.norm(positions.reshape(3, 20, 2) - means, axis=-1).max()
    apart = min(np.linalg.norm(means[i] - means[j]) for i in range(3) for j in range(i))
    assert apart > 2 * spread


@pytest.mark.parametrize("count", [0, 1, 10, 57])
def test_classes_have_different_colours(count):
    colours = class_colours(count)
    assert len(set(colours)) == len(colours) == count
    assert all(len(colour) == 7 and int(colour[1:], 16) >= 0 for colour in colours)


def test_features_are_the_pages():
    from gragr_explain.report._psi import WORDING

    assert tuple(WORDING) == FEATURES
