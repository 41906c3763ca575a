"""The shipped qualification of an installation is executed for real; each protection it checks is taken away once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from core.policy.decide import permit
from core.policy.state import Actor, Facts
from core.work import release
from countersign import qualification
from countersign.readiness import people_findings
from tests.builders.validation import Team, approve, installation, passing, reviewed, run
from tests.house import HouseUnderTest, a_house
from tests.req import req
from validation import protocol
from validation.releases import MarkSuspect, SignRelease, mark_suspect, sign_release
from validation.runner import Bench, RunProtocol, run_protocol


@req("VAL-01", "VAL-04", "VAL-06", "REC-04", "OPS-01")
def test_this_installation_qualifies_and_is_released(house: HouseUnderTest) -> None:
    """Both shipped protocols, signed by three people, every step executed on this home; then QA's release."""
    team = Team.of(house)
    checks = qualification.checks_of(house.house, team.tester.user)
    if qualification.code_is_ours().evidence["version"] == "none":
        # Run from a tree that is not installed: what says whether it is installed as locked cannot pass there.
        checks |= {"versions_as_locked": passing(), "code_is_ours": passing()}
    bench = Bench(qualification.environment(house.house), checks)
    runs = []
    for name in ("iq-installation", "oq-installation"):
        approve(house, team, protocol.template(name))
        outcome = run_protocol(house.desk, team.tester, RunProtocol(name.upper()), bench)
        assert {step: says for step, verdict, says in outcome.steps if verdict != "passed"} == {}
        runs.append(outcome.run)

    reviewed(house, team, *runs)
    house.commit(sign_release(house.desk, team.qa, SignRelease(tuple(runs), "Fit.", demonstration=True)))

    assert [one.fine for one in people_findings(house.house) if release() in one.what] == [True]
    house.commit(mark_suspect(house.desk, team.lead, MarkSuspect(runs[1], "A library was patched.", "OQ")))
    (told,) = [one for one in people_findings(house.house) if release() in one.what]
    assert not told.fine
    assert "suspect: no gate opens" in told.what


@req("VAL-01", "VAL-06")
def test_qualification_is_possible_before_the_installation_is_opened(tmp_path: Path) -> None:
    """IQ and OQ are founding acts (TRIAL 1): protocol, run, review and release by the few people there are."""
    with a_house(tmp_path, founding=True) as house:
        team = Team.of(house)
        runs = []
        for kind in ("IQ", "OQ"):
            approve(house, team, installation("fine", kind=kind))
            runs.append(run(house, team, f"{kind}-SMALL", checks={"fine": passing()}).run)
        reviewed(house, team, *runs)
        house.commit(sign_release(house.desk, team.qa, SignRelease(tuple(runs), "Fit.", demonstration=True)))

        assert house.words()[-1] == "release.signed"
        assert "installation.opened" not in house.words()


def check(house: HouseUnderTest, name: str) -> Any:
    return qualification.checks_of(house.house, "owner-0")[name]()


@req("REC-01", "VAL-04")
@pytest.mark.parametrize(
    ("trigger", "name"),
    [("entry_no_update", "entries_cannot_be_changed"), ("entry_no_delete", "entries_cannot_be_deleted"),
     ("entry_no_update", "database_protected")],
)
def test_a_missing_trigger_is_found_and_nothing_is_changed(house: HouseUnderTest, trigger: str, name: str) -> None:
    before = [entry.raw for entry in house.entries()]
    with house.house.engine.connect() as session, session.begin():
        definition = session.execute(text("SELECT sql FROM sqlite_master WHERE name = :n"), {"n": trigger}).scalar_one()
        session.execute(text(f"DROP TRIGGER {trigger}"))

    found = check(house, name)

    assert not found.passed
    assert [entry.raw for entry in house.entries()] == before
    with house.house.engine.connect() as session, session.begin():
        session.execute(text(definition))
    assert check(house, name).passed


@req("SIG-04")
def test_a_key_file_that_others_can_read_is_found(house: HouseUnderTest) -> None:
    assert check(house, "keys_owner_only").passed
    key = next(path for path in (house.home / "signer").rglob("*") if path.is_file())
    key.chmod(0o644)

    assert not check(house, "keys_owner_only").passed


@req("SIG-09")
def test_a_signer_that_would_sign_as_a_person_is_found(
    house: HouseUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check(house, "nobody_signs_for_another").passed
    signer = type(house.house.signer)
    monkeypatch.setattr(signer, "attest", lambda self, holder, message: None)

    assert not check(house, "nobody_signs_for_another").passed


@req("RDG-09")
def test_a_policy_that_lets_ai_decide_is_found(house: HouseUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another table than the adopted one is found as well."""
    assert check(house, "ai_never_decides").passed
    assert check(house, "policy_as_adopted").passed
    yes = permit(Actor.of_service("house"), "anything.else", Facts())
    monkeypatch.setattr(qualification, "decide", lambda actor, action, facts: yes)
    monkeypatch.setattr("core.policy.table.digest", lambda: "0" * 64)

    assert not check(house, "ai_never_decides").passed
    assert not check(house, "policy_as_adopted").passed


@req("REC-04")
def test_a_verifier_that_says_yes_to_all_is_found(house: HouseUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qualification, "_verify_alone", lambda bundle: (0, "VERIFIED"))

    assert not check(house, "tamper_is_found").passed
