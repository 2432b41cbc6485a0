from __future__ import annotations

import copy
import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch_geometric.nn import GCN

from gragr_explain.context import GradientContext, Reasoner, _reasoner, psi_features
from gragr_explain.datasets import load_dataset
from gragr_explain.errors import InvalidArgumentError, InvalidGraphError
from gragr_explain.history import GradientRecorder, class_log_probs, hidden_representation, self_labels


@pytest.fixture
def psi() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    field = torch.randn(40, 3, generator=generator)
    edges = torch.randint(40, (2, 100), generator=generator)
    return psi_features(field, edges, torch.rand(40, generator=generator))


@pytest.fixture
def hidden() -> torch.Tensor:
    return torch.randn(40, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def target() -> torch.Tensor:
    return torch.randint(-1, 3, (40,), generator=torch.Generator().manual_seed(2))


def test_the_embedding_is_that_of_equation_16(psi) -> None:
    reasoner = Reasoner(8)
    values, valid = psi
    context = torch.asinh(values) * valid  # nothing fitted: mean 0, standard deviation 1
    first, second = reasoner.first, reasoner.second
    expected = (context @ first.weight.t() + first.bias).clamp(min=0) @ second.weight.t() + second.bias
    torch.testing.assert_close(reasoner(values, valid), expected)


def test_the_same_input_gives_the_same_reasoner(psi, hidden, target) -> None:
    first, second = (Reasoner(8, 3).fit(*psi, hidden, target, epochs=20) for _ in range(2))
    assert first.state_dict().keys() == second.state_dict().keys()
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    assert torch.equal(first(*psi), second(*psi))
    assert not torch.equal(first(*psi), Reasoner(8, 3, seed=1).fit(*psi, hidden, target, epochs=20)(*psi))


def test_the_global_random_state_is_left_alone(psi, hidden, target, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("torch.manual_seed seeds every device")

    state = torch.get_rng_state()
    monkeypatch.setattr(torch, "manual_seed", refuse)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", refuse)
    Reasoner(8, 3).fit(*psi, hidden, target, epochs=3)
    assert torch.equal(torch.get_rng_state(), state)


def test_fitting_works_where_gradients_are_off(psi, hidden, target) -> None:
    with torch.no_grad():
        fitted = Reasoner(8, 3).fit(*psi, hidden, target, epochs=5)
    assert not torch.equal(fitted(*psi), Reasoner(8, 3)(*psi))


def test_nothing_of_the_model_is_held_on_to(psi, hidden, target) -> None:
    tracked = hidden.clone().requires_grad_()
    fitted = Reasoner(8, 3).fit(*psi, tracked * 2, target, epochs=3)
    assert not any(buffer.requires_grad for buffer in fitted.buffers())
    assert tracked.grad is None
    copy.deepcopy(fitted)


def test_entries_that_mean_nothing_have_no_say(psi, hidden, target) -> None:
    values, valid = psi
    assert not bool(valid.all())
    nonsense = torch.where(valid, values, 1e6)
    assert torch.equal(
        Reasoner(8, 3).fit(values, valid, hidden, target, epochs=5)(values, valid),
        Reasoner(8, 3).fit(nonsense, valid, hidden, target, epochs=5)(nonsense, valid),
    )


def test_classes_that_are_unknown_have_no_say(psi, hidden) -> None:
    unknown = torch.full((40,), -1)
    with_unknown = Reasoner(8, 3).fit(*psi, hidden, unknown, epochs=5)
    without = Reasoner(8, 3).fit(*psi, hidden, epochs=5)
    assert torch.equal(with_unknown(*psi), without(*psi))


def test_fitting_learns(psi, hidden, target) -> None:
    """It reconstructs what depends on psi, and scales it back."""
    values, valid = psi
    readable = 50 + 10 * torch.stack([values[:, 2], values[:, 2].square()], dim=-1)
    fitted = Reasoner(2).fit(values, valid, readable)
    error = (fitted.reconstruct(fitted(values, valid)) - readable).square().mean()
    assert float(error.detach()) < 0.1 * float(readable.var(0, unbiased=False).mean())


def test_degenerate_input_stays_finite() -> None:
    psi, valid = torch.zeros(1, 6), torch.zeros(1, 6, dtype=torch.bool)
    fitted = Reasoner(4, 2).fit(psi, valid, torch.zeros(1, 4), torch.tensor([1]), epochs=5)
    assert bool(fitted(psi, valid).isfinite().all())
    assert bool(fitted.reconstruct(fitted(psi, valid)).isfinite().all())


def test_precision_of_psi_may_differ(psi, hidden, target) -> None:
    values, valid = psi
    fitted = Reasoner(8, 3).fit(values.double(), valid, hidden.double(), target, epochs=5)
    assert fitted(values.double(), valid).dtype == torch.float32


def test_a_state_dict_is_all_there_is(psi, hidden, target) -> None:
    fitted = Reasoner(8, 3).fit(*psi, hidden, target, epochs=5)
    loaded = Reasoner(8, 3, seed=7)
    loaded.load_state_dict(fitted.state_dict())
    assert torch.equal(loaded(*psi), fitted(*psi))
    assert torch.equal(loaded.reconstruct(loaded(*psi)), fitted.reconstruct(fitted(*psi)))


BAD = {
    "psi of five features": (lambda p, v, h, t: (p[:, :5], v[:, :5], h, t), r"\[num_nodes, 6\], got \[40, 5\]"),
    "psi without nodes": (lambda p, v, h, t: (p[0], v[0], h, t), r"got \[6\]"),
    "validity of another shape": (lambda p, v, h, t: (p, v[:39], h, t), r"\[40, 6\] and \[39, 6\]"),
    "hidden of another width": (lambda p, v, h, t: (p, v, h[:, :7], t), r"shape \[40, 8\], got \[40, 7\]"),
    "hidden of another graph": (lambda p, v, h, t: (p, v, h[:39], t), r"shape \[40, 8\], got \[39, 8\]"),
    "classes of another graph": (lambda p, v, h, t: (p, v, h, t[:39]), r"shape \[40\], got torch.int64 \[39\]"),
    "classes as floats": (lambda p, v, h, t: (p, v, h, t.float()), "got torch.float32"),
    "class out of range": (lambda p, v, h, t: (p, v, h, t + 1), r"\[-1, 2\] in target, got 0 to 3"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_shapes_are_named(name: str, psi, hidden, target) -> None:
    change, message = BAD[name]
    reasoner = Reasoner(8, 3)
    before = copy.deepcopy(reasoner.state_dict())
    with pytest.raises(InvalidGraphError, match=message):
        reasoner.fit(*change(*psi, hidden, target))
    assert all(torch.equal(value, before[key]) for key, value in reasoner.state_dict().items())


def test_an_embedding_needs_all_features(psi) -> None:
    with pytest.raises(InvalidGraphError, match=r"got \[40, 5\]"):
        Reasoner(8)(psi[0][:, :5], psi[1][:, :5])


def test_without_classes_there_is_no_class_signal(psi) -> None:
    with pytest.raises(InvalidArgumentError, match="num_classes is 0"):
        Reasoner(8).classify(Reasoner(8)(*psi))


DATA = Path(os.environ.get("GRAGR_DATA", "")) / "Planetoid" / "Cora" / "raw"


@pytest.mark.skipif(not ("GRAGR_DATA" in os.environ and DATA.is_dir()), reason="needs Cora in the folder GRAGR_DATA")
def test_on_cora_the_embedding_says_more_than_the_mean_and_the_majority() -> None:
    data = load_dataset("Cora").data
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GCN(data.num_features, 32, 2, 7, dropout=0.5)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
        with GradientRecorder(model, data) as history:
            for _ in range(40):
                optimizer.zero_grad()
                output = model(data.x, data.edge_index)
                F.cross_entropy(output[data.train_mask], data.y[data.train_mask]).backward()
                optimizer.step()
    model.eval()
    with torch.no_grad():
        hidden, output = hidden_representation(model, data.x, data.edge_index)
    log_probs = class_log_probs(output)
    label = self_labels(log_probs, data.y, data.train_mask)
    context = GradientContext.from_field(history.field("self"), data.edge_index, "self", log_probs.amax(-1).exp())

    fitted = Reasoner(32, 7).fit(context.psi, context.valid, hidden, label)
    with torch.no_grad():
        embedding = fitted(context.psi, context.valid)
        reconstructed, classified = fitted.reconstruct(embedding), fitted.classify(embedding).argmax(-1)
    explained = 1 - float((reconstructed - hidden).square().sum() / (hidden - hidden.mean(0)).square().sum())
    accuracy, majority = float((classified == label).float().mean()), float(label.bincount().max() / label.numel())
    assert explained > 0.05
    assert accuracy > majority + 0.05


def test_of_many_nodes_some_of_all_parts_are_learned_from(psi, hidden, target, monkeypatch) -> None:
    monkeypatch.setattr(_reasoner, "_MOST_NODES", 10)
    every_fourth = torch.where(torch.arange(40) % 4 == 0, target, -1)
    with_all = Reasoner(8, 3).fit(*psi, hidden, target, epochs=5)
    with_some = Reasoner(8, 3).fit(*psi, hidden, every_fourth, epochs=5)
    assert torch.equal(with_all(*psi), with_some(*psi))
