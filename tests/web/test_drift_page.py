"""The page of drift: alarms, levels and numbers; of sealed uses levels only, of others' trials nothing."""

from __future__ import annotations

import pytest

from core.drift.usecases import evaluate_due
from core.reads.ports import keeper_of
from countersign.web.accounts import set_password
from tests.builders import trials as build
from tests.builders.drift import based, measured
from tests.builders.reads import TRIAL
from tests.house import HouseUnderTest
from tests.req import req
from tests.web.test_pages import CHEAP, PASSWORD, enter, problems, visiting


@pytest.fixture
def drifted(house: HouseUnderTest) -> HouseUnderTest:
    """A lock in use that drifted in quality control, and under seal."""
    build.live(house)
    build.evidence_of_use_1(house)
    build.opened(house, "qc")
    measured(house, 0, 30)
    based(house)
    measured(house, 100, 25, confidence=0.8)
    commit = keeper_of(house.desk.signer).seal("occasion-1", b"the AI's read").commit
    measured(house, 200, 25, use="primary", sealed=True, commit=commit, confidence=0.8)
    assert evaluate_due(house.desk) == 2
    house.person("lead-9", "trial_lead", trial="T-9")
    for user in ("qa-auditor", "lead-9"):
        set_password(house.desk, CHEAP, user, PASSWORD)
    return house


@req("VAL-13", "OPS-09", "RDG-02")
def test_the_page_tells_what_drifted_and_of_sealed_uses_the_level_alone(drifted: HouseUnderTest) -> None:
    with visiting(drifted) as browser:
        enter(browser, "qa-auditor")
        page = browser.get("/drift")
        ledger = browser.get("/ledger").text

    assert page.status_code == 200
    assert problems(page.text) == []
    assert f"Drift of {build.LOCK} in {TRIAL}, use qc" in page.text
    assert "all signers resume the gate" in page.text
    assert "sealed: levels only" in page.text
    assert page.text.count("confidence: KS") == 1, "the numbers of the clear use, and of no other"
    assert "no set is declared" in page.text
    assert "A model in use has to be looked at." in ledger


@req("ACC-02")
def test_of_a_trial_that_somebody_may_not_read_the_page_says_nothing(drifted: HouseUnderTest) -> None:
    with visiting(drifted) as browser:
        enter(browser, "lead-9")
        page = browser.get("/drift").text

    assert TRIAL not in page
    assert "Nothing was evaluated yet" in page
