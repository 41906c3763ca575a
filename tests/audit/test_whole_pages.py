"""What a page asks of the database at once says what its definition says of each entry by itself, on both stores."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine

from audit import store
from audit.entry import Entry
from audit.query import fits, parse
from core import ledger_queries as record
from core import ledger_ways
from core.ledger_changes import BY_WORD, Setting, changes_of
from core.ledger_queries import Line, SessionReader
from core.ledger_words import filled
from tests.bundles import START_US, in_words, jcs
from tests.conftest import need
from tests.house import HouseUnderTest, a_house
from tests.req import req

HOUR_US = 3_600_000_000
# Which word has which fields that name a thing, and one that carries its value.
SHAPES: dict[str, tuple[tuple[str, ...], str]] = {
    "role.granted": (("user", "role", "site"), ""), "role.revoked": (("user", "role", "site"), ""),
    "series.received": (("subject", "series"), "instances"), "series.extended": (("subject", "series"), "instances"),
    "series.resubmitted": (("subject", "series"), "edition"), "time_point.moved": (("subject", "time_point"), "became"),
    "gate.opened": (("gate",), ""), "gate.halted": (("gate",), ""), "model.locked": (("lock",), ""),
    "model.retired": (("lock",), "how"), "server.enrolled": (("server", "lock"), ""), "trial.closed": ((), ""),
    "trial.activated": ((), ""), "quality.checked": (("subject", "series"), ""),
}
VALUES = {"user": ("ä-1", "b-2"), "role": ("reader", "monitor"), "site": (None, None, "L-1"),
          "series": ("1.2", "1.2.3"), "subject": ("S-1", "S-2", "s-1"), "time_point": ("W00", "W08"),
          "gate": ("g-1", "g-2"), "lock": ("m", "n"), "server": ("a", "b")}
ACTORS = ("House", "house", "ärztin-1", "zoe-1", "Zoe-1", "z_1")


def random_entries(count: int, seed: int) -> Iterator[Entry]:
    """Entries of several trials about few things, some with the pieces of another thing deeper inside them."""
    rng = random.Random(seed)
    numbers: Counter[str] = Counter()
    for seq in range(count):
        action = rng.choice(list(SHAPES))
        names, says = SHAPES[action]
        fields: dict[str, Any] = {name: value for name in names if (value := rng.choice(VALUES[name])) is not None}
        fields |= {says: str(rng.randrange(3))} if says else {}
        fields |= {"inside": {name: rng.choice(VALUES[name]) or "L-1" for name in names}} if rng.random() < 0.3 else {}
        trial = rng.choice(("T1", "T1", "T2", None))
        stream = f"trial/{trial}" if trial else "house"
        body = {"action": action, "version": 1, "type": 1, "actor": rng.choice(ACTORS), "at": in_words(START_US),
                "id": f"{seq:036}", "role": "service", "rule": "P-30", "head": {"size": 0, "root": ""}, "log": "l",
                "fields": fields}
        body |= {"trial": trial} if trial else {}
        body |= {"reason": rng.choice(("late", "Late", "late ä"))} if rng.random() < 0.5 else {}
        outer: dict[str, Any] = {"body": body, "kid": "k", "seq": seq, "sig": "", "stream": stream,
                                 "stream_seq": numbers[stream], "ts": START_US + seq * HOUR_US}
        numbers[stream] += 1
        yield Entry(raw=jcs(outer), **outer)


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
def filled_store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Connection, list[Line]]]:
    """A store with 600 such entries, and the entries."""
    url = f"sqlite:///{tmp_path_factory.mktemp('s') / 'l.db'}"
    if request.param == "postgresql":
        need("postgres")
        from tests.postgres import fresh_database

        url = fresh_database()
    made = list(random_entries(600, 5))
    engine = create_engine(url)
    store.metadata.create_all(engine)
    with engine.begin() as session:
        for first in range(0, len(made), 7):  # by rows: COPY belongs to the engine of the house
            store.add_entries(session, made[first:first + 7])
        yield session, [Line.of((one.seq, one.ts, one.leaf, one.raw)) for one in made]
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HouseUnderTest]:
    """A house on each store."""
    url = None
    if request.param == "postgresql":
        need("postgres")
        from tests.postgres import fresh_database

        url = fresh_database()
    with a_house(tmp_path, url) as made:
        yield made


def meant(lines: list[Line], line: Line, setting: Setting, back: int | None) -> Line | None:
    """The entry before `line` that set the same value, found by reading everything before it."""
    def key(one: Line) -> list[Any]:
        return [one.body["fields"].get(name) for name in setting.key]

    def alike(one: Line) -> bool:
        return one.body["action"] in setting.words and one.body.get("trial") == line.body.get("trial")

    leading = next((name for name in ("subject", "lock") if name in setting.key), None)
    before = lines[line.seq - 1::-1] if line.seq else []
    window = [one for one in before
              if (one.body["fields"].get(leading) == line.body["fields"][leading] if leading else alike(one))][:back]
    return next((one for one in window if alike(one) and key(one) == key(line)), None)


@req("REC-02", "REC-07")
@pytest.mark.parametrize("back", [None, 3, 20])
def test_what_entries_changed_is_the_same_asked_together_as_by_reading_back(
    filled_store: tuple[Connection, list[Line]], back: int | None
) -> None:
    session, lines = filled_store
    expected = []
    for line in lines:
        said = []
        for setting in BY_WORD.get(line.body["action"], ()):
            earlier = meant(lines, line, setting, back)
            if earlier is None:
                continue
            old, new = (filled(setting.words[one.body["action"]], one.body) for one in (earlier, line))
            if old != new:
                said.append((filled(setting.what, line.body), old, new, line.body.get("reason"), earlier.seq))
        expected.append(said)

    found = changes_of(SessionReader(session), lines, back=back)

    assert [[(one.what, one.old, one.new, one.reason, one.earlier) for one in changes] for changes in found] == expected
    assert sum(map(bool, expected)) > 100
    assert changes_of(SessionReader(session), [], back=back) == []


@req("ATR-04")
@pytest.mark.parametrize(("cap", "sample"), [(10_000, 1_500), (40, 30), (150, 30)])
def test_facets_are_the_most_frequent_values_by_count_and_name(
    filled_store: tuple[Connection, list[Line]], monkeypatch: pytest.MonkeyPatch, cap: int, sample: int
) -> None:
    """Of the whole record along indexes up to the cap, else of the newest entries; on both stores in one order."""
    monkeypatch.setattr(record, "CAP", cap)
    monkeypatch.setattr(record, "SAMPLE", sample)
    session, lines = filled_store
    looked_at = lines[-sample:]
    found = record.summary(SessionReader(session), parse(""), most=3)

    assert (found.count.number, found.count.capped) == (min(len(lines), cap), len(lines) > cap)
    for key in record.FACETS:
        along = lines if key in record.INDEXED else looked_at
        texts = [one.body["fields"].get(key) if key == "subject" else one.body.get(key) for one in along]
        counts = Counter(text for text in texts if text is not None)
        order = sorted((-min(many, cap), value) for value, many in counts.items())[:3]
        assert [(value, one.number) for value, one in found.facets[key]] == [(value, -many) for many, value in order]
        expected = [counts[value] > cap if key in record.INDEXED else sample < len(lines) for _, value in order]
        assert [one.capped for _, one in found.facets[key]] == expected


@req("ATR-04")
@pytest.mark.parametrize("few", [2, 3, 500])
def test_a_pattern_finds_values_behind_many_others(
    filled_store: tuple[Connection, list[Line]], monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    """However few values are listed on the way to a pattern: on PostgreSQL a pattern that no value among the first 500
    fitted once found nothing."""
    monkeypatch.setattr(ledger_ways, "FEW", few)
    monkeypatch.setattr(ledger_ways, "MANY", few)
    session, lines = filled_store
    for question in ("subject:s-*", "subject:S-2*", "action:time_point.*", "action:server.* trial:T2", "model:n*"):
        query, reader = parse(question), SessionReader(session)
        columns = {line.seq: store.search_columns(line.body["fields"])._asdict() for line in lines}
        expected = [line.seq for line in reversed(lines)
                    if fits(query, line.seq, line.ts, {**line.body, **columns[line.seq]})]
        assert [line.seq for line in record.every(reader, query)] == expected, question
        assert record.count(reader, query).number == len(expected) > 0


@req("ATR-04", "REC-04")
def test_a_page_sees_the_record_as_its_first_question_met_it(house: HouseUnderTest) -> None:
    """What is recorded meanwhile stands on the next page: rows, counts and checkpoint of one are of one moment."""
    def seen(session: Connection) -> tuple[int, int, int]:
        reader = SessionReader(session)
        return (record.newest_note(reader).size, record.count(reader, parse("")).number,
                record.page(reader, parse("")).lines[0].seq + 1)

    with house.desk.reading() as session:
        if session.dialect.name == "postgresql":  # where it compiles what it thinks long, a page waits for that
            assert session.exec_driver_sql("SHOW jit").scalar_one() == "off"
        size = record.newest_note(SessionReader(session)).size
        house.person("reader-1", "reader", trial="T1")
        assert seen(session) == (size, size, size)
    with house.desk.reading() as session:
        later = seen(session)
        assert later[0] > size
        assert set(later) == {later[0]}


@req("ATR-04")
@pytest.mark.parametrize("house", ["postgresql"], indirect=True)
def test_a_question_of_many_branches_is_planned_once_for_a_connection(house: HouseUnderTest) -> None:
    """Planning it takes longer than answering it; its later values are answered by the plan of the first. What else
    the page asks is planned by its own values."""
    entries, planned = house.entries(), []
    actions = sorted({one.body["action"] for one in entries})
    assert len(actions) > 9
    for last in ("action.refused", "backup.made", actions[9]):
        with house.desk.reading() as session:
            reader = SessionReader(session)
            found = record.page(reader, parse(" ".join(f"action:{one}" for one in (*actions[:9], last))))
            expected = [one.seq for one in reversed(entries) if one.body["action"] in (*actions[:9], last)][:100]
            assert [line.seq for line in found.lines] == expected
            assert session.exec_driver_sql("SHOW plan_cache_mode").scalar_one() == "auto"
            planned.append(session.exec_driver_sql(
                "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE '%%UNION%%'"
            ).all())
    assert planned == [[(1, 0)], [(2, 0)], [(3, 0)]]
