"""The SQL of a question says the same as the question itself; pages, counts and proofs fit together."""

from __future__ import annotations

import json
import random
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import proofs
from audit.query import TEXT_KEYS, Query, fits, parse, quoted
from core import ledger_queries as record
from core.errors import NotFound, UnusableInput
from core.ledger_queries import SessionReader, SqliteReader
from core.ledger_words import evidence_code, find_line, sentence_of, shown_value
from reports.evidence import code_of_leaf
from tests.bundles import START_US, jcs, leaf_of
from tests.house import HouseUnderTest
from tests.req import req

VALUES: dict[str, list[str | None]] = {
    "actor": ["reader-1", "reader-2", "house"], "action": ["read.signed", "read.sealed", "gate.opened"],
    "subject": ["T1-001", "T1-0*1", "t1-001", None], "trial": ["T1", "T2", None], "study": ["1.2.3", None],
    "model": ["m%1", "m_1", "m[1]", None], "reason": ["late", 'with "quotes"', None],
}


def a_store(path: Path, rng: random.Random, count: int) -> list[dict[str, object]]:
    """A file with the columns that are searched."""
    store = sqlite3.connect(path)
    store.execute("CREATE TABLE entry (seq INTEGER PRIMARY KEY, ts INTEGER, leaf BLOB, data BLOB, actor, on_behalf_of, "
                  "action, trial, subject, study, model, reason, stream, stream_seq)")
    rows: list[dict[str, object]] = []
    numbers: dict[str, int] = {}
    for seq in range(count):
        row: dict[str, object] = {key: rng.choice(values) for key, values in VALUES.items()}
        row |= {"seq": seq, "ts": START_US + seq * 3_600_000_000,
                "on_behalf_of": rng.choice([None, None, "reader-1", "reader-2"])}
        stream = f"trial/{row['trial']}" if row["trial"] else "house"
        numbers[stream] = numbers.get(stream, -1) + 1
        data = jcs({"body": {"action": row["action"]}, "kid": "k", "stream": stream, "stream_seq": numbers[stream]})
        store.execute("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (
            seq, row["ts"], leaf_of(data), data, row["actor"], row["on_behalf_of"],
            *(row[key] for key in ("action", "trial", "subject", "study", "model", "reason")),
            stream, numbers[stream]))
        rows.append(row)
    store.commit()
    store.close()
    return rows


def by_pages(reader: record.Reader, query: Query, limit: int, trials: frozenset[str | None] | None = None) -> list[int]:
    """The numbers of all entries that fit, turning page after page."""
    seen: list[int] = []
    before: int | None = None
    while True:
        page = record.page(reader, query, before=before, limit=limit, trials=trials)
        seen += [line.seq for line in page.lines]
        if page.next_before is None:
            return seen
        before = page.next_before


_patterns = st.sampled_from([value for values in VALUES.values() for value in values if value] + ["read.x", "T1-0"])
_value = st.one_of(_patterns.map(quoted), _patterns.map(lambda v: quoted(v[:-1]) + "*" if len(v) > 1 else "*"),
                   st.just("*"), st.just("*1*"))
_text = st.builds(lambda minus, key, value: f"{minus}{key}:{value}", st.sampled_from(["", "-"]),
                  st.sampled_from(TEXT_KEYS), _value)
_time = st.sampled_from(["since:2026-11-25", "until:2026-11-25T12:46", "as-of:7", "as-of:2026-11-26T00:46:40",
                         "since:2030-01-01", "until:2020-01-01"])
_seq = st.sampled_from(["seq:3", "seq:2..9", "seq:..4", "-seq:5..7", "seq:8.."])


@given(st.lists(st.one_of(_text, _seq), max_size=4), st.one_of(st.none(), _time), st.integers(0, 99))
@req("ATR-04")
def test_sql_finds_exactly_the_entries_that_the_question_means(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], bound: str | None, seed: int
) -> None:
    path = tmp_path_factory.mktemp("q") / "ledger.db"
    rows = a_store(path, random.Random(seed), 24)
    query = parse(" ".join([*parts, *([bound] if bound else [])]))
    reader = SqliteReader(path)

    found = [line.seq for line in record.every(reader, query)]

    meant = [row for row in reversed(rows) if fits(query, int(str(row["seq"])), int(str(row["ts"])), row)]
    assert found == [row["seq"] for row in meant]
    open_to = frozenset({"T1", None})
    assert by_pages(reader, query, 3) == found
    assert by_pages(reader, query, 2, open_to) == [seq for seq in found if rows[seq]["trial"] in open_to]
    assert record.count(reader, query).number == len(found)
    counted = record.summary(reader, query, most=99)
    assert counted.looked_at == len(found) == sum(number for _, number in counted.days)
    for key in ("actor", "action", "subject"):
        assert sum(number.number for _, number in counted.facets[key]) == sum(
            1 for row in rows if row["seq"] in found and row[key] is not None)
    reader.close()


@req("ATR-04")
def test_pages_by_key_give_every_entry_once_in_order(tmp_path: Path) -> None:
    a_store(tmp_path / "l.db", random.Random(1), 23)
    seen = by_pages(SqliteReader(tmp_path / "l.db"), parse(""), 5)

    assert seen == list(range(22, -1, -1))


@req("ATR-04")
def test_counts_above_the_cap_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_store(tmp_path / "l.db", random.Random(1), 60)
    reader = SqliteReader(tmp_path / "l.db")
    exact = record.summary(reader, parse("actor:*"))
    monkeypatch.setattr(record, "CAP", 20)
    monkeypatch.setattr(record, "SAMPLE", 10)
    part = record.summary(reader, parse("actor:*"))
    whole = record.summary(reader, parse(""))

    assert (exact.looked_at, exact.part) == (60, False)
    assert sum(number.number for _, number in exact.facets["action"]) == 60
    assert record.count(reader, parse("")).in_words() == "> 20"
    assert (part.looked_at, part.part, part.count.in_words()) == (10, True, "> 20")
    assert sum(number.number for _, number in part.facets["action"]) == 10
    assert {number.in_words()[0] for _, number in part.facets["action"]} == {"≥"}
    # Along an index of its own a facet is counted exactly, up to the cap, though more entries fit than are looked at.
    for key in ("actor", "action", "trial"):
        there = dict(exact.facets[key])
        assert {value: (number.number, number.capped) for value, number in whole.facets[key]} == {
            value: (min(number.number, 20), number.number > 20) for value, number in there.items()}


@req("ATR-04", "REC-02")
def test_an_entry_is_found_by_number_and_by_its_evidence_code(house: HouseUnderTest) -> None:
    house.person("reader-1", "reader", trial="T1")
    with house.desk.reading() as session:
        reader = SessionReader(session)
        line = record.line_at(reader, 5)

        assert evidence_code(line.leaf) == code_of_leaf(line.leaf)
        for named in ("5", evidence_code(line.leaf), evidence_code(line.leaf).lower().replace("-", " "),
                      code_of_leaf(line.leaf, 3), code_of_leaf(line.leaf, 12)):
            assert find_line(reader, named).seq == 5
        with pytest.raises(NotFound):
            find_line(reader, "99999")
        with pytest.raises(NotFound):
            find_line(reader, "EV-0000-0000")
        for nonsense in ("", "EV-7K3M", "EV-7K3M-9Q2U", "-5"):
            with pytest.raises(UnusableInput):
                find_line(reader, nonsense)


@req("REC-03")
def test_every_entry_of_a_house_is_proven_under_the_newest_checkpoint(house: HouseUnderTest) -> None:
    with house.desk.reading() as session:
        reader = SessionReader(session)
        note = record.newest_note(reader)
        for seq in range(note.size):
            line = record.line_at(reader, seq)
            path = record.proof_of(reader, seq, note)
            assert proofs.root_of_inclusion(leaf_of(line.raw), seq, note.size, path) == note.root


@req("REC-02", "REC-08")
def test_sentences_come_from_the_vocabulary_on_record(house: HouseUnderTest) -> None:
    house.person("reader-1", "reader", trial="T1")
    with house.desk.reading() as session:
        reader = SessionReader(session)
        said = record.sentences(reader)
        lines = list(record.every(reader, parse("action:role.granted")))

    assert lines
    assert all("reader" in sentence_of(line.body, said) for line in lines)
    assert sentence_of({"action": "a.b", "version": 1, "actor": "x", "fields": {}}, said) == "x: a.b"
    assert shown_value([{"sha256": "ab" * 32}, True, 3, {"a": "b"}]) == "abababababab…, yes, 3, a b"
    assert json.loads(lines[0].raw)["seq"] == lines[0].seq
