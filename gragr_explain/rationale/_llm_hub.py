"""The hub that language models are loaded from, when it cannot be reached."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

_REQUESTS = "huggingface_hub.utils._http"


@contextmanager
def silent_retries() -> Iterator[None]:
    """No line for each attempt to reach the hub: where all of them fail, an error says so."""
    logger = logging.getLogger(_REQUESTS)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
