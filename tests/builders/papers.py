"""A small trial told through its words alone, for tests of papers; and a bundle of the whole ledger."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from audit import store
from audit.entry import canonical
from audit.vocabulary.gates import GateOpened, GateRequested, JudgedCriterion
from audit.vocabulary.ledger import ExportMade, StreamEnd
from audit.vocabulary.trials import (
    CharterApproved,
    CharterSigned,
    KeyNumber,
    TimePointExpected,
    TimePointMissed,
    TimePointMoved,
    TrialCreated,
)
from core.policy.state import Actor, Decision
from core.work import Draft, View
from reports.book import Book, Line
from tests.house import HouseUnderTest

TRIAL = "T1"
SCHEDULE = (("baseline", "Baseline"), ("week-8", "Week 8"), ("week-16", "Week 16"))
ALLOWED = Decision(True, "T-00", "set up for a test", "trial_lead")
SERVICE = Decision(True, "T-00", "set up for a test", "service")
VIEW = View("A deed of a test", "test", (("What", "a test"),))


def signs(house: HouseUnderTest, user: str, event: Any, *, role: str = "trial_lead", meaning: str = "approval",
          reason: str | None = None) -> str:
    """A person signs one word about the trial; the entry's id."""
    under = Decision(True, "T-00", "set up for a test", role)
    house.clock.advance(minutes=1)
    proposal = house.desk.prepare(Actor(user), lambda session, occasion: Draft(
        event, under=under, meaning=meaning, view=VIEW, trial=TRIAL, reason=reason))
    house.commit(proposal)
    return proposal.occasion.id


def notes(house: HouseUnderTest, *events: Any, trial: str | None = TRIAL, on_behalf_of: str | None = None) -> None:
    """The house records words about the trial."""
    with house.desk.open(Actor.of_service("house"), on_behalf_of=on_behalf_of) as work:
        for event in events:
            work.record(event, under=SERVICE, trial=trial)


def a_told_trial(house: HouseUnderTest) -> None:
    """Charter, two subjects with three time points each (one missed, one only received), a gate opened for QC."""
    for user in ("lead", "qa"):
        house.person(user)
    signs(house, "lead", TrialCreated(title="A test of papers", demonstration=True), meaning="responsibility")
    charter = signs(house, "lead", CharterSigned(
        charter_version="1.0", digest="d" * 64, text="endpoints: []", evidence_class="demonstration",
        limits=(KeyNumber(name="qc.min_studies", value="2", shipped="50", laxer=True,
                          justification="Small numbers of a demonstration."),), uses=(), people=(), sites=()),
        meaning="authorship")
    signs(house, "qa", CharterApproved(charter_version="1.0", digest="d" * 64, signed=charter), role="qa_auditor")
    for subject in ("S-001", "S-002"):
        notes(house, *(
            TimePointExpected(subject=subject, time_point=name, label=label, occasion=name, target_on=f"2026-0{n}-15",
                              earliest_on=f"2026-0{n}-08", latest_on=f"2026-0{n}-22", charter_version="1.0")
            for n, (name, label) in enumerate(SCHEDULE, 1)
        ), on_behalf_of="lead")
    for became in ("received", "in_qc", "ready", "in_read", "read"):
        notes(house, TimePointMoved(subject="S-001", time_point="baseline", became=became))
    notes(house, TimePointMoved(subject="S-002", time_point="baseline", became="received", acquired_on="2026-01-14"))
    signs(house, "lead", TimePointMissed(subject="S-001", time_point="week-8"), reason="scan_not_done")
    criterion = JudgedCriterion(id="studies", state="met", found="3", limit="2", entries=(4, 5))
    request = signs(house, "lead", GateRequested(gate="G-1", use=1, use_name="qc", scope="all", lock="a" * 64,
                                                 model="lesion-net 1.0", criteria=(criterion,)))
    notes(house, GateOpened(gate="G-1", use=1, use_name="qc", scope="all", lock="a" * 64, criteria=(criterion,),
                            signed=(request,)))


def book_of(house: HouseUnderTest) -> Book:
    """The live record as a book."""
    entries = house.entries()
    with house.desk.reading() as session:
        origin = house.house.signer.origin
        assert store.head(session)[0] == len(entries)
    return Book(origin, (Line.of(entry) for entry in entries), (entry.leaf for entry in entries), len(entries))


def whole_bundle(house: HouseUnderTest) -> bytes:
    """A bundle of the whole ledger, after its export.made."""
    ends: dict[str, int] = {}
    for entry in house.entries():
        ends[entry.stream] = entry.stream_seq + 1
    streams = tuple(StreamEnd(stream=name, next=n) for name, n in sorted(ends.items()))
    notes(house, ExportMade(scope="whole", streams=streams, size=len(house.entries())), trial=None, on_behalf_of="lead")
    entries = house.entries()
    with house.desk.reading() as session:
        checkpoint = store.last_checkpoint(session)
    assert checkpoint is not None
    about = {"format": "countersign-bundle/1", "origin": house.house.signer.origin, "first": 0,
             "last": len(entries) - 1, "export": len(entries) - 1,
             "scope": {"kind": "whole", "streams": entries[-1].body["fields"]["streams"]}}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bundle.json", canonical(about) + b"\n")
        archive.writestr("entries.jsonl", b"".join(entry.raw + b"\n" for entry in entries))
        archive.writestr("checkpoint.txt", checkpoint.note)
        archive.writestr("leaves.bin", b"".join(entry.leaf for entry in entries))
    return out.getvalue()
