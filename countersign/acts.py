"""What each act of the policy table waits for: the words that are on record before it, and the word that it leaves.

One row for each action of the table. `countersign doctor --act` says from these rows what an act still waits for and
who can supply it; a test finds from them, and from the policy table, the shortest path from `init` to every act.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Act:
    """What an act needs and leaves.

    Attributes:
        word: that it leaves on record; None where it only looks, or where other acts carry its word.
        after: words that are on record before it.
        command: of the command line, without `countersign`.
        signers: roles that all sign it, in this order; empty where one person does it.
        being: relations that hold of whoever does it once all of `after` is on record.
        apart: relation -> the act whose doer has it; the policy refuses that person.
    """

    word: str | None = None
    after: tuple[str, ...] = ()
    command: str = ""
    signers: tuple[str, ...] = ()
    being: tuple[str, ...] = ()
    apart: Mapping[str, str] = field(default_factory=dict)


FOUNDED = ("installation.founded",)
HOUSE = ("installation.opened",)
TRIAL = ("trial.created",)
CHARTER = ("charter.approved",)
LIVE = ("trial.activated",)
BOTH = ("system_owner", "qa_auditor")
AUTHOR = {"author": "sop.draft"}

ACTS: Mapping[str, Act] = {
    # Founding and people.
    "accountability.state": Act("accountability.stated", (), "user state"),
    "installation.found": Act("installation.founded", ("accountability.stated",), "init", BOTH),
    "person.register": Act("person.registered", FOUNDED, "user add"),
    "identity.check": Act("identity.checked", ("person.registered",), "user check"),
    "key.enrol": Act("key.enrolled", ("identity.checked",), "user enrol"),
    "role.grant": Act("role.granted", FOUNDED, "role grant", being=("may_grant",)),
    "role.revoke": Act("role.revoked", ("role.granted",), "role revoke", being=("may_grant",)),
    "sop.draft": Act("sop.drafted", FOUNDED, "sop draft"),
    "sop.review": Act("sop.reviewed", ("sop.drafted",), "sop review", apart=AUTHOR),
    "sop.return": Act("sop.returned", ("sop.drafted",), "sop return", apart=AUTHOR),
    "sop.approve": Act("sop.approved", ("sop.reviewed",), "sop approve", apart=AUTHOR | {"reviewer": "sop.review"}),
    "sop.retire": Act("sop.retired", ("sop.effective",), "sop retire"),
    "training.complete": Act("training.completed", ("sop.effective",), "sop train"),
    "installation.open": Act("installation.opened", ("training.completed", "role.granted"), "init", BOTH),
    "password.renew": Act("password.renewed", ("accountability.stated",), "key password"),
    "recovery.begin": Act("recovery.begun", FOUNDED, "user recover"),
    "person.close": Act("person.closed", ("person.registered",), "user close"),
    "key.revoke": Act("key.revoked", ("key.enrolled",), "key revoke"),
    "key.rotate": Act("key.rotated", ("accountability.stated",), "key rotate", being=("self",)),
    "key.sign_rotation": Act("key.rotation_signed", FOUNDED, "key rotate-root", BOTH),
    "key.enrol_passkey": Act("key.passkey_enrolled", ("accountability.stated",), being=("self",)),
    "key.revoke_passkey": Act("key.passkey_revoked", ("key.passkey_enrolled",), "key revoke-passkey", being=("self",)),
    "delegation.sign": Act("delegation.signed", CHARTER, "role delegate", being=("may_delegate",)),
    "delegation.end": Act("delegation.ended", ("delegation.signed",), "role undelegate", being=("may_delegate",)),
    "access.review": Act("access.reviewed", HOUSE, "role review"),
    # The record and the house.
    "ledger.read": Act(None, ()),
    "ledger.export": Act("export.made", (), "ledger export"),
    "ledger.verify": Act(None, (), "ledger verify"),
    "ledger.rebuild": Act(None, (), "ledger rebuild"),
    "ledger.continue": Act("ledger.continued", (), "ledger continue", BOTH),
    "ledger.resume": Act(None, ("ledger.continued",), "ledger resume"),
    "clock.confirm": Act("clock.stepped", (), "doctor"),
    "backup.make": Act("backup.made", (), "backup"),
    "audit_trail.review": Act("audit_trail.reviewed", ("audit_trail.drawn",), "review-trail sign"),
    "seals.renew": Act("seal_key.enrolled", HOUSE, "seals renew", BOTH),
    "seals.recover": Act("seals.recovery_ordered", HOUSE, "seals recover", BOTH),
    # Validation.
    "protocol.draft": Act("protocol.drafted", FOUNDED, "validate draft"),
    "protocol.review": Act("protocol.reviewed", ("protocol.drafted",), "validate sign", apart={
        "author": "protocol.draft"}),
    "protocol.approve": Act("protocol.approved", ("protocol.reviewed",), "validate sign", apart={
        "author": "protocol.draft", "signed_already": "protocol.review"}),
    "validation.run": Act("validation.started", ("protocol.approved",), "validate installation"),
    "step.observe": Act("step.observed", ("validation.started",), "validate observe"),
    "validation.sign_report": Act("validation.report_signed", ("validation.concluded",), "validate sign-report",
                                  being=("tester",)),
    "validation.review": Act("validation.reviewed", ("validation.concluded",), "validate review", apart={
        "tester": "validation.run"}),
    "validation.suspect": Act("validation.suspect", ("validation.concluded",), "validate suspect"),
    "validation.see": Act(None, (), "validate list"),
    "validation.review_periodically": Act("validation.periodically_reviewed", HOUSE, "review validation"),
    "release.sign": Act("release.signed", ("validation.reviewed",), "validate release", apart={
        "tester": "validation.run", "author": "protocol.draft"}),
    "deviation.open": Act("deviation.opened", FOUNDED, "validate deviate"),
    "deviation.close": Act("deviation.closed", ("deviation.opened",), "validate close"),
    "capa.open": Act("capa.opened", ("deviation.opened",), "quality open"),
    "capa.close": Act("capa.closed", ("capa.opened",), "quality check"),
    "change.assess": Act("change.assessed", HOUSE, "quality change"),
    "test_set.seal": Act("test_set.sealed", HOUSE, "validate seal"),
    "test_set.open": Act("test_set.unsealed", ("test_set.sealed", "protocol.approved"), "validate open",
                         ("validation_lead", "qa_auditor")),
    # Models.
    "model.register": Act("model.registered", HOUSE, "model register"),
    "model.lock": Act("model.locked", ("model.registered",), "model lock"),
    "model.retire": Act("model.retired", ("model.locked",), "model retire"),
    "model.reproduce": Act("model.reproduced", ("model.locked",), "model reproduce"),
    "model.see": Act(None, HOUSE, "model list"),
    "model.verify": Act(None, ("model.locked",), "model verify"),
    "server.enrol": Act("server.enrolled", ("model.locked",), "model-server enrol"),
    "server.withdraw": Act("server.withdrawn", ("server.enrolled",), "model-server withdraw"),
    "run.request": Act("run.requested", ("model.locked", "quality.disposed"), "model run"),
    "sentinel.declare": Act("sentinel.declared", ("model.locked",), "drift sentinel"),
    "drift.baseline": Act("drift.baselined", ("gate.opened",), "drift baseline"),
    "bridging.plan": Act("bridging.planned", ("gate.opened",), "bridge plan"),
    "bridging.sign": Act("bridging.signed", ("bridging.planned",), "bridge sign", ("validation_lead", "qa_auditor")),
    "bridging.judge": Act("bridging.judged", ("bridging.signed",), "bridge judge"),
    # The trial's life.
    "trial.create": Act("trial.created", HOUSE, "trial create"),
    "trial.see": Act(None, TRIAL, "trial show"),
    "charter.sign": Act("charter.signed", TRIAL, "charter sign"),
    "charter.accept": Act("charter.accepted", ("charter.signed",), "charter accept"),
    "charter.approve": Act("charter.approved", ("charter.accepted",), "charter approve", apart={
        "author": "charter.sign"}),
    "amendment.assess": Act("amendment.assessed", LIVE, "charter impact"),
    "amendment.approve_site": Act("amendment.approved", LIVE, "site amend"),
    "site.train": Act("site.trained", CHARTER, "site train"),
    "scanner.qualify": Act("scanner.qualified", CHARTER, "site qualify"),
    "site.activate": Act("site.activated", ("site.trained", "scanner.qualified"), "site activate"),
    "site.close": Act("site.closed", ("site.activated",), "site close"),
    "configuration.test": Act("configuration.tested", CHARTER, "trial test"),
    "trial.activate": Act("trial.activated", ("configuration.tested", "site.activated"), "trial activate"),
    "subject.screen": Act("subject.screened", LIVE, "subject add"),
    "consent.record": Act("consent.recorded", ("subject.screened",), "subject consent"),
    "subject.enrol": Act("subject.enrolled", ("consent.recorded",), "subject enrol"),
    "subject.fail_screening": Act("subject.screen_failed", ("subject.screened",), "subject progress"),
    "subject.progress": Act("subject.progressed", ("subject.enrolled",), "subject progress"),
    "subject.use": Act(None, ("subject.screened",)),
    "time_point.declare": Act("time_point.missed", ("time_point.expected",), "subject missed"),
    "randomisation.declare": Act("randomisation.declared", TRIAL, "allocation declare"),
    "privacy.decide": Act("privacy.decided", ("subject.screened",), "privacy decide"),
    "privacy.erase": Act("privacy.erased", ("privacy.decided",), "privacy erase", apart={"decider": "privacy.decide"}),
    "privacy.lift": Act("restriction.lifted", ("privacy.decided",), "privacy lift"),
    "privacy.see": Act(None, TRIAL, "privacy list"),
    # Arrival.
    "series.send": Act("intake.recorded", ("subject.screened",), "intake"),
    "series.receive": Act("series.received", ("intake.recorded",)),
    "series.release": Act("series.released", ("series.held",), "qc release"),
    "quality.see": Act(None, TRIAL, "qc list"),
    "quality.dispose": Act("quality.disposed", ("quality.checked",), "qc dispose", apart={"own_upload": "series.send"}),
    "object.export": Act(None, ("series.received",)),
    # Corrections, incidents.
    "study.reassign": Act("study.reassigned", ("series.received",), "correct series", apart={
        "own_upload": "series.send", "reader_of_subject": "read.begin"}),
    "correction.deliver": Act("correction.delivered", ("study.reassigned",), "correct deliver"),
    "impact.decide": Act("impact.decided", ("study.reassigned", "read.sealed"), "correct impact", apart={
        "corrector": "study.reassign", "reader_of_subject": "read.seal"}),
    "incident.open": Act("incident.opened", ("series.received",), "incident open", apart={
        "reader_of_subject": "read.begin"}),
    "destruction.order": Act("destruction.ordered", ("incident.opened",), "incident order"),
    "destruction.certify": Act("destruction.certified", ("destruction.ordered",), "incident certify", apart={
        "orderer": "destruction.order"}),
    # Reads.
    "reader.qualify": Act("reader.qualified", CHARTER, "read qualify"),
    "read.assign": Act("read.assigned", ("reader.qualified", "subject.screened"), "read assign"),
    "seed.place": Act("seed.placed", ("quality.disposed",), "read seeds"),
    "read.begin": Act("read.begun", ("read.assigned", "time_point.moved"), "read begin"),
    "read.mark": Act("read.marked", ("read.begun",), "read mark"),
    # Both readers of a time point lock before anything of it is compared.
    "read.seal": Act("read.sealed", ("read.begun",), "read seal", ("reader", "reader")),
    "read.adjudicate": Act("read.adjudicated", ("read.compared",), "read adjudicate", apart={
        "reader_of_subject": "read.seal"}),
    "read.sign": Act("read.signed", ("read.compared",), "read final"),
    "reread.order": Act("reread.ordered", ("read.sealed",), "read again", apart={"reader_of_subject": "read.seal"}),
    "read.withdraw": Act("read.withdrawn", ("gate.opened", "read.begun"), "read withdraw-ai"),
    "seal.open_early": Act("opening.ordered", ("read.sealed",), "read open-early", ("imaging_lead", "qa_auditor"),
                           apart={"reader_of_subject": "read.seal"}),
    # Gates, cohort and the doors of AI.
    "evidence.file": Act("evidence.filed", TRIAL, "gate file"),
    "defect.seed": Act("defect.seeded", TRIAL, "gate seed-defect"),
    "gate.see": Act(None, TRIAL, "gate status"),
    "waiver.request": Act("waiver.requested", CHARTER, "gate waive"),
    "waiver.approve": Act("waiver.approved", ("waiver.requested",), "gate approve-waiver",
                          ("imaging_lead", "qa_auditor"), apart={"requester": "waiver.request"}),
    "gate.request": Act("gate.requested", ("trial.activated", "model.locked", "release.signed", "evidence.filed"),
                        "gate request"),
    "gate.sign": Act("gate.signed", ("gate.requested",), "gate sign", ("trial_lead", "qa_auditor")),
    "gate.withdraw": Act("gate.withdrawn", ("gate.requested",), "gate withdraw"),
    "gate.suspend": Act("gate.suspended", ("gate.opened",), "gate suspend"),
    "gate.halt": Act("gate.halted", ("gate.opened",), "gate halt"),
    "gate.revoke": Act("gate.revoked", ("gate.opened",), "gate revoke"),
    "cohort.select": Act("cohort.selected", ("cohort.candidate_flagged",), "cohort select"),
    "cohort.decide_eligibility": Act("cohort.eligibility_decided", ("cohort.selected",)),
    "ai.run": Act("run.opened", ("run.requested", "gate.opened")),
    "ai.seal_read": Act(None, ("read.assigned", "gate.opened")),
    "ai.show_in_qc": Act("quality.ai_shown", ("run.finished", "quality.checked"), "qc ai"),
    "ai.show_to_coordinator": Act(None, ("cohort.candidate_flagged",), "cohort list"),
    "ai.show_to_reader": Act("read.ai_shown", ("run.finished", "read.marked"), "read ai"),
    "ai.show_in_adjudication": Act(None, ("read.compared",), "read differences"),
    "ai.enter_result": Act(None, ("read.signed",), being=("human_signed",)),
    # Cut, lock, unblinding, papers.
    "cut.freeze": Act("cut.frozen", LIVE, "trial cut"),
    "database.soft_lock": Act("database.soft_locked", ("cut.frozen",), "trial soft-lock"),
    "database.release_soft_lock": Act("database.soft_lock_released", ("database.soft_locked",), "trial release"),
    "database.sign_lock": Act("database.lock_signed", ("database.soft_locked",), "trial lock",
                              ("data_manager", "statistician", "imaging_lead")),
    "database.lock": Act("database.locked", ("database.lock_signed",), "trial lock"),
    "database.unlock": Act("database.unlocked", ("database.locked",), "trial unlock", ("data_manager", "qa_auditor")),
    "trial.close": Act("trial.closed", ("database.locked",), "trial close"),
    "allocation.import": Act("allocation.imported", ("randomisation.declared", "cut.frozen"), "allocation import",
                             being=("cut_ready",)),
    "unblinding.do": Act("unblinding.done", ("allocation.imported", "database.locked"), "allocation unblind",
                         being=("imported",)),
    "by_arm.see": Act("allocation.shown", ("allocation.imported",), "allocation show", being=("imported",)),
    "report.draw": Act("report.drawn", TRIAL, "report csr-appendix"),
    "report.see": Act(None, ("report.drawn",), "report list"),
    "report.prepare": Act("report.signed", ("report.drawn",), "report sign"),
    "report.approve": Act("report.signed as approved", ("report.signed",), "report sign", apart={
        "preparer": "report.prepare", "signed_already": "report.prepare"}),
    "report.issue": Act("report.issued", ("report.signed as approved",), "report issue"),
    "report.stamp": Act("report.time_stamped", ("report.issued",), "report stamp", being=("issued",)),
}

#: Words that the house leaves by itself, and those that they follow.
FOLLOWING: Mapping[str, tuple[str, ...]] = {
    "sop.effective": ("sop.approved",),
    "audit_trail.drawn": HOUSE,
    "validation.concluded": ("validation.started",),
    "run.finished": ("run.opened",),
    "quality.checked": ("series.received",),
    "series.held": ("series.received",),
    "time_point.expected": ("subject.enrolled",),
    "time_point.moved": ("quality.disposed", "time_point.expected"),
    "read.opened": ("read.sealed",),
    "read.compared": ("read.opened",),
    "gate.opened": ("gate.signed",),
    "cohort.candidate_flagged": ("gate.opened",),
}
LEAVES: Mapping[str, str] = {act.word: action for action, act in ACTS.items() if act.word is not None}


def needed(wanted: Iterable[str], on_record: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """The words that have to come before these words can be said to be on record, these included, in an order in which
    they can come; each word has one act that leaves it, so that no shorter list exists.

    Args:
        wanted: words that have to be on record.
        on_record: words that are.

    Raises:
        KeyError: no act leaves a word, nor does the house by itself.
    """
    found: dict[str, None] = {}

    def visit(word: str) -> None:
        if word in found or word in on_record:
            return
        for before in ACTS[LEAVES[word]].after if word in LEAVES else FOLLOWING[word]:
            visit(before)
        found[word] = None

    for word in wanted:
        visit(word)
    return tuple(found)
