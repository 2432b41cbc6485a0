"""The parts of an audit by hand: what is held out, what each kind of evidence says, what is learned from it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from gragr_explain.audit._evidence import NAMES, SIGN, Outside, evidence
from gragr_explain.audit._folds import HeldOut, split, train_folds
from gragr_explain.audit._predictions import PredictionExamples
from gragr_explain.audit._reasoner import DoubtReasoner
from gragr_explain.audit._run import Run


class Says(nn.Module):
    """Gives all nodes one probability of the first class."""

    def __init__(self, probability):
        super().__init__()
        self.scores = torch.tensor([probability, 1 - probability]).log()

    def forward(self, x, edge_index):
        return self.scores.expand(x.size(0), 2)


def test_what_is_held_out_is_said_by_models_that_never_saw_the_label(graph):
    known = torch.arange(graph.num_nodes) < 3
    held_out = HeldOut(known, 2)
    for node, probability in enumerate([0.9, 0.6, 0.3]):
        held_out.add(torch.tensor([node]), Says(probability), graph)
    assert held_out.known is known
    torch.testing.assert_close(held_out.mean[:4, 0], torch.tensor([0.9, 0.6, 0.3, 0.6]))  # the last has no label


def test_each_fold_is_trained_without_its_part(graph):
    parts = split(graph.train_mask, graph.y, seed=0)
    retraining = SimpleNamespace(data=graph, run=lambda y, train_mask, seed, **_: (train_mask, graph))
    for part, train_mask, _ in train_folds(retraining, parts, 0, edges=True):
        expected = sorted(set(graph.train_mask.nonzero().view(-1).tolist()) - set(part.tolist()))
        assert train_mask.nonzero().view(-1).tolist() == expected


def test_suspect_labels_teach_nothing_about_predictions():
    random = np.random.default_rng(0)
    found, wrong, nodes = random.normal(size=(60, len(NAMES))), random.random(60) < 0.3, random.permutation(80)[:60]
    suspect = random.random(80) < 0.4
    examples = PredictionExamples(None)
    examples._parts = [(found[:30], wrong[:30], nodes[:30]), (found[30:], wrong[30:], nodes[30:])]
    keep = ~suspect[nodes]
    expected = DoubtReasoner.fit(found[keep], wrong[keep], np.repeat([0, 1], 30)[keep], SIGN)
    np.testing.assert_allclose(examples.fit(suspect).weight, expected.weight)


def test_evidence_by_hand():
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape):
        return torch.rand(*shape, generator=generator)

    looks, outside = drawn(4, 7, 3).softmax(-1), Outside(*(drawn(7, 3).softmax(-1) for _ in range(4)))
    run = Run(
        looks=looks, log_probs=looks[-1].log(), around=drawn(7, 3).softmax(-1), nearest=drawn(7, 3).softmax(-1),
        margin=drawn(8, 7), norm=drawn(7), persistence=drawn(7), agreement=drawn(2, 7), conflict=drawn(2, 7),
        psi=drawn(7, 6),
    )  # fmt: skip
    label = torch.arange(7) % 3
    expected = {
        "margin": run.margin.mean(0),
        "early_margin": run.margin[:2].mean(0),  # the first quarter
        "turned": torch.stack([look.argmax(-1) != label for look in looks]).float().mean(0),
        "norm": run.norm.log(),
        "persistence": run.persistence,
        "training_agreement": run.agreement[0],
        "self_agreement": run.agreement[1],
        "training_conflict": run.conflict[0].log(),
        "self_conflict": run.conflict[1].log(),
        "stability": run.psi[:, 1],
        "influence": run.psi[:, 2].log(),
        "psi_confidence": run.psi[:, 3],
        "role": run.psi[:, 4],
        "receptiveness": run.psi[:, 5],
    }
    shares = {
        "held_out": outside.held_out,
        "without_edges": outside.bare,
        "neighbour_labels": outside.near,
        "two_step_labels": outside.far,
        "neighbour_predictions": 0.01 + 0.98 * run.around,
        "nearest_labels": run.nearest,
        "confidence": looks.mean(0),
    }
    expected |= {name: share[torch.arange(7), label].logit() for name, share in shares.items()}
    margins = {"held_out_margin": outside.held_out, "without_edges_margin": outside.bare, "final_margin": run.log_probs}
    for name, scores in margins.items():
        rows = [(row[own], max(np.delete(row, own))) for row, own in zip(scores.numpy(), label.tolist(), strict=True)]
        expected[name] = torch.tensor([float(own - other) for own, other in rows])
    found = evidence(run, outside, label)
    assert set(expected) == set(NAMES)
    for name, column in zip(NAMES, found.unbind(-1), strict=True):
        torch.testing.assert_close(column, expected[name].double(), rtol=1e-4, atol=1e-5, msg=name)
