"""Pages of audit-trail review, and the first page on which a person signs: shown, proven, signed, or nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from core.reviews import queries
from countersign.web import signing
from countersign.web.accounts import set_password
from tests.builders import trials as build
from tests.builders.reads import TRIAL
from tests.house import PASSWORD as SIGNING_PASSWORD
from tests.house import HouseUnderTest
from tests.req import req
from tests.web.test_pages import CHEAP, PASSWORD, enter, hidden, problems, visiting


@pytest.fixture
def live(house: HouseUnderTest) -> HouseUnderTest:
    build.live(house)
    house.person("qa-2", "qa_auditor", trial=TRIAL)
    house.person("lead-9", "trial_lead", trial="T-9")
    for user in ("qa-2", "trial-lead", "lead-9", "qa-auditor"):
        set_password(house.desk, CHEAP, user, PASSWORD)
    return house


@pytest.fixture
def browser(live: HouseUnderTest) -> Iterator[TestClient]:
    with visiting(live) as client:
        enter(client, "qa-2")
        yield client


def drawn(browser: TestClient, **more: str) -> str:
    """The address of a review just opened."""
    page = browser.get("/reviews").text
    wish = {"token": hidden(page, "token"), "trial": TRIAL, "samples": "4"} | more
    answer = browser.post("/reviews", data=wish)
    assert answer.status_code == 200, answer.text
    return str(answer.url.path)


def concluded(browser: TestClient, path: str, **more: object) -> str:
    """The address of the signing page."""
    wish = {"token": hidden(browser.get(path).text, "token"), "conclusion": "in_order", "statement": "Looked at it."}
    answer = browser.post(path, data=wish | more)
    assert answer.url.path.startswith("/sign/"), answer.text
    return str(answer.url.path)


@req("ATR-02", "SIG-01", "SIG-03")
def test_a_review_goes_from_draw_to_signature_on_pages(browser: TestClient, live: HouseUnderTest) -> None:
    path = drawn(browser)
    with live.desk.reading() as session:
        (row,) = queries.reviews_of(session)
    shown = browser.get(path).text
    assert all(f'class="num seq">{seq}<' in shown for seq in row.samples)
    assert row.seed in shown
    assert "the same samples" in shown
    assert problems(shown) == []

    seq = row.samples[0]
    page_path = concluded(browser, path, conclusion="in_order_with_findings", entry=[str(seq), ""],
                          category=["accurate", "other"], grade=["minor", "minor"], says=["an odd reason", ""])
    page = browser.get(page_path).text
    assert problems(page) == []
    assert "accurate, minor: an odd reason" in page
    assert 'name="meaning" value="review">' in page  # nothing is preselected
    wish = {"token": hidden(page, "token"), "meaning": "review", "password": SIGNING_PASSWORD,
            "code": live.proof("qa-2").code}
    done = browser.post(page_path, data=wish)

    assert done.url.path == path
    assert "Signed as entry" in done.text
    assert problems(done.text) == []
    assert live.words()[-1] == "audit_trail.reviewed"
    assert live.entries()[-1].body["fields"]["findings"][0]["says"] == "an odd reason"
    listed = browser.get("/reviews").text
    assert "in order with findings" in listed
    assert problems(listed) == []


@req("SIG-04", "SIG-07", "SIG-11")
def test_nothing_is_signed_without_meaning_proof_session_or_by_another(
    browser: TestClient, live: HouseUnderTest
) -> None:
    path = concluded(browser, drawn(browser))
    good = {"token": hidden(browser.get(path).text, "token"), "meaning": "review", "password": SIGNING_PASSWORD}

    no_meaning = browser.post(path, data=good | {"meaning": "", "code": "000000"})
    assert no_meaning.status_code == 422
    assert "Say what your signature means" in no_meaning.text
    wrong = browser.post(path, data=good | {"password": "guessed at", "code": live.proof("qa-2").code})
    assert wrong.status_code == 401
    assert "Nothing was signed" in wrong.text
    assert SIGNING_PASSWORD not in wrong.text
    assert browser.post(path, data=good | {"token": "guessed", "code": "000000"}).status_code == 403
    other = visiting(live)
    enter(other, "qa-auditor")
    assert other.get(path).status_code == 404
    assert other.post(path, data=good | {"token": hidden(other.get("/ledger").text, "token"),
                                         "code": "000000"}).status_code == 404
    live.clock.advance(minutes=14, seconds=58)
    enter(browser, "qa-2")
    assert browser.get(path).status_code == 404
    assert "audit_trail.reviewed" not in live.words()
    assert "action.refused" in live.words()


@req("SIG-03")
def test_what_changed_since_the_page_was_shown_is_not_signed(browser: TestClient, live: HouseUnderTest) -> None:
    """The same review on two pages: the second signature finds it signed, and is none."""
    review = drawn(browser)
    first, second = concluded(browser, review), concluded(browser, review, statement="Looked again.")
    for path, status in ((first, 200), (second, 409)):
        wish = {"token": hidden(browser.get(path).text, "token"), "meaning": "review", "password": SIGNING_PASSWORD,
                "code": live.proof("qa-2").code}
        assert browser.post(path, data=wish).status_code == status
    assert live.words().count("audit_trail.reviewed") == 1


@req("ATR-03", "ACC-02")
def test_only_whoever_may_review_gets_the_form_and_only_readers_see_reviews(
    browser: TestClient, live: HouseUnderTest
) -> None:
    path = drawn(browser)
    assert "Draw the samples" in browser.get("/reviews").text
    lead = visiting(live)
    enter(lead, "trial-lead")
    assert "Draw the samples" not in lead.get("/reviews").text
    seen = lead.get(path).text
    assert "signature needed" in seen
    assert "Review and sign" not in seen
    refused = lead.post("/reviews", data={"token": hidden(lead.get("/ledger").text, "token"), "trial": TRIAL})
    assert refused.status_code == 403
    foreign = visiting(live)
    enter(foreign, "lead-9")
    assert foreign.get(path).status_code == 404
    assert TRIAL not in foreign.get("/reviews").text


@req("ATR-02")
def test_what_cannot_be_concluded_comes_back_with_everything_typed(browser: TestClient, live: HouseUnderTest) -> None:
    path = drawn(browser)
    token = hidden(browser.get(path).text, "token")
    answer = browser.post(path, data={"token": token, "conclusion": "in_order", "statement": "Typed with care.",
                                      "entry": ["3"], "category": ["other"], "grade": ["critical"], "says": ["<b>x"]})

    assert answer.status_code == 422
    assert "With these findings the conclusion is not_in_order" in answer.text
    assert "Typed with care." in answer.text
    assert "&lt;b&gt;x" in answer.text
    assert problems(answer.text) == []
    wrong = browser.post("/reviews", data={"token": token, "trial": TRIAL, "matching": "trial:OTHER", "first": "7"})
    assert wrong.status_code == 422
    assert "stands beside the filter" in wrong.text
    assert 'value="trial:OTHER"' in wrong.text


@req("ATR-05")
def test_an_overdue_review_stands_on_the_ledger_page_of_its_readers(browser: TestClient, live: HouseUnderTest) -> None:
    assert "review is overdue" not in browser.get("/ledger").text
    live.clock.advance(days=92)
    enter(browser, "qa-2")
    said = re.sub(r"\s+", " ", browser.get("/ledger").text)
    assert "An audit-trail review is overdue" in said
    assert f"The audit-trail review of {TRIAL} was due by" in said
    foreign = visiting(live)
    enter(foreign, "lead-9")
    assert "review is overdue" not in foreign.get("/ledger").text


@req("SIG-03")
def test_pages_to_sign_do_not_pile_up(browser: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "MOST_WAITING", 2)
    review = drawn(browser)
    first, second, third = (concluded(browser, review) for _ in range(3))

    assert [browser.get(path).status_code for path in (first, second, third)] == [404, 200, 200]


@req("VAL-15", "ACC-05")
def test_periodic_reviews_of_the_house_stand_with_their_days_and_alarm_on_the_ledger(live: HouseUnderTest) -> None:
    """In time there is no alarm; late it says since when, what follows, and who does what; other trials' see none."""
    set_password(live.desk, CHEAP, live.person("qa-0", "qa_auditor").user, PASSWORD)
    with visiting(live) as browser:
        enter(browser, "qa-0")
        assert "periodic review" not in browser.get("/ledger").text.lower()
        shown = browser.get("/reviews").text
        assert "Review of access" in shown
        assert problems(shown) == []
    live.clock.advance(days=190)
    with visiting(live) as browser:
        enter(browser, "qa-0")
        page = browser.get("/ledger").text
        late = browser.get("/reviews").text
        enter(browser, "lead-9")
        other = browser.get("/ledger").text

    assert "A periodic review is overdue" in page
    assert "Owner or QA: countersign role review --conclusion TEXT --as USER" in page
    assert "after 10 days AI is suspended" in page
    assert "days late" in late
    assert problems(page) == problems(late) == []
    assert "periodic review" not in other.lower()


@req("ACC-05", "ACC-04")
def test_the_review_of_access_is_signed_on_its_page_and_moves_its_day(live: HouseUnderTest) -> None:
    """Every grant stands on the page; what ends is marked, and nothing is marked beforehand."""
    set_password(live.desk, CHEAP, live.person("qa-0", "qa_auditor").user, PASSWORD)
    path = "/reviews/periodic/access"
    with visiting(live) as browser:
        enter(browser, "qa-2")
        assert "You cannot review access now." in browser.get(path).text
        enter(browser, "qa-0")
        page = browser.get(path).text
        assert problems(page) == []
        assert " checked" not in page
        form = {"token": hidden(page, "token"), "ending": "lead-9:trial_lead:T-9", "next_by": "2099-01-01"}
        empty = browser.post(path, data=form | {"conclusion": " "})
        late = browser.post(path, data=form | {"conclusion": "All needed."})
        assert (empty.status_code, late.status_code) == (422, 422)
        assert "ends with a conclusion" in empty.text
        assert "the longest interval is 6 months" in late.text
        assert 'value="lead-9:trial_lead:T-9" aria-label="Ends: ' in late.text
        asked = browser.post(path, data=form | {"conclusion": "All needed but one.", "next_by": ""})
        shown = browser.get(asked.url.path).text
        wish = {"token": hidden(shown, "token"), "meaning": "review", "password": SIGNING_PASSWORD,
                "code": live.proof("qa-0").code}
        done = browser.post(asked.url.path, data=wish)

    assert done.url.path == "/reviews"
    event = live.entries()[-1].body
    assert event["action"] == "access.reviewed"
    assert [one["user"] for one in event["fields"]["grants"] if not one["stays"]] == ["lead-9"]
    assert event["fields"]["next_by"] in done.text


@req("VAL-15")
def test_the_validated_state_is_reviewed_on_its_page_by_whoever_may(live: HouseUnderTest) -> None:
    from tests.builders import trials

    trials.evidence_of_use_1(live)
    set_password(live.desk, CHEAP, live.person("lead-0", "validation_lead").user, PASSWORD)
    path = "/reviews/periodic/validation"
    with visiting(live) as browser:
        enter(browser, "trial-lead")
        assert "You cannot review the validated state now." in browser.get(path).text
        enter(browser, "lead-0")
        never = browser.get(path, params={"subject": "LCK-NONE"})
        assert (never.status_code, "never released" in never.text) == (422, True)
        page = browser.get(path).text
        assert problems(page) == []
        form = {"token": hidden(page, "token"), "subject": "installation", "conclusion": "fit", "statement": "Looked."}
        wrong = browser.post(path, data=form | {"conclusion": "perfect"})
        assert (wrong.status_code, ">Looked.</textarea>" in wrong.text) == (422, True)
        asked = browser.post(path, data=form)
        shown = browser.get(asked.url.path).text
        assert "Deviations opened" in shown
        wish = {"token": hidden(shown, "token"), "meaning": "review", "password": SIGNING_PASSWORD,
                "code": live.proof("lead-0").code}
        browser.post(asked.url.path, data=wish)

    assert live.words()[-1] == "validation.periodically_reviewed"
