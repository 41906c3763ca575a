"""The record that travels with a paper: a bundle of the trial's stream, the house's and the keys (RECORD 7)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select

from audit import store
from audit.bundle import STREAMS, Selection, write_bundle
from audit.vocabulary.ledger import ExportMade, StreamEnd
from audit.vocabulary.registry import sentence
from core.errors import RecordDamaged
from core.policy.decide import permit
from core.policy.state import Actor
from core.trials.queries import facts_for
from core.work import Desk

SERVICE = Actor.of_service("reports")


class _Store:
    """The live record as audit.bundle reads it, within one reading session."""

    def __init__(self, session: Connection) -> None:
        self._session, self._nodes = session, store.StoredNodes(session)

    def entries(self) -> Iterator[tuple[int, bytes]]:
        return ((entry.seq, entry.raw) for entry in store.read_entries(self._session))

    def leaves(self, size: int) -> Iterator[bytes]:
        return (entry.leaf for entry in store.read_entries(self._session, 0, size))

    def node(self, level: int, index: int) -> bytes:
        return self._nodes.node(level, index)


def trial_bundle(desk: Desk, trial: str, person: str) -> bytes:
    """Record `export.made` on behalf of a person and write the bundle that ends with it; its bytes."""
    streams = ("house", "keys", f"trial/{trial}")
    with desk.open(SERVICE, on_behalf_of=person, asked="ledger.export") as work:
        decision = permit(SERVICE, "ledger.export", facts_for(work.session, SERVICE, "ledger.export", trial))
        size, _ = store.head(work.session)
        ends = tuple(StreamEnd(stream=name, next=store.next_in_stream(work.session, name)) for name in streams)
        made = work.record(ExportMade(scope=f"paper of {trial}", streams=ends, size=size), under=decision)
    with desk.reading() as session, tempfile.TemporaryDirectory(prefix="countersign-bundle-") as folder:
        checkpoint = _checkpoint_covering(session, made.seq)
        selection = Selection(STREAMS, tuple((end.stream, end.next) for end in ends), made.seq)
        out = Path(folder) / "record.zip"
        write_bundle(_Store(session), checkpoint, selection, out, sentence=_sentence)
        return out.read_bytes()


def _checkpoint_covering(session: Connection, seq: int) -> str:
    """The first committed note that covers an entry, so that the bundle ends as near to its export as can be."""
    table = store.checkpoints
    smallest = session.execute(select(func.min(table.c.size)).where(table.c.size > seq)).scalar_one_or_none()
    if smallest is None:
        raise RecordDamaged(f"No checkpoint covers entry {seq}.")
    note: str = session.execute(select(table.c.note).where(table.c.size == smallest)).scalar_one()
    return note


def _sentence(entry: dict[str, Any]) -> str:
    body = entry["body"]
    return sentence(body["action"], body["version"], body["fields"], body)
