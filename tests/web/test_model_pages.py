"""Pages of models: what is locked and allowed, where it comes from, what was refused; now and at a moment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from audit.vocabulary import gates as gate_words
from audit.vocabulary import models as words
from core.policy.state import Actor
from countersign.web.accounts import set_password
from models_registry.usecases import RetireModel, retire_model
from tests.builders import models
from tests.builders import trials as build
from tests.builders.models import stand_in
from tests.builders.reads import TRIAL, recorded
from tests.house import HouseUnderTest, a_house
from tests.req import req
from tests.web.test_pages import CHEAP, PASSWORD, enter, problems, visiting


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HouseUnderTest]:
    with a_house(tmp_path_factory.mktemp("models")) as house:
        build.live(house)
        house.person("custodian", "model_custodian")
        house.person("qa-2", "qa_auditor")
        house.person("reader-9", "reader", trial=TRIAL)
        for user in ("qa-2", "reader-9"):
            set_password(house.desk, CHEAP, user, PASSWORD)
        yield house


@pytest.fixture
def browser(live: HouseUnderTest) -> Iterator[TestClient]:
    with visiting(live) as client:
        enter(client, "qa-2")
        yield client


@req("MLK-01", "MLK-05", "REC-12")
def test_a_lock_is_found_read_and_looked_at_as_it_stood(browser: TestClient, live: HouseUnderTest) -> None:
    """Empty; then locked and allowed; then refused, suspended and recalled; and still as it stood before."""
    empty = browser.get("/models").text
    assert "No model is locked" in empty
    assert problems(empty) == []

    lock = models.locked(live, stand_in)
    recorded(live, gate_words.GateOpened(
        gate=f"{TRIAL}-G3-1", use=3, use_name="secondary", scope="all", lock=lock, criteria=(), signed=(),
        endpoint="volume"), "gates")
    before = len(live.entries()) - 1
    listed = browser.get("/models").text
    assert problems(listed) == []
    assert f"/models/{lock}" in listed
    page = browser.get(f"/models/{lock}").text
    assert problems(page) == []
    for said in ("Training run", "seeds 20261124", "train/STS_004.npz", "Context of use", "Undecided by", "SBOM"):
        assert said in page, said
    assert page.count('class="box') == 7

    recorded(live, words.ModelRefused(
        lock=lock, model="lesion-at-seed", check="files", cause="digest_mismatch", expected="a" * 64, found="b" * 64,
        path="models/weights.safetensors"), "inference")
    live.commit(retire_model(live.desk, Actor("custodian"), RetireModel(lock, "recalled", "defect_found")))
    now = browser.get(f"/models/{lock}").text
    assert problems(now) == []
    assert "This lock was recalled." in now
    assert "models/weights.safetensors" in now
    then = browser.get(f"/models/{lock}?as_of={before}").text
    assert problems(then) == []
    assert "This lock was recalled." not in then
    assert "Everything was as locked each time it was loaded." in then
    assert f"to <b>{before}</b>" in then
    assert browser.get("/models?as_of=yesterday").status_code == 422
    assert browser.get(f"/models/{lock}?as_of=yesterday").status_code == 422
    assert browser.get("/models/LCK-none").status_code == 404


@req("ACC-02")
def test_a_reader_sees_no_model(live: HouseUnderTest) -> None:
    """A reader's role shows no models: what AI is locked for their trial is no part of their read."""
    with visiting(live) as client:
        enter(client, "reader-9")
        assert client.get("/models").status_code == 403
