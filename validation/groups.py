"""Which sub-groups a test set may state of its clinical cases, and in which form: never who somebody is.

A file `groups.json` beside the images names for each case what is known of it. What it says at sealing goes into the
sealed manifest; a run takes it from there. Sub-groups come in the protocol's words: site, sex, age band, manufacturer,
field strength (draft Annex 22, 6.2; DICOM PS3.3 C.7.1.1, C.7.5.1 and C.8.3.1).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path

from core.errors import UnusableInput

FILE = "groups.json"
SEXES = frozenset({"F", "M", "O"})
# Ages above 89 are one band (45 CFR 164.514(b)(2)(i)(C)), and a band of fewer years would nearly name an age.
OLDEST, FEWEST_YEARS = "90 and over", 5
# Too short for a date in any form.
_SITE = re.compile(r"[A-Za-z]{0,8}-?\d{1,4}")
_BAND = re.compile(r"(\d{1,2})-(\d{1,2})")
_MAKER = re.compile(r"[A-Za-z][A-Za-z .&-]{0,63}")
_FIELD = re.compile(r"(\d{1,2}(?:\.\d{1,2})?) T")


def _site(value: str) -> bool:
    return _SITE.fullmatch(value) is not None


def _sex(value: str) -> bool:
    return value in SEXES


def _age_band(value: str) -> bool:
    found = _BAND.fullmatch(value)
    return value == OLDEST or (found is not None and int(found[2]) - int(found[1]) + 1 >= FEWEST_YEARS
                               and int(found[2]) < 90)


def _manufacturer(value: str) -> bool:
    return _MAKER.fullmatch(value) is not None


def _field_strength(value: str) -> bool:
    found = _FIELD.fullmatch(value)
    return found is not None and 0 < Decimal(found[1]) <= 15


#: What may be stated, with its form in words.
STATED = {
    "site": (_site, "a site's code such as 101 or CH-101"),
    "sex": (_sex, "F, M or O"),
    "age_band": (_age_band, f"years such as 60-69, at least {FEWEST_YEARS} of them and below 90, or {OLDEST!r}"),
    "manufacturer": (_manufacturer, "a name of letters"),
    "field_strength": (_field_strength, "tesla such as '1.5 T'"),
}


def stated_in(folder: Path) -> dict[str, dict[str, str]]:
    """By case, what the folder's file says of it; nothing where there is no such file.

    Raises:
        UnusableInput: it is not of this form, or says more than a sub-group: every finding in one list.
    """
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UnusableInput(f"{FILE} of the test set cannot be read: {type(error).__name__}.") from error
    found = list(_problems(document))
    if found:
        raise UnusableInput(
            f"{FILE} of the test set: {'; '.join(found)}.",
            next_step=f"State {', '.join(STATED)} and nothing else; no birth date, age or name.")
    stated: dict[str, dict[str, str]] = document
    return stated


def _problems(document: object) -> Iterator[str]:
    """Values are not repeated: one that does not belong here may be just what nobody should read."""
    if not isinstance(document, Mapping):
        yield "it is no object of cases"
        return
    for case, groups in document.items():
        if not isinstance(groups, Mapping):
            yield f"{case} is no object of sub-groups"
            continue
        for key, value in groups.items():
            if key not in STATED:
                yield f"{case} has a field that is no sub-group"
            elif not isinstance(value, str) or not STATED[key][0](value):
                yield f"{key} of {case} is not {STATED[key][1]}"


def in_words(cases: Mapping[str, Mapping[str, str]]) -> str:
    """How many cases each sub-group has: "sex F 12, sex M 9, site 101 21"; empty where nothing is stated."""
    count: dict[str, int] = {}
    for groups in cases.values():
        for key, value in groups.items():
            name = f"{key.replace('_', ' ')} {value}"
            count[name] = count.get(name, 0) + 1
    return ", ".join(f"{name} {number}" for name, number in sorted(count.items()))
