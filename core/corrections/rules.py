"""Rules of corrections, pure: which kinds there are, what each needs, and what it makes of a time point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from core.dicom.correction import SIDES
from core.errors import UnusableInput

#: What a command of each kind must name.
NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "wrong_subject": ("to_subject", "to_time_point"), "wrong_time_point": ("to_time_point",), "wrong_side": ("side",),
    "duplicate": (), "extra_series": (),
}  # fmt: skip
#: Kinds after which another series is written that stands for the one taken out.
WRITTEN_ANEW: Final = frozenset({"wrong_subject", "wrong_time_point", "wrong_side"})


@dataclass(frozen=True, slots=True)
class Place:
    """A time point of a subject."""

    subject: str
    time_point: str

    def in_words(self) -> str:
        return f"{self.subject}, {self.time_point}"


def check_named(kind: str, **named: str | None) -> None:
    """Whether a command names what its kind needs, and nothing else. Raises UnusableInput."""
    if kind not in NEEDS:
        raise UnusableInput(f"{kind!r} is no kind of correction; one of: {', '.join(NEEDS)}.")
    lacking = [name for name in NEEDS[kind] if not named.get(name)]
    surplus = [name for name, value in named.items() if value and name not in NEEDS[kind]]
    if lacking or surplus:
        raise UnusableInput(
            f"A correction of kind {kind.replace('_', ' ')} names {', '.join(NEEDS[kind]) or 'no target'}"
            + (f"; {', '.join(surplus)} does not belong to it." if surplus else ".")
        )
    if named.get("side") and named["side"] not in SIDES:
        raise UnusableInput(f"{named['side']!r} is no side; {' or '.join(SIDES)} (DICOM Laterality).")


def became(kind: str, target: Place, side: str | None) -> str:
    """What the sentence of the entry says of the outcome."""
    if kind == "wrong_side":
        return f"written anew with side {side}"
    if kind in WRITTEN_ANEW:
        return f"written anew for {target.in_words()}"
    return "set aside"


def word_after(left: int, *, scheduled: bool) -> str:
    """The word that a correction means for the time point that lost series: by how many are left of it."""
    if left:
        return "time_point.corrected"
    return "time_point.emptied" if scheduled else "time_point.superseded"
