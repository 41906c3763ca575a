"""Pages of controlled documents: from draft to effective by three people, and read with questions by who is bound."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from countersign.web.accounts import set_password
from countersign.web.words import blocks, spans
from sops import texts
from sops import usecases as sops
from tests.house import HouseUnderTest
from tests.req import req
from tests.web.test_pages import CHEAP, PASSWORD, enter, problems, visiting
from tests.web.test_validation_pages import post, signed

ASKING = """---
id: SOP-91
title: Closing deviations
owner: qa_auditor
governs: [deviation.close]
applies_to: [validation_lead, qa_auditor]
review_months: 12
window_days: 0
questions:
  Who closes a deviation of their own run?: Nobody
---
""" + "# SOP-91 Closing\n\n## Steps\n\n1. One `step` <b>here</b>.\n2. Another one.\n\n" + (
    "Somebody does something. " * 20)


@pytest.fixture
def drafted(house: HouseUnderTest) -> HouseUnderTest:
    for user, role in (("author-1", "system_owner"), ("lead-1", "validation_lead"), ("qa-1", "qa_auditor")):
        set_password(house.desk, CHEAP, house.person(user, role).user, PASSWORD)
    house.commit(sops.draft_sop(
        house.desk, house.person("author-1"), sops.DraftSop(texts.read_document(ASKING, "SOP-91"))))
    return house


@pytest.fixture
def browser(drafted: HouseUnderTest) -> Iterator[TestClient]:
    with visiting(drafted) as client:
        yield client


PATH = "/procedures/SOP-91/1"


def effective(browser: TestClient, house: HouseUnderTest) -> None:
    for user, step in (("lead-1", "review"), ("qa-1", "approve")):
        enter(browser, user)
        signed(browser, house, user, post(browser, PATH, f"{PATH}/{step}"))


@req("SOP-01", "SOP-02")
def test_a_document_becomes_effective_by_three_people_on_its_page(
    browser: TestClient, drafted: HouseUnderTest
) -> None:
    enter(browser, "author-1")
    own = browser.get(PATH).text
    assert problems(own) == []
    assert "another person reviews it" in own
    assert "<code>step</code> &lt;b&gt;here&lt;/b&gt;" in own
    assert post(browser, PATH, f"{PATH}/review").status_code == 403
    assert post(browser, PATH, f"{PATH}/burn").status_code == 404

    effective(browser, drafted)

    assert [word for word in drafted.words() if word.startswith("sop.")] == [
        "sop.drafted", "sop.reviewed", "sop.approved", "sop.effective"]
    listed = browser.get("/procedures").text
    assert problems(listed) == []
    assert "Shipped as templates, not drafted here" in listed
    without = post(browser, PATH, f"{PATH}/retire", because=" ")
    assert (without.status_code, "given up with a reason" in without.text) == (422, True)


@req("SOP-02", "SOP-03")
def test_a_lapse_blocks_the_act_says_who_lifts_it_and_ends_with_the_right_answer(
    browser: TestClient, drafted: HouseUnderTest
) -> None:
    """Refused on the page of the act and at the use case; a wrong answer signs nothing and tells no right one."""
    from validation.releases import OpenDeviation, open_deviation

    drafted.commit(open_deviation(drafted.desk, drafted.person("author-1"), OpenDeviation(
        "DEV-1", "minor", "operation", "a place", "Late.")))
    effective(browser, drafted)
    enter(browser, "lead-1")
    lapse = "It can be supplied by lead-1: countersign sop train SOP-91 --as lead-1."
    assert lapse in browser.get("/quality/deviations/DEV-1").text
    refused = post(browser, "/quality", "/quality/deviations/DEV-1/close", cause="c", impact="i", action="a",
                   conclusion="c")
    assert (refused.status_code, lapse in refused.text) == (403, True)
    stopped = browser.get("/procedures").text
    assert "until you sign it deviation.close is refused to you. Only you can lift that." in stopped

    wrong = post(browser, PATH, f"{PATH}/train", answer="The tester")
    assert (wrong.status_code, "1 of 1 questions are not answered rightly" in wrong.text) == (422, True)
    assert "Nobody" not in wrong.text.replace("nobody", "")
    assert 'value="The tester"' in wrong.text
    unanswered = browser.post(f"{PATH}/train", data=_token(browser))
    assert unanswered.status_code == 422
    assert "training.completed" not in drafted.words()
    done = signed(browser, drafted, "lead-1", post(browser, PATH, f"{PATH}/train", answer="  nobody "))

    assert drafted.words()[-1] == "training.completed"
    assert "You signed read-and-understood" in done.text
    assert lapse not in browser.get("/quality/deviations/DEV-1").text
    assert 'name="cause"' in browser.get("/quality/deviations/DEV-1").text


def _token(browser: TestClient) -> dict[str, Any]:
    from tests.web.test_pages import hidden

    return {"token": hidden(browser.get(PATH).text, "token")}


@pytest.mark.parametrize("sop", texts.templates())
def test_a_page_leaves_no_word_of_a_procedure_out(sop: str) -> None:
    body = texts.templates()[sop].body
    shown = " ".join(part for _, parts in blocks(body) for part in parts)

    def words(text: str) -> list[str]:
        return [word for word in text.replace("#", " ").split() if not word.rstrip(".").isdigit() and word != "-"]

    assert words(shown) == words(body)
    assert spans("a `b` <c>") == "a <code>b</code> &lt;c&gt;"
    assert spans("an open ` quote") == "an open ` quote"


@req("SOP-01")
def test_a_procedure_whose_review_is_late_alarms_with_who_does_what(
    browser: TestClient, drafted: HouseUnderTest
) -> None:
    effective(browser, drafted)
    assert "was due by" not in browser.get(PATH).text
    drafted.clock.advance(days=380)
    enter(browser, "qa-1")

    page, listed, ledger = (browser.get(path).text for path in (PATH, "/procedures", "/ledger"))

    assert "Its periodic review was due by" in page
    assert "overdue" in listed
    assert "The periodic review of SOP-91 was due by" in ledger
    assert "Its owner: a new version (countersign sop draft SOP-91), or retirement." in ledger
    assert problems(page) == problems(listed) == problems(ledger) == []
