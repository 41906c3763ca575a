"""A live trial with readers, time points that are ready, and answers in few words."""

from __future__ import annotations

import atexit
import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from audit.vocabulary import gates as gate_words
from audit.vocabulary import models as model_words
from audit.vocabulary import trials as trial_words
from audit.vocabulary.registry import ObjectRef
from core.policy.state import Actor, Decision
from core.reads import usecases
from core.reads.deciding import Adjudicate, adjudicate
from core.reads.locking import LockAnswer, mark_read, seal_read
from core.trials.charter_check import read_charter
from core.work import Draft, Receipt, View
from countersign.house import open_house
from countersign.settings import sqlite_url
from tests.house import HouseUnderTest

TRIAL = "DEMO-301"
SUBJECT = "101-001"
DATES = {"BL": "2026-03-02", "W08": "2026-05-04", "W16": "2026-06-29"}
YES = Decision(True, "P-00", "set up for a test", "none")
CHARTER = Path(__file__).parents[2] / "countersign" / "demonstration" / "charter.yaml"
DIGEST = "0" * 64


def signed(house: HouseUnderTest, user: str, event: Any, **more: Any) -> Receipt:
    """A person's entry of another room, without asking that room's policy."""
    view = View("Set up for a test", "test", ())
    draft = Draft(event, under=YES, meaning="responsibility", view=view, trial=TRIAL, **more)
    return house.sign(Actor(user), lambda session, occasion: draft)


def recorded(house: HouseUnderTest, event: Any, service: str = "house") -> str:
    """A service's entry of another room."""
    with house.desk.open(Actor.of_service(service)) as work:
        entry = work.record(event, under=Decision(True, "P-03", "for a test", "service"), trial=TRIAL)
    return str(entry.body["id"])


def charter_text(**replaced: str) -> str:
    """The demonstration's charter with some of its text exchanged: `old="new"` pairs as keyword "a=b"."""
    text = CHARTER.read_text(encoding="utf-8")
    for old, new in replaced.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


@dataclass(frozen=True, slots=True)
class _Made:
    """A home in which a live trial was set up, to be copied: setting one up takes longer than most tests."""

    home: Path
    at_us: int
    secrets: dict[str, str]
    counters: dict[str, int]
    shares: tuple[str, str] | None


_MADE: dict[str, _Made] = {}


def a_live_trial(house: HouseUnderTest, text: str | None = None, *, subjects: tuple[str, ...] = (SUBJECT,)) -> None:
    """A trial made live with this charter, its readers qualified, and subjects whose three time points are ready.

    In an untouched SQLite house the first trial with a charter is kept, and later ones are copies of it.
    """
    text = text or charter_text()
    embedded = house.house.settings.database_url == sqlite_url(house.home)
    made = _MADE.get(text)
    fits = made is not None and abs(made.at_us - house.clock.at_us) < 3_600_000_000
    if embedded and made is not None and fits and set(house.secrets) == {"owner-0", "qa-0"}:
        house.house.close()
        shutil.rmtree(house.home)
        shutil.copytree(made.home, house.home)
        house.clock.at_us = max(house.clock.at_us, made.at_us)
        house.secrets, house.counters, house.shares = dict(made.secrets), dict(made.counters), made.shares
        house.house = open_house(house.home, clock=house.clock)
    else:
        _set_up(house, text)
        if embedded and made is None:
            house.house.close()
            kept = Path(mkdtemp(prefix="trial")) / "home"
            atexit.register(shutil.rmtree, kept.parent, ignore_errors=True)
            shutil.copytree(house.home, kept)
            house.house = open_house(house.home, clock=house.clock)
            _MADE[text] = _Made(kept, house.clock.at_us, dict(house.secrets), dict(house.counters), house.shares)
    for subject in subjects:
        a_subject(house, subject)


def _set_up(house: HouseUnderTest, text: str) -> None:
    charter = read_charter(text)
    house.person("trial-lead", "trial_lead", trial=TRIAL)
    house.person("imaging-lead", "imaging_lead", trial=TRIAL)
    house.person("technologist", "qc_technologist", trial=TRIAL)
    for reader in ("reader-1", "reader-2", "reader-3"):
        house.person(reader, "reader", trial=TRIAL)
    house.person("adjudicator", "adjudicator", trial=TRIAL)
    signed(house, "trial-lead", trial_words.TrialCreated(title="A trial", demonstration=True))
    receipt = signed(
        house, "trial-lead",
        trial_words.CharterSigned(
            charter_version=charter.version, digest=DIGEST, text=text, evidence_class="demonstration", limits=(),
            uses=(), people=(), sites=(),
        ),
    )  # fmt: skip
    signed(
        house, "qa-0",
        trial_words.CharterApproved(charter_version=charter.version, digest=DIGEST, signed=receipt.id),
    )  # fmt: skip
    signed(house, "trial-lead", trial_words.TrialActivated(charter_version=charter.version, digest=DIGEST))
    for user, part in (("reader-1", "reader"), ("reader-2", "reader"), ("adjudicator", "adjudicator")):
        qualify(house, user, part)


def qualify(house: HouseUnderTest, user: str, part: str = "reader", *, score: str = "0.90") -> Receipt:
    command = usecases.QualifyReader(TRIAL, user, part, "reference-set-1", 10, score, "0.80")
    return house.commit(usecases.qualify_reader(house.desk, Actor("imaging-lead"), command))


def a_subject(house: HouseUnderTest, subject: str, *, ready: tuple[str, ...] = ("BL", "W08", "W16")) -> None:
    """A subject whose named time points have images that passed quality control."""
    recorded(house, trial_words.SubjectScreened(subject=subject, site="101", on="2026-02-20"))
    for time_point, day in DATES.items():
        recorded(
            house,
            trial_words.TimePointExpected(
                subject=subject, time_point=time_point, label=time_point, occasion="scheduled", target_on=day,
                earliest_on=day, latest_on=day, charter_version="1.0",
            ),
        )  # fmt: skip
        if time_point in ready:
            make_ready(house, subject, time_point)


def make_ready(house: HouseUnderTest, subject: str, time_point: str) -> None:
    event = trial_words.TimePointMoved(
        subject=subject, time_point=time_point, became="ready", acquired_on=DATES[time_point]
    )
    recorded(house, event)


def assign(house: HouseUnderTest, readers: dict[str, str], *subjects: str, reason: str | None = None) -> Receipt:
    command = usecases.AssignReaders(TRIAL, subjects or (SUBJECT,), readers, reason)
    return house.commit(usecases.assign_readers(house.desk, Actor("imaging-lead"), command))


BOTH = {"reader_1": "reader-1", "reader_2": "reader-2"}


def target(lesion: str, mm: str, ml: str, **more: Any) -> dict[str, Any]:
    """A measured target; at baseline pass `location`."""
    sizes = {"response": [f"{mm} mm"], "volume": [f"{ml} ml"]}
    fields: dict[str, Any] = {"lesion": lesion, "state": "measured", "sizes": sizes}
    if "location" in more:
        fields |= {"kind": "extranodal", "modality": "CT", "slice_mm": "5.0 mm"}
    return fields | more


def baseline_answer(mm: str = "50.0", ml: str = "60.0") -> dict[str, Any]:
    return {"targets": [target("T01", mm, ml, location="liver")]}


def follow_up(mm: str, ml: str, **more: Any) -> dict[str, Any]:
    return {"targets": [target("T01", mm, ml, **more)]}


def begin(house: HouseUnderTest, reader: str, time_point: str = "BL", subject: str = SUBJECT) -> str:
    return usecases.begin_read(house.desk, Actor(reader), usecases.BeginRead(TRIAL, subject, time_point))


def seal(
    house: HouseUnderTest, reader: str, answer: dict[str, Any], time_point: str = "BL", subject: str = SUBJECT
) -> Receipt:
    to_lock = seal_read(house.desk, Actor(reader), LockAnswer(TRIAL, subject, time_point, answer))
    return house.commit(to_lock.proposal)


def mark(house: HouseUnderTest, reader: str, answer: dict[str, Any], time_point: str = "BL") -> Receipt:
    to_lock = mark_read(house.desk, Actor(reader), LockAnswer(TRIAL, SUBJECT, time_point, answer))
    return house.commit(to_lock.proposal)


def read_by_both(
    house: HouseUnderTest, first: dict[str, Any], second: dict[str, Any], time_point: str = "BL", subject: str = SUBJECT
) -> None:
    """Both readers begin and lock; the worker opens and compares."""
    for reader, answer in (("reader-1", first), ("reader-2", second)):
        begin(house, reader, time_point, subject)
        seal(house, reader, answer, time_point, subject)
    house.work()


def decide(house: HouseUnderTest, compared: str, letter: str = "A", *, by: str = "adjudicator") -> Receipt:
    command = Adjudicate(TRIAL, compared, letter, "measurement")
    return house.commit(adjudicate(house.desk, Actor(by), command))


def open_gate(house: HouseUnderTest, use: int, name: str, endpoint: str) -> None:
    """An open AI use, as the gates room records it."""
    recorded(
        house,
        gate_words.GateOpened(
            gate=f"G{use}-{endpoint}", use=use, use_name=name, scope="all", lock="lock-1", criteria=(), signed=(),
            endpoint=endpoint,
        ),
        "gates",
    )  # fmt: skip


def a_run(
    house: HouseUnderTest, run: str, time_point: str, value: str, *, standing: str = "gated", sealed: bool = False
) -> None:
    """A finished run that measured a lesion's volume for the endpoint `volume`."""
    recorded(
        house,
        model_words.RunFinished(
            run=run, lock="lock-1", model="lesion-unet", subject=SUBJECT, time_point=time_point, study="1.2",
            lesion="L1", use="secondary", standing=standing, sealed=sealed, input_sha256=DIGEST,
            environment_sha256=DIGEST, output_sha256=DIGEST, values_said=value, took="1.0 s",
            values=(model_words.RunValue(name="volume", value=value),), endpoint="volume", gate="G3-volume",
            segmentation=ObjectRef(sha256=DIGEST, bytes=1, media="application/dicom"), tracking_uid="1.2.3",
        ),
        "inference",
    )  # fmt: skip
