"""GRAFF beside other models: over homophily, on real graphs, and in time.

Run with ``python -m benchmarks.graff``; ``--only timing`` measures the times alone, which needs a quiet machine.
"""
