"""The pages and the API as a browser without script sees them: who may look, what they show, what they refuse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from audit import verifier
from core.errors import NotAuthenticated, NotFound, UnusableInput
from countersign.web import accounts
from countersign.web.accounts import Passwords, log_in, log_out, session_of, set_password
from countersign.web.app import CSP, build_app
from countersign.web.pages import local_path
from tests.house import HouseUnderTest, a_house
from tests.req import req

PASSWORD = "a login password of its own"
CHEAP = Passwords(64, 1, 1)


def people(house: HouseUnderTest) -> HouseUnderTest:
    house.person("reader-1", "reader", trial="T1")
    house.person("lead-1", "trial_lead", trial="T1")
    house.person("qa-1", "qa_auditor")
    for user in ("reader-1", "lead-1", "qa-1"):
        set_password(house.desk, CHEAP, user, PASSWORD)
    return house


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HouseUnderTest]:
    """One house for all tests that only look."""
    with a_house(tmp_path_factory.mktemp("seen")) as house:
        yield people(house)


@pytest.fixture
def lived(house: HouseUnderTest) -> HouseUnderTest:
    """A house of its own for a test that changes something."""
    return people(house)


def visiting(house: HouseUnderTest) -> TestClient:
    app = build_app(house.house, watching=False)
    app.state.site.watch.look()
    return TestClient(app, base_url="http://testserver", follow_redirects=True, raise_server_exceptions=False)


@pytest.fixture
def browser(seen: HouseUnderTest) -> Iterator[TestClient]:
    with visiting(seen) as client:
        yield client


@pytest.fixture
def own_browser(lived: HouseUnderTest) -> Iterator[TestClient]:
    with visiting(lived) as client:
        yield client


def hidden(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, page
    return found.group(1)


def enter(client: TestClient, user: str, password: str = PASSWORD, target: str = "/ledger") -> Any:
    page = client.get("/login", params={"next": target}).text
    return client.post("/login", data={"user": user, "password": password, "token": hidden(page, "token"),
                                       "next": hidden(page, "next")})


class Shape(HTMLParser):
    """Complains where elements are not closed in order, and lists what a strict CSP would refuse."""

    EMPTY = frozenset({"meta", "link", "input", "br", "hr", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.problems: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "style" or name.startswith("on") or (name in ("src", "href") and "//" in (value or "")
                                                            and "://testserver" not in (value or "")):
                self.problems.append(f"<{tag} {name}={value}>")
            if name == "id":
                self.ids.append(value or "")
        if tag not in self.EMPTY:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.EMPTY:
            self.stack.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.stack or self.stack.pop() != tag:
            self.problems.append(f"</{tag}> at {self.getpos()}")


def problems(page: str) -> list[str]:
    shape = Shape()
    shape.feed(page)
    twice = {one for one in shape.ids if shape.ids.count(one) > 1}
    return shape.problems + [f"left open: {shape.stack}" for _ in shape.stack[:1]] + [f"id twice: {x}" for x in twice]


@req("ACC-01")
@pytest.mark.parametrize("path", ["/", "/ledger", "/ledger/5", "/ledger/5/proof", "/ledger/5/bytes", "/go?code=5"])
def test_nobody_sees_a_page_without_logging_in_and_comes_back_to_it_after(browser: TestClient, path: str) -> None:
    asked = browser.get(path, follow_redirects=False)

    assert asked.status_code == 303
    assert "/login?next=" in asked.headers["location"]
    assert "Log in" in browser.get(path).text
    landed = enter(browser, "qa-1", target=path)
    assert landed.status_code == 200
    assert "/login" not in str(landed.url)


@req("ACC-01")
@pytest.mark.parametrize("path", ["/api/v1/entries", "/api/v1/entries/5", "/api/v1/checkpoint"])
def test_the_api_tells_nobody_anything(browser: TestClient, path: str) -> None:
    answer = browser.get(path)

    assert answer.status_code == 401
    assert answer.json()["error"] == "not-authenticated"


@req("ACC-01", "SIG-11")
def test_a_wrong_password_is_counted_recorded_and_locks_without_telling_who_exists(
    own_browser: TestClient, lived: HouseUnderTest
) -> None:
    wrong = enter(own_browser, "qa-1", "wrong")
    nobody = enter(own_browser, "who-knows", "wrong")

    def said(page: str) -> str:
        return re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", page.split('id="pe"')[1].split("</p>")[0]))

    assert wrong.status_code == nobody.status_code == 401
    assert said(wrong.text) == said(nobody.text)
    refused = [entry for entry in lived.entries() if entry.body["action"] == "action.refused"]
    assert [entry.body["on_behalf_of"] for entry in refused] == ["qa-1", "unknown"]
    assert "who-knows" not in "".join(entry.raw.decode() for entry in lived.entries())

    for _ in range(4):
        enter(own_browser, "qa-1", "wrong")
    assert enter(own_browser, "qa-1").status_code == 401
    lived.clock.advance(minutes=16)
    assert enter(own_browser, "qa-1").status_code == 200


@req("ACC-06", "SIG-08")
def test_a_session_ends_by_idleness_by_age_and_by_logging_out(lived: HouseUnderTest) -> None:
    token, session = log_in(lived.desk, CHEAP, "qa-1", PASSWORD)
    assert session_of(lived.desk, token) is not None
    lived.clock.advance(minutes=14)
    assert session_of(lived.desk, token) is not None
    lived.clock.advance(minutes=14)
    assert session_of(lived.desk, token) is not None
    lived.clock.advance(minutes=16)
    assert session_of(lived.desk, token) is None

    token, _ = log_in(lived.desk, CHEAP, "qa-1", PASSWORD)
    for _ in range(12 * 6 + 1):
        lived.clock.advance(minutes=10)
        session_of(lived.desk, token)
    assert session_of(lived.desk, token) is None

    token, _ = log_in(lived.desk, CHEAP, "qa-1", PASSWORD)
    log_out(lived.desk, token)
    assert session_of(lived.desk, token) is None
    assert session_of(lived.desk, None) is None
    with lived.desk.reading() as reading:
        kept = " ".join(str(row) for row in reading.execute(accounts.sessions.select()))
    assert token not in kept
    assert session.csrf


@req("ACC-06", "SIG-10")
def test_a_login_password_needs_length_and_a_registered_person_and_ends_older_sessions(lived: HouseUnderTest) -> None:
    token, _ = log_in(lived.desk, CHEAP, "qa-1", PASSWORD)
    with pytest.raises(UnusableInput):
        set_password(lived.desk, CHEAP, "qa-1", "short")
    with pytest.raises(NotFound):
        set_password(lived.desk, CHEAP, "nobody", PASSWORD)

    set_password(lived.desk, CHEAP, "qa-1", PASSWORD + "!")

    assert session_of(lived.desk, token) is None
    with pytest.raises(NotAuthenticated):
        log_in(lived.desk, CHEAP, "qa-1", PASSWORD)


@req("ACC-01")
def test_forms_of_other_sites_and_without_token_do_nothing(browser: TestClient) -> None:
    form = {"user": "qa-1", "password": PASSWORD, "token": "guessed", "next": "/ledger"}
    assert browser.post("/login", data=form).status_code == 401
    page = browser.get("/login").text
    good = form | {"token": hidden(page, "token")}
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        assert browser.post("/login", data=good, headers=headers).status_code == 403
    assert browser.post("/login", data=good | {"password": "x" * 70_000}).status_code == 403

    enter(browser, "qa-1")
    assert browser.post("/logout", data={"token": "guessed"}).status_code == 403
    assert "Ledger" in browser.get("/ledger").text
    out = browser.post("/logout", data={"token": hidden(browser.get("/ledger").text, "token")})
    assert "/login" in str(out.url)
    assert browser.get("/ledger", follow_redirects=False).status_code == 303


@req("ACC-01")
@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x", ""])
def test_after_login_one_stays_on_this_site(target: str) -> None:
    assert local_path(target) == "/ledger"
    assert local_path("/ledger/EV-7K3M-9Q2X?x=1") == "/ledger/EV-7K3M-9Q2X?x=1"


@req("ACC-02", "ACC-09")
def test_a_person_of_one_trial_sees_its_entries_only_and_a_reader_none(browser: TestClient) -> None:
    enter(browser, "lead-1")
    own = browser.get("/api/v1/entries", params={"limit": 500}).json()

    assert {row["trial"] for row in own["entries"]} == {"T1"}
    assert own["count"] == str(len(own["entries"]))
    assert browser.get("/ledger/0").status_code == 404
    assert browser.get("/api/v1/entries/0").status_code == 404
    page = browser.get("/ledger").text
    assert "ledger.founded" not in page
    assert "Entries of T1" in page
    browser.cookies.clear()
    enter(browser, "reader-1")
    refused = browser.get("/ledger")
    assert refused.status_code == 403
    assert "role.granted" not in refused.text


@req("ACC-02", "ACC-03", "ACC-09")
def test_whoever_must_not_see_reads_gets_no_entry_of_the_trial(
    own_browser: TestClient, lived: HouseUnderTest
) -> None:
    """The owner holds no trial data, a monitor waits for the lock, and a lead who reads is a reader."""
    lived.person("owner-1", "system_owner")
    lived.person("monitor-1", "monitor", trial="T1")
    for user in ("owner-1", "monitor-1"):
        set_password(lived.desk, CHEAP, user, PASSWORD)

    enter(own_browser, "owner-1")
    rows = own_browser.get("/api/v1/entries", params={"limit": 500}).json()["entries"]
    assert {row["trial"] for row in rows} == {None}
    assert own_browser.get("/api/v1/entries", params={"q": "trial:T1"}).json()["count"] == "0"
    csv_text = own_browser.post("/api/v1/exports", json={"form": "csv"}).text
    assert "ledger.founded" in csv_text
    assert ",T1," not in csv_text
    own_browser.cookies.clear()
    enter(own_browser, "monitor-1")
    assert own_browser.get("/ledger").status_code == 403


@req("ATR-04", "REC-02")
def test_the_ledger_page_shows_what_the_question_asks_and_lets_each_filter_be_removed(browser: TestClient) -> None:
    enter(browser, "qa-1")
    page = browser.get("/ledger", params={"q": ["action:role.* ", "-trial:T9"]}).text
    rows = browser.get("/api/v1/entries", params={"q": "action:role.* -trial:T9"}).json()["entries"]

    assert [int(seq.replace(" ", "")) for seq in re.findall(r'class="num seq">([\d ]+)<', page)] == [
        row["seq"] for row in rows]
    assert all(row["evidence"] in page for row in rows)
    assert 'aria-label="Remove action:role.*"' in page
    assert "?q=-trial%3AT9" in page
    assert "No default range was applied" in page
    assert problems(page) == []


@req("ATR-04")
def test_pages_go_on_by_key_and_end(browser: TestClient, seen: HouseUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("countersign.web.pages.ROWS", 7)
    enter(browser, "qa-1")
    shown: list[int] = []
    address = "/ledger"
    while True:
        page = browser.get(address).text
        shown += [int(seq.replace(" ", "")) for seq in re.findall(r'class="num seq">([\d ]+)<', page)]
        older = re.search(r'rel="next" href="([^"]+)"', page)
        if older is None:
            break
        address = older.group(1).replace("&amp;", "&")

    assert shown == list(range(len(seen.words()) - 1, -1, -1))


@req("ATR-04")
def test_a_wrong_question_is_told_its_place_on_the_page_and_by_the_api(browser: TestClient) -> None:
    enter(browser, "qa-1")
    page = browser.get("/ledger", params={"q": "action:read.* who:me"})
    answer = browser.get("/api/v1/entries", params={"q": "who:me"})

    assert page.status_code == 422
    assert "At character 15: who: is no key" in page.text
    assert 'value="action:read.* who:me"' in page.text
    assert answer.status_code == 422
    assert "At character 1" in answer.json()["fact"]
    assert problems(page.text) == []
    nothing = browser.get("/ledger", params={"q": "actor:nobody"}).text
    assert "No entry matches these filters" in nothing
    assert problems(nothing) == []


@req("REC-03", "SIG-02", "SIG-03")
def test_the_evidence_page_of_every_entry_shows_it_proven_and_says_who_signed(
    browser: TestClient, seen: HouseUnderTest
) -> None:
    enter(browser, "qa-1")
    for entry in seen.entries():
        page = browser.get(f"/ledger/{entry.seq}")
        assert page.status_code == 200, page.text
        assert "This entry is genuine" in page.text
        assert problems(page.text) == [], entry.body["action"]
        assert ('class="sig"' in page.text) is ("manifest" in entry.body)
        if "manifest" in entry.body:
            assert entry.body["manifest"]["printed_name"] in page.text
        else:
            assert "No person signed this entry" in page.text
    found = browser.get("/api/v1/entries/5").json()
    assert found["good"] is True
    assert browser.get(f"/go?code={found['entry']['evidence']}").url.path.startswith("/ledger/EV-")
    index, path, note = verifier.parse_proof(browser.get("/ledger/5/proof").content)
    leaf = verifier.leaf_hash(browser.get("/ledger/5/bytes").content)
    assert verifier.root_of_path(index, note.size, leaf, path) == note.root


@req("REC-03", "REC-04")
def test_a_changed_entry_shows_as_changed_on_its_page_on_every_bar_and_in_healthz(
    own_browser: TestClient, lived: HouseUnderTest
) -> None:
    enter(own_browser, "qa-1")
    assert own_browser.get("/healthz").json()["status"] == "ok"
    with lived.desk.engine.connect() as session:
        kept = session.execute(text("SELECT data FROM entry WHERE seq = 5")).scalar_one()
        session.execute(text("DROP TRIGGER entry_no_update"))
        session.execute(text("UPDATE entry SET data = :d WHERE seq = 5"),
                        {"d": kept.replace(b'"role":"service"', b'"role":"servant"')})
        session.commit()
    try:
        page = own_browser.get("/ledger/5").text
        app: Any = own_browser.app
        app.state.site.watch.look()
        other = own_browser.get("/ledger/6").text

        assert "This entry does not stand up to its check" in page
        assert problems(page) == []
        assert 'class="led led--bad"' in other
        assert "The record disagrees" in other
        assert own_browser.get("/healthz").status_code == 503
    finally:
        with lived.desk.engine.connect() as session:
            session.execute(text("UPDATE entry SET data = :d WHERE seq = 5"), {"d": kept})
            session.commit()


@req("ACC-07")
@pytest.mark.parametrize("path", ["/login", "/ledger", "/ledger/5", "/nothing", "/api/v1/entries", "/healthz",
                                  "/static/countersign.css", "/static/keys.js", "/api/v1/openapi.json", "/ledger/zzz"])
def test_every_answer_carries_the_strict_policy_and_nothing_from_elsewhere(browser: TestClient, path: str) -> None:
    enter(browser, "qa-1")
    answer = browser.get(path)

    assert answer.headers["content-security-policy"] == CSP
    assert "unsafe" not in CSP
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    if answer.headers["content-type"].startswith("text/html"):
        assert problems(answer.text) == []
        assert "<style" not in answer.text
        assert not re.search(r"<script(?![^>]*\bsrc=)", answer.text)


@req("REC-08", "ATR-04")
def test_the_csv_has_the_columns_of_the_api_and_every_row(own_browser: TestClient, lived: HouseUnderTest) -> None:
    import csv
    import io

    enter(own_browser, "qa-1")
    before = len(lived.words())
    api = own_browser.get("/api/v1/entries", params={"limit": 1}).json()["entries"][0]
    rows = list(csv.DictReader(io.StringIO(own_browser.post("/api/v1/exports", json={"form": "csv"}).text)))

    assert len(rows) == before
    assert lived.words()[before:] == ["query.exported"]
    assert list(rows[0]) == list(api)
    assert rows[0]["leaf"] == api["leaf"]


@req("ACC-01")
def test_texts_of_the_record_are_shown_as_text_and_never_as_markup(
    own_browser: TestClient, lived: HouseUnderTest
) -> None:
    from audit.vocabulary.access import RoleGranted

    event = RoleGranted(user="reader-1", role="monitor", because="<script>alert(1)</script>", at_init=True)
    lived.desk.record_as_root([(event, ())], trial="T1")
    enter(own_browser, "qa-1")
    seq = len(lived.words()) - 1

    for path in ("/ledger", f"/ledger/{seq}", "/ledger?q=%3Cscript%3E"):
        page = own_browser.get(path).text
        assert "<script>alert" not in page
        assert problems(page) == []
