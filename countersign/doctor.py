"""What is wrong or missing in this installation, in words, with what to do."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import func, select

from audit import proofs, store
from core import outbox
from core.clock import in_words
from core.errors import CountersignError, DiskFull, DiskReadOnly
from countersign import disk
from countersign.house import House
from countersign.schema import deviations, record_objects, schema_digest

LOW_DISK_BYTES = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    what: str
    fine: bool = True
    remedy: str = ""
    damaged: bool = False

    def as_data(self) -> dict[str, Any]:
        return asdict(self)


def examine(house: House) -> list[Finding]:
    """Look at everything; nothing is changed."""
    from countersign.readiness import people_findings
    from countersign.upkeep import standing_findings

    return [
        *_record(house), *standing_findings(house), *_protections(house), *_keys(house), *_work(house), *_disk(house),
        *people_findings(house),
    ]


def _record(house: House) -> Iterator[Finding]:
    with house.desk.reading() as session:
        size, ts = store.head(session)
        last = store.last_checkpoint(session)
        if last is None or last.size != size:
            yield Finding(
                f"{size} entries, but the newest checkpoint covers {last.size if last else 0}.",
                fine=False, damaged=True,
                remedy="Stop writing, keep the disk as it is and run `countersign ledger verify`.",
            )
        elif proofs.root_at(store.StoredNodes(session), size) != last.root:
            yield Finding(
                "The stored leaves do not lead to the newest checkpoint.", fine=False, damaged=True,
                remedy="Stop writing, keep the disk as it is and run `countersign ledger verify`.",
            )
        else:
            yield Finding(f"{size} entries, the newest of {in_words(ts)}, all covered by one checkpoint")
    difference = house.compare()
    yield Finding(
        difference.in_words(), fine=difference.none, damaged=not difference.none,
        remedy="Run `countersign ledger rebuild`; the record itself is not touched by it.",
    )


def _protections(house: House) -> Iterator[Finding]:
    with house.desk.reading() as session:
        wrong = deviations(session)
        digest = schema_digest(record_objects(session))
    yield Finding(
        f"The record's tables and protections are those of this release (schema digest {digest[:16]}…)" if not wrong
        else f"The record's protections differ from this release: {'; '.join(wrong)}.",
        fine=not wrong, damaged=bool(wrong),
        remedy="Somebody with the owner's rights changed the schema: find out who, verify the record, restore it.",
    )


def _keys(house: House) -> Iterator[Finding]:
    yield Finding(
        "The signer runs inside this process: whoever controls the process can ask it for signatures of the house. "
        "Personal keys still need the person's password and code."
    )
    folder = house.home / "signer"
    open_files = [path.name for path in folder.rglob("*") if path.is_file() and path.stat().st_mode & 0o077]
    yield Finding(
        f"Key files are readable by their owner alone ({folder.name}/)" if not open_files
        else f"{len(open_files)} key files can be read by others.",
        fine=not open_files, remedy=f"chmod -R go= {folder}",
    )


def _work(house: House) -> Iterator[Finding]:
    with house.desk.reading() as session:
        counted = session.execute(select(outbox.jobs.c.state, func.count().label("jobs")).group_by(outbox.jobs.c.state))
        rows: dict[str, int] = {row.state: row.jobs for row in counted}
    failed, waiting = rows.get("failed", 0), rows.get("waiting", 0)
    yield Finding(
        f"{waiting} jobs wait, {failed} failed for good", fine=not failed,
        remedy="Look at the column `problem` of table job, mend the cause and set the job to waiting again.",
    )


def _disk(house: House) -> Iterator[Finding]:
    free = shutil.disk_usage(house.home).free
    yield Finding(
        f"{free / 1024**3:.1f} GiB free where the home lies", fine=free > LOW_DISK_BYTES,
        remedy="Make room before the next arrival; a full disk refuses new entries and harms none.",
    )
    refusal = _cannot_write(house)
    yield Finding(
        "Home and database can be written" if refusal is None else refusal.fact, fine=refusal is None,
        remedy=refusal.next_step if refusal else "",
    )


def _cannot_write(house: House) -> CountersignError | None:
    """Try it, as permissions alone do not tell of a disk that is mounted read-only; nothing stays of the trial."""
    try:
        with disk.in_words(house.home), tempfile.TemporaryFile(dir=house.home):
            pass
        with house.desk.working_tables() as session:
            # A lock alone does not touch the disk; a table that is made and taken back does.
            session.exec_driver_sql("CREATE TABLE doctor_trial (a INTEGER)")
            session.rollback()
    except (DiskFull, DiskReadOnly) as refusal:
        return refusal
    return None
