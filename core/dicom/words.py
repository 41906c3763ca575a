"""Which words a cleaned descriptor may keep: the imaging vocabulary, and numbers that carry a unit."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.\-]*")
_MEASURE: Final = re.compile(r"\d{1,3}(?:\.\d{1,2})?(?:mm|cm|kv|ms|s|sec|min|t|deg|ml)", re.IGNORECASE)


@cache
def imaging_words() -> frozenset[str]:
    """The vocabulary of `imaging_words.txt`, lower case."""
    lines = (Path(__file__).parent / "imaging_words.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


def is_imaging_word(word: str) -> bool:
    """True for vocabulary and for a short number with its unit ("2.5mm")."""
    return word.casefold() in imaging_words() or _MEASURE.fullmatch(word) is not None


def cleaned(text: str) -> str:
    """The words of a descriptor that say something of the image, in order; everything else is gone."""
    return " ".join(word for word in _WORD.findall(text) if is_imaging_word(word.strip(".-")))[:64].strip()
