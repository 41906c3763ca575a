"""Acts of gates, sites and the lock of the data as people type them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from audit.vocabulary import validation
from core.errors import Refused
from core.gates import queries, usecases
from core.gates.gathering import facts_of
from core.trials.queries import site_of, the_trial
from core.work import release
from countersign.cli import app
from tests.builders import trials as build
from tests.builders.reads import TRIAL, signed
from tests.house import HouseUnderTest
from tests.req import req

Call = Callable[..., str]


@pytest.fixture
def call(house: HouseUnderTest, monkeypatch: pytest.MonkeyPatch) -> Call:
    """The command line on the house of the test, and on its clock."""
    for name in ("gate", "trial", "data_lock"):
        monkeypatch.setattr(f"countersign.cli.{name}.house", lambda home: house.house)

    def run(*words: str, user: str = "", meaning: str = "", exit_code: int = 0) -> str:
        environment = {}
        if user:
            proof = house.proof(user)
            environment = {"COUNTERSIGN_USER": user, "COUNTERSIGN_MEANING": meaning,
                           "COUNTERSIGN_PASSWORD": proof.password, "COUNTERSIGN_CODE": proof.code}
        done = CliRunner().invoke(app, list(words), env=environment)
        assert done.exit_code == exit_code, done.output
        return done.output

    return run


@req("GAT-02", "SIG-02")
def test_a_gate_shows_what_it_was_opened_on_and_who_signed(house: HouseUnderTest, call: Call) -> None:
    build.live(house)
    build.evidence_of_use_1(house)
    gate = build.opened(house, "qc")

    told = call("gate", "show", gate)
    data = json.loads(call("gate", "show", gate, "--json"))

    assert "criteria when requested" in told
    assert "criteria when opened" in told
    assert "signed to open by qa-auditor as qa_auditor, entry" in told
    released = next(one for one in data["criteria"] if (one["at"], one["criterion"]) == ("opened", "release"))
    assert (released["state"], released["found"]) == ("met", f"{release()} is released")
    assert house.entries()[released["entries"][0]].body["action"] == "release.signed"
    assert [one["role"] for one in data["signatures"]] == ["trial_lead", "qa_auditor"]
    assert "There is no gate G-0" in call("gate", "show", "G-0", exit_code=1)


@req("GAT-02")
def test_a_request_is_taken_back_by_the_trial_lead_and_asked_for_again(house: HouseUnderTest, call: Call) -> None:
    build.live(house)
    build.evidence_of_use_1(house)
    house.commit(usecases.request_gate(house.desk, build.LEAD, usecases.RequestGate(TRIAL, "qc", build.LOCK)))
    gate = f"{TRIAL}-G1-1"

    assert "No rule" in call("gate", "withdraw", gate, "asked_too_early", user="qa-auditor", meaning="withdrawal",
                             exit_code=1)
    call("gate", "withdraw", gate, "asked_too_early", user="trial-lead", meaning="withdrawal")

    assert house.words()[-1] == "gate.withdrawn"
    assert house.entries()[-1].body["reason"] == "asked_too_early"
    again = build.opened(house, "qc")
    assert again == f"{TRIAL}-G1-2"
    told = call("gate", "withdraw", again, "asked_too_early", user="trial-lead", meaning="withdrawal", exit_code=1)
    assert "is open; gate.withdrawn does not follow" in told


@req("GAT-02")
def test_a_seeded_defect_is_signed_and_counted_apart(house: HouseUnderTest, call: Call) -> None:
    build.live(house)
    build.people(house, "technologist")

    call("gate", "seed-defect", TRIAL, "2.25.1", user="imaging-lead", meaning="authorship")
    assert house.words()[-1] == "defect.seeded"
    build.run_in_study(house, 1, site="101", defective=True, flagged=True)
    with house.desk.reading() as session:
        (study,) = facts_of(session, TRIAL, 2, None, "all", build.LOCK, "2026-04-01").run_in
    assert study.seeded

    build.run_in_study(house, 2, site="102", defective=True, flagged=False)
    late = call("gate", "seed-defect", TRIAL, "2.25.2", user="imaging-lead", meaning="authorship", exit_code=1)
    assert "before anybody judges it" in late
    assert house.words()[-1] == "action.refused"


@req("RDG-11")
def test_a_site_is_closed_and_the_data_are_locked_at_the_command_line(house: HouseUnderTest, call: Call) -> None:
    build.live(house)
    build.people(house, "statistician")

    call("site", "close", TRIAL, "101", user="trial-lead", meaning="approval")
    with house.desk.reading() as session:
        row = site_of(session, TRIAL, "101")
    assert row is not None
    assert row.state == "closed"

    call("trial", "cut", TRIAL, "cut-1", "--until", "2026-01-01", user="data-manager", meaning="responsibility")
    call("trial", "soft-lock", TRIAL, "cut-1", user="data-manager", meaning="responsibility")
    early = call("trial", "lock", TRIAL, "cut-1", "--role", "qa_auditor", user="qa-auditor", meaning="approval",
                 exit_code=1)
    assert "still missing: data_manager, statistician, imaging_lead" in early
    for user in ("data-manager", "statistician", "imaging-lead", "qa-auditor"):
        call("trial", "lock", TRIAL, "cut-1", "--role", build.ROLES[user], user=user, meaning="approval")
    assert house.words()[-1] == "database.locked"
    with house.desk.reading() as session:
        assert str(the_trial(session, TRIAL).stage) == "locked"


@req("GAT-04", "VAL-06")
def test_a_suspect_run_behind_the_release_suspends_every_gate_until_it_is_released_anew(house: HouseUnderTest) -> None:
    """Software whose qualification is in doubt is unreleased software (TRIAL 2)."""
    build.live(house)
    build.evidence_of_use_1(house)

    def a_run() -> str:
        build.concluded(house, "OQ", lock=None)
        return str(house.entries()[-1].body["fields"]["run"])

    def released(run: str) -> None:
        signed(house, "qa-auditor", validation.ReleaseSigned(
            target="installation", what=release(), runs=(run,), conclusion="fit", evidence_class="demonstration"))

    first, second, other = a_run(), a_run(), a_run()
    released(first)
    gate = build.opened(house, "qc")
    signed(house, "validation-lead", validation.ValidationSuspect(run=first, cause="A patch.", scope="OQ"))
    house.work()

    with house.desk.reading() as session:
        (stop,) = queries.stops_of(session, gate)
    assert (stop.kind, stop.cause) == ("suspended", "unreleased_software")
    with pytest.raises(Refused, match="on a run that is suspect"):
        usecases.sign_gate(house.desk, build.LEAD, gate)

    released(second)
    signed(house, "validation-lead", validation.ValidationSuspect(run=other, cause="Another.", scope="OQ"))
    build.sign_all(house, gate)
    with house.desk.reading() as session:
        assert queries.gate_named(session, gate).state == "open"
