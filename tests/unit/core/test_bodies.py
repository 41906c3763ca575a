"""Bodies that are put together for many events at once say, to the byte, what each would say alone (RECORD 1)."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from audit.entry import MalformedEntry, canonical
from audit.proofs import Checkpoint
from audit.vocabulary.ledger import ActionRefused, ClockStepped
from core.bodies import bodies_of, body_of
from core.clock import in_words
from core.ids import uuids7
from core.proposal import Occasion
from tests.req import req

NOW_US = 1_795_600_000_123_456
NASTY = st.sampled_from(
    ['"fields":{}', '"id":""', '{"fields":{},"id":""}', "\\", "line\nline", "Größe", "é", "\x7f", ""])
TEXT = st.one_of(st.text(max_size=12), NASTY)
EVENT = st.one_of(
    st.builds(ClockStepped, microseconds=st.integers(-(2**53), 2**53), because=TEXT),
    st.builds(ActionRefused, asked=TEXT, because=TEXT))


@req("REC-01")
@given(st.lists(EVENT, min_size=1, max_size=6), TEXT, TEXT)
def test_the_bodies_of_many_events_are_those_of_each_alone(events: list[object], reason: str, rule: str) -> None:
    last = Checkpoint("bench.example/log", 7, bytes(32), "")
    ids = uuids7(NOW_US, len(events))
    occasions = [Occasion(NOW_US + n // 3, in_words(NOW_US + n // 3), one) for n, one in enumerate(ids)]
    said = {"actor": "house", "role": "service", "rule": rule, "reason": reason, "trial": None}
    alone = [body_of(event, last, last.origin, occasion=occasion, **said)  # type: ignore[arg-type]
             for event, occasion in zip(events, occasions, strict=True)]

    try:
        right = [(body, canonical(body, "body")) for body in alone]
    except MalformedEntry:
        right = None
    try:
        made = bodies_of(events, occasions, last, last.origin, **said)
    except MalformedEntry:
        made = None
    assert made == right


@req("REC-01")
def test_ids_of_one_instant_are_version_7_of_it_and_all_different() -> None:
    ids = uuids7(NOW_US, 2_000)
    read = [uuid.UUID(one) for one in ids]
    assert [str(one) for one in read] == ids
    assert {(one.version, one.variant, one.int >> 80) for one in read} == {(7, uuid.RFC_4122, NOW_US // 1000)}
    assert len(set(ids)) == 2_000
    assert len({one.int & 0xFFF for one in read}) > 1000
    assert len({one.int >> 64 & 0xFFF for one in read}) > 1000
