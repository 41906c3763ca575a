"""`doctor` says which precondition of which act is missing, and who can supply it."""

from __future__ import annotations

from pathlib import Path

from countersign.readiness import people_findings
from sops import texts, usecases
from tests.builders import people
from tests.builders.people import OWNER, QA, THIRD
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
