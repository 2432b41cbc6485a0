"""How names and numbers are written, so that a text can be checked against the facts that it came from."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from gragr_explain.arguments import check_names

TITLES = {
    "conflict": "conflict intensity",
    "stability": "trajectory stability",
    "influence": "multi-hop influence",
    "confidence": "confidence-gradient relationship",
    "role": "learning role",
    "receptiveness": "correction receptiveness",
}
"""What the paper's Appendix B calls the six psi features, in the order of eq. 15."""

_LONGEST_NAME = 60
PLAIN_NAME = re.compile(r"(?:node|graph|edge|feature|pixel) \d+|link \d+-\d+")  # what the package gives as names


_OWN_NAME = re.compile(PLAIN_NAME.pattern, re.IGNORECASE)


def clean_name(name: str) -> str:
    """Make a name from a graph safe inside quotation marks: one line, no control characters, limited length."""
    visible = name
    if not (name.isascii() and name.isprintable()):
        visible = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in name)
    line = re.sub(r'["“”„«»]', "'", " ".join(visible.split())) or "unnamed"
    return line if len(line) <= _LONGEST_NAME else line[: _LONGEST_NAME - 1].rstrip() + "…"


def in_one_way(text: str) -> str:
    """Write dashes, apostrophes and quotation marks in one way."""
    text = re.sub('["“”„«»]', '"', text)
    return re.sub("[‐‑–−]", "-", text).replace("’", "'")


def distinct_names(names: Sequence[str]) -> list[str]:
    """Give each node of a graph a name that no other has, as texts show names: on one line and not too long.

    A name that several nodes have, or that holds one of the package's own, gets the number of its node.

    Raises:
        InvalidTypeError: If the names are no sequence.

    Example:
        >>> distinct_names(["Smith 1999", "Jones", "Jones", "node 7"])
        ['Smith 1999', 'Jones (node 1)', 'Jones (node 2)', 'node 7 (node 3)']
    """
    check_names("names", names)
    cleaned = [clean_name(str(name)) for name in names]
    keys = [in_one_way(name).casefold() for name in cleaned]
    often = Counter(keys)
    return [
        _numbered(name, node) if often[key] > 1 or _OWN_NAME.search(name) else name
        for node, (name, key) in enumerate(zip(cleaned, keys, strict=True))
    ]


def _numbered(name: str, node: int) -> str:
    number = f" (node {node})"
    room = _LONGEST_NAME - len(number)
    return (name if len(name) <= room else name[: room - 1].rstrip() + "…") + number


@lru_cache(maxsize=2**14)
def show_name(name: str) -> str:
    """Write a name as data: ``node 17`` as it is, everything else in quotation marks.

    Example:
        >>> show_name("node 17"), show_name("Theory")
        ('node 17', '"Theory"')
    """
    cleaned = clean_name(name)
    return cleaned if PLAIN_NAME.fullmatch(cleaned) else f'"{cleaned}"'


def show_number(value: float) -> str:
    """Write a number to three significant digits.

    Example:
        >>> show_number(0.02519), show_number(261.4381), show_number(48250.0)
        ('0.0252', '261', '48250')
    """
    size = abs(value)
    if value != 0 and (size < 1e-4 or size >= 1e6):
        return f"{value:.2e}"
    return f"{value:.0f}" if size >= 999.5 else f"{value:.3g}"


def show_percent(share: float) -> str:
    """Write a share in [0, 1] in percent, finer where whole percents would read as never or always.

    Example:
        >>> show_percent(0.934), show_percent(0.9973), show_percent(0.9996)
        ('93%', '99.7%', '99.96%')
    """
    for digits in range(4):
        text = f"{100 * share:.{digits}f}"
        if 0 < float(text) < 100:
            return f"{text}%"
    return f"{100 * share:.0f}%"


def join_words(words: Sequence[str]) -> str:
    """Words as a list in a sentence.

    Example:
        >>> join_words(["one"]), join_words(["one", "two", "three"])
        ('one', 'one, two and three')
    """
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
