"""`doctor` says which precondition of which act is missing, and who can supply it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.errors import NotFound
from core.trials import usecases as trials
from countersign.cli import app
from countersign.readiness import act_findings, people_findings
from sops import texts, usecases
from tests.builders import people
from tests.builders import trials as build
from tests.builders.people import OWNER, QA, THIRD
from tests.builders.reads import TRIAL
from tests.house import HouseUnderTest, a_house
from tests.req import req


def missing(house: HouseUnderTest) -> dict[str, str]:
    return {each.what: each.remedy for each in people_findings(house.house) if not each.fine}


@req("SOP-03", "SIG-14")
def test_doctor_follows_an_installation_from_founding_to_a_trial_with_everybody(tmp_path: Path) -> None:
    """At each stage exactly what is missing is named, with who can supply it; at the end only the release is."""
    with a_house(tmp_path, founding=True) as house:
        people.founders(house)
        assert "Before the opening: The installation is not founded." in missing(house)
    with a_house(tmp_path / "second", founding=True) as house:
        people.opened(house)
        (unreleased,) = missing(house)
        assert "is not released" in unreleased
        assert "IQ and OQ" in missing(house)[unreleased]

        lead = people.active(house, "tia")
        people.granted(house, "tia", "trial_lead", trial="T1")
        people.active(house, "ann")
        people.granted(house, "ann", "reader", trial="T1")
        found = missing(house)
        assert found["The tasks of reader in T1 are not delegated to ann today."].startswith("tia: countersign role")
        nobody = next(what for what in found if "nobody holds adjudicator" in what)
        assert "read.adjudicate" in nobody
        assert found[nobody].startswith("imaging_lead, qa_auditor, trial_lead: countersign role grant")
        assert not any("nobody holds reader," in what for what in found)

        people.effective_sop(house, "SOP-15", THIRD, OWNER, window_days=3)
        assert not any("SOP-15" in what for what in missing(house))
        house.clock.advance(days=4)
        assert missing(house)["SOP-15 version 1 was to become effective on 2026-11-28."].startswith("Run `countersign")
        usecases.make_due_effective(house.desk)
        remedy = missing(house)["tia has not signed read-and-understood on SOP-15 version 1 (Training)."]
        assert remedy == "tia: countersign sop train SOP-15 --as tia"
        people.trained(house, lead, "SOP-01", "SOP-15")
        people.trained(house, QA, "SOP-15")
        assert not any("read-and-understood" in what for what in missing(house))
        house.clock.advance(days=366 * 2)
        assert any("review of SOP-01 version 1 was due by 2028-11-25" in what for what in missing(house))
        assert texts.template("SOP-01").review_months == 24


@req("SIG-14", "GAT-02")
def test_doctor_says_what_an_act_still_waits_for_and_who_supplies_each_step(house: HouseUnderTest) -> None:
    """TRIAL 1: which precondition of which act is missing and who can supply it, for any act of the policy table."""
    build.people(house, *build.SET_UP)
    build.set_up(house)
    waiting = {one.what: one.remedy for one in act_findings(house.house, "subject.enrol", TRIAL) if not one.fine}

    assert list(waiting)[:2] == [
        f"subject.enrol in {TRIAL} waits for configuration.tested, which is not on record.",
        f"subject.enrol in {TRIAL} waits for site.trained, which is not on record."]
    assert not any("charter" in one for one in waiting)
    assert waiting[f"subject.enrol in {TRIAL} waits for site.trained, which is not on record."] == (
        "trial_lead (trial-lead): countersign site train")
    assert waiting[f"Then subject.enrol in {TRIAL} can be done."] == (
        "investigator (investigator-1): countersign subject enrol")

    build.ready_site(house)
    house.commit(trials.sign_configuration_test(house.desk, build.MANAGER, trials.SignConfigurationTest(
        TRIAL, 2, ("a dummy subject was entered",))))
    house.commit(trials.activate_trial(house.desk, build.LEAD, TRIAL))
    (first, *_) = act_findings(house.house, "gate.sign", TRIAL)
    assert "waits for model.registered" in first.what
    assert first.remedy == ("Nobody holds model_custodian. qa_auditor, validation_lead: countersign role grant USER "
                            "model_custodian, then: countersign model register")

    build.enrolled(house)
    (last,) = act_findings(house.house, "subject.enrol", TRIAL)
    assert last.fine
    with pytest.raises(NotFound, match=r"There is no act subject.marry") as unknown:
        act_findings(house.house, "subject.marry", TRIAL)
    assert "subject.enrol" in unknown.value.next_step


@req("SIG-14")
def test_doctor_on_an_act_is_asked_at_the_command_line(house: HouseUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("countersign.cli.house.house", lambda home: house.house)

    asked = CliRunner().invoke(app, ["doctor", "--act", "trial.create"])
    assert asked.exit_code == 1
    assert "Nobody holds data_manager or trial_lead" in asked.output
    house.person("lead", "trial_lead", trial="T1")
    assert "waits for nothing on record" in CliRunner().invoke(
        app, ["doctor", "--act", "trial.create", "--trial", "T1"]).output
