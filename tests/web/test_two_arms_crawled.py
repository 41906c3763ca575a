"""A trial with two arms and its mirror image, crawled over HTTP: what people get, its size and the work behind it.

The twins differ in the arm of each subject alone. A person who is blinded logs into both and walks every address that
the server has, every link that a page shows and every entry: equal answers, counts and sizes, and equal work of the
database, counted in its own steps, so that nothing is told by how long an answer takes (TRIAL 2, "Scope").
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from urllib.parse import urldefrag, urljoin, urlsplit

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from sqlalchemy import Connection, event, text

from audit.vocabulary.gates import GateRequested
from core.data_lock import unblinding, usecases
from core.data_lock.rules import digest_of, sealed_allocation
from core.policy.state import Actor
from core.reads.locking import show_ai_values
from countersign import web
from countersign.web.accounts import Passwords, set_password
from countersign.web.app import build_app
from tests.builders.reads import (
    BOTH,
    TRIAL,
    a_live_trial,
    a_run,
    assign,
    baseline_answer,
    begin,
    mark,
    open_gate,
    seal,
    signed,
)
from tests.house import HouseUnderTest, a_house
from tests.req import req

KEEPER, MANAGER = Actor("keeper"), Actor("manager")
SUBJECTS = ("101-001", "101-002")
ARMS = (("A", "B"), ("B", "A"))
PASSWORD = "a login password of its own"
CHEAP = Passwords(64, 1, 1)
#: Blinded people: a reader, and one who may read the ledger of the trial.
CRAWLERS = ("reader-1", "manager")
#: Made anew in each twin, whatever the arms: ids, digests, seals, tokens, signatures; and how long a page took.
RANDOM = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|EV-[0-9A-Z]{4}-[0-9A-Z]{4}|[0-9a-f]{12,}|[0-9a-f]{6,8}…[0-9a-f]{0,4}"
    # … and, by their place, the start of a hash in a drawing and the 96 bits under which a seal is closed.
    r"|(?<=>)[0-9a-f]{4}(?=</text>)|(?<=[\">;])[A-Za-z0-9+/]{16}(?=[\"<&])|[A-Za-z0-9+/_-]{22,}={0,2}")
SECONDS = re.compile(r'("seconds": ?|in )\d+(\.\d+)?')
LINK = re.compile(r'(?:href|src|action)="([^"]+)"')
FEW_SLOW = ("/state", "/api/v1/state")


@dataclass(frozen=True)
class Met:
    """One answer: status, headers, body, and what the database did for it (statements, steps of its machine)."""

    status: int
    kind: str
    body: str
    size: int
    statements: tuple[str, ...]
    steps: int


@dataclass(frozen=True)
class Twins:
    """Two houses that live on from one, and the number of entries that they share."""

    one: HouseUnderTest
    other: HouseUnderTest
    parted: int


def lived(house: HouseUnderTest, arms: tuple[str, str]) -> None:
    """An interim analysis by arm, then a read with AI of each subject: AI yes or no follows no arm."""
    rows = "".join(f"{subject},{arm}\n" for subject, arm in zip(SUBJECTS, arms, strict=True))
    sealed = sealed_allocation(TRIAL, rows, "ab" * 32)
    house.commit(unblinding.declare_randomisation(house.desk, KEEPER, TRIAL, digest_of(sealed)))
    house.commit(usecases.freeze_cut(house.desk, MANAGER, usecases.FreezeCut(TRIAL, "i-1", "interim", "2026-06-30")))
    house.commit(unblinding.import_allocation(house.desk, KEEPER, TRIAL, sealed))
    assert {one.arm for one in unblinding.show_by_arm(house.desk, KEEPER, TRIAL).rows} == {"A", "B"}
    assignment = begin(house, "reader-1")
    mark(house, "reader-1", baseline_answer())
    assert len(show_ai_values(house.desk, Actor("reader-1"), assignment, "volume")) == 1
    begin(house, "reader-2", "BL", SUBJECTS[1])
    seal(house, "reader-2", baseline_answer(), "BL", SUBJECTS[1])
    house.work()


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    """Two copies of one house, each with its own allocation."""
    with a_house(tmp_path_factory.mktemp("arms")) as house:
        a_live_trial(house, subjects=SUBJECTS)
        house.person(MANAGER.user, "data_manager", trial=TRIAL)
        house.person(KEEPER.user, "unblinded_statistician", trial=TRIAL)
        assign(house, BOTH, *SUBJECTS)
        house.work()
        signed(house, "trial-lead", GateRequested(
            gate="G3-volume", use=3, use_name="secondary", scope="all", lock="lock-1", model="lesion-at-seed",
            criteria=(), endpoint="volume"))
        open_gate(house, 3, "secondary", "volume")
        a_run(house, "run-1", "BL", "61230.0 mm3")
        for user in CRAWLERS:
            set_password(house.desk, CHEAP, user, PASSWORD)
        parted, pair = len(house.entries()), []
        for arms in ARMS:
            twin = house.copied(tmp_path_factory.mktemp("-".join(arms)))
            lived(twin, arms)
            pair.append(twin)
        yield Twins(pair[0], pair[1], parted)
        for twin in pair:
            twin.check()
            twin.house.close()


@contextmanager
def counted(house: HouseUnderTest) -> Iterator[list[str]]:
    """The statements that the house sends to its database, and a mark for every step of SQLite's virtual machine."""
    seen: list[str] = []

    def sent(connection, cursor, statement, parameters, context, many) -> None:
        cursor.connection.set_progress_handler(lambda: seen.append(""), 1)
        seen.append(statement)

    engine = house.desk.engine
    event.listen(engine, "before_cursor_execute", sent)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", sent)


def addresses(first: int, entries: int) -> list[str]:
    """Every address of the server that is asked with GET, each parameter filled with what may stand there.

    Entries are those from `first` on: what came before the twins parted is the same in both.
    """
    entry = [*map(str, range(first, entries + 1)), "-"]
    found = []
    modules = [importlib.import_module(f"countersign.web.{one.name}") for one in pkgutil.iter_modules(web.__path__)]
    routes = [route for module in modules if hasattr(module, "router") for route in module.router.routes]
    for route in (one for one in routes if isinstance(one, APIRoute) and "GET" in (one.methods or ())):
        # Names of other things come from links; what nobody links to is asked for with a name that is none.
        values = entry if "{named}" in route.path else ["1"]
        found += [re.sub(r"{[^}]+}", value, route.path) for value in values]
    return [f"{one}?as_of={entries - 1}" if one in FEW_SLOW else one for one in found]


def crawled(house: HouseUnderTest, user: str, first: int) -> dict[str, Met]:
    """Address -> what this person meets there, from the login page on, through every link."""
    app = build_app(house.house, watching=False)
    found: dict[str, Met] = {}
    with TestClient(app, base_url="http://testserver", follow_redirects=False) as client, counted(house) as work:
        token = re.search(r'name="token" value="([^"]*)"', client.get("/login").text)
        assert token is not None
        answer = client.post("/login", data={"user": user, "password": PASSWORD, "token": token[1], "next": "/ledger"})
        assert answer.status_code == 303, answer.text
        waiting = deque(addresses(first, len(house.entries())))
        while waiting:
            address = waiting.popleft()
            if RANDOM.sub("*", address) in found or address.startswith(("/static/", "/logout")):
                continue
            work.clear()
            answer = client.get(address)
            said = answer.text
            found[RANDOM.sub("*", address)] = Met(
                answer.status_code, answer.headers.get("content-type", ""),
                SECONDS.sub(r"\1*", RANDOM.sub(lambda one: "*" * len(one[0]), said)), len(SECONDS.sub(r"\1*", said)),
                tuple(sorted(filter(None, work))), sum(not one for one in work))
            links = [*LINK.findall(said), *filter(None, [answer.headers.get("location")])]
            for link in links:
                whole = urldefrag(urljoin(f"http://testserver{address}", link.replace("&amp;", "&")))[0]
                # A list offers its own narrowing on each narrowed list; those that a whole list offers are followed.
                if urlsplit(whole).netloc == "testserver" and not ("?" in whole and "?" in address):
                    waiting.append(whole.removeprefix("http://testserver"))
    return found


def told(one: Met, other: Met, name: str) -> str:
    """Where two answers part, for whoever has to find what tells."""
    left, right = str(getattr(one, name)), str(getattr(other, name))
    at = next((place for place, pair in enumerate(zip(left, right, strict=False)) if pair[0] != pair[1]), 0)
    return f"{name}: …{left[max(0, at - 60):at + 40]}… and …{right[max(0, at - 60):at + 40]}…"


def differences(one: dict[str, Met], other: dict[str, Met], *, work: bool = True) -> dict[str, str]:
    """Address -> in what the two answers differ; `work`: also in what the database did for them."""
    return {
        address: told(met, other[address], field.name) for address, met in one.items() for field in fields(Met)
        if getattr(met, field.name) != getattr(other[address], field.name)
        # How long it takes to find a name depends on the name: of pages under a random one the steps are not compared.
        # They are the pages of entries, compared under their numbers.
        and not (field.name == "steps" and "*" in address)
        and not (field.name in ("statements", "steps") and not work)}


@req("RDG-02", "GAT-03")
@pytest.mark.parametrize("user", CRAWLERS)
def test_no_answer_of_the_server_tells_the_arm_by_what_it_says_its_size_or_its_work(
    twins: Twins, user: str
) -> None:
    one, other = (crawled(house, user, twins.parted) for house in (twins.one, twins.other))

    assert set(one) == set(other)
    print(f"{user}: {len(one)} addresses, {sum(met.status == 200 for met in one.values())} answered with content, "
          f"{sum(met.size for met in one.values())} characters, "
          f"{sum(len(met.statements) for met in one.values())} statements, "
          f"{sum(met.steps for met in one.values())} steps of the database")
    # The ledger is kept under random ids: lists of it cost somewhat more or less in any two installations.
    differing = differences(one, other, work=user == "reader-1")
    assert differing == {}, "\n".join(f"{address} {what}" for address, what in differing.items())
    shown = sum(met.status == 200 for met in one.values())
    # A reader reads no ledger; who does meets each entry as page, bytes, proof and JSON.
    own = len(twins.one.entries()) - twins.parted
    assert own >= 10
    assert shown >= (4 if user == "reader-1" else 4 * own), shown


@req("RDG-02", "GAT-03")
@pytest.mark.parametrize("what", ["a letter", "a statement", "a row"])
def test_a_page_that_told_the_arm_by_one_letter_or_one_row_would_be_found(
    twins: Twins, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    arms = {str(house.desk.engine.url): arm[0] for house, arm in zip((twins.one, twins.other), ARMS, strict=True)}

    def telling(session: Connection, user: str) -> tuple[str, ...]:
        first = arms[str(session.engine.url)] == "A"
        if what == "a letter":
            return (arms[str(session.engine.url)],)
        if what == "a row" or first:
            list(session.execute(text("SELECT seq FROM entry WHERE seq < :end"), {"end": 3 if first else 2}))
        return ()

    monkeypatch.setattr("countersign.web.app.demonstrations_of", telling)
    one, other = (crawled(house, "reader-1", len(house.entries())) for house in (twins.one, twins.other))

    found = differences(one, other)
    assert {address.partition("?")[0] for address in found} >= {"/training", "/keys"}
    told_by = {"a letter": {"body"}, "a statement": {"statements", "steps"}, "a row": {"steps"}}[what]
    assert {said.partition(":")[0] for said in found.values()} <= told_by, found
