"""What `doctor` says of standstill, clock, witness, time stamps, backups and schema, each with what to do."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from sqlalchemy import Connection, select

from audit import store
from core.clock import BACK_LIMIT_US, in_words, span_in_words
from core.errors import ClockUntrusted
from countersign.database import schema_steps
from countersign.doctor import Finding
from countersign.house import House
from countersign.standstill import loss_of

DAY_US = 24 * 3600 * 1_000_000
# SOP-13: a backup and a checkpoint for the witness every day; an anchor may wait for a week.
OLDEST_BACKUP_US, OLDEST_WITNESS_US, OLDEST_ANCHOR_US = 2 * DAY_US, 2 * DAY_US, 8 * DAY_US


def standing_findings(house: House) -> Iterator[Finding]:
    """Everything that keeps the record from going on, or from being found whole after a loss."""
    yield from _standstill(house)
    yield from _clock(house)
    with house.desk.reading() as session:
        size, newest = store.head(session)
        yield from _witness(session, size, newest)
        yield from _anchor(session, size, newest)
        yield from _backup(session, newest)
        yield from _schema(session)
    yield from _leftovers(house)


def _leftovers(house: House) -> Iterator[Finding]:
    left = house.leftovers()
    if not left:
        yield Finding("Nothing of ended commands lies about")
        return
    names = ", ".join(str(one.path) for one in left[:5]) + (f" and {len(left) - 5} more" if len(left) > 5 else "")
    yield Finding(
        f"Commands that were ended left {names}: {sum(one.bytes for one in left)} bytes, perhaps a plain copy of the "
        "record", fine=False, remedy="`countersign work` removes what nobody works on.")


def _standstill(house: House) -> Iterator[Finding]:
    still = house.standstill
    because, note = still.because(), still.note()
    if because is None:
        yield Finding("Appending is not stopped")
        return
    found = None
    if note is not None:
        with house.desk.reading() as session:
            found = loss_of(session, note)
    if found is not None and found.lost:
        kind = "the witness is ahead" if found.known.size > found.size else "the witness holds a fork"
        yield Finding(
            f"Appending is stopped, {kind}: {found.in_words()}", fine=False, damaged=True,
            remedy="Call QA and look for a newer copy of this home. If there is none, owner and QA go on together "
            "under a new origin: `countersign ledger continue --origin NEW --owner USER --qa USER --because WHY`.")
    elif still.restored:
        yield Finding(
            f"Appending is stopped. {because}", fine=False,
            remedy="Ask the witness: `countersign ledger cosign`. Without one, compare with the newest checkpoint kept "
            "outside: `countersign ledger resume --note FILE --as USER --because WHY`.")
    else:
        yield Finding(
            f"Appending is stopped: {because}", fine=False, damaged=True,
            remedy="No checkpoint of this record shows what was seen. Ask the witness for it and go on by `countersign "
            "ledger continue --note FILE`; if it was a false alarm, `countersign ledger resume`.")


def _clock(house: House) -> Iterator[Finding]:
    remedy = ("Set the clock by NTP from two sources, then vouch for it: `countersign doctor --confirm-clock REASON "
              "--as USER`; that is the first entry after it.")
    try:
        now = house.desk.clock.now()
    except ClockUntrusted as problem:
        yield Finding(f"{problem.fact} Nothing is appended.", fine=False, remedy=remedy)
        return
    with house.desk.reading() as session:
        _, newest = store.head(session)
    if newest - now > BACK_LIMIT_US:
        yield Finding(f"The newest entry lies {(newest - now) / 1e6:.0f} s in the future of this clock.", fine=False,
                      remedy=remedy)
    else:
        yield Finding("The clock agrees with the time since boot and with the newest entry")


def _witness(session: Connection, size: int, newest: int) -> Iterator[Finding]:
    table = store.cosignatures
    row = session.execute(select(table.c.size, table.c.witness, table.c.line).order_by(table.c.size.desc())).first()
    if row is None:
        yield Finding(
            "No witness has cosigned a checkpoint of this record.", fine=False,
            remedy="Loss of the newest entries and rollback stay invisible: run `countersign ledger witness` on "
            "another machine and `countersign ledger cosign` daily; keep `countersign ledger checkpoint` outside "
            "meanwhile.")
        return
    at_us = int.from_bytes(base64.b64decode(row.line.split(" ")[2])[4:12]) * 1_000_000
    late = newest - at_us
    yield Finding(
        f"The witness {row.witness} knows {row.size} entries, {size - row.size} behind, since {in_words(at_us)}",
        fine=row.size == size or late <= OLDEST_WITNESS_US,
        remedy="Have the newest checkpoint cosigned: `countersign ledger cosign`; daily, by SOP-13.")


def _anchor(session: Connection, size: int, newest: int) -> Iterator[Finding]:
    known = session.execute(select(store.anchors.c.size).order_by(store.anchors.c.size.desc()).limit(1)).scalar()
    entry = _last_of(session, "ledger.anchored")
    if known is None or entry is None:
        yield Finding(
            "No time stamp holds a checkpoint of this record.", fine=False,
            remedy="Take one of a public authority: `countersign ledger anchor`; weekly, by SOP-13.")
        return
    # The entry that records a time stamp is itself not news.
    behind = max(size - known - 1, 0)
    yield Finding(f"The newest time stamp covers {known} entries, {behind} behind, since {in_words(entry)}",
                  fine=not behind or newest - entry <= OLDEST_ANCHOR_US,
                  remedy="Take a new one: `countersign ledger anchor`.")


def _backup(session: Connection, newest: int) -> Iterator[Finding]:
    at_us = _last_of(session, "backup.made")
    remedy = "Back up every day and before every change (SOP-13): `countersign backup FOLDER --encrypt`."
    if at_us is None:
        yield Finding("No backup of this record was ever made.", fine=False, remedy=remedy)
        return
    age = newest - at_us
    yield Finding(f"The last backup is of {in_words(at_us)}; the newest entry is {span_in_words(age)} younger",
                  fine=age <= OLDEST_BACKUP_US, remedy=remedy)


def _last_of(session: Connection, action: str) -> int | None:
    entries = store.entries
    return session.execute(
        select(entries.c.ts).where(entries.c.action == action).order_by(entries.c.seq.desc()).limit(1)).scalar()


def _schema(session: Connection) -> Iterator[Finding]:
    here, known = schema_steps(session)
    if here == known[0]:
        yield Finding(f"The database has the schema of this release (step {here})")
    elif here in known:
        yield Finding(
            f"The database has an older schema (step {here}) than this release (step {known[0]}).", fine=False,
            remedy="Make a backup and restore it with this release into a new home: a restore brings it to this step; "
            "on PostgreSQL its owner may do so in place: `countersign database prepare`.")
    else:
        yield Finding(
            f"The database has a newer schema (step {here}) than this release knows (step {known[0]}).", fine=False,
            remedy="Stop, and go on with the release that made it; this one must not write here.")
