"""The demonstration, on real handwritten digits, with few epochs."""

import json
import sys

import pytest

from gragr_explain.cli import main


def test_demo_explains_every_digit(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["demo", "--out", str(tmp_path), "--epochs", "12"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    page = tmp_path / "report.html"
    assert str(page) in printed
    assert page.as_uri() in printed
    assert [line for line in printed.splitlines() if line.startswith("A ")] == [
        "A sure one",
        "A typical one",
        "A wrong one",
    ]
    rows = [json.loads(line) for line in (tmp_path / "explanations.jsonl").read_text().splitlines()]
    assert [row["node"] for row in rows] == list(range(1797))
    assert all(row["rationale"] for row in rows)
    assert sum(row["prediction"] == row["label"] for row in rows) > 0.8 * len(rows)
    writers = [row["rationale_writer"] for row in rows]
    assert 24 <= writers.count("llm") + sum(row["rationale_replaced"] for row in rows) <= 27
    assert writers.count("llm") >= 23
    assert f"{writers.count('llm')} of" in printed


def test_without_transformers_the_template_writes(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(SystemExit) as caught:
        main(["demo", "--out", str(tmp_path), "--epochs", "2"])
    assert caught.value.code == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "a template writes all texts. A language model needs the package transformers; install it with" in printed
    rows = [json.loads(line) for line in (tmp_path / "explanations.jsonl").read_text().splitlines()]
    assert {row["rationale_writer"] for row in rows} == {"template"}
