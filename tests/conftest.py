from hypothesis import settings

# The same examples in every run, and no time limit for one of them: a test fails for a reason in the code alone.
settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("repeatable")
