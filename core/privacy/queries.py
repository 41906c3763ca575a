"""What others ask: may this subject's data be used, what was decided, which texts are there, who holds a copy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, select

from audit import store
from audit.vocabulary.registry import SubjectText
from core.errors import NotFound
from core.objects import ERASED, SubjectKeys, owner
from core.privacy import projections as tables
from core.privacy.rules import Duty


@dataclass(frozen=True, slots=True)
class SubjectPrivacy:
    """Where a subject stands: the decision that restricts, the entries that erased and destroyed; ids."""

    trial: str
    subject: str
    restricted: str | None
    erased: str | None
    destroyed: str | None
    entry: int

    @property
    def state(self) -> str:
        """held, restricted, to_be_destroyed or erased."""
        if self.erased is not None:
            return "erased" if self.destroyed is not None else "to_be_destroyed"
        return "restricted" if self.restricted is not None else "held"


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """A decision on record."""

    id: str
    trial: str
    subject: str
    request: str
    basis: str
    decision: str
    retention: str
    retain_until: str | None
    retain_event: str | None
    happened_on: str | None
    replaces: str | None
    decider: str
    at: str
    entry: int

    @property
    def duty(self) -> Duty:
        return Duty(self.retention, self.retain_until, self.retain_event, self.happened_on)


@dataclass(frozen=True, slots=True)
class CopyRow:
    """An export or an issued paper that may cover a subject, and who took it."""

    copy_entry: str
    kind: str
    holder: str
    what: str
    entry: int


def privacy_of(session: Connection, trial: str, subject: str) -> SubjectPrivacy | None:
    """Where a subject stands; None for one that is not on record."""
    table = tables.subjects
    row = session.execute(select(table).where(table.c.trial == trial, table.c.subject == subject)).first()
    return SubjectPrivacy(**row._mapping) if row is not None else None


def the_subject(session: Connection, trial: str, subject: str) -> SubjectPrivacy:
    """The same. Raises NotFound."""
    found = privacy_of(session, trial, subject)
    if found is None:
        raise NotFound(f"Trial {trial} has no subject {subject}.", next_step="`countersign subject list` shows them.")
    return found


def subjects_of(session: Connection, trial: str | None = None) -> tuple[SubjectPrivacy, ...]:
    """Subjects about whom something is in force, in order of codes."""
    table = tables.subjects
    wanted = select(table).where(table.c.restricted.is_not(None) | table.c.erased.is_not(None))
    if trial is not None:
        wanted = wanted.where(table.c.trial == trial)
    rows = session.execute(wanted.order_by(table.c.trial, table.c.subject))
    return tuple(SubjectPrivacy(**row._mapping) for row in rows)


def relations_of(session: Connection, trial: str, subject: str) -> frozenset[str]:
    """`restricted` and `erased`, as policy rows name them."""
    found = privacy_of(session, trial, subject)
    if found is None:
        return frozenset()
    holds = {"restricted": found.restricted is not None, "erased": found.erased is not None}
    return frozenset(name for name, true in holds.items() if true)


def decisions_of(session: Connection, trial: str, subject: str | None = None) -> tuple[DecisionRow, ...]:
    """Decisions, oldest first."""
    table = tables.decisions
    wanted = select(table).where(table.c.trial == trial).order_by(table.c.entry)
    if subject is not None:
        wanted = wanted.where(table.c.subject == subject)
    return tuple(DecisionRow(**row._mapping) for row in session.execute(wanted))


def duties_of(session: Connection, trial: str, subject: str, *, without: str | None = None) -> tuple[Duty, ...]:
    """Retention duties on record that no later decision replaces; `without` is one about to be replaced."""
    rows = decisions_of(session, trial, subject)
    replaced = {row.replaces for row in rows} | {without}
    return tuple(row.duty for row in rows if row.id not in replaced)


def text_of(session: Connection, keys: SubjectKeys, entry_id: str, field: str = "comment") -> str | None:
    """A text about a subject where its key lies, the tombstone where it does not; None where none was given."""
    table = tables.texts
    row = session.execute(select(table).where(table.c.id == entry_id, table.c.field == field)).first()
    if row is None:
        return None
    if row.erased:
        return ERASED
    return keys.open_text(owner(row.trial, row.subject), entry_id, SubjectText(ct=row.ct, iv=row.iv, kid=row.kid))


def texts_of(session: Connection, keys: SubjectKeys, entry_id: str) -> dict[str, str]:
    """Every text of an entry, by field."""
    names = session.execute(select(tables.texts.c.field).where(tables.texts.c.id == entry_id)).scalars().all()
    return {name: text_of(session, keys, entry_id, name) or "" for name in sorted(names)}


def copies_that_cover(session: Connection, trial: str, subject: str) -> Iterator[CopyRow]:
    """Exports and papers made since the subject entered the trial, which may hold something of the subject."""
    table, since = tables.copies, the_subject(session, trial, subject).entry
    rows = session.execute(
        select(table).where(table.c.trial.in_((trial, "")), table.c.entry > since).order_by(table.c.entry)
    ).all()
    for row in rows:
        if row.trial == trial or _chosen_covers(session, row.what, trial, subject):
            yield CopyRow(row.copy_entry, row.kind, row.holder, row.what, row.entry)


def _chosen_covers(session: Connection, scope: str, trial: str, subject: str) -> bool:
    """Whether one of the entries that an export names is about the subject."""
    for seq in scope.removeprefix("entries ").split(", "):
        entry = store.entry_at(session, int(seq)) if seq.isdecimal() else None
        if entry is not None and entry.body.get("trial") == trial and entry.body["fields"].get("subject") == subject:
            return True
    return False


def notices_of(session: Connection, erased: str) -> dict[str, str]:
    """Copy to holder, for whom a notice is on record."""
    table = tables.notices
    rows = session.execute(select(table).where(table.c.erased == erased).order_by(table.c.entry))
    return {row.copy_entry: row.holder for row in rows}
