"""Benchmarks: one module per question, each writes a page of ``reports/``.

Run one with ``python -m benchmarks.<name>``; ``--help`` says what it measures.
"""
