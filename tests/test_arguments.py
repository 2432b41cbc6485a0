"""Every number that a public function takes is checked, with an error that names it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from types import SimpleNamespace

import pytest
import torch
from matplotlib import pyplot as plt
from torch_geometric.data import Data
from torch_geometric.explain import Explainer
from torch_geometric.nn import GCN

import gragr_explain
from gragr_explain import (
    audit,
    checkpoint,
    condensation,
    context,
    datasets,
    editing,
    explain,
    field,
    history,
    models,
    rationale,
    report,
    streaming,
    training,
)
from gragr_explain.arguments import check_names, check_number, check_type
from gragr_explain.errors import GragrError, InvalidArgumentError, InvalidTypeError

RESULTS = {  # what is returned to users, who need not make one
    "Audit", "Checkpoint", "Edit", "Explanations", "Facts", "FieldRecord", "FrequencyProfile", "GraphExplanations",
    "MultiTaskResult", "PsiFact", "Selection", "Trajectory",
}  # fmt: skip
INSIDE = {  # called by the package's own wrappers, with what those have checked
    "AdaptiveScheduler.open", "GradientContextExplainer.explain_nodes", "GradientContextExplainer.trials",
    "MultiTaskModel.represent", "Switches",
}  # fmt: skip


def numbers_of(function) -> dict[str, tuple[bool, bool]]:
    """The parameters that are numbers: whether each is an integer, and whether it may be ``None``."""
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        kinds = set(str(parameter.annotation).replace("'", "").replace(" ", "").split("|"))
        if kinds <= {"int", "float", "None"} and kinds & {"int", "float"}:
            found[name] = "int" in kinds, "None" in kinds
    return found


def public() -> dict[str, dict[str, tuple[bool, bool]]]:
    """Every public function, class and method that takes a number, by name."""
    found = {}
    for package in pkgutil.iter_modules(gragr_explain.__path__):
        module = importlib.import_module(f"gragr_explain.{package.name}") if package.ispkg else None
        for name in getattr(module, "__all__", []):
            thing = getattr(module, name)
            if not (inspect.isclass(thing) or inspect.isfunction(thing)) or name in RESULTS:
                continue
            members = {name: thing}
            if inspect.isclass(thing):
                methods = inspect.getmembers(thing, inspect.isfunction)
                members |= {f"{name}.{key}": method for key, method in methods if method.__module__[:5] == "gragr"}
            for key, member in members.items():
                if "._" in key or key in INSIDE or not (numbers := numbers_of(member)):
                    continue
                found[key] = numbers
    return found


PUBLIC = public()
CASES = [(name, parameter) for name, numbers in PUBLIC.items() for parameter in numbers]


@pytest.fixture(scope="module")
def things(tmp_path_factory):
    """A small graph, a model that was trained on it, and what was found of both."""
    torch.manual_seed(0)
    edges = torch.randint(0, 30, (2, 60))
    data = Data(x=torch.rand(30, 6), edge_index=torch.cat([edges, edges.flip(0)], 1), y=torch.arange(30) % 3)
    data.train_mask, data.val_mask = torch.arange(30) < 21, torch.arange(30) >= 21

    def gcn():
        return GCN(6, 8, 2, 3)

    config = {"mode": "multiclass_classification", "task_level": "node", "return_type": "raw"}
    ours = Explainer(
        gcn(),
        explain.GradientContextExplainer(),
        explanation_type="model",
        edge_mask_type="object",
        model_config=config,
    )
    return SimpleNamespace(
        data=data,
        gcn=gcn,
        ours=ours,
        found=explain.explain_many(ours, data, progress=False),
        trained=training.GraGR(gcn()).fit(data, epochs=3, progress=False),
        condensed=condensation.condense(data, 0.3, epochs=1, progress=False),
        folder=tmp_path_factory.mktemp("arguments"),
    )


@pytest.fixture(scope="module")
def calls(things):
    """How each is called with arguments that it takes, but for one number."""
    gcn, data, found, ours, trained = things.gcn, things.data, things.found, things.ours, things.trained
    ends, grad, folder, condensed = data.edge_index, torch.rand(30, 4), things.folder, things.condensed
    causes = context.influences(trained, data, 0)
    reasoner = context.Reasoner(8)
    psi, valid = torch.rand(30, 6), torch.ones(30, 6, dtype=torch.bool)
    pair = torch.tensor([[0, 1], [1, 0]])
    toys = [Data(x=torch.rand(2, 1), edge_index=pair, y=torch.tensor([[k % 2, k % 2]])) for k in range(4)]
    losses = torch.ones(3, requires_grad=True)
    tasks = training.MultiTaskModel(GCN(1, 8, 2), 8, num_classes=[2, 2])
    table = condensation.prototypes(condensed, data)
    none: list = [[], []]
    of_graphs = explain.GraphExplanations(
        index=torch.arange(2), prediction=torch.arange(2), confidence=torch.ones(2), label=None, edges=none,
        features=none, changes=[None, None], rationales=none, reliability=none, num_graphs=2,
    )  # fmt: skip
    return {
        "GraphOperator": lambda **k: field.GraphOperator(ends, **{"num_nodes": 30, **k}),
        "check_edges": lambda **k: field.check_edges(ends, **{"num_nodes": 30, **k}),
        "conjugate_gradient_smooth": lambda **k: field.conjugate_gradient_smooth(
            grad, ends, **{"lambda_smooth": 1.0, **k}
        ),
        "detect_conflicts": lambda **k: field.detect_conflicts(grad, grad, **k),
        "gradient_attention": lambda **k: field.gradient_attention(grad, ends, **k),
        "jacobi_smooth": lambda **k: field.jacobi_smooth(grad, ends, **{"lambda_smooth": 1.0, "iterations": 2, **k}),
        "GradientHistory.check_graph": trained.history.check_graph,
        "GradientRecorder": lambda **k: history.GradientRecorder(gcn(), data, **k),
        "hidden_layer": lambda **k: history.hidden_layer([grad, grad], grad, **k),
        "NodeExplanations.class_name": found.class_name,
        "GradientContext.role": lambda **k: found.context.role(**k),
        "Influences.proponents": lambda **k: causes.proponents(**k),
        "Influences.opponents": lambda **k: causes.opponents(**k),
        "Reasoner": lambda **k: context.Reasoner(**{"hidden_channels": 8, **k}),
        "Reasoner.fit": lambda **k: reasoner.fit(psi, valid, torch.rand(30, 8), **k),
        "AdaptiveScheduler": training.AdaptiveScheduler,
        "GraGR": lambda **k: training.GraGR(gcn(), **k),
        "GraGR.fit": lambda **k: training.GraGR(gcn()).fit(data, **{"epochs": 2, "progress": False, **k}),
        "GraGRPlusPlus": lambda **k: training.GraGRPlusPlus(gcn(), **k),
        "GraGRPlusPlus.fit": lambda **k: training.GraGRPlusPlus(gcn()).fit(
            data, **{"epochs": 2, "progress": False, **k}
        ),
        "MultiTaskModel": lambda **k: training.MultiTaskModel(GCN(1, 8, 2), num_classes=[2, 2], **k),
        "first_field": lambda **k: training.first_field(data.y, data.train_mask, **k),
        "project_tasks": lambda **k: training.project_tasks(torch.rand(2, 3, 4), **k),
        "reweight": lambda **k: training.reweight(torch.ones(3), torch.rand(3), **k),
        "select_trajectory": lambda **k: training.select_trajectory(
            gcn(), data, **{"seeds": 2, "epochs": 1, "lr": 0.1, "weight_decay": 0.0, **k}
        ),
        "train_multitask": lambda **k: training.train_multitask(
            tasks, toys, toys, **{"epochs": 1, "progress": False, **k}
        ),
        "validation_hypergradient": lambda **k: training.validation_hypergradient(losses * 1, [losses], [losses], **k),
        "LLMWriter": lambda **k: rationale.LLMWriter(**k),
        "GradientContextExplainer": explain.GradientContextExplainer,
        "OcclusionExplainer": explain.OcclusionExplainer,
        "explain_many": lambda **k: explain.explain_many(ours, data, **k),
        "explain_parts": lambda **k: list(explain.explain_parts(ours, data, **k)),
        "audit": lambda **k: audit.audit(trained, data, progress=False, **k),
        "StitchedMLP": lambda **k: editing.StitchedMLP(gcn(), data, **k),
        "StitchedMLP.fit": lambda **k: editing.StitchedMLP(gcn(), data).fit(data, **k),
        "edit": lambda **k: editing.edit(trained, data, 0, 1, **k),
        "edit_independently": lambda **k: editing.edit_independently(trained, data, [0], [1], **k),
        "edit_sequence": lambda **k: editing.edit_sequence(trained, data, [0], [1], **k),
        "node_subsets": lambda **k: editing.node_subsets(torch.arange(9), torch.arange(9), **k),
        "GRAFF": lambda **k: models.GRAFF(**{"in_channels": 6, "hidden_channels": 8, "num_layers": 2, **k}),
        "ChannelMixing": lambda **k: models.ChannelMixing(**{"channels": 4, **k}),
        "GRAFFConv": lambda **k: models.GRAFFConv(**{"channels": 4, **k}),
        "flow_energy": lambda **k: models.flow_energy(grad, grad, torch.eye(4), source=grad, **k),
        "limit_dominance": lambda **k: models.limit_dominance(torch.eye(4), **{"largest": 2.0, **k}),
        "CondensationSettings": condensation.CondensationSettings,
        "condense": lambda **k: condensation.condense(data, **{"ratio": 0.3, "progress": False, **k}),
        "draw_prototypes": lambda **k: condensation.draw_prototypes(table, plt.figure().add_subplot(), **k),
        "prototypes": lambda **k: condensation.prototypes(condensed, data, **k),
        "choose_cards": lambda **k: report.choose_cards(found, **k),
        "choose_graphs": lambda **k: report.choose_graphs(of_graphs, **k),
        "draw_features": lambda **k: report.draw_features(found, **k),
        "draw_subgraph": lambda **k: report.draw_subgraph(found, **k),
        "load_dataset": lambda **k: datasets.load_dataset("digits", **k),
        "load_graph_tasks": lambda **k: datasets.load_graph_tasks("MUTAG", **k),
        "build_model": lambda **k: checkpoint.build_model("GCN", **{"in_channels": 2, "out_channels": 2, **k}),
        "save_checkpoint": lambda **k: checkpoint.save_checkpoint(trained, folder, dataset="digits", **k),
        "export_on_ray": lambda **k: streaming.export_on_ray(
            ours, data, folder, **{"load": lambda: (ours, data), "workers": 1, **k}
        ),
        "stream_export": lambda **k: streaming.stream_export(ours, data, folder, **k),
    }  # fmt: skip


@pytest.fixture(scope="module")
def typed(things):
    """How each is called with arguments that it takes, but for one, by name."""

    def of(function, **given):
        return lambda **changed: function(**{**given, **changed})

    gcn, data, found, ours, trained = things.gcn, things.data, things.found, things.ours, things.trained
    grad, graph, model = torch.rand(30, 4), field.GraphOperator(data.edge_index, 30), gcn()
    frame, facts = report.to_frame(found), rationale.Facts("node 1", "a", 0.9, None, (), None, "self", (), ())
    done = editing.edit(trained, data, 0, 1, method="gd")
    psi, valid = torch.rand(30, 6), torch.ones(30, 6, dtype=torch.bool)
    losses = torch.ones(2, requires_grad=True)
    profiles = models.frequency_history(trained, data)
    on_graph = {"model": model, "objective": torch.sum, "x": data.x, "edge_index": data.edge_index}
    return {
        "alignment": of(field.alignment, field=grad, context=grad),
        "conflict_hypergradient": of(
            training.conflict_hypergradient, losses=losses, weights=losses, hidden=losses, graph=graph
        ),
        "conflict_map": of(report.conflict_map, explanations=found),
        "conflict_term": of(training.conflict_term, loss=losses.sum(), hidden=losses, graph=graph),
        "correct_field": of(training.correct_field, field=grad, graph=graph, settings=training.TABLE_5["GCN"]),
        "detect_conflicts": of(field.detect_conflicts, field=grad, context=grad),
        "distinct_names": rationale.distinct_names,
        "draw_features": of(report.draw_features, explanations=found, node=0, x=data.x, image_shape=(2, 3)),
        "draw_subgraph": of(report.draw_subgraph, explanations=found, node=0),
        "edit_sentences": editing.edit_sentences,
        "first_field": of(training.first_field, y=data.y, train_mask=data.train_mask, num_classes=3),
        "gradient_attention": of(field.gradient_attention, field=grad, graph=data.edge_index),
        "gre": of(editing.gre, gradient=torch.ones(2), anchor=torch.ones(2)),
        "gre_plus": of(editing.gre_plus, gradient=torch.ones(2), anchors=torch.ones(1, 2)),
        "harmonic_energy": of(field.harmonic_energy, field=grad, graph=data.edge_index),
        "input_gradients": of(explain.input_gradients, **on_graph),
        "json_lines": lambda **k: next(report.json_lines(**k)),
        "judge": rationale.judge,
        "largest_frequency": field.largest_frequency,
        "layer_gradients": of(explain.layer_gradients, **on_graph),
        "layer_sizes": of(training.layer_sizes, model=model, example=lambda: model(data.x, data.edge_index)),
        "node_subsets": of(editing.node_subsets, y=data.y, nodes=torch.arange(9), num_subsets=2),
        "plot_frequencies": of(models.plot_frequencies, profile=profiles[0]),
        "plot_frequency_history": of(models.plot_frequency_history, profiles=profiles),
        "project": report.project,
        "project_conflicts": of(
            field.project_conflicts, field=grad, context=grad, conflict=torch.ones(30, dtype=torch.bool)
        ),
        "project_tasks": training.project_tasks,
        "psi_distribution": of(report.psi_distribution, explanations=found, feature="conflict"),
        "psi_distributions": report.psi_distributions,
        "psi_features": of(context.psi_features, field=grad, graph=data.edge_index),
        "quantile_ranks": of(context.quantile_ranks, psi=psi, valid=valid),
        "read_explanations": of(
            streaming.read_explanations,
            export=streaming.stream_export(ours, data, things.folder / "written", progress=False),
            explainer=ours,
            data=data,
        ),
        "relative_conflict": of(training.relative_conflict, field=grad, graph=graph),
        "render_edit": of(editing.render_edit, edit=done, data=data, title=""),
        "reweight": of(training.reweight, weights=torch.ones(2), hypergradient=torch.ones(2), rate=None),
        "role_counts": of(report.role_counts, explanations=found),
        "select_trajectory": of(
            training.select_trajectory, model=model, data=data, seeds=1, epochs=1, lr=0.1, weight_decay=0.0
        ),
        "summarise_edit": of(editing.summarise_edit, edit=done, data=data),
        "task_conflict_energy": field.task_conflict_energy,
        "to_table": report.to_table,
        "training_curve": of(report.training_curve, history=trained.history, panel="Loss"),
        "training_curves": report.training_curves,
        "trajectory": of(report.trajectory, explanations=found, history=trained.history, name="confidence"),
        "validation_hypergradient": of(
            training.validation_hypergradient, losses=losses, parameters=[losses], val_gradient=[losses], step_size=1.0
        ),
        "write_jsonl": of(report.write_jsonl, frame=frame, path=things.folder / "table.jsonl"),
        "write_parquet": of(report.write_parquet, frame=frame, path=things.folder / "table.parquet"),
        "build_messages": of(rationale.build_messages, facts=facts),
        "build_prompt": of(rationale.build_prompt, facts=facts),
        "choose_cards": of(report.choose_cards, explanations=found),
        "choose_graphs": report.choose_graphs,
        "build_model": of(checkpoint.build_model, in_channels=2, out_channels=2),
        "check_grounding": of(rationale.check_grounding, text="", facts=None),
        "condense": of(condensation.condense, data=data, ratio=0.3, epochs=1, progress=False),
        "edit": of(editing.edit, model=trained, data=data, index=0, target=1),
        "explain_many": of(explain.explain_many, explainer=ours, data=data, progress=False),
        "explain_parts": of(explain.explain_parts, explainer=ours, data=data),
        "export": of(report.export, explanations=found, folder=things.folder / "export", data=data),
        "frequency_profile": of(models.frequency_profile, model=gcn(), data=data),
        "influences": of(context.influences, model=trained, data=data),
        "load_checkpoint": checkpoint.load_checkpoint,
        "load_dataset": of(datasets.load_dataset, name="Cora"),
        "prototypes": of(condensation.prototypes, condensed=things.condensed, data=data),
        "save_checkpoint": of(checkpoint.save_checkpoint, trained=trained, folder=things.folder, dataset="digits"),
        "stream_export": of(streaming.stream_export, explainer=ours, data=data, folder=things.folder / "stream"),
        "to_frame": report.to_frame,
        "GradientContextExplainer": explain.GradientContextExplainer,
        "GradientHistory.load": history.GradientHistory.load,
        "GradientRecorder": of(history.GradientRecorder, model=gcn()),
        "GraGR": training.GraGR,
        "GraGR.fit": of(training.GraGR(gcn()).fit, epochs=1, progress=False),
        "LLMWriter": rationale.LLMWriter,
        "StitchedMLP": of(editing.StitchedMLP, model=gcn(), data=data),
    }


def test_every_public_number_has_a_call(calls):
    assert calls.keys() == PUBLIC.keys()


@pytest.mark.parametrize(("name", "parameter"), CASES, ids=lambda part: part)
def test_no_number_is_taken_on_trust(calls, name, parameter):
    whole, may_be_none = PUBLIC[name][parameter]
    wrong = ["3", [1], torch.tensor([1, 2]), object(), True, 1 + 2j]
    wrong += [1.5, float("nan"), float("inf"), 2**70] if whole else [float("nan")]
    wrong += [] if may_be_none else [None]
    for value in wrong:
        with pytest.raises(GragrError) as caught:
            calls[name](**{parameter: value})
        assert parameter in str(caught.value), caught.value


TYPED = {
    "alignment": "field context",
    "build_messages": "facts",
    "build_model": "name",
    "build_prompt": "facts",
    "choose_cards": "explanations",
    "choose_graphs": "explanations",
    "conflict_hypergradient": "losses weights hidden",
    "conflict_map": "explanations positions ax",
    "conflict_term": "loss hidden graph exact",
    "correct_field": "field graph settings",
    "detect_conflicts": "field context norm",
    "distinct_names": "names",
    "draw_features": "explanations x image_shape ax",
    "draw_subgraph": "explanations ax",
    "edit_sentences": "summary",
    "first_field": "y train_mask",
    "gradient_attention": "field graph",
    "gre": "gradient anchor",
    "gre_plus": "gradient anchors",
    "harmonic_energy": "field graph w",
    "input_gradients": "model objective x edge_index",
    "json_lines": "table",
    "judge": "facts",
    "largest_frequency": "graph",
    "layer_gradients": "model objective x edge_index",
    "layer_sizes": "model example",
    "node_subsets": "y nodes",
    "plot_frequencies": "profile ax",
    "plot_frequency_history": "profiles ax",
    "project": "hidden",
    "project_conflicts": "field context conflict",
    "project_tasks": "fields",
    "psi_distribution": "explanations feature ax",
    "psi_distributions": "explanations",
    "psi_features": "field graph confidence scope",
    "quantile_ranks": "psi valid",
    "read_explanations": "export data",
    "relative_conflict": "field graph",
    "render_edit": "edit data",
    "reweight": "weights hypergradient",
    "role_counts": "explanations ax",
    "select_trajectory": "model data batched",
    "summarise_edit": "edit data",
    "task_conflict_energy": "fields",
    "to_table": "frame",
    "training_curve": "history panel ax",
    "training_curves": "history",
    "trajectory": "explanations history name ax",
    "validation_hypergradient": "losses parameters val_gradient",
    "write_jsonl": "frame path",
    "write_parquet": "frame path",
    "check_grounding": "text facts",
    "condense": "data settings folder",
    "edit": "model data method",
    "explain_many": "explainer data",
    "explain_parts": "explainer data",
    "export": "explanations folder data history cards frequencies prototypes influences formats image_shape",
    "frequency_profile": "model data",
    "influences": "model data",
    "load_checkpoint": "folder",
    "load_dataset": "name root",
    "prototypes": "condensed data model feature_names class_names",
    "save_checkpoint": "trained folder",
    "stream_export": "explainer data folder",
    "to_frame": "explanations",
    "GradientContextExplainer": "history evidence train_data scope writer class_names feature_names node_names",
    "GradientHistory.load": "folder",
    "GradientRecorder": "model data snapshots",
    "GraGR": "model",
    "GraGR.fit": "data",
    "LLMWriter": "model dtype device examples",
    "StitchedMLP": "model data",
}
"""What else is checked, of each."""


@pytest.mark.parametrize(("name", "parameter"), [(name, each) for name in TYPED for each in TYPED[name].split()])
def test_nothing_of_another_type_is_taken(typed, name, parameter):
    wrong = [3, object()] if parameter.endswith("names") else [3, object(), [object()]]  # names can be anything
    for value in wrong:
        with pytest.raises(GragrError):
            typed[name](**{parameter: value})


@pytest.mark.parametrize(
    ("value", "options", "problem"),
    [
        (0, {"least": 1}, "of at least 1, got 0"),
        (float("inf"), {"least": 0}, "of at least 0, got inf"),
        (2, {"within": "[0, 1]"}, "in [0, 1], got 2"),
        (0, {"within": "(0, 1)"}, "in (0, 1), got 0"),
        (1, {"within": "(0, 1)"}, "in (0, 1), got 1"),
        (float("inf"), {"within": "[0, inf)"}, "in [0, inf), got inf"),
        (float("nan"), {"within": "(0, 1)"}, "in (0, 1), got nan"),
        (float("nan"), {}, "as a number, got nan"),
        (2**63, {"whole": True}, "of 64 bits"),
    ],
)
def test_ranges_are_named(value, options, problem):
    with pytest.raises(InvalidArgumentError, match=re.escape(f"expected it {problem}")):
        check_number("it", value, **options)


def test_what_is_in_range_is_taken():
    numpy = pytest.importorskip("numpy")
    check_number("it", float("inf"))
    check_number("it", numpy.int64(3), whole=True, within="[3, 3]")
    check_number("it", numpy.float32(0.5), within="(0, 1)")
    check_number("it", float("inf"), within="[0, inf]")
    check_number("it", 10**400, least=0)


def test_a_type_is_named():
    with pytest.raises(InvalidTypeError, match="expected data as a Data, got str"):
        check_type("data", "Cora", Data)


@pytest.mark.parametrize("names", [{0: "Ada", 1: "Bea"}, {"Ada", "Bea"}, "Ada", 3])
def test_names_are_in_a_sequence(names):
    with pytest.raises(InvalidTypeError, match="expected node_names as a sequence of names"):
        check_names("node_names", names)
    check_names("node_names", list({0: "Ada", 1: "Bea"}.values()))


def test_names_can_be_written():
    """Half of a surrogate pair, as a file name of another encoding has it, is no text that a table can hold."""
    with pytest.raises(InvalidArgumentError, match=r"class_names that are Unicode text, .* '\\ud800'"):
        check_names("class_names", ["a", "a\ud800"])
    check_names("class_names", ["\U0001f98a", "日本", 3])
