"""Evidence of class demonstration says so on every page that somebody with a role in such a trial opens (TRIAL 2)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from core.trials.usecases import CreateTrial, create_trial
from countersign.web.accounts import Passwords, set_password
from countersign.web.app import build_app
from tests.house import HouseUnderTest, a_house
from tests.req import req

PASSWORD = "a login password of its own"
CHEAP = Passwords(64, 1, 1)
PAGES = ("/ledger", "/ledger/5", "/models", "/drift", "/reviews", "/training", "/keys", "/state", "/no-such-page")
SAID = "Demonstration, not for clinical use:"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HouseUnderTest]:
    """A house with a demonstration and a clinical trial."""
    with a_house(tmp_path_factory.mktemp("both")) as house:
        for trial, user, demonstration in (("DEMO-1", "lead-1", True), ("TRUE-1", "lead-2", False)):
            actor = house.person(user, "trial_lead", trial=trial)
            house.commit(create_trial(house.desk, actor, CreateTrial(trial, "A trial", demonstration)))
        house.person("qa-1", "qa_auditor")
        for user in ("lead-1", "lead-2", "qa-1"):
            set_password(house.desk, CHEAP, user, PASSWORD)
        yield house


@req("VAL-06")
@pytest.mark.parametrize(("user", "said"), [("lead-1", True), ("qa-1", True), ("lead-2", False)])
def test_every_page_of_who_works_in_a_demonstration_says_so(both: HouseUnderTest, user: str, said: bool) -> None:
    with TestClient(build_app(both.house, watching=False), follow_redirects=True) as client:
        login = client.get("/login").text
        assert SAID not in login
        token = re.search(r'name="token" value="([^"]*)"', login)
        assert token is not None
        client.post("/login", data={"user": user, "password": PASSWORD, "token": token[1], "next": "/ledger"})
        for page in PAGES:
            text = client.get(page).text
            assert "Log out" in text, page
            assert (f"<b>{SAID}</b> DEMO-1." in text) is said, page
            assert "TRUE-1" not in text.partition("<main")[2].partition(SAID)[2][:120]
