import os

from hypothesis import settings

if "PYTEST_XDIST_WORKER" in os.environ:  # several tests run at once, each with a processor of its own
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples in every run, and no time limit for one of them: a test fails for a reason in the code alone.
settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("repeatable")
