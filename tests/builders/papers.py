"""A small trial as papers see it: charter, reads by two readers, a missed time point, a gate, a deviation."""

from __future__ import annotations

from typing import Any

from audit.vocabulary.gates import GateOpened, GateRequested, JudgedCriterion
from audit.vocabulary.trials import CharterSigned, KeyNumber, TimePointMissed
from audit.vocabulary.validation import DeviationOpened
from core.policy.state import Actor, Decision
from reports import issuing, usecases
from reports.book import Book, Line
from reports.queries import IssuedReport
from tests.builders import reads
from tests.house import HouseUnderTest

TRIAL = reads.TRIAL
FIRST, SECOND = "101-001", "101-002"
SERVICE = Decision(True, "T-00", "set up for a test", "service")
LOCK = "a" * 64


def notes(house: HouseUnderTest, *events: Any, trial: str | None = TRIAL, on_behalf_of: str | None = None) -> None:
    """The house records words."""
    with house.desk.open(Actor.of_service("house"), on_behalf_of=on_behalf_of) as work:
        for event in events:
            work.record(event, under=SERVICE, trial=trial)


def a_small_trial(house: HouseUnderTest) -> None:
    """A live trial without subjects, its lead and its QA."""
    house.person("qa-0")
    reads.a_live_trial(house, subjects=())
    house.person("qa", "qa_auditor", trial=TRIAL)


def a_told_trial(house: HouseUnderTest) -> None:
    """Two subjects, three time points each: both read twice, discordant once and adjudicated, one missed, one only
    received; a gate opened for QC; a run; a limit below the shipped one; a deviation."""
    a_small_trial(house)
    for subject in (FIRST, SECOND):
        reads.a_subject(house, subject)
    reads.signed(house, "trial-lead", CharterSigned(
        charter_version="1.1", digest="d" * 64, text=reads.charter_text(), evidence_class="demonstration",
        limits=(KeyNumber(name="qc.min_studies", value="2", shipped="50", laxer=True,
                          justification="Small numbers of a demonstration."),), uses=(), people=(), sites=()))
    reads.assign(house, reads.BOTH, FIRST, SECOND)
    for subject in (FIRST, SECOND):
        reads.read_by_both(house, reads.baseline_answer("50.0"), reads.baseline_answer("52.0", "64.0"), "BL", subject)
    reads.read_by_both(house, reads.follow_up("30.0", "21.0"), reads.follow_up("33.4", "25.5"), "W08", FIRST)
    reads.read_by_both(house, reads.follow_up("45.0", "50.0"), reads.follow_up("28.0", "18.2"), "W16", FIRST)
    for compared in compared_with_trigger(house):
        reads.decide(house, compared)
    reads.signed(house, "trial-lead", TimePointMissed(subject=SECOND, time_point="W08"), reason="scan_not_done")
    criterion = JudgedCriterion(id="studies", state="met", found="3", limit="2", entries=(4, 5))
    request = reads.signed(house, "trial-lead", GateRequested(
        gate="G-1", use=1, use_name="qc", scope="all", lock=LOCK, model="lesion-unet", criteria=(criterion,)))
    notes(house, GateOpened(gate="G-1", use=1, use_name="qc", scope="all", lock=LOCK, criteria=(criterion,),
                            signed=(request.id,)))
    notes(house, DeviationOpened(deviation="DEV-1", klass_name="minor", source="quality", about="scanner",
                                 says="The phantom scan was one day late."))


def an_issued_paper(house: HouseUnderTest) -> IssuedReport:
    """The appendix drawn, signed by lead and QA, and issued by QA."""
    lead, qa = Actor("trial-lead"), Actor("qa")
    drawn = usecases.draw_appendix(house.desk, lead, TRIAL)
    for actor, part in ((lead, "prepared"), (qa, "approved")):
        house.clock.advance(minutes=1)
        house.commit(usecases.sign_report(house.desk, actor, usecases.SignReport(TRIAL, drawn.content_digest, part)))
    house.clock.advance(minutes=1)
    house.commit(issuing.issue_report(house.desk, qa, TRIAL, drawn.content_digest))
    return usecases.issued_paper(house.desk, qa, TRIAL, drawn.content_digest)


def compared_with_trigger(house: HouseUnderTest) -> list[str]:
    """Ids of comparisons that fired a trigger at a time point and are not decided yet."""
    return [entry.body["id"] for entry in house.entries() if entry.body["action"] == "read.compared"
            and entry.body["fields"]["fired"] and "time_point" in entry.body["fields"]]


def book_of(house: HouseUnderTest) -> Book:
    """The live record as a book."""
    entries = house.entries()
    lines = (Line.of(entry) for entry in entries)
    return Book(house.house.signer.origin, lines, (entry.leaf for entry in entries), len(entries))
