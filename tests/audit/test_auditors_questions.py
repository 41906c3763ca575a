"""One question, one answer: by SQL, at the console, by API and page, on both stores; and taken away as files."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from audit.query import KEYS, fits, parse
from audit.vocabulary.access import RoleGranted, RoleRevoked
from audit.vocabulary.imaging import SeriesHeld
from audit.vocabulary.models import ModelRefused
from audit.vocabulary.registry import REGISTRY
from core import ledger_queries as record
from core.errors import Refused, UnusableInput
from core.ledger_changes import SETTINGS, changes_of
from core.ledger_queries import SessionReader, SqliteReader
from core.policy.state import Actor, Decision
from core.work import Draft, View
from countersign.cli.ledger import app as ledger_cli
from countersign.web.accounts import Passwords, set_password
from countersign.web.app import build_app
from reports import query_export
from reports.query_export import export_query
from tests.audit.test_ledger_queries import a_store
from tests.conftest import need
from tests.house import ORIGIN, HouseUnderTest, a_house
from tests.req import req

PASSWORD = "a login password of its own"
ALLOWED = Decision(True, "P-03", "set up for a test", "service")
# At least one question for each key, with and without a wildcard, negated, and bounded.
QUESTIONS = (
    "", "actor:reader-1", "actor:*-1 -action:role.*", "action:series.*", "action:series.held trial:T1", "subject:S-*",
    "subject:S-1 -reason:late", "trial:T1", "-trial:T1", "trial:T*", "study:1.2.3", "study:1.2.*", "model:m-lock",
    "model:m* -trial:T2", "reason:late", "reason:*", "seq:3..9", "-seq:..12", "since:2026-11-24", "until:2026-11-25",
    "as-of:9", "as-of:2026-11-25T10:00", "actor:intake trial:T2 action:series.held", "actor:nobody",
)


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HouseUnderTest]:
    """A house whose record has every searchable column filled, on each store."""
    url = None
    if request.param == "postgresql":
        need("postgres")
        from tests.postgres import fresh_database

        url = fresh_database()
    with a_house(tmp_path_factory.mktemp("asked"), url) as made:
        made.person("reader-1", "reader", trial="T1")
        made.person("lead-1", "trial_lead", trial="T2")
        made.person("qa-1", "qa_auditor")
        for user in ("reader-1", "lead-1", "qa-1"):
            set_password(made.desk, Passwords(64, 1, 1), user, PASSWORD)
        for trial, subject, reason in (("T1", "S-1", "late"), ("T1", "S-2", "late"), ("T2", "S-1", "wrong_site")):
            hold(made, trial, subject, reason)
            made.clock.advance(hours=7)
        refused = ModelRefused(lock="m-lock", model="m", check="files", cause="none", expected="a", found="b")
        recorded(made, refused, trial="T1")
        yield made


def recorded(house: HouseUnderTest, event: Any, *, trial: str | None = None, reason: str | None = None) -> int:
    with house.desk.open(Actor.of_service("intake"), on_behalf_of="reader-1") as work:
        return work.record(event, under=ALLOWED, trial=trial, reason=reason).seq


def hold(house: HouseUnderTest, trial: str, subject: str, reason: str) -> None:
    event = SeriesHeld(subject=subject, study="1.2.3", series=f"1.2.3.{subject[-1]}", time_point="W08", modality="CT")
    recorded(house, event, trial=trial, reason=reason)


def rows_of(house: HouseUnderTest) -> dict[int, tuple[int, dict[str, Any]]]:
    from audit.store import search_columns

    return {entry.seq: (entry.ts, {**entry.body, **search_columns(entry.body["fields"])._asdict()})
            for entry in house.entries()}


def at_console(house: HouseUnderTest, *arguments: str) -> str:
    # The address of a server, with its password, stands in the environment and in no file of the home.
    address = {"COUNTERSIGN_DATABASE_URL": house.house.settings.database_url}
    result = CliRunner().invoke(ledger_cli, ["query", *arguments, "--home", str(house.home)], env=address)
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stdout


def visitor(house: HouseUnderTest, user: str) -> TestClient:
    client = TestClient(build_app(house.house, watching=False), base_url="http://testserver")
    page = client.get("/login").text
    client.post("/login", data={"user": user, "password": PASSWORD, "token": hidden(page, "token")})
    return client


def hidden(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, page
    return found.group(1)


@req("ATR-04")
def test_every_key_gives_the_same_entries_on_all_faces(house: HouseUnderTest) -> None:
    assert {token.key for question in QUESTIONS for token in parse(question).tokens} == set(KEYS)
    rows = rows_of(house)
    client = visitor(house, "qa-1")
    for question in QUESTIONS:
        query = parse(question)
        meant = [seq for seq in reversed(rows) if fits(query, seq, *rows[seq])]
        with house.desk.reading() as session:
            assert [line.seq for line in record.every(SessionReader(session), query)] == meant, question
        console = json.loads(at_console(house, question, "--all", "--json"))["entries"]
        assert [row["seq"] for row in console] == meant, question
        answer = client.get("/api/v1/entries", params={"q": question, "limit": 500}).json()
        assert answer["entries"] == console, question
        assert answer["count"] == str(len(meant))
        for key in ("actor", "action", "trial"):
            counts = [sum(rows[seq][1].get(key) == one["value"] for seq in meant) for one in answer["facets"][key]]
            assert [one["count"] for one in answer["facets"][key]] == counts
            assert not any(one["capped"] for one in answer["facets"][key])
        page = client.get("/ledger", params={"q": question}).text
        shown = [int(seq.replace(" ", "")) for seq in re.findall(r'class="num seq">([\d ]+)<', page)]
        assert shown == meant[:50], question


_patterns = st.sampled_from(["trial:T1", "trial:T*", "-trial:T2", "actor:reader-1", "actor:reader-*", "action:read.*",
                             "action:gate.opened", "subject:T1-*", "model:m*", "reason:late", "seq:4..19", "as-of:15"])


@given(st.lists(_patterns, max_size=3, unique=True), st.frozensets(st.sampled_from(["T1", "T2", None])),
       st.integers(0, 9))
@req("ATR-04", "ACC-02")
def test_the_ways_by_index_find_exactly_what_may_be_read(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], trials: frozenset[str | None], seed: int
) -> None:
    """However a question is led over indexes, it finds no entry of another trial and misses none of its own."""
    path = tmp_path_factory.mktemp("w") / "ledger.db"
    rows = a_store(path, random.Random(seed), 24)
    query = parse(" ".join(part for part in parts if not (part.startswith("as-of") and "as-of" in parts)))
    reader = SqliteReader(path)
    found = [line.seq for line in record.every(reader, query, trials)]
    meant = [row["seq"] for row in reversed(rows) if row["trial"] in trials
             and fits(query, int(str(row["seq"])), int(str(row["ts"])), row)]

    assert found == meant
    assert record.count(reader, query, trials).number == len(meant)
    assert record.summary(reader, query, trials).count.number == len(meant)
    reader.close()


# -- old and new ----------------------------------------------------------------------------------------------------


@req("REC-02", "REC-07")
def test_each_setting_names_declared_words_and_their_own_fields() -> None:
    for setting in SETTINGS:
        for word, pattern in setting.words.items():
            cls = REGISTRY[word, 1].cls
            named = set(re.findall(r"{(\w+)}", setting.what + pattern))
            assert named <= {field.name for field in dataclasses.fields(cls)}, (word, named)
            assert not word.startswith(("run.", "read.sealed", "read.opened", "read.marked"))


def revoke(house: HouseUnderTest, event: RoleRevoked, trial: str) -> None:
    """QA's own entry in a trial, without asking policy."""
    draft = Draft(event, under=Decision(True, "P-00", "set up for a test", "none"), meaning="approval",
                  view=View("Set up for a test", "test", ()), trial=trial)
    house.sign(Actor("qa-0"), lambda session, occasion: draft)


@req("REC-02", "REC-07")
def test_an_entry_says_what_was_before_what_is_now_and_why(house: HouseUnderTest) -> None:
    granted = RoleGranted(user="reader-1", role="monitor", because="to watch", at_init=True)
    house.desk.record_as_root([(granted, ())], trial="T1")
    other = RoleRevoked(user="reader-1", role="monitor", because="of another trial")
    revoke(house, other, "T2")
    ended = RoleRevoked(user="reader-1", role="monitor", because="the trial is over")
    revoke(house, ended, "T1")
    seq = len(house.words()) - 1
    with house.desk.reading() as session:
        reader = SessionReader(session)
        line = record.line_at(reader, seq)
        ((change,),) = changes_of(reader, [line])
        earlier = [record.line_at(reader, seq - 1), record.line_at(reader, change.earlier)]
        assert changes_of(reader, earlier) == [(), ()]  # in T2 it was never held
    client = visitor(house, "qa-1")
    page = client.get(f"/ledger/{seq}").text
    row = client.get(f"/api/v1/entries/{seq}").json()["entry"]

    assert change.in_words() == "role monitor of reader-1: held → ended (the trial is over)"
    assert change.earlier == seq - 2
    assert row["changes"] == change.in_words()
    assert '<del class="old">held</del> → <ins class="new">ended</ins> (the trial is over)' in page
    assert "What it changed" in page
    assert change.in_words() in at_console(house, f"seq:{seq}")


# -- files ----------------------------------------------------------------------------------------------------------


def export(house: HouseUnderTest, question: str, out: Path, user: str | None = "qa-1") -> query_export.Exported:
    person = Actor(user) if user else None
    return export_query(house.desk, parse(question), out, person=person, through="console", origin=ORIGIN)


@req("REC-08", "ATR-04")
@pytest.mark.parametrize("form", ["csv", "json", "pdf"])
def test_an_export_holds_exactly_the_query_and_is_itself_an_entry(
    house: HouseUnderTest, tmp_path: Path, form: str
) -> None:
    with house.desk.reading() as session:
        reader = SessionReader(session)
        meant = [line.seq for line in record.every(reader, parse("action:series.* trial:T1"))]
        note = record.newest_note(reader)
    made = export(house, "action:series.* trial:T1", tmp_path / f"answer.{form}")
    entry = house.entries()[-1].body
    held = made.path.read_bytes()

    assert entry["action"] == "query.exported"
    assert entry["on_behalf_of"] == "qa-1"
    fields = entry["fields"]
    assert (fields["query"], fields["form"], fields["entries"]) == ("action:series.* trial:T1", form, len(meant))
    assert (fields["size"], fields["root"], fields["withheld"]) == (note.size, note.root.hex(), 0)
    assert (fields["sha256"], fields["bytes"]) == (hashlib.sha256(held).hexdigest(), len(held))
    if form == "csv":
        assert [int(row["seq"]) for row in csv.DictReader(io.StringIO(held.decode()))] == meant
    elif form == "json":
        told = json.loads(held)
        assert [row["seq"] for row in told["rows"]] == meant
        assert told["size"] == note.size
        assert told["rows"][0]["body"]["fields"]["study"] == "1.2.3"
    else:
        text = words_of(held)
        assert all(re.search(rf"\b{seq}\b", text) for seq in meant)
        for said in ("action:series.* trial:T1", note.root.hex(), "Page 1 of 1", f"{note.size} entries", "qa-1", "UTC",
                     "nothing withheld"):
            assert said in text, said


def words_of(pdf: bytes) -> str:
    from pypdf import PdfReader

    return re.sub(r"\s+", " ", " ".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages))


@req("ACC-02", "REC-08", "ACC-09")
def test_an_export_shows_a_role_what_it_may_read_and_counts_the_rest_as_a_whole(
    house: HouseUnderTest, tmp_path: Path
) -> None:
    """The number withheld does not depend on the question: else it would answer it."""
    size = len(house.words())
    own = sum(entry.body.get("trial") == "T2" for entry in house.entries())
    made = export(house, "subject:S-1", tmp_path / "a.json", "lead-1")
    rows = json.loads(made.path.read_text())["rows"]

    assert {row["trial"] for row in rows} == {"T2"}
    assert (made.entries, made.withheld) == (1, size - own)
    foreign = export(house, "trial:T1 action:series.*", tmp_path / "b.json", "lead-1")
    assert foreign.entries == 0
    assert foreign.withheld == size + 1 - (own + 1)  # only the first export came in between, an entry of T2
    assert house.entries()[-1].body["trial"] == "T2"
    with pytest.raises(Refused):
        export(house, "", tmp_path / "c.csv", "reader-1")
    assert not (tmp_path / "c.csv").exists()
    assert "query.exported" not in house.words()[size + 2:]


@req("REC-08")
def test_an_export_at_the_console_says_that_nobody_was_proven(house: HouseUnderTest, tmp_path: Path) -> None:
    said = at_console(house, "trial:T1", "--export", str(tmp_path / "all.csv"))
    told = json.loads(at_console(house, "trial:T1", "--export", str(tmp_path / "own.csv"), "--as", "qa-1", "--json"))
    first, second = (entry.body for entry in house.entries()[-2:])

    assert "query.exported" in said
    assert (first["on_behalf_of"], first["fields"]["through"]) == ("console", "console")
    assert (second["on_behalf_of"], second["fields"]["through"]) == ("qa-1", "console")
    assert told["sha256"] == hashlib.sha256((tmp_path / "own.csv").read_bytes()).hexdigest()


@req("REC-08")
def test_a_file_that_cannot_be_is_refused_and_leaves_neither_file_nor_entry(
    house: HouseUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(house.words())
    (tmp_path / "there.csv").write_text("kept")
    monkeypatch.setattr(query_export, "MOST_ROWS_ON_PAPER", 3)
    for name, fact in (("x.docx", "does not say its form"), ("there.csv", "exists already"),
                       ("no/folder.csv", "is not there"), ("x.pdf", "a PDF holds at most 3")):
        with pytest.raises(UnusableInput, match=fact):
            export(house, "", tmp_path / name)

    assert (tmp_path / "there.csv").read_text() == "kept"
    assert [path.name for path in tmp_path.iterdir()] == ["there.csv"]
    assert len(house.words()) == before


@req("REC-08", "ACC-07")
def test_the_buttons_of_the_page_export_and_a_foreign_form_does_not(house: HouseUnderTest) -> None:
    client = visitor(house, "qa-1")
    page = client.get("/ledger", params={"q": "trial:T1"}).text
    before = len(house.words())
    wish = {"token": hidden(page, "token"), "q": "trial:T1", "form": "json"}
    made = client.post("/ledger/export", data=wish)
    told = made.json()

    assert made.headers["x-countersign-entry"] == str(before)
    assert made.headers["x-countersign-sha256"] == hashlib.sha256(made.content).hexdigest()
    assert told["query"] == "trial:T1"
    assert (told["through"], told["made_for"]) == ("session", "qa-1")
    assert {row["trial"] for row in told["rows"]} == {"T1"}
    assert client.post("/ledger/export", data=wish | {"token": "guessed"}).status_code == 403
    assert client.post("/api/v1/exports", json={"form": "json", "q": "who:me"}).status_code == 422
    assert len(house.words()) == before + 1


@given(st.lists(_patterns, max_size=2, unique=True), st.integers(1, 8), st.integers(0, 9))
@req("ATR-04")
def test_a_count_that_stopped_early_says_so_and_never_too_much(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], sample: int, seed: int
) -> None:
    """Beside a page only the newest entries are looked at: the numbers are then true lower bounds, and marked."""
    path = tmp_path_factory.mktemp("s") / "ledger.db"
    rows = a_store(path, random.Random(seed), 24)
    query, reader = parse(" ".join(parts)), SqliteReader(path)
    meant = [row for row in rows if fits(query, int(str(row["seq"])), int(str(row["ts"])), row)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(record, "SAMPLE", sample)
        found = record.summary(reader, query, most=99)

    assert found.count.number <= len(meant)
    assert found.count.capped or found.count.number == len(meant)
    for key in ("actor", "action", "trial"):
        for value, number in found.facets[key]:
            true = sum(row[key] == value for row in meant)
            assert number.number == true or (number.capped and number.number < true)
    reader.close()
