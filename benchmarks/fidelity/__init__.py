"""Which explainer is faithful, stable and fast? The benchmark against the explainers of PyG and Captum.

``python -m benchmarks.fidelity`` measures what is not measured yet and writes the pages.
"""
