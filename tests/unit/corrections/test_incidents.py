"""Identifiers that were left in images: closed off, destroyed by a signed order, certified, and sent clean anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from audit import verifier
from audit.vocabulary.imaging import SeriesRefused
from audit.vocabulary.ledger import BackupMade
from core.arrival import queries as arrival
from core.dicom.reading import read_object
from core.dicom.result import as_bytes
from core.errors import NotFound, OutsideUnavailable, Refused, UnusableInput
from core.incidents import queries, rules
from core.incidents.effects import destroy_again
from core.incidents.usecases import (
    CertifyDestruction,
    OpenIncident,
    Searched,
    certify_destruction,
    open_incident,
    order_destruction,
    search_objects,
)
from core.ledger_check import check_store
from core.ledger_exports import Wish, export
from core.ledger_queries import SessionReader
from core.objects import DICOM, owner
from core.policy.state import Actor, Decision
from core.trials.queries import time_point_of
from countersign import searching
from countersign.cli import app
from countersign.searching import search_home
from tests.builders import arrival as built
from tests.builders.reads import DIGEST, SUBJECT, TRIAL, recorded
from tests.house import ORIGIN, HouseUnderTest, checked
from tests.req import req
from tests.second_verifier import complaints

# What the leak check cannot know as a name: nothing in the headers as sent says that it is one.
NAME = "Quillfeather Ambrosia"
TECHNOLOGIST, OFFICER, QA = Actor("technologist"), Actor("privacy-officer"), Actor("qa-auditor")
EXPORT = Decision(True, "P-01", "set up for a test", "qa_auditor")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HouseUnderTest]:
    folder = tmp_path_factory.mktemp("incidents")
    house = HouseUnderTest(folder)
    built.a_trial_that_receives(house)
    house.person("privacy-officer", "privacy_officer", trial=TRIAL)
    house.person("qa-auditor", "qa_auditor", trial=TRIAL)
    built.write_series(folder / "in")
    built.take_in(house, folder / "in")
    yield house
    house.house.close()


@pytest.fixture
def house(made: HouseUnderTest, tmp_path: Path) -> Iterator[HouseUnderTest]:
    with checked(made.copied(tmp_path / "house")) as copy:
        yield copy


def the_row(house: HouseUnderTest) -> arrival.SeriesRow:
    with house.desk.reading() as session:
        (row,) = arrival.series_of_trial(session, TRIAL, reassigned=True)
    return row


def leaked(house: HouseUnderTest, folder: Path) -> arrival.SeriesRow:
    """The stored series and, under the same UIDs, files with a name in their headers, kept in quarantine."""
    for path in built.write_series(folder, numbers=(1, 2)):
        dataset = read_object(path)
        dataset.PatientComments = NAME
        path.write_bytes(as_bytes(dataset))
    built.take_in(house, folder)
    return the_row(house)


def opened(house: HouseUnderTest, row: arrival.SeriesRow, identifier: str | None = NAME) -> str:
    command = OpenIncident(TRIAL, (row.series,), "name", ("(0010,4000)",), identifier)
    house.commit(open_incident(house.desk, TECHNOLOGIST, command))
    with house.desk.reading() as session:
        return queries.incidents_of(session, TRIAL)[-1].incident


def searched(house: HouseUnderTest) -> Searched:
    return search_home(house.house, TRIAL, (SUBJECT,), NAME)


def certify(house: HouseUnderTest, incident: str, by: Actor = QA, **more: object) -> None:
    wish = {"answers": {}, "identifier": NAME, "searched": searched(house)} | more
    house.commit(certify_destruction(
        house.desk, by, CertifyDestruction(TRIAL, incident, **wish)))  # type: ignore[arg-type]


def state(house: HouseUnderTest, incident: str) -> str:
    with house.desk.reading() as session:
        return queries.the_incident(session, TRIAL, incident).state


@req("PRV-01", "PRV-02", "PRV-03")
def test_from_the_leak_to_the_certificate_nothing_of_the_identifier_is_left(
    house: HouseUnderTest, tmp_path: Path
) -> None:
    """Byte search before and after, through objects, database, journal and all files; the record never held it."""
    row = leaked(house, tmp_path / "leak")
    incident = opened(house, row)
    before = searched(house)
    assert len(before.objects) == 1, "the quarantined files, encrypted; nothing else of the home holds it"
    assert before.elsewhere == ()
    assert the_row(house).closed_by == incident
    with house.desk.reading() as session:
        point = time_point_of(session, TRIAL, SUBJECT, "BL")
        assert point is not None
        assert point.state == "expected"
        with pytest.raises(Refused):
            built.dispose(house, str(row.case_id))

    house.commit(order_destruction(house.desk, OFFICER, TRIAL, incident, before))
    assert state(house, incident) == "ordered"
    house.work()
    assert state(house, incident) == "destroyed"
    with house.desk.reading() as session, pytest.raises(NotFound):
        arrival.load_series(session, house.desk.objects, TRIAL, row.series)
    certify(house, incident)

    assert state(house, incident) == "certified"
    after = searched(house)
    assert (after.objects, after.elsewhere) == ((), ())
    everything = b"".join(path.read_bytes() for path in house.home.rglob("*") if path.is_file())
    assert not rules.holds_any(everything, rules.forms_of(NAME))
    event = next(one.body["fields"] for one in house.entries() if one.body["action"] == "destruction.certified")
    assert (event["objects"], event["found"]) == (9, 0)
    assert event["mark"] == next(
        one.body["fields"]["mark"] for one in house.entries() if one.body["action"] == "incident.opened")


@req("REC-06", "PRV-02", "REC-08")
def test_stray_identifiers_go_by_a_justified_act_of_two_persons_and_the_rest_still_verifies(
    house: HouseUnderTest, tmp_path: Path
) -> None:
    """ICH E6(R3) 4.2.2(b): who, why and what on record; the record, and every other series, stay provable."""
    row = leaked(house, tmp_path / "leak")
    built.write_series(tmp_path / "other", time_point="W08", day="20260504")
    built.take_in(house, tmp_path / "other")
    incident = opened(house, row)
    house.commit(order_destruction(house.desk, OFFICER, TRIAL, incident, searched(house)))
    before = {one.name: one.read_bytes() for one in (house.home / "objects").rglob("*") if one.is_file()}
    house.work()
    certify(house, incident)

    deeds = {one.body["action"]: one.body for one in house.entries()}
    ordered, certified = deeds["destruction.ordered"], deeds["destruction.certified"]
    assert (ordered["actor"], certified["actor"]) == ("privacy-officer", "qa-auditor")
    assert deeds["incident.opened"]["reason"] == "name", "why it was done"
    assert {one["fields"]["incident"] for one in (ordered, certified)} == {incident}
    assert ordered["fields"]["objects"] == certified["fields"]["objects"] == 9
    with house.desk.reading() as session:
        others = [one for one in arrival.series_of_trial(session, TRIAL) if one.series != row.series]
        assert [len(arrival.load_series(session, house.desk.objects, TRIAL, one.series)) for one in others] == [8]
        check = check_store(SessionReader(session), ORIGIN)
    assert check.ok, check.in_words()
    after = {one.name: one.read_bytes() for one in (house.home / "objects").rglob("*") if one.is_file()}
    assert len(before.keys() - after.keys()) == 9
    assert all(after[name] == before[name] for name in before.keys() & after.keys())
    written = export(house.desk, Wish(), tmp_path / "all.zip", under=EXPORT, on_behalf_of="qa-auditor")
    report = verifier.verify_bundle(written.path)
    assert report.ok, report.in_words()
    assert complaints(written.path) == []


@req("REC-06", "ACC-02")
def test_who_ordered_the_destruction_does_not_certify_it_whatever_their_roles(
    house: HouseUnderTest, tmp_path: Path
) -> None:
    both = house.person("both", "privacy_officer", "qa_auditor", trial=TRIAL)
    incident = opened(house, leaked(house, tmp_path / "leak"))
    house.commit(order_destruction(house.desk, both, TRIAL, incident, searched(house)))
    house.work()

    with pytest.raises(Refused) as refusal:
        certify(house, incident, by=both)

    assert (refusal.value.rule, house.words()[-1]) == ("F-333", "action.refused")
    assert state(house, incident) == "destroyed"


@req("PRV-01", "RDG-11")
def test_the_site_sends_clean_images_anew_under_their_own_uids_once_the_old_ones_are_gone(
    house: HouseUnderTest, tmp_path: Path
) -> None:
    row = the_row(house)
    incident = opened(house, row)
    paths = built.write_series(tmp_path / "clean")
    for path in paths:
        dataset = read_object(path)
        dataset.ConvolutionKernel = "B40f"
        path.write_bytes(as_bytes(dataset))
    assert {one.outcome for one in built.take_in(house, tmp_path / "clean").outcomes} == {"conflict"}
    house.commit(order_destruction(house.desk, OFFICER, TRIAL, incident))
    house.work()

    taken = built.take_in(house, tmp_path / "clean")

    assert {one.outcome for one in taken.outcomes} == {"accepted"}
    now = the_row(house)
    assert (now.edition, now.closed_by, now.reassigned, now.instances) == (2, None, None, 8)
    built.dispose(house, taken.cases[0])
    assert the_row(house).accepted
    certify(house, incident)


@req("PRV-02", "ACC-02")
def test_a_certificate_is_refused_while_anything_is_unanswered_found_or_not_searched(
    house: HouseUnderTest, tmp_path: Path
) -> None:
    house.grant("privacy-officer", "qa_auditor", trial=TRIAL)
    row = leaked(house, tmp_path / "leak")
    recorded(house, BackupMade(size=1, root=DIGEST, files=1, encrypted=True, manifest=DIGEST), "house")
    incident = opened(house, row)

    def refused(rule: str, by: Actor = QA, **more: object) -> None:
        with pytest.raises(Refused) as refusal:
            certify(house, incident, by, **more)
        assert refusal.value.rule == rule

    with house.desk.reading() as session:
        (copy,) = queries.copies_to_answer(session, queries.the_incident(session, TRIAL, incident))
    assert copy.kind == "backup"
    answers = {copy.copy_entry: "destroyed"}
    answered: dict[str, Any] = {"answers": answers}
    refused("F-335", **answered)
    clean = Searched(1, (), ())
    refused("F-201", **answered, searched=clean)
    house.commit(order_destruction(house.desk, OFFICER, TRIAL, incident, searched(house)))
    house.work()
    refused("F-334")
    refused("F-336", **answered, searched=None)
    refused("F-333", OFFICER, **answered)
    with pytest.raises(UnusableInput, match="another identifier"):
        certify(house, incident, **answered, identifier="Somebody Else")
    with pytest.raises(UnusableInput, match="no answer"):
        certify(house, incident, answers={copy.copy_entry: "perhaps"})
    with pytest.raises(NotFound, match="no copy"):
        certify(house, incident, answers=answers | {"3": "destroyed"})
    certify(house, incident, **answered)
    with pytest.raises(Refused):
        house.commit(order_destruction(house.desk, OFFICER, TRIAL, incident))


def moving(monkeypatch: pytest.MonkeyPatch, file: Path, times: int) -> list[Path]:
    """A file that is moved to another name before it is read, so many times; where it went."""
    read, went = searching._pieces, [file]

    def pieces(path: Path) -> Iterator[bytes]:
        if path == went[-1] and len(went) <= times:
            went.append(path.rename(path.with_name(f"a-{len(went):03}.tmp")))
        yield from read(path)

    monkeypatch.setattr(searching, "_pieces", pieces)
    return went


@req("PRV-02", "PRV-03")
def test_what_lies_under_another_name_by_the_time_it_is_read_is_found_by_a_new_search(
    house: HouseUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job writes beside and renames while the home is searched: the name it has now was passed over before."""
    file = house.home / "exports" / "z-job.tmp"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(f"report on {NAME}".encode())
    went = moving(monkeypatch, file, 2)

    found = searched(house)

    assert len(went) == 3
    assert found.elsewhere == (str(went[-1].relative_to(house.home)),)


@req("PRV-02")
def test_a_home_that_does_not_come_to_rest_is_no_home_without_the_identifier(
    house: HouseUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No search was whole, so none says that nothing was found; a certificate cannot rest on it."""
    file = house.home / "z-job.tmp"
    file.write_bytes(b"nothing in it")
    moving(monkeypatch, file, 1000)

    with pytest.raises(OutsideUnavailable, match="do not come to rest") as unrest:
        searched(house)

    assert "Stop what works on this home" in unrest.value.next_step
    assert NAME not in unrest.value.in_words()


@req("PRV-02")
def test_who_opens_an_incident_never_writes_the_identifier_down(house: HouseUnderTest) -> None:
    row = the_row(house)
    for places, comment in (((f"PatientComments {NAME}",), None), (("(0010,4000)",), f"it says {NAME.lower()}")):
        with pytest.raises(UnusableInput, match="quotes"):
            open_incident(house.desk, TECHNOLOGIST, OpenIncident(TRIAL, (row.series,), "name", places, NAME, comment))
    with pytest.raises(UnusableInput, match="no kind"):
        open_incident(house.desk, TECHNOLOGIST, OpenIncident(TRIAL, (row.series,), NAME, ("x",)))
    with pytest.raises(UnusableInput, match="fewer"):
        open_incident(house.desk, TECHNOLOGIST, OpenIncident(TRIAL, (row.series,), "name", ("x",), "Al"))
    with pytest.raises(Refused):
        open_incident(house.desk, Actor("trial-lead"), OpenIncident(TRIAL, (row.series,), "name", ("x",)))
    opened(house, row)
    with pytest.raises(Refused) as refusal:
        opened(house, row)
    assert refusal.value.rule == "F-330"


@req("PRV-01")
def test_a_finding_opens_its_incident_once_and_ends_in_a_certificate_too(house: HouseUnderTest) -> None:
    """The leak check kept nothing: there is nothing to destroy, and somebody signs that."""
    event = SeriesRefused(intake="i", modality="CT", instances=3, subject=SUBJECT, time_point="BL",
                          places=("person name in (0040,A123)",))
    for _ in range(2):
        with house.desk.open(Actor.of_service("intake")) as work:
            from tests.builders.reads import YES

            work.record(event, under=YES, trial=TRIAL, reason="identifiers-left")
        house.work()

    with house.desk.reading() as session:
        (row,) = queries.incidents_of(session, TRIAL)
    assert (row.source, row.state, row.places) == ("finding", "nothing_kept", ("person name in (0040,A123)",))
    certify(house, row.incident, identifier=None, searched=None)
    assert state(house, row.incident) == "certified"


@req("PRV-03", "OPS-01")
def test_what_a_restored_copy_brings_back_is_destroyed_again(house: HouseUnderTest, tmp_path: Path) -> None:
    line = arrival.manifest_of(house.desk.objects, the_row(house)).instances[0]
    path = house.home / "objects" / line.object.sha256[:2] / line.object.sha256[2:]
    kept = path.read_bytes()
    incident = opened(house, the_row(house))
    house.commit(order_destruction(house.desk, OFFICER, TRIAL, incident))
    house.work()
    certify(house, incident)
    assert destroy_again(house.desk) == 0

    path.write_bytes(kept)

    assert destroy_again(house.desk) == 1
    assert not path.exists()
    assert house.entries()[-1].body["fields"]["again"] is True
    assert state(house, incident) == "certified"


@req("PRV-01", "REC-11")
def test_a_copy_that_a_correction_wrote_is_closed_off_with_it(house: HouseUnderTest) -> None:
    from core.corrections.usecases import CorrectStudy, correct_study

    house.person("data-manager", "data_manager", trial=TRIAL)
    row = the_row(house)
    house.commit(correct_study(house.desk, Actor("data-manager"), CorrectStudy(
        TRIAL, (row.series,), "wrong_time_point", to_time_point="W08")))
    house.work()

    opened(house, row)

    with house.desk.reading() as session:
        rows = arrival.series_of_trial(session, TRIAL, reassigned=True)
    assert len(rows) == 2
    assert all(one.closed_by for one in rows)


@req("PRV-02", "PRV-03")
def test_typed_an_incident_goes_to_its_certificate_and_the_terminal_never_shows_the_identifier(
    house: HouseUnderTest, tmp_path: Path
) -> None:
    row = leaked(house, tmp_path / "leak")

    def typed(*words: str, by: str, meaning: str = "approval") -> str:
        proof = house.proof(by)
        result = CliRunner().invoke(
            app, ["incident", *words, "--trial", TRIAL, "--as", by, "--home", str(house.home)],
            env={"COUNTERSIGN_MEANING": meaning, "COUNTERSIGN_PASSWORD": proof.password,
                 "COUNTERSIGN_CODE": proof.code, "COUNTERSIGN_IDENTIFIER": NAME})
        assert result.exit_code == 0, result.output
        assert NAME.lower() not in result.output.lower()
        return result.output

    assert "No incident" in typed("list", by="technologist")
    typed("open", row.series, "--kind", "name", "--place", "(0010,4000)", by="technologist", meaning="responsibility")
    assert "1 hold it" in typed("search", by="technologist")
    incident = f"{TRIAL}-INC-0001"
    assert incident in typed("list", by="technologist")
    typed("order", incident, by="privacy-officer")
    typed("certify", incident, by="qa-auditor")
    assert "certified" in typed("list", by="technologist")


@req("PRV-02")
@pytest.mark.parametrize("written", ["Ambrosia^Quillfeather", "QUILLFEATHER AMBROSIA", "ambrosia quillfeather"])
def test_an_identifier_is_found_in_every_form_it_may_stand_in(house: HouseUnderTest, written: str) -> None:
    for encoding in ("utf-8", "utf-16-le", "latin-1"):
        reference = house.desk.objects.put(
            b"x" * 7 + written.encode(encoding) + b"y", DICOM, subject=owner(TRIAL, SUBJECT))
        found = search_objects(house.desk.objects, TRIAL, (SUBJECT,), NAME)
        assert reference.sha256 in {one.sha256 for one in found.objects}, encoding
