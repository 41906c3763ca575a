"""The delegation log of a trial: who delegated which role's tasks to whom, from when until when, in which entry.

Read from the entries themselves, because the read-models keep only what is in force (ICH E6(R3) 2.3).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sqlalchemy import Connection, select

from audit import store
from audit.entry import Entry
from audit.vocabulary.access import DelegationEnded, DelegationSigned, RoleGranted, RoleRevoked
from audit.vocabulary.registry import event_from
from core.clock import in_words

WORDS = ("delegation.signed", "delegation.ended", "role.granted", "role.revoked")
COLUMNS = ("trial", "site", "role", "user", "from_on", "until_on", "signed_by", "signed_as", "signed_at", "entry",
           "how", "ended_at", "ended_by", "ended_entry", "because")


@dataclass(frozen=True, slots=True)
class Line:
    """One line. `how`: `delegation`, signed as such, or `grant`, where the grant of a lead delegates the tasks too.

    Days are days of UTC, both included; `until_on` None: until it is ended.
    """

    trial: str
    user: str
    role: str
    site: str | None
    from_on: str
    until_on: str | None
    signed_by: str
    signed_as: str
    signed_at: str
    entry: int
    how: str
    ended_at: str | None = None
    ended_by: str | None = None
    ended_entry: int | None = None
    because: str | None = None

    def in_force(self, day: str) -> bool:
        """Whether the line delegates on a day (YYYY-MM-DD)."""
        return self.ended_entry is None and self.from_on <= day and (self.until_on is None or self.until_on >= day)


def delegation_log(session: Connection, trial: str) -> tuple[Line, ...]:
    """Every line that the trial ever had, oldest first; ended ones say by whom and why."""
    lines: list[Line] = []
    for entry in _entries(session, trial):
        body = entry.body
        event = event_from(body["action"], body["version"], body["fields"])
        if isinstance(event, DelegationSigned):
            lines.append(_line(entry, trial, event, event.from_on, event.until_on, "delegation"))
        elif isinstance(event, RoleGranted) and (event.delegates or event.at_init):
            lines.append(_line(entry, trial, event, in_words(entry.ts)[:10], None, "grant"))
        elif isinstance(event, DelegationEnded | RoleRevoked):
            lines = [
                replace(one, ended_at=in_words(entry.ts), ended_by=body["actor"], ended_entry=entry.seq,
                        because=event.because)
                if one.ended_entry is None and (one.user, one.role, one.site) == (event.user, event.role, event.site)
                else one for one in lines
            ]
    return tuple(lines)


def _line(
    entry: Entry, trial: str, event: DelegationSigned | RoleGranted, from_on: str, until_on: str | None, how: str
) -> Line:
    return Line(trial, event.user, event.role, event.site, from_on, until_on, entry.body["actor"], entry.body["role"],
                in_words(entry.ts), entry.seq, how)


def _entries(session: Connection, trial: str) -> Iterator[Entry]:
    table = store.entries
    eids = session.execute(
        select(table.c.eid).where(table.c.trial == trial, table.c.action.in_(WORDS)).order_by(table.c.seq)
    ).scalars().all()
    found = store.entries_by_id(session, eids)
    yield from (found[eid] for eid in eids)
