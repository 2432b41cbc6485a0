"""Whoever asks for help on what the package offers finds an example that runs."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

import gragr_explain

RESULTS = {  # what functions return, in whose examples it is seen
    "Audit", "Checkpoint", "Edit", "Explanations", "Export", "FieldRecord", "Flip", "FrequencyProfile",
    "GradientExplanation", "GraphDataset", "GraphExplanations", "GraphTasks", "Influences", "MultiTaskResult",
    "NodeExplanations", "Rationale", "Reliability", "Selection",
}  # fmt: skip
PARTS = {"ChangeFact", "FeatureFact", "NeighbourFact", "PsiFact", "ValidationFact"}  # of Facts
SHELL = {"app", "main"}  # whose help is the command line's own
SWITCHES = {"Switches"}  # which are the arguments of GraGR


def public() -> dict[str, object]:
    """What can be called or made, by name."""
    packages = [
        importlib.import_module(f"gragr_explain.{module.name}")
        for module in pkgutil.iter_modules(gragr_explain.__path__)
        if not module.name.startswith("_")
    ]
    return {
        name: getattr(package, name)
        for package in (gragr_explain, *packages)
        for name in getattr(package, "__all__", ())
        if inspect.isfunction(getattr(package, name)) or inspect.isclass(getattr(package, name))
    }


@pytest.mark.parametrize("name", sorted(public().keys() - RESULTS - PARTS - SHELL - SWITCHES))
def test_what_is_public_has_an_example(name):
    assert ">>>" in (inspect.getdoc(public()[name]) or "")
