"""Questions as auditors type them: what is understood, and what a wrong one is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.query import ANY, KEYS, Query, QueryError, Range, Term, fits, parse, quoted
from tests.req import req


@req("ATR-04")
def test_a_question_is_read_key_by_key() -> None:
    query = parse('actor:reader-1  action:read.* -trial:T2 subject:"LUM 001" seq:10..20 -seq:15')

    assert query.terms == (
        Term("actor", ("reader-1",), negated=False), Term("action", ("read.", ANY), negated=False),
        Term("trial", ("T2",), negated=True), Term("subject", ("LUM 001",), negated=False),
    )
    assert query.ranges == (Range(10, 20, negated=False), Range(15, 15, negated=True))


@req("ATR-04")
def test_times_are_utc_and_until_includes_what_it_names() -> None:
    day = parse("since:2026-11-24 until:2026-11-24")
    minute = parse("until:2026-11-24T10:30Z")

    assert day.since_us == 1_795_478_400_000_000
    assert day.until_us == day.since_us + 86_400_000_000
    assert minute.until_us == day.since_us + (10 * 3600 + 31 * 60) * 1_000_000
    assert parse("as-of:48917").as_of_seq == 48_917
    assert parse("as-of:2026-11-24").as_of_us == day.until_us


@req("ATR-04")
@pytest.mark.parametrize(
    ("text", "position", "fact"),
    [
        ("reader", 1, "has no key"),
        ("action:read.* reader", 15, "has no key"),
        ("aktion:read.*", 1, "aktion: is no key; there are actor:"),
        ("action:", 8, "needs a value"),
        ("action: read.*", 8, "needs a value"),
        ('action:read.* subject:"LUM', 23, "never closed"),
        ("since:yesterday", 7, "is no UTC time"),
        ("since:2026-02-30", 7, "not in the calendar"),
        ("until:9999-12-31", 7, "not in the calendar"),
        ("since:2026-11-24 since:2026-11-25", 18, "given twice"),
        ("-since:2026-11-24", 1, "cannot be excluded"),
        ("seq:20..10", 5, "ends before it begins"),
        ("seq:ten", 5, "no entry number"),
        ("seq:..", 5, "no entry number"),
        ("seq:99999999999999999", 5, "no ledger has"),
        ("-", 2, "has no key"),
        ("x" * 2001, 2001, "at most 2000"),
    ],
)
def test_a_question_that_cannot_be_read_is_answered_with_place_and_reason(text: str, position: int, fact: str) -> None:
    with pytest.raises(QueryError) as refusal:
        parse(text)

    assert refusal.value.position == position
    assert fact in refusal.value.fact


@req("ATR-04")
def test_same_key_means_either_other_keys_mean_all_and_minus_excludes() -> None:
    query = parse("action:read.* action:gate.* actor:reader-1 -subject:*-009")
    row = {"actor": "reader-1", "action": "read.signed", "subject": "T1-001"}

    assert fits(query, 1, 1, row)
    assert fits(query, 1, 1, row | {"action": "gate.opened"})
    assert not fits(query, 1, 1, row | {"action": "key.enrolled"})
    assert not fits(query, 1, 1, row | {"actor": "reader-2"})
    assert fits(query, 1, 1, row | {"actor": "house", "on_behalf_of": "reader-1"})
    assert not fits(query, 1, 1, row | {"subject": "T1-009"})
    assert fits(query, 1, 1, row | {"subject": None})


@given(st.text(max_size=30))
@req("ATR-04")
def test_any_value_can_be_asked_for_literally(value: str) -> None:
    """Quoting brings spaces, stars and quotation marks through."""
    if not value:
        return
    term = parse(f"subject:{quoted(value)}").terms[0]

    assert term.literal == value
    assert term.fits(value)


@given(st.text(alphabet='actorseqinu-of:*". 0129TZ\\', max_size=40))
@req("ATR-04")
def test_every_text_is_read_or_refused_with_a_place_inside_it(text: str) -> None:
    try:
        query = parse(text)
    except QueryError as refusal:
        assert 1 <= refusal.position <= len(text) + 1  # noqa: PT017  both outcomes are right
    else:
        assert isinstance(query, Query)
        assert parse(query.text) == query
        for token in query.tokens:
            assert len(parse(query.without(token)).tokens) == len(query.tokens) - 1
            assert token.key in KEYS
