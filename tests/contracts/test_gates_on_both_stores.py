"""Trials and gates behave alike on SQLite and PostgreSQL: of two last signatures at once, exactly one opens."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.errors import Refused, Stale
from core.gates import gathering, usecases
from core.policy.state import Actor
from core.trials.queries import open_uses
from core.work import Proof, Proposal
from tests.builders import trials as build
from tests.builders.reads import DIGEST, TRIAL, signed
from tests.conftest import need
from tests.house import HouseUnderTest, a_house
from tests.req import req


@pytest.fixture(params=["sqlite", "postgresql"])
def any_house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HouseUnderTest]:
    """A house on each store; on its way out it verifies itself."""
    url = None
    if request.param == "postgresql":
        need("postgres")
        from tests.postgres import fresh_database

        url = fresh_database()
    with a_house(tmp_path, url) as house:
        yield house


@req("GAT-02", "SIG-04", "OPS-01")
def test_two_last_signatures_at_once_open_one_gate(any_house: HouseUnderTest) -> None:
    from audit.vocabulary.sops import TrainingCompleted

    house = any_house
    build.live(house)
    build.evidence_of_use_1(house)
    build.enrolled(house)
    house.person("qa-2", "qa_auditor", trial=TRIAL)
    signed(house, "qa-2", TrainingCompleted(sop="SOP-90", version=1, text_sha256=DIGEST, answered=0))
    house.commit(usecases.request_gate(house.desk, build.LEAD, usecases.RequestGate(TRIAL, "qc", build.LOCK)))
    gate = f"{TRIAL}-G1-1"
    house.commit(usecases.sign_gate(house.desk, build.LEAD, gate))
    pages = [(usecases.sign_gate(house.desk, actor, gate), house.proof(actor.user))
             for actor in (build.QA, Actor("qa-2"))]

    def commit(page: tuple[Proposal, Proof]) -> bool:
        try:
            house.desk.commit(*page)
        except (Refused, Stale):
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(commit, pages))

    assert sorted(done) == [False, True]
    assert house.words().count("gate.opened") == 1
    with house.desk.reading() as session:
        assert [use.code for use in open_uses(session, TRIAL)] == ["qc"]
        board = gathering.board(session, TRIAL, house.desk.occasion().at[:10])
    assert [(row.gate.state, row.missing) for row in board] == [("open", ())]
    usecases.suspend_gate(house.desk, build.LEAD, gate, "drift_level_2")
    with house.desk.reading() as session:
        assert open_uses(session, TRIAL) == ()
