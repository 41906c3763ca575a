"""What an entry changed of what an earlier one had set: old value, new value, reason (ALCOA: nothing is lost).

A table says which words set which value of which thing. It names only what stands in clear in the entries of one trial
(or of the house): whoever may read an entry may read the earlier one, so nothing is shown that the two do not say by
themselves. Answers of reads and values of AI are in no row: they stay under their seals and behind `view_of`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.ledger_earlier import Wanted, newest_before
from core.ledger_queries import Line, Reader
from core.ledger_words import filled


@dataclass(frozen=True, slots=True)
class Setting:
    """One value of one thing. `key` are the fields that name the thing; `words` give each word's new value, a text with
    fields in braces.
    """

    what: str
    key: tuple[str, ...]
    words: Mapping[str, str]


SETTINGS: tuple[Setting, ...] = (
    Setting("charter in force", (), {"charter.approved": "version {charter_version}"}),
    Setting("charter signed", (), {"charter.signed": "version {charter_version}"}),
    Setting("stage of the trial", (), {
        "trial.created": "set up", "trial.activated": "live", "database.soft_locked": "soft-locked",
        "database.soft_lock_released": "live", "database.locked": "locked", "database.unlocked": "live",
        "trial.closed": "closed"}),
    Setting("newest cut", (), {"cut.frozen": "{cut}, {kind}, until {until}"}),
    Setting("role {role} of {user}", ("user", "role", "site"), {"role.granted": "held", "role.revoked": "ended"}),
    Setting("delegation of {role} to {user}", ("user", "role", "site"), {
        "delegation.signed": "from {from_on} until {until_on}", "delegation.ended": "ended"}),
    Setting("site {site}", ("site",), {
        "site.trained": "trained on charter {charter_version}",
        "site.activated": "active under charter {charter_version} from {effective_on}", "site.closed": "closed"}),
    Setting("qualification of {scanner}, {modality}", ("site", "scanner", "modality"), {
        "scanner.qualified": "until {valid_until}"}),
    Setting("state of {subject}", ("subject",), {
        "subject.screened": "screened", "subject.screen_failed": "screen failed", "subject.enrolled": "enrolled",
        "subject.progressed": "{became}"}),
    Setting("consent of {subject}", ("subject",), {
        "consent.recorded": "version {consent_version} for {scopes}", "consent.withdrawn": "withdrawn as of {as_of}"}),
    Setting("{time_point} of {subject}", ("subject", "time_point"), {
        "time_point.expected": "expected", "time_point.unscheduled": "unscheduled", "time_point.moved": "{became}",
        "time_point.rescheduled": "expected", "time_point.missed": "missed",
        "time_point.not_evaluable": "not evaluable"}),
    Setting("disposition of series {series}", ("subject", "series"), {"quality.disposed": "{disposition}"}),
    Setting("instances of series {series}", ("subject", "series"), {
        "series.received": "{instances}", "series.extended": "{instances}"}),
    Setting("edition of series {series}", ("subject", "series"), {
        "series.received": "1", "series.resubmitted": "{edition}"}),
    Setting("selection of {subject}", ("subject",), {"cohort.selected": "{decision}"}),
    Setting("eligibility of {subject}", ("subject",), {"cohort.eligibility_decided": "{decision}"}),
    Setting("slot {slot} of {subject}", ("subject", "slot"), {"read.assigned": "{reader}"}),
    Setting("final of {subject}, {time_point}", ("subject", "time_point"), {"read.signed": "report {report}"}),
    Setting("gate {gate}", ("gate",), {
        "gate.requested": "requested", "gate.opened": "open", "gate.withdrawn": "withdrawn",
        "gate.suspended": "suspended", "gate.halted": "halted", "gate.resumed": "open", "gate.revoked": "revoked"}),
    Setting("lock {lock}", ("lock",), {"model.locked": "locked", "model.retired": "{how}"}),
    Setting("server {server} of lock {lock}", ("server", "lock"), {
        "server.enrolled": "enrolled", "server.withdrawn": "withdrawn"}),
    Setting("result of run {run}", ("run",), {"validation.concluded": "{verdict}", "validation.suspect": "suspect"}),
    Setting("deviation {deviation}", ("deviation",), {"deviation.opened": "open", "deviation.closed": "closed"}),
    Setting("action {capa}", ("capa",), {"capa.opened": "open", "capa.closed": "{effect}"}),
    Setting("change {change}", ("change",), {"change.assessed": "{klass_name}"}),
    Setting("document {sop}, version {version}", ("sop", "version"), {
        "sop.drafted": "draft", "sop.reviewed": "reviewed", "sop.returned": "returned", "sop.approved": "approved",
        "sop.effective": "effective", "sop.superseded": "superseded", "sop.retired": "retired"}),
    Setting("account {user}", ("user",), {"person.registered": "registered", "person.closed": "closed"}),
)
BY_WORD: Mapping[str, tuple[Setting, ...]] = {
    word: tuple(one for one in SETTINGS if word in one.words)
    for setting in SETTINGS for word in setting.words
}
# Columns of the record that lead to a thing's entries by an index of their own.
_COLUMNS = {"subject": "subject", "lock": "model"}


@dataclass(frozen=True, slots=True)
class Change:
    """What an entry made of an earlier value. `earlier` is the entry that had set it."""

    what: str
    old: str
    new: str
    reason: str | None
    earlier: int
    earlier_leaf: bytes

    def in_words(self) -> str:
        because = f" ({self.reason})" if self.reason else ""
        return f"{self.what}: {self.old} → {self.new}{because}"


def changes_of(reader: Reader, lines: Sequence[Line], *, back: int | None = None) -> list[tuple[Change, ...]]:
    """For each line the values that it changed; none where it set them for the first time, or to what they were.

    `back` ends the search after so many earlier entries of the subject, for long lists; the entry's own page has none.
    """
    asked = [(place, setting) for place, line in enumerate(lines) for setting in BY_WORD.get(line.body["action"], ())]
    keys = [_key(lines[place].body, setting) for place, setting in asked]
    wanted = [_wanted(lines[place], setting, key) for (place, setting), key in zip(asked, keys, strict=True)]
    earlier = newest_before(reader, wanted, lambda number, line: _key(line.body, asked[number][1]) == keys[number],
                            back=back)
    found: list[list[Change]] = [[] for _ in lines]
    for (place, setting), before in zip(asked, earlier, strict=True):
        if before is None:
            continue
        body = lines[place].body
        old, new = (_value(one, setting) for one in (before.body, body))
        if old != new:
            reason = body.get("reason") or body["fields"].get("because") or body["fields"].get("says")
            found[place].append(Change(filled(setting.what, body), old, new, reason, before.seq, before.leaf))
    return [tuple(changes) for changes in found]


def said_changes(reader: Reader, lines: Sequence[Line]) -> list[str]:
    """All of each line as one text; empty where there is none."""
    return ["; ".join(change.in_words() for change in changes) for changes in changes_of(reader, lines)]


def _wanted(line: Line, setting: Setting, key: Sequence[Any]) -> Wanted:
    """The newest earlier entry about the same thing, in the same trial or of the house."""
    fields = line.body["fields"]
    column, value = next(((column, str(fields[name])) for name, column in _COLUMNS.items()
                          if name in setting.key and name in fields), (None, None))
    # Stored bytes are canonical JSON: a field stands in them in one way only.
    pieces = tuple(_piece(name, one) for name, one in zip(setting.key, key, strict=True) if one is not None)
    return Wanted(line.seq, tuple(setting.words), line.body.get("trial"), column, value, pieces)


def _piece(name: str, value: Any) -> str:
    return json.dumps({name: value}, ensure_ascii=False, separators=(",", ":"))[1:-1]


def _key(body: Mapping[str, Any], setting: Setting) -> Sequence[Any]:
    return [body["fields"].get(name) for name in setting.key]


def _value(body: Mapping[str, Any], setting: Setting) -> str:
    return filled(setting.words[body["action"]], body)
