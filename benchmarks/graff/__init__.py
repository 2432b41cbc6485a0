"""GRAFF beside other models: over homophily, on real graphs, and in time.

Run with ``python -m benchmarks.graff``; ``--retime`` measures the times anew, which needs a quiet machine.
"""
