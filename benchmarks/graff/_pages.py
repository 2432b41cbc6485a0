"""The page ``reports/graff.md`` and its figures."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd

from benchmarks._page import _markdown, save_figure, spread, write_page
from benchmarks.graff._graphs import HETEROPHILIC, HOMOPHILIC, SYNTHETIC
from benchmarks.graff._models import DECAYS, DEPTH, DROPOUT, GRAFFS, OPTIONS, PEERS, REFERENCE, WIDTH
from benchmarks.graff._runs import EPOCHS, LR, PATIENCE, TUNING_SEEDS
from benchmarks.graff._timing import CACHED, DEPTHS, ratios

matplotlib.use("Agg")
from matplotlib import pyplot as plt

TRIED = (
    "**Tried where GRAFF is behind.** In a first run of all this GRAFF's own option was β, 0 or 1, and it was behind "
    "GCNII from homophily 0.4 to 0.8. Validation accuracy there (0.4, 0.6 and 0.8, two splits, the sum variant, the "
    "better weight decay) was 83.9 as it stood, 81.9 without the source (β = 0), 82.8 with four steps, 83.6 with τ = "
    "1, 84.4 with self-loops, 84.6 with a ReLU in each step, 84.6 with both, and 85.9 for GCNII, of which each layer "
    "has one. So the ReLU became the option, and all of GRAFF was run again.",
    "In this second run, with weight decay 0.0005 or 0.005 and tuned on one split, it was within a standard error of "
    "the best peer, or above, on 4 of 11 levels, and behind by 0.1 to 2.3 points from 0.4 to 1. It fits there, as "
    "the peers do: training accuracy is 99 or 100 %. What it lacks is regularisation. Validation accuracy (mean over "
    "0.4, 0.6, 0.8 and 0.9, three splits, the best weight decay at each level) was 87.6 for the sum variant and 87.8 "
    "with the ReLU in each step, beside 89.3 for GCNII with the better α at each level. A ReLU after the encoder "
    "(87.1; with one in each step 87.6; with one after each step 87.6), dropout of features (86.8) or between the "
    "steps (87.3) do not help. A weight decay of up to 0.05, about what GRAFF's authors train with, does: 88.4, with "
    "the ReLU 88.9, diagonally dominant 88.7. It must be of all parameters: with 0.05 for the flow alone it is 87.3, "
    "with 0.0005 for the flow and up to 0.05 for the rest 87.1, and with 0.1 for all of them, diagonally dominant, "
    "88.4.",
    "Nothing on top of it is surely better. The diagonally dominant variant, 88.7, comes to 87.6 with τ = 1, 88.2 "
    "with a ReLU besides, 87.5 with τ = 0.25, 87.1 with four steps, 88.2 with four steps of 0.25, 88.0 with β = 0.5, "
    "87.6 with β = 2, 88.5 with dropout 0.2, 88.2 with 0.7, 88.8 with dropout of features, 88.7 between the steps, "
    "88.5 with a ReLU after the encoder, 87.7 with two layers in the encoder, 87.8 with two in the decoder, 88.7 "
    "with W ten times smaller at the start, 88.8 and 89.0 with a learning rate of 0.03 and 0.1 for the flow, 88.6 "
    "with its authors' learning rate and dropout (0.003; 0.35, of features 0.5), and 89.0 with 400 epochs and a "
    "patience of 100; the sum variant comes to 88.3 with self-loops and a ReLU, and to 88.2 with a learning rate of "
    "0.001 for the flow; with a diagonal W it is 77.9. So the third weight decay is all that was added for GRAFF; "
    "diagonally dominant, it validates best with it on homophily 0 to 0.8 and on two web graphs, and with a smaller "
    "one on the others: on Cora and CiteSeer 0.05 is far too much (36 and 28 beside 80 and 70). All peers have it "
    "too but GCNII and FAGCN, which it does not help and which have a third value of their own option instead "
    "(GCNII's 89.3 becomes 89.6); and all models were tuned on three splits. These choices were made on validation "
    "nodes (those of one split are in part test nodes of the others), but knowing the test accuracies of the runs "
    "before; and GRAFF alone was given so many tries.",
)
"""What was tried, in numbers of runs that the page does not hold."""
COLOURS = {"sum": "tab:purple", "prod": "tab:blue", "neg-prod": "tab:red", "diagonally-dominant": "tab:green"}


def write(real: pd.DataFrame, synthetic: pd.DataFrame, times: pd.DataFrame) -> None:
    """Write the page of what was measured."""
    contests = pd.DataFrame([contest(part) for part in (real, synthetic) for part in _by_dataset(part)])
    paragraphs = [
        *_verdicts(contests, times),
        *_claims(synthetic),
        f"![Accuracy over homophily]({_draw_sweep(synthetic)})",
        f"![Homophily of predictions and encodings]({_draw_homophily(synthetic)})",
        _method(real, synthetic),
        *TRIED,
        f"## Real graphs\n\nTest accuracy in percent, mean ± standard deviation over "
        f"{_seeds(real[real.dataset.isin(HETEROPHILIC)])} splits of the web graphs and "
        f"{_seeds(real[real.dataset.isin(HOMOPHILIC)])} seeds of the others.",
        _markdown(_accuracies(real)),
        f"## Synthetic Cora\n\nThe same over {_seeds(synthetic)} random splits, by the homophily of the graph.",
        _markdown(_accuracies(synthetic)),
        "## What the flow does\n\nOver the synthetic graphs: the homophily of the prediction and, read by the decoder "
        "from F(0), of the encoding; the mean frequency (Rayleigh quotient) of F(0) and of F(T), of at most ρ; the "
        "lowest and the highest eigenvalue of the learned W.",
        _markdown(_flows(synthetic)),
        "## Time",
        _conditions(times),
        _markdown(_times(times)),
        "## Best against best",
    ]
    write_page("graff", "GRAFF: accuracy over homophily, on real graphs, and time", paragraphs, _contests(contests))


def contest(runs: pd.DataFrame) -> dict[str, object]:
    """On one graph: the variant of GRAFF that validates best against the peer that tests best.

    ``best`` is the variant that tests best, which nobody could have chosen.
    """
    means = runs.groupby("model")[["test", "val"]].mean()
    chosen, best = means.val[list(GRAFFS)].idxmax(), means.test[list(GRAFFS)].idxmax()
    peer = means.test[list(PEERS)].idxmax()
    error = runs[runs.model == peer].test.sem(ddof=1)
    return {
        "dataset": runs.dataset.iloc[0],
        "GRAFF": chosen,
        "test": means.test[chosen],
        "peer": peer,
        "peer_test": means.test[peer],
        "error": error,
        "met": bool(means.test[chosen] >= means.test[peer] - error),
        "best": best,
        "best_test": means.test[best],
        "best_met": bool(means.test[best] >= means.test[peer] - error),
    }


def _verdicts(contests: pd.DataFrame, times: pd.DataFrame) -> list[str]:
    lines = []
    for name, wanted in (("heterophilic data set", HETEROPHILIC), ("homophily level", SYNTHETIC)):
        own = contests[contests.dataset.isin(wanted)]
        missed = [
            f"{r.dataset} ({r.GRAFF} {r.test:.1f}, {r.peer} {r.peer_test:.1f} ± {r.error:.1f})"
            for r in own[~own.met].itertuples()
        ]
        above = int((own.test >= own.peer_test).sum())
        lines.append(
            f"**GRAFF's best variant, chosen by validation, within one standard error of the best peer, or above, on "
            f"every {name}: {'missed' if missed else 'met'}**, on {int(own.met.sum())} of {len(own)}; above the best "
            f"peer on {above}. "
            + (f"Missed: {'; '.join(missed)}. " if missed else "")
            + f"With the variant that tests best, which nobody could have chosen, it would hold on "
            f"{int(own.best_met.sum())}."
        )
    rest = contests[contests.dataset.isin(HOMOPHILIC)]
    if len(rest):
        lines.append(
            "On the homophilic graphs, for which there is no goal: "
            + "; ".join(f"{r.dataset}: {r.GRAFF} {r.test:.1f}, {r.peer} {r.peer_test:.1f}" for r in rest.itertuples())
            + "."
        )
    mean = ratios(times).groupby("depth").ratio.mean()
    kept = ratios(times, CACHED).groupby("depth").ratio.mean()
    shown, cached = (", ".join(f"{found[depth]:.2f} at {depth} layers" for depth in DEPTHS) for found in (mean, kept))
    lines.append(
        f"**Faster than GCN at inference at equal width: {'met' if bool((mean < 1).all()) else 'missed'}**, mean ratio "
        f"over the variants {shown}, on Cora, with {WIDTH} channels. Each layer of GRAFF scales nodes, where PyG's GCN "
        f"normalises edges; beside a GCN that keeps the normalised graph between passes the ratio is {cached}."
    )
    return lines


def _claims(runs: pd.DataFrame) -> list[str]:
    """The slides' two ablations in words."""
    means = runs.groupby(["dataset", "model"]).test.mean().unstack()
    level = pd.Series([float(name.split()[1]) for name in means.index], index=means.index)
    low, high = means[level < 0.35].mean(), means[level > 0.65].mean()
    flows = runs[runs.model.isin(GRAFFS)].groupby(["dataset", "model"])
    moved = (flows.homophily_predicted.mean() - flows.homophily_encoded.mean()).unstack().mean()
    wrong = (flows.homophily_predicted.mean() - flows.homophily.mean()).abs().unstack().mean()
    off = {name: f"{name[7:]} {low[name]:.1f} / {high[name]:.1f}" for name in GRAFFS}
    return [
        "**The slides' first ablation**, mean accuracy at homophily up to 0.3 / from 0.7: "
        + ", ".join(off.values())
        + f", GCN {low['GCN']:.1f} / {high['GCN']:.1f}. They claim that neg-prod beats prod at low homophily "
        f"({_holds(low['GRAFF, neg-prod'] > low['GRAFF, prod'])}) and that sum and the diagonally dominant variant "
        f"beat GCN there ({_holds(min(low['GRAFF, sum'], low['GRAFF, diagonally-dominant']) > low['GCN'])}).",
        "**The second**: from the encoding to the prediction, homophily changes by "
        + ", ".join(f"{moved[name]:+.2f} ({name[7:]})" for name in GRAFFS)
        + ", mean over all levels, and ends this far from the graph's own: "
        + ", ".join(f"{wrong[name]:.2f} ({name[7:]})" for name in GRAFFS)
        + ". They claim that it falls with neg-prod "
        f"({_holds(moved['GRAFF, neg-prod'] < 0)}), rises with prod ({_holds(moved['GRAFF, prod'] > 0)}), and that sum "
        "and the diagonally dominant variant come nearer to the truth than both "
        f"({_holds(_nearer(wrong))}).",
    ]


def _holds(true: bool) -> str:
    return "so it is here" if true else "not so here"


def _nearer(wrong: pd.Series) -> bool:
    return bool(
        wrong[["GRAFF, sum", "GRAFF, diagonally-dominant"]].max() < wrong[["GRAFF, prod", "GRAFF, neg-prod"]].min()
    )


def _method(real: pd.DataFrame, synthetic: pd.DataFrame) -> str:
    shown = {next(iter(GRAFFS)): "each GRAFF", **{model: model for model in OPTIONS if model not in GRAFFS}}
    settings = "; ".join(
        f"{name}: {' or '.join(map(str, DECAYS[model]))}, {option} {' or '.join(map(str, values))}"
        for model, name in shown.items()
        for option, values in (OPTIONS[model],)
    )
    return (
        f"Every model, and every variant of GRAFF, is tuned alike, by the mean validation accuracy of {TUNING_SEEDS} "
        f"splits or seeds, over six settings, of weight decay and one option of its own ({settings}). The rest is the "
        f"same for all: {WIDTH} channels, {DEPTH} layers unless tuned, dropout {DROPOUT}, Adam with learning rate {LR},"
        f" at most {EPOCHS} epochs, stopped after {PATIENCE} without a better validation accuracy, tested at the best. "
        "GRAFF has τ = 0.5 and β = 1; `act` is the non-linearity of its steps. GRAFF's authors use weight decays from "
        "0.0002 to 0.043. Of the peers, GCNII and FAGCN were never better with 0.05 (validation accuracy at homophily "
        "0.4, 0.6, 0.8 and 0.9) and have a third value of their own option instead. Graphs without directions; raw "
        "words on the web graphs (Geom-GCN's splits), frequencies of words on Cora and CiteSeer (the public split); "
        "the synthetic graphs, one of each homophily, are those of Zhu et al. (2020), split 25 / 25 / 50 %. The "
        "variant of GRAFF that stands against the best peer is the one of the best validation accuracy, mean over all "
        "splits; the peer is the best of six by test accuracy. That GRAFF's encoder is linear and drops no features "
        "was settled on Texas, two of the synthetic graphs and Cora by validation accuracy; on Texas, test accuracies "
        "were printed beside it. Cornell and Texas share all features and labels in the copy used here."
    )


def _by_dataset(runs: pd.DataFrame) -> list[pd.DataFrame]:
    return [part for _, part in runs.groupby("dataset", sort=False)]


def _seeds(runs: pd.DataFrame) -> int:
    return int(runs.seed.nunique())


def _accuracies(runs: pd.DataFrame) -> pd.DataFrame:
    cells = runs.groupby(["model", "dataset"], sort=False).test.apply(lambda test: spread(list(test), 1)).unstack()
    names = {name: name.replace("syn-cora ", "") for name in cells.columns}
    cells = cells[list(runs.dataset.unique())].rename(columns=names)
    order = [name for name in (*GRAFFS, *PEERS, REFERENCE) if name in cells.index]
    return cells.loc[order].reset_index()


def _contests(contests: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "graph": r.dataset,
                "GRAFF, chosen by validation": f"{r.GRAFF[7:]}: {r.test:.1f}",
                "GRAFF, best test": f"{r.best[7:]}: {r.best_test:.1f}",
                "peer, best test": f"{r.peer}: {r.peer_test:.1f} ± {r.error:.1f}",
                "goal": "none" if r.dataset in HOMOPHILIC else "met" if r.met else "missed",
            }
            for r in contests.itertuples()
        ]
    )


def _flows(runs: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for (model, dataset), own in runs[runs.model.isin(GRAFFS)].groupby(["model", "dataset"], sort=False):
        mean = own.mean(numeric_only=True)
        rows.append(
            {
                "W": model[7:],
                "homophily": f"{mean.homophily:.2f}",
                "of the encoding": f"{mean.homophily_encoded:.2f}",
                "of the prediction": f"{mean.homophily_predicted:.2f}",
                "frequency F(0) → F(T)": f"{mean.quotient_encoded:.2f} → {mean.quotient:.2f}",
                "ρ": f"{mean.largest_frequency:.2f}",
                "W's eigenvalues": f"{mean.w_lowest:.2f} to {mean.w_highest:.2f}",
                "graph": dataset.split()[1],
            }
        )
    return pd.DataFrame(rows).drop(columns="graph")


def _conditions(times: pd.DataFrame) -> str:
    return (
        f"Cora, {WIDTH} channels, the median pass of each of {times.seed.nunique()} models, all kinds in turn, "
        f"on one thread; mean ± standard deviation over the models. The machine's load was "
        f"{times.load.min():.1f} to {times.load.max():.1f}, of which this is 1. `--retime` measures anew."
    )


def _times(times: pd.DataFrame) -> pd.DataFrame:
    own, kept = ratios(times), ratios(times, CACHED)
    rows = []
    for depth in DEPTHS:
        gcn = times[(times.model == "GCN") & (times.depth == depth)].seconds * 1e3
        for name in GRAFFS:
            chosen = [found[(found.model == name) & (found.depth == depth)].ratio for found in (own, kept)]
            rows.append(
                {
                    "layers": depth,
                    "model": name,
                    "GCN (ms)": spread(list(gcn), 1),
                    "ratio to GCN": spread(list(chosen[0])),
                    "to GCN, graph kept": spread(list(chosen[1])),
                    "goal": "met" if chosen[0].mean() < 1 else "missed",
                }
            )
    return pd.DataFrame(rows)


def _levels(runs: pd.DataFrame) -> Sequence[float]:
    return [float(name.split()[1]) for name in runs.dataset.unique()]


def _draw_sweep(runs: pd.DataFrame) -> str:
    figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained", sharey=True)
    means, spreads = (
        getattr(runs.groupby(["dataset", "model"], sort=False).test, how)().unstack() for how in ("mean", "std")
    )
    levels = _levels(runs)
    for axis, others in zip(axes, (("GCN",), PEERS), strict=True):
        for name in (*GRAFFS, *others):
            colour = COLOURS.get(GRAFFS.get(name, ""))
            line = axis.plot(
                levels, means[name], color="black" if name == "GCN" else colour, ls="-" if colour else "--", label=name
            )
            if len(others) == 1:
                upper, lower = means[name] + spreads[name], means[name] - spreads[name]
                axis.fill_between(levels, lower, upper, color=line[0].get_color(), alpha=0.12)
        axis.set(xlabel="homophily of the graph")
        axis.legend(fontsize=7)
    axes[0].set(title="the slides' ablation", ylabel="test accuracy (%)")
    axes[1].set(title="all peers")
    return save_figure(figure, "graff-sweep.png")


def _draw_homophily(runs: pd.DataFrame) -> str:
    figure, axes = plt.subplots(2, len(GRAFFS), figsize=(12, 5.6), layout="constrained", sharex=True, sharey="row")
    levels = np.asarray(_levels(runs))
    for (name, w), column in zip(GRAFFS.items(), axes.T, strict=True):
        own = runs[runs.model == name].groupby("dataset", sort=False).mean(numeric_only=True)
        column[0].plot(levels, own.homophily, color="gray", lw=1, label="the graph's labels")
        column[0].plot(levels, own.homophily_encoded, "o", mfc="none", color=COLOURS[w], label="read from the encoding")
        column[0].plot(levels, own.homophily_predicted, "x", color=COLOURS[w], label="prediction")
        column[0].set(title=w)
        column[1].plot(levels, own.largest_frequency, color="gray", lw=1, ls=":", label="ρ, the largest")
        column[1].plot(levels, own.quotient_encoded, "o", mfc="none", color=COLOURS[w], label="F(0)")
        column[1].plot(levels, own.quotient, "x", color=COLOURS[w], label="F(T)")
        column[1].axhline(1, color="gray", lw=0.6)
        column[1].set(xlabel="homophily of the graph")
    axes[0, 0].set(ylabel="homophily")
    axes[1, 0].set(ylabel="mean frequency")
    for axis in axes[:, 0]:
        axis.legend(fontsize=7)
    return save_figure(figure, "graff-homophily.png")
