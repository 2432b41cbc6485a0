"""The fidelity benchmark: its scores by hand, its protocol, and that nothing is measured twice or read half-written."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.explain import Explainer, ExplainerAlgorithm, Explanation
from torch_geometric.explain.metric import fidelity
from torch_geometric.explain.metric import unfaithfulness as pyg_unfaithfulness
from torch_geometric.nn import GCN, GIN

from benchmarks.fidelity import _jobs, _scores
from benchmarks.fidelity._baselines import distance, pagerank
from benchmarks.fidelity._cases import _Cut, _draw, problem
from benchmarks.fidelity._explainers import EXPLAINERS, Masks, prepare
from benchmarks.fidelity._instance import Instance, Problem, probabilities
from benchmarks.fidelity._motifs import MOTIF_DATASETS, motif_graph
from benchmarks.fidelity._pages import write_pages
from benchmarks.fidelity._parts import case_jobs, explainer_jobs, grouped, score_jobs
from benchmarks.fidelity._tables import USES, against, cells, characterisation, ranks
from gragr_explain import GraGR
from gragr_explain.checkpoint import build_model
from gragr_explain.messages import masked_output

ROOT = Path(__file__).parents[2]
EDGES = torch.tensor([[1, 2, 3, 4, 0, 2], [0, 0, 1, 2, 1, 1]])


def tiny(backbone=GCN, *, predicted=0, label=0) -> tuple[Problem, Instance]:
    torch.manual_seed(0)
    model = backbone(3, 8, num_layers=2, out_channels=3).eval()
    x = torch.rand(5, 3)
    instance = Instance(
        name=7,
        x=x,
        edge_index=EDGES,
        index=0,
        predicted=predicted,
        label=label,
        heard=torch.tensor([True, True, True, True, True, True]),
        truth=torch.tensor([True, True, False, False, False, False]),
    )
    case = Problem("tiny", "GCN", "node", model, {}, [instance], [instance], [instance], [], 3)
    return case, instance


class Given(ExplainerAlgorithm):
    """Explains by masks that are given."""

    def __init__(self, mask):
        super().__init__()
        self.mask = mask

    def forward(self, model, x, edge_index, **kwargs):
        return Explanation(edge_mask=self.mask)

    def supports(self):
        return True


def rows_of(case: Problem, instance: Instance, target: int, edges, features=None) -> dict[str, dict]:
    found = _scores._rows(case, instance, target, lambda instance, target: Masks(edges, features))
    return {row["mask"]: row for row in found}


@pytest.mark.parametrize("backbone", [GCN, GIN])
def test_scores_are_those_of_masks_one_by_one(backbone):
    case, instance = tiny(backbone)
    importance = torch.tensor([0.5, 0.1, 0.9, 0.0, 0.3, 0.7])
    found = rows_of(case, instance, 2, importance)
    chosen = {"3": [2, 5, 0], "5": [2, 5, 0, 4, 1], "10": [2, 5, 0, 4, 1], "20 %": [2, 5], "50 %": [2, 5, 0]}
    for name, edges in chosen.items():
        mask = torch.zeros(6)
        mask[edges] = 1
        for part, factors in (("full", torch.ones(6)), ("kept", mask), ("removed", 1 - mask)):
            with torch.no_grad():
                probs = masked_output(case.model, factors, instance.x, EDGES)[0].softmax(-1)
            assert found[name][f"p_{part}"] == pytest.approx(float(probs[2]), abs=1e-6)
            assert found[name][f"pred_{part}"] == int(probs.argmax())
        assert found[name]["num_edges"] == len(edges)
    with torch.no_grad():
        soft = masked_output(case.model, importance, instance.x, EDGES)[0].softmax(-1)[2]
    assert found["soft"]["p_kept"] == pytest.approx(float(soft), abs=1e-6)
    assert found["soft"]["truth_auroc"] == pytest.approx(3 / 8)  # of pairs of a true and another edge, ordered rightly
    assert found["soft"]["truth_recall"] == 0


def test_unfaithfulness_and_fidelity_are_those_of_pyg():
    case, instance = tiny()
    importance = torch.tensor([0.5, 0.1, 0.9, 0.0, 0.3, 0.7])
    explainer = Explainer(
        case.model,
        Given(importance),
        explanation_type="model",
        edge_mask_type="object",
        model_config={"mode": "multiclass_classification", "task_level": "node", "return_type": "raw"},
    )
    explanation = explainer(instance.x, EDGES, index=0)
    target = int(explanation.prediction[0].argmax())
    found = rows_of(case, instance, target, importance)["soft"]
    assert found["unfaithfulness"] == pytest.approx(pyg_unfaithfulness(explainer, explanation), abs=1e-5)
    rows = pd.DataFrame([{**found, "dataset": "d", "backbone": "b", "explainer": "e", "focus": "model"}])
    own = cells(rows).iloc[0]
    assert (own.plus_pred, own.minus_pred) == pytest.approx(fidelity(explainer, explanation))


def test_cells_are_means_over_instances_and_characterisation_by_hand():
    row = {"dataset": "d", "backbone": "b", "explainer": "e", "focus": "model", "mask": "10", "target": 0}
    row |= {"pred_full": 0, "num_edges": 10, "seconds": 1.0, "unfaithfulness": float("nan"), "p_full": 0.9}
    first = {**row, "p_kept": 0.7, "p_removed": 0.3, "pred_kept": 0, "pred_removed": 1}
    second = {**row, "p_kept": 0.5, "p_removed": 0.5, "pred_kept": 1, "pred_removed": 1}
    failed = {**row, "mask": "", "error": "no"}
    own = cells(pd.DataFrame([first, second, failed])).iloc[0]
    assert own["plus"] == pytest.approx(0.5)
    assert own["minus"] == pytest.approx(0.3)
    assert own["score"] == pytest.approx(2 / (1 / 0.5 + 1 / 0.7))
    assert (own["plus_pred"], own["minus_pred"], own["count"]) == (1.0, 0.5, 2)
    assert own["score_pred"] == pytest.approx(2 / (1 / 1 + 1 / 0.5))


def test_characterisation_is_zero_where_nothing_is_lost_or_nothing_kept():
    found = characterisation(pd.Series([0.0, -0.2, 0.5, 1.0]), pd.Series([0.0, 0.1, 1.0, 0.0]))
    assert found.tolist() == [0, 0, 0, 1]


def test_features_are_kept_alone_or_set_to_zero():
    case, instance = tiny()
    instance.x[3] = 0  # of which none is chosen
    mask = torch.arange(15.0).view(5, 3)
    found = rows_of(case, instance, 1, torch.ones(6), mask)
    kept = instance.x.clone()
    kept[0, :2] = 0  # of the twelve that are not zero, the two of least importance
    with torch.no_grad():
        p_kept = case.model(kept, EDGES)[0].softmax(-1)[1]
        p_removed = case.model(instance.x - kept, EDGES)[0].softmax(-1)[1]
    assert found["features 10"]["p_kept"] == pytest.approx(float(p_kept), abs=1e-6)
    assert found["features 10"]["p_removed"] == pytest.approx(float(p_removed), abs=1e-6)
    assert found["features 10 %"]["num_edges"] == 2


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=30), st.integers(0, 5))
def test_hard_masks_keep_the_largest_and_never_a_zero(values, seed):
    edges = torch.tensor(values)
    order = torch.randperm(len(values), generator=torch.Generator().manual_seed(seed))
    heard = torch.ones(len(values), dtype=torch.bool)
    for name, mask in _scores.hard_masks(edges, heard, order).items():
        size = math.ceil(int(name[:-2]) * len(values) / 100) if name.endswith("%") else int(name)
        kept = edges[mask > 0]
        assert len(kept) == min(size, int((edges > 0).sum()))
        assert bool((kept > 0).all())
        assert sorted(kept.tolist(), reverse=True) == sorted(values, reverse=True)[: len(kept)]


def test_ties_do_not_favour_the_order_of_edges():
    edges, heard = torch.ones(20), torch.ones(20, dtype=torch.bool)
    first = 0.0
    for name in range(400):
        instance = Instance(name, torch.rand(2, 1), torch.zeros(2, 20, dtype=torch.long), 0, 0, 0, heard)
        order = _scores.tie_order(instance)
        assert torch.equal(order, _scores.tie_order(instance))  # alike for all explainers
        first += float(_scores.hard_masks(edges, heard, order)["5"][:5].sum())
    assert first / 400 == pytest.approx(1.25, abs=0.2)  # of five edges, as many as chance has among the first five


def test_importance_of_what_is_not_heard_does_not_count():
    case, instance = tiny()
    heard = torch.tensor([True, True, True, False, True, True])
    for name in ("random", "Saliency"):
        explain = prepare(name, case)
        masks = explain(Instance(**{**vars(instance), "heard": heard}), 0)
        assert masks.edges[3] == 0
        assert bool((masks.edges >= 0).all())


def test_an_explainer_that_fails_is_recorded_and_stops_nothing(monkeypatch):
    def fail(instance, target):
        raise RuntimeError("cannot\nfor many reasons")

    case, instance = tiny(predicted=1, label=0)
    (row,) = _scores._rows(case, instance, 0, fail)
    assert (row["mask"], row["error"]) == ("", "RuntimeError: cannot")

    monkeypatch.setattr(_scores, "problem", lambda *args: case)
    monkeypatch.setattr(_scores, "prepare", lambda *args: fail)
    job = {"dataset": "tiny", "backbone": "GCN", "explainer": "any", "instances": 1, "seed": 0}
    assert [row["focus"] for row in _scores.measure(job)] == ["model", "phenomenon"]


def test_the_two_foci_explain_again_only_where_the_prediction_is_wrong(monkeypatch):
    targets = []

    def explain(instance, target):
        targets.append(target)
        return Masks(torch.ones(6))

    job = {"dataset": "tiny", "backbone": "GCN", "explainer": "any", "instances": 1, "seed": 0}
    for predicted, expected in ((0, [0]), (2, [2, 0])):
        case, _ = tiny(predicted=predicted, label=0)
        monkeypatch.setattr(_scores, "problem", lambda *args, case=case: case)
        monkeypatch.setattr(_scores, "prepare", lambda *args: explain)
        targets.clear()
        rows = pd.DataFrame(_scores.measure(job))
        assert targets == expected
        assert rows.groupby("focus").size().tolist() == [len(_scores.EDGE_MASKS)] * 2
        assert set(rows[rows.focus == "phenomenon"].target) == {0}


def test_every_explainer_is_the_same_twice_and_leaves_the_model_alone():
    case, instance = tiny()
    case = Problem(**{**vars(case), "training_instances": [instance]})
    before = {name: value.clone() for name, value in case.model.state_dict().items()}
    for name in EXPLAINERS:
        if name in ("AttentionExplainer", "GraphMaskExplainer") or "history" in name:
            continue
        first, second = (prepare(name, case, seed=3)(instance, 1) for _ in range(2))
        assert torch.equal(first.edges, second.edges), name
        assert (first.features is None) == (second.features is None)
    assert case.model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in case.model.state_dict().items())


def test_captum_attributes_to_edges_what_it_does_without_features():
    """Which is why one call of it serves both, save where it integrates along a path."""
    case, instance = tiny()
    for name in ("Saliency", "InputXGradient", "Deconvolution", "GuidedBackprop"):
        both = prepare(name, case)(instance, 1)
        without = prepare(name, Problem(**{**vars(case), "dataset": MOTIF_DATASETS[0]}))(instance, 1)
        assert without.features is None
        assert torch.allclose(both.edges, without.edges, atol=1e-7), name


def test_baselines_by_hand():
    case, instance = tiny()
    assert distance(instance).tolist() == [1, 1, 1 / 2, 1 / 2, 1 / 2, 1 / 2]
    walk = torch.zeros(5, 5)  # from receivers to senders
    for sender, receiver in EDGES.t().tolist():
        walk[receiver, sender] = 1 / int((EDGES[1] == receiver).sum())
    start = torch.tensor([1.0, 0, 0, 0, 0])
    rank = start
    for _ in range(300):
        lost = 1 - (0.85 * (rank @ walk)).sum()
        rank = 0.85 * (rank @ walk) + lost * start
    score = rank[EDGES[0]] + rank[EDGES[1]]
    assert torch.allclose(pagerank(case, instance), score / score.max(), atol=1e-5)


@pytest.mark.parametrize("name", MOTIF_DATASETS)
def test_motifs_are_whole_and_the_same_twice(name):
    data = motif_graph(name)
    again = motif_graph(name)
    assert torch.equal(data.edge_index, again.edge_index)
    sizes = {"house": 12, "BAShapes": 12, "cycle": 12, "grid": 24}
    assert set(torch.bincount(data.edge_motif[data.edge_motif >= 0]).tolist()) == {sizes[name.split("-")[-1]]}
    assert torch.equal(data.node_motif >= 0, data.y > 0)
    inside = data.edge_motif >= 0
    assert torch.equal(data.edge_motif[inside], data.node_motif[data.edge_index[1, inside]])
    assert bool((data.train_mask.int() + data.val_mask.int() + data.test_mask.int() == 1).all())


@pytest.mark.parametrize("backbone", ["GCN", "GAT", "GIN", "GraphSAGE"])
def test_a_computation_graph_gives_the_prediction_of_the_whole_under_any_mask(backbone):
    data = motif_graph("ER-house", with_degree=True)
    torch.manual_seed(0)
    model = build_model(backbone, 10, 4, num_layers=2).eval()
    with torch.no_grad():
        output = model(data.x, data.edge_index)
    instance = _Cut(data, 2, with_degrees=backbone == "GCN").instance(model, output, 310)
    case = Problem("ER-house", backbone, "node", model, {}, [instance], [], [], [data], 4)
    mask = torch.rand(instance.num_edges)
    whole = torch.ones(data.num_edges)
    whole[instance.origin] = mask
    with torch.no_grad():
        expected = masked_output(model, whole, data.x, data.edge_index)[310].softmax(-1)
    assert torch.allclose(probabilities(case, instance, mask.unsqueeze(0))[0], expected, atol=1e-5)
    unheard = torch.where(instance.heard, mask, 0)
    assert torch.allclose(probabilities(case, instance, unheard.unsqueeze(0))[0], expected, atol=1e-5)


def test_instances_beyond_the_test_nodes_are_none_that_settings_are_chosen_by():
    train, val, test = _draw(range(100), range(100, 160), range(200, 230))
    assert (len(train), len(val), len(test)) == (30, 20, 50)
    assert set(range(200, 230)) < set(test)
    assert not set(val) & set(test)


def test_a_history_that_is_shuffled_is_another_nodes():
    from benchmarks.fidelity._shuffled import shuffled

    data = motif_graph("tree-cycle", with_degree=True)
    torch.manual_seed(0)
    trained = GraGR(build_model("GCN", 10, 2)).fit(data, 3, progress=False)
    history = trained.history
    other = shuffled(history, seed=1)
    assert other.num_steps == history.num_steps
    assert not torch.equal(other.field("self"), history.field("self"))
    assert torch.equal(other.field("self").sum(1).sort().values, history.field("self").sum(1).sort().values)
    order = torch.randperm(history.num_nodes, generator=torch.Generator().manual_seed(1))
    for name, recorded in history.trajectories.items():
        assert torch.equal(other.trajectories[name].values, recorded.values[:, order])


def test_ranks_share_ties_and_leave_out_what_is_not_everywhere():
    index = pd.MultiIndex.from_tuples([("a", "GCN"), ("a", "GAT")], names=["dataset", "backbone"])
    wide = pd.DataFrame(
        {"ours": [0.5, 0.6], "same": [0.500001, 0.1], "low": [0.1, 0.2], "some": [0.9, float("nan")]}, index=index
    )
    assert ranks(wide).to_dict() == {"ours": 1.25, "same": 2.25, "low": 2.5, "some": 1.0}
    compared = against(wide)
    assert compared.loc["same", ["cells", "better", "worse"]].tolist() == [2, 1, 0]
    assert compared.ratio["low"] == pytest.approx(1.1 / 0.3)


def test_jobs_of_other_settings_are_made_anew(tmp_path):
    (case,) = case_jobs(["digits"], ["GCN"], 2, 0)
    job = next(iter(score_jobs([case], ["random"])))
    _jobs.write(job, [{"value": 1.0}], tmp_path)
    assert _jobs.read(job, tmp_path).value.tolist() == [1.0]
    assert _jobs.read({**job, "instances": 3}, tmp_path) is None
    assert _jobs.read({**job, "settings": {}}, tmp_path) is None


def test_the_fast_explainers_come_first():
    cases = case_jobs(["digits", "MUTAG"], ["GCN", "GAT"], 2, 0)
    groups = grouped(cases, score_jobs(cases, list(EXPLAINERS)))
    assert [group[0]["part"] for group in groups[:4]] == ["cases"] * 4
    speeds = [EXPLAINERS[job["explainer"]].speed for group in groups for job in group if job["part"] == "scores"]
    assert speeds == sorted(speeds)
    assert all(len({(job["dataset"], job["backbone"]) for job in group}) == 1 for group in groups)


def test_what_a_model_uses_is_asked_of_motifs_alone_where_fidelity_is_measured():
    cases = case_jobs(["Cora", "tree-cycle"], ["GIN"], 2, 0)
    asked = {(job["dataset"], job["explainer"]) for job in score_jobs(cases, list(EXPLAINERS))}
    assert ("tree-cycle", "ours, uses") in asked
    assert not {name for dataset, name in asked if dataset == "Cora"} & set(USES)
    everywhere = {(job["dataset"], job["explainer"]) for job in explainer_jobs(cases, list(EXPLAINERS))}
    assert everywhere - asked == {("Cora", name) for name in USES}


def made_up(case: dict, explainer: str, gain: float) -> list[dict]:
    """Rows of an explainer without which a probability of 0.9 falls by a gain, and with which alone it stays."""
    about = {"instance": 1, "right": True, "num_heard": 20, "seconds": 0.1, "target": 0, "p_full": 0.9, "num_edges": 5}
    probs = {"p_kept": 0.9, "p_removed": 0.9 - gain, "pred_full": 0, "pred_kept": 0, "pred_removed": int(gain > 0.4)}
    masks = [*_scores.EDGE_MASKS, *([] if case["dataset"] in MOTIF_DATASETS else _scores.FEATURES)]
    truth = {"truth_auroc": gain, "truth_recall": gain} if case["dataset"] in MOTIF_DATASETS else {}
    soft = {"unfaithfulness": 0.1, **truth}
    return [
        {**about, **probs, "focus": focus, "mask": mask, **(soft if mask == "soft" else {})}
        for focus in ("model", "phenomenon")
        for mask in masks
    ]


def test_the_page_says_first_who_is_better_and_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks._page.REPORTS", tmp_path)
    cases = case_jobs(["digits", "MUTAG", "tree-cycle"], ["GCN", "GIN", "GAT"], 1, 0)
    gains = {"ours": 0.5, "ours, no history": 0.5, "ours, shuffled history": 0.4, "Saliency": 0.6, "random": 0.1}
    gains |= {"GNNExplainer": 0.2, "PGExplainer": 0.25, "ours, uses": 0.55, "PageRank, weaker end": 0.7}
    jobs = score_jobs(cases, [*gains, "Occlusion"])
    for job in jobs:
        if job["explainer"] == "GNNExplainer" and job["backbone"] == "GIN":
            failure = {"instance": 1, "right": True, "mask": "", "error": "RuntimeError: no", "focus": "model"}
            _jobs.write(job, [failure], tmp_path)
        elif job["explainer"] != "Occlusion":
            _jobs.write(job, made_up(job, job["explainer"], gains[job["explainer"]]), tmp_path)
    write_pages(cases, jobs, tmp_path)
    page = (tmp_path / "fidelity.md").read_text(encoding="utf-8")
    verdict, missing = page.split("\n\n")[1:3]
    assert verdict.count("does not have the best mean rank, 2.00") == 3
    assert "better: Saliency (1.00)" in verdict
    assert "2.00 times GNNExplainer's" in verdict  # harmonic means of 0.5 and 1 over those of 0.2 and 1
    assert "Motifs are found best by PageRank, weaker end (mean AUROC 0.700), and of the explainers" in verdict
    assert "that ask the model by Saliency (0.600)" in verdict
    assert "has 0.550, what supports a prediction, by which all else is measured, 0.500" in verdict
    assert "0.6667 with it, 0.6667 without, 0.5714 with that of other nodes" in verdict
    assert missing.startswith("**Not complete:** 9 of 66 measurements are missing (Occlusion on digits, GCN")
    assert "| GNNExplainer | GIN | RuntimeError: no | 3 | 3 |" in page
    assert {path.name for path in tmp_path.glob("*.png")} == {
        f"fidelity-{n}.png" for n in ("ranks", "curves", "motifs")
    }


def run_benchmark(folder: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "benchmarks.fidelity", "--datasets", "tree-cycle", "--backbones", "GraphSAGE"]
    command += ["--explainers", "distance", "random", "Saliency", "PageRank", "GNNExplainer", "--instances", "2"]
    command += ["--workers", "1", "--no-pages", "--results", str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)


def test_an_interrupted_benchmark_goes_on_where_it_was(tmp_path):
    problem("tree-cycle", "GraphSAGE")  # trained and kept, so that there is time to interrupt the explanations
    process = run_benchmark(tmp_path)
    while len(list(tmp_path.glob("scores-*.parquet"))) < 2 and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.parquet")}
    assert len(before) > 1
    cut = tmp_path / "scores-tree-cycle-GraphSAGE-distance.parquet"
    whole, rows = cut.read_bytes(), pd.read_parquet(cut)
    cut.write_bytes(whole[: len(whole) // 2])

    assert run_benchmark(tmp_path).wait() == 0
    after = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.parquet")}
    assert len(after) == 6
    assert [path for path in before if after[path] != before[path]] == [cut]  # nothing else was measured twice
    pd.testing.assert_frame_equal(pd.read_parquet(cut).drop(columns="seconds"), rows.drop(columns="seconds"))


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("x = 1  # two", True),
        ('"""Of a module."""\n\nx = (1)', True),
        ("x = 2", False),
        ("y = 1", False),
        ('x = "1"', False),
    ],
)
def test_what_is_said_of_code_makes_no_measurement_anew(other, same):
    assert (_jobs.without_prose(other) == _jobs.without_prose("x = 1")) == same


def test_docstrings_of_functions_and_attributes_are_prose():
    said = 'def f(x: int = 0):\n    """Say."""\n    return x\n\nLIMIT = 3\n"""How many."""\n'
    assert _jobs.without_prose(said) == _jobs.without_prose("def f(x: int = 0):\n    return x\nLIMIT = 3")
    assert _jobs.without_prose('def f():\n    """Only this."""') != _jobs.without_prose("def g():\n    'Only that.'")
