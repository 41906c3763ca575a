"""Evidence is filed and waivers are approved in the role that answers, on the training that governs the act."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audit.vocabulary import sops
from core.errors import Refused
from core.gates import evidence
from core.policy.state import Actor
from tests.builders import gates as homes
from tests.builders import trials as build
from tests.builders.gates import copy_of, last
from tests.builders.reads import DIGEST, TRIAL, recorded, signed
from tests.house import HouseUnderTest
from tests.req import req
from tests.unit.gates.test_evidence_commands import ASKED, PRIVACY, STATISTICIAN

LEAD, QA, IMAGING = build.LEAD, build.QA, build.IMAGING


def before_mutants() -> None:
    homes.ready()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[HouseUnderTest]:
    with copy_of(homes.ready(), tmp_path) as made:
        yield made


@req("GAT-02", "SIG-04")
def test_who_holds_several_roles_files_in_the_one_that_answers(house: HouseUnderTest) -> None:
    for role in ("data_manager", "trial_lead", "validation_lead"):
        house.grant("statistician", role, trial=TRIAL)
    document = evidence.FileEvidence(TRIAL, "sap_names_ai", "The plan", PRIVACY.document, "2026-01-01")

    house.commit(evidence.file_evidence(house.desk, STATISTICIAN, document))

    assert last(house, "evidence.filed")["role"] == "statistician"


@req("OPS-04", "SIG-04")
def test_who_holds_several_roles_approves_in_the_one_that_is_named(house: HouseUnderTest) -> None:
    house.commit(evidence.request_waiver(house.desk, LEAD, ASKED))
    house.person("officer", "privacy_officer", "imaging_lead", "trial_lead", trial=TRIAL)
    house.grant("qa-auditor", "imaging_lead", trial=TRIAL)
    house.grant("qa-auditor", "validation_lead", trial=TRIAL)

    for user, role in (("officer", "privacy_officer"), ("qa-auditor", "qa_auditor")):
        house.commit(evidence.approve_waiver(house.desk, Actor(user), f"{TRIAL}-W001", role))
        body = last(house, "waiver.approved")
        assert (body["role"], body["fields"]["signed_as"]) == (role, role)


@req("SOP-03", "GAT-02")
def test_each_act_names_the_training_that_governs_it_and_is_refused_without(house: HouseUnderTest) -> None:
    signed(house, "qa-auditor", sops.SopDrafted(
        sop="SOP-94", version=1, title="Evidence", owner="qa_auditor",
        governs=("evidence.file", "defect.seed", "waiver.request"), applies_to=(), review_months=24, window_days=0,
        text=build.OBJECT))
    signed(house, "qa-auditor", sops.SopApproved(
        sop="SOP-94", version=1, text_sha256=DIGEST, effective_on="2026-01-01"))
    recorded(house, sops.SopEffective(sop="SOP-94", version=1, review_by="2028-01-01"))
    acts: dict[Actor, Any] = {
        QA: lambda: evidence.file_evidence(house.desk, QA, PRIVACY),
        IMAGING: lambda: evidence.seed_defect(house.desk, IMAGING, TRIAL, "2.25.1"),
        LEAD: lambda: evidence.request_waiver(house.desk, LEAD, ASKED),
    }

    for actor, act in acts.items():
        with pytest.raises(Refused) as refusal:
            act()
        assert (refusal.value.rule, "SOP-94" in refusal.value.fact) == ("F-02", True)
        done = signed(house, actor.user, sops.TrainingCompleted(
            sop="SOP-94", version=1, text_sha256=DIGEST, answered=0))
        assert act().bodies[0]["manifest"]["trainings"] == [done.id]
