"""The language model in the package: the texts that it learns from, and its training."""
