"""What is wrong or missing in this installation, in words, with what to do."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import func, select

from audit import proofs, store
from core import outbox
from core.clock import in_words
from core.objects import owner
from core.privacy.queries import subjects_of
from countersign.adapters.subject_keys import FileSubjectKeys
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

    return [
        *_record(house), *_protections(house), *_keys(house), *_seals(house), *_subjects(house), *_work(house),
        *_disk(house), *people_findings(house),
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
        behind = time.time_ns() // 1000 - ts
        if behind < -2_000_000:
            yield Finding(
                f"The newest entry lies {-behind / 1e6:.0f} s in the future of this clock.", fine=False,
                remedy="Set the clock by NTP; appending goes on from the newest entry's time.",
            )
        anchored = session.execute(select(func.max(store.anchors.c.size))).scalar()
        witnessed = session.execute(select(func.max(store.cosignatures.c.size))).scalar()
    if anchored is None and witnessed is None:
        yield Finding(
            "No witness and no time stamp holds a checkpoint of this record.", fine=False,
            remedy="Loss of the newest entries and rollback stay invisible until one does; keep checkpoints of "
            "`countersign ledger checkpoint` outside this machine meanwhile.",
        )
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
    for folder in (house.home / "signer", *house.settings.subject_key_folders):
        open_files = [
            path.name for path in folder.rglob("*")
            if path.is_file() and path.name != ".lock" and path.stat().st_mode & 0o077
        ]
        yield Finding(
            f"Key files are readable by their owner alone ({folder.name}/)" if not open_files
            else f"{len(open_files)} key files can be read by others.",
            fine=not open_files, remedy=f"chmod -R go= {folder}",
        )


def _seals(house: House) -> Iterator[Finding]:
    found = house.signer.state_of_seals()
    if found.recovery_key is None:
        yield Finding(
            "No recovery key of the seals is in force: nothing can be sealed.", fine=False,
            remedy="Owner and QA make one: countersign seals renew --as OWNER, then --as QA.",
        )
        return
    yield Finding(
        f"{found.secrets} secrets of seals, each with a copy under the recovery key" if not found.without_copy
        else f"{found.without_copy} of {found.secrets} secrets of seals have no copy under the recovery key.",
        fine=not found.without_copy,
        remedy="Look whether the folder of copies is there (`countersign seals state`); then renew the recovery key.",
    )
    if not house.settings.seal_backup:
        yield Finding("Copies of seal secrets lie on the same disk as the signer; `seal_backup` may name another one")


def _subjects(house: House) -> Iterator[Finding]:
    keys = house.desk.objects.keys
    with house.desk.reading() as session:
        ordered = [one for one in subjects_of(session) if one.erased is not None]
    due = sum(one.destroyed is None for one in ordered)
    yield Finding(
        f"{len(ordered)} subjects erased, every key destroyed" if not due
        else f"{due} erasures are committed and not carried out: the keys are not destroyed yet.",
        fine=not due, remedy="Run `countersign work`.",
    )
    back = [one for one in ordered if one.destroyed is not None and keys.is_there(owner(one.trial, one.subject))]
    known = {owner(one.trial, one.subject) for one in ordered}
    lost = [one for one in keys.marks() if one not in known]
    if back or lost:
        yield Finding(
            f"{len(back)} keys of erased subjects have come back, {len(lost)} erasures are unknown to this record.",
            fine=False, damaged=bool(back), remedy="A copy was restored: run `countersign work`, which erases again.",
        )
    if isinstance(keys, FileSubjectKeys):
        there, single = keys.without_copy()
        yield Finding(
            f"{there} keys of subjects, each with its copy" if not single
            else f"{single} of {there} keys of subjects have no copy; backups of the home hold none.",
            fine=not single, remedy="Bring the folder of copies back, then run `countersign work`.",
        )
    if not house.settings.subject_key_copies:
        yield Finding("Copies of subject keys lie on the same disk; `subject_key_copies` may name another one")


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
