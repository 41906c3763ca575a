"""The tables of the record in memory, folded from words as they are said: no keys, no signatures, no home on a disk."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import create_engine, select

from audit import store
from audit.entry import Entry, SignedBody, canonical, entry_bytes, stream_of
from core.bodies import body_of
from core.clock import in_words
from core.projection import apply, metadata
from core.proposal import Occasion
from tests.builders.reads import TRIAL

DAY_US = 24 * 3600 * 1_000_000
FIRST_US = 1_775_000_000_000_000  # 2026-03-31


@lru_cache(maxsize=1)
def _empty() -> bytes:
    """A database with every table and no row."""
    with create_engine("sqlite://").connect() as session:
        for one in (metadata, store.metadata):
            one.create_all(session)
        session.commit()
        raw: bytes = session.connection.dbapi_connection.serialize()
        return raw


class Folded:
    """`session` for queries; `say` records a word without asking who may. `days` is how many have passed."""

    def __init__(self) -> None:
        empty = _empty()
        self.session = create_engine("sqlite://").connect()
        self.session.connection.dbapi_connection.deserialize(empty)
        self.days = 0

    def say(
        self, event: Any, actor: str = "trial-lead", *, role: str = "trial_lead", trial: str | None = TRIAL,
        kid: str = "kid", **sometimes: Any,
    ) -> Entry:
        """The entry, stored and folded; its signature is none."""
        seq, _ = store.head(self.session)
        at = FIRST_US + self.days * DAY_US + seq
        body = body_of(event, None, "countersign.example/test", actor=actor, role=role, rule="P-00", trial=trial,
                       occasion=Occasion(at, in_words(at), f"id-{seq}"), **sometimes)
        stream = stream_of(body["action"], trial)
        number = store.next_in_stream(self.session, stream)
        raw = entry_bytes(SignedBody(body, kid, "sig"), seq=seq, stream=stream, stream_seq=number, ts=at,
                          body=canonical(body))
        entry = Entry.parse(raw)
        store.add_entries(self.session, [entry])
        apply(self.session, entry, event)
        return entry

    def rows(self, table: Any) -> list[dict[str, Any]]:
        """Every row of a table as it stands, in the order of its primary key."""
        return [dict(row) for row in self.session.execute(select(table).order_by(*table.primary_key)).mappings()]
