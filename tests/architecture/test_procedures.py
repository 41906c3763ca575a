"""Every act of a person that a procedure should govern is governed by one, and that one says how it is done."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from core.access.roles import is_untrained
from core.access.training import NEVER_GOVERNED, governs
from core.policy.table import TABLE
from sops import texts
from tests.req import req

TEMPLATES = texts.templates()
# Acts that no procedure governs, so that no lapse of training refuses them; each for the reason given.
UNGOVERNED: Mapping[str, str] = {
    "*.see": "looks, changes nothing",
    "ledger.read": "looks, changes nothing",
    "ledger.verify": "looks, changes nothing",
    "model.verify": "looks, changes nothing; what it finds is recorded by the house",
    "ledger.export": "takes a copy of what may be read, and is an entry itself",
    "installation.found": "comes before any document",
    "installation.open": "refused until every founder is trained on every document that binds them (F-107)",
    "ledger.resume": "while the record stands still no training can be signed: a lapse could never be lifted",
    "ledger.continue": "while the record stands still no training can be signed: a lapse could never be lifted",
    "gate.halt": "stops harm; training never stands in its way (TRIAL 2)",
    "gate.suspend": "stops harm; training never stands in its way (TRIAL 2)",
    "deviation.open": "whoever sees a deviation reports it; nothing stands in the way (SOP-12)",
    "incident.open": "stops harm: closes off images that name somebody, whoever sees it (SOP-12)",
    "key.revoke": "stops harm: a key in other hands",
    "key.revoke_passkey": "stops harm: a passkey in other hands",
    "training.complete": "how a lapse ends",
    "accountability.state": "comes before the first act of a person",
    "password.renew": "without it nothing can be signed, the training neither",
}
# How the procedure that governs an act names it: words of a command, or a page where there is one for it.
NAMED: Mapping[str, str] = {
    "access.review": "countersign role review", "ai.show_in_adjudication": "countersign read differences",
    "ai.show_in_qc": "countersign qc ai", "ai.show_to_coordinator": "the coordinator",
    "ai.show_to_reader": "countersign read ai", "allocation.import": "countersign allocation import",
    "amendment.approve_site": "countersign site amend", "amendment.assess": "countersign charter impact",
    "audit_trail.review": "countersign review-trail sign", "backup.make": "countersign backup",
    "bridging.judge": "countersign bridge judge", "bridging.plan": "countersign bridge plan",
    "bridging.sign": "countersign bridge sign", "capa.close": "countersign quality check",
    "capa.open": "countersign quality open", "change.assess": "countersign quality change",
    "charter.accept": "countersign charter accept", "charter.approve": "countersign charter approve",
    "charter.sign": "countersign charter sign", "clock.confirm": "countersign doctor --confirm-clock",
    "cohort.decide_eligibility": "countersign cohort decide", "cohort.select": "countersign cohort select",
    "configuration.test": "countersign trial test", "consent.record": "countersign subject consent",
    "correction.deliver": "countersign correct deliver",
    "cut.freeze": "countersign trial cut", "database.lock": "countersign trial lock",
    "database.release_soft_lock": "countersign trial release", "database.sign_lock": "countersign trial lock",
    "database.soft_lock": "countersign trial soft-lock", "database.unlock": "countersign trial unlock",
    "defect.seed": "countersign gate seed-defect", "delegation.end": "countersign role undelegate",
    "delegation.sign": "countersign role delegate", "deviation.close": "countersign validate close",
    "destruction.certify": "countersign incident certify", "destruction.order": "countersign incident order",
    "drift.baseline": "countersign drift baseline", "evidence.file": "countersign gate file",
    "gate.request": "countersign gate request", "gate.revoke": "countersign gate revoke",
    "gate.sign": "countersign gate sign", "gate.withdraw": "countersign gate withdraw",
    "identity.check": "countersign user add", "key.enrol": "countersign user enrol", "key.enrol_passkey": "/keys",
    "impact.decide": "countersign correct impact",
    "key.rotate": "countersign key rotate", "key.sign_rotation": "countersign key rotate-root",
    "ledger.rebuild": "countersign ledger rebuild", "model.lock": "countersign model lock",
    "model.register": "countersign model register", "model.reproduce": "countersign model reproduce",
    "model.retire": "countersign model retire", "person.close": "countersign user close",
    "person.register": "countersign user add", "privacy.decide": "countersign privacy decide",
    "privacy.erase": "countersign privacy erase", "privacy.lift": "countersign privacy lift",
    "protocol.approve": "countersign validate sign", "protocol.draft": "countersign validate draft",
    "protocol.review": "countersign validate sign", "quality.dispose": "countersign qc dispose",
    "randomisation.declare": "countersign allocation declare", "read.adjudicate": "countersign read adjudicate",
    "read.assign": "countersign read assign", "read.begin": "countersign read begin",
    "read.mark": "countersign read mark", "read.seal": "countersign read seal", "read.sign": "countersign read final",
    "read.withdraw": "countersign read withdraw-ai", "reader.qualify": "countersign read qualify",
    "recovery.begin": "countersign user recover", "release.sign": "countersign validate release",
    "report.approve": "countersign report sign", "report.draw": "countersign report csr-appendix",
    "report.issue": "countersign report issue", "report.prepare": "countersign report sign",
    "report.stamp": "countersign report stamp", "reread.order": "countersign read again",
    "role.grant": "countersign role grant", "role.revoke": "countersign role revoke",
    "run.request": "countersign model run", "scanner.qualify": "countersign site qualify",
    "seal.open_early": "countersign read open-early", "seals.recover": "countersign seals recover",
    "seals.renew": "countersign seals renew", "seed.place": "countersign read seeds",
    "sentinel.declare": "countersign drift sentinel", "series.release": "countersign qc release",
    "series.send": "countersign intake", "server.enrol": "countersign model-server enrol",
    "server.withdraw": "countersign model-server withdraw", "site.activate": "countersign site activate",
    "site.close": "countersign site close", "site.train": "countersign site train",
    "sop.approve": "countersign sop approve", "sop.draft": "countersign sop draft",
    "sop.retire": "countersign sop retire", "sop.return": "countersign sop return",
    "sop.review": "countersign sop review", "step.observe": "countersign validate observe",
    "subject.enrol": "countersign subject enrol", "subject.fail_screening": "countersign subject fail",
    "subject.progress": "countersign subject progress", "subject.screen": "countersign subject add",
    "study.reassign": "countersign correct series",
    "test_set.open": "countersign validate open", "test_set.seal": "countersign validate seal",
    "time_point.declare": "countersign subject missed", "trial.activate": "countersign trial activate",
    "trial.close": "countersign trial close",
    "trial.create": "countersign trial create", "unblinding.do": "countersign allocation unblind",
    "validation.review": "countersign validate review",
    "validation.review_periodically": "countersign review validation",
    "validation.run": "countersign validate model",
    "validation.sign_report": "countersign validate sign-report", "validation.suspect": "countersign validate suspect",
    "waiver.approve": "countersign gate approve-waiver", "waiver.request": "countersign gate waive",
}


def acts_of_people() -> frozenset[str]:
    """Every act that the policy permits a role in which training counts."""
    return frozenset(
        action for rule in TABLE if rule.effect == "permit" for action in rule.actions
        if any(not is_untrained(role) for role in rule.roles) and action != "*"
    )


def governing(action: str) -> list[str]:
    return [sop for sop, document in TEMPLATES.items() if governs(document.governs, action)]


@req("SOP-03")
@pytest.mark.parametrize("action", sorted(acts_of_people()))
def test_an_act_of_a_person_is_governed_by_a_procedure_or_stands_on_the_short_list(action: str) -> None:
    listed = action in UNGOVERNED or (action.endswith(".see") and "*.see" in UNGOVERNED)

    assert bool(governing(action)) != listed, "governed by " + (", ".join(governing(action)) or "nothing")


@req("SOP-01", "SOP-03")
@pytest.mark.parametrize("action", sorted(NAMED))
def test_the_procedure_that_governs_an_act_says_how_it_is_done(action: str) -> None:
    """That the command exists with its options is tested in tests/sops."""
    texts_of = {sop: " ".join(TEMPLATES[sop].body.split()) for sop in governing(action)}

    assert any(NAMED[action] in text for text in texts_of.values()), f"{', '.join(texts_of)}: {action}"


def test_the_lists_hold_nothing_that_the_policy_has_not() -> None:
    acts = acts_of_people()

    assert set(NAMED) == {action for action in acts if governing(action)}
    assert set(UNGOVERNED) - {"*.see"} <= acts
    assert set(UNGOVERNED) >= NEVER_GOVERNED
