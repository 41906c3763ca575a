"""A trial with a privacy officer, and a subject whose data lie everywhere that this house puts any."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from core.arrival import queries as arrival
from core.arrival.usecases import DisposeCase, dispose_case
from core.policy.state import Actor
from core.privacy.rules import Duty
from core.privacy.usecases import DecideRequest, decide_request, erase_subject
from core.work import Receipt
from tests.builders.arrival import SUBJECT, TECHNOLOGIST, take_in, write_series
from tests.builders.reads import TRIAL
from tests.house import HouseUnderTest

OFFICER, QA = Actor("privacy-officer"), Actor("qa-2")
COMMENT = "Quetzalli Xochipilli moved because of her tremor"
REQUEST = "I, Quetzalli Xochipilli-Wunderlich, want to be forgotten"
NAME, NUMBER = "Wunderlich^Quetzalli", "HOSP-7734190265"


def people(house: HouseUnderTest) -> None:
    house.person(OFFICER.user, "privacy_officer", trial=TRIAL)
    house.person(QA.user, "qa_auditor", trial=TRIAL)


@dataclass(frozen=True, slots=True)
class Planted:
    """What must not be found any more."""

    pixels: bytes
    case: str
    disposed: Receipt


def plant(house: HouseUnderTest, folder: Path) -> Planted:
    """Images whose headers name a person and whose pixels are noise, received, disposed with a comment."""
    noise = random.Random(20260302).randbytes(64 * 64 * 2)
    paths = write_series(folder, PatientName=NAME, PatientID=NUMBER)
    for path in paths:
        _fill(path, noise)
    account = take_in(house, folder)
    with house.desk.reading() as session:
        stored = arrival.load_series(session, house.desk.objects, TRIAL, account.series[0])
    pixels = bytes(stored[0].PixelData)[256:320]
    command = DisposeCase(TRIAL, account.cases[0], "queried", "image_quality", COMMENT)
    receipt = house.commit(dispose_case(house.desk, TECHNOLOGIST, command))
    return Planted(pixels, account.cases[0], receipt)


def _fill(path: Path, noise: bytes) -> None:
    from pydicom import dcmread

    dataset = dcmread(path)
    size = len(dataset.PixelData)
    dataset.PixelData = (noise * (size // len(noise) + 1))[:size]
    dataset.save_as(path)


def decide(house: HouseUnderTest, decision: str, duty: Duty = Duty("none"), **more: str | None) -> Receipt:  # noqa: B008, RUF100
    """What the privacy officer signs; `text`, `request`, `basis`, `replaces`, `subject` may be given."""
    command = DecideRequest(
        TRIAL, more.get("subject") or SUBJECT, more.get("request") or "erasure", more.get("basis") or "gdpr_17_1_b",
        decision, duty, more.get("replaces"), more.get("text"),
    )
    return house.commit(decide_request(house.desk, OFFICER, command))


def erase(house: HouseUnderTest, subject: str = SUBJECT, *, work: bool = True) -> Receipt:
    """Decided by the officer, signed by QA, carried out."""
    decide(house, "erase", text=REQUEST, subject=subject)
    receipt = house.commit(erase_subject(house.desk, QA, TRIAL, subject))
    if work:
        house.work()
    return receipt
