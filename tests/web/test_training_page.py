"""The page of training: what is lacking and who lifts it; of others' trials nothing."""

from __future__ import annotations

import pytest

from core.access import usecases
from countersign.web.accounts import set_password
from tests.builders import trials as build
from tests.builders.reads import TRIAL
from tests.house import HouseUnderTest
from tests.req import req
from tests.web.test_pages import CHEAP, PASSWORD, enter, problems, visiting


@pytest.fixture
def trial(house: HouseUnderTest) -> HouseUnderTest:
    """A live trial with one procedure, one delegation, and somebody of another trial."""
    build.live(house)
    build.evidence_of_use_1(house)
    house.person("reader-1", "reader", trial=TRIAL)
    house.commit(usecases.delegate_tasks(
        house.desk, build.LEAD, usecases.DelegateTasks("reader-1", "reader", TRIAL, "2026-01-01")))
    house.person("lead-9", "trial_lead", trial="T-9")
    for user in ("qa-auditor", "lead-9"):
        set_password(house.desk, CHEAP, user, PASSWORD)
    return house


@req("SOP-03", "ACC-02")
def test_the_page_shows_the_matrix_what_a_lapse_stops_and_the_delegation_log(trial: HouseUnderTest) -> None:
    delegated = next(one for one in trial.entries() if one.body["action"] == "delegation.signed")
    with visiting(trial) as browser:
        enter(browser, "qa-auditor")
        page = browser.get("/training")
        enter(browser, "lead-9")
        other = browser.get("/training").text

    assert page.status_code == 200
    assert problems(page.text) == []
    assert f"Delegation log of {TRIAL}" in page.text
    assert f'href="/ledger/{delegated.seq}"' in page.text
    assert "countersign sop train SOP-90 --as reader-1" in page.text
    assert "<code>read.seal</code>" in page.text
    assert "no last day" in page.text.split("Delegation log")[-1]
    assert "reader-1" not in other
    assert TRIAL not in other
