"""Rationales: from psi and masks to a text that states only what they support."""

from gragr_explain.rationale._facts import (
    BANDS,
    ChangeFact,
    Facts,
    FeatureFact,
    NeighbourFact,
    PsiFact,
    Rationale,
    ValidationFact,
    Writer,
)
from gragr_explain.rationale._llm import LLMWriter
from gragr_explain.rationale._prompt import build_messages, build_prompt
from gragr_explain.rationale._reliability import Reliability, judge
from gragr_explain.rationale._template import TemplateWriter
from gragr_explain.rationale._wording import distinct_names, join_words
from gragr_explain.rationale.grounding import check_grounding

__all__ = [
    "BANDS",
    "ChangeFact",
    "Facts",
    "FeatureFact",
    "LLMWriter",
    "NeighbourFact",
    "PsiFact",
    "Rationale",
    "Reliability",
    "TemplateWriter",
    "ValidationFact",
    "Writer",
    "build_messages",
    "build_prompt",
    "check_grounding",
    "distinct_names",
    "join_words",
    "judge",
]
