"""How runs are carried out, whatever the worker does: a stand-in worker answers in this process, without torch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from audit.vocabulary import gates as gate_words
from audit.vocabulary.registry import ObjectRef
from core.errors import RecordDamaged, Refused, UnusableInput
from core.phantoms import SCANNERS, PhantomVolume, lesion_at, make_volume
from core.policy.state import Actor
from core.reads import queries as reads
from core.reads.ai_reads import withdraw_ai_read
from core.reads.opening import open_reads
from core.reads.seal_queries import key_of_opened, seal_of
from core.reads.sealing import disclose
from core.reads.state import AI_SLOT
from countersign.cli.model_show import run_line
from models_registry import blinded, queries
from models_registry.answer import Answer
from models_registry.asking import RequestRun, request_run, request_runs
from models_registry.isolation import Expected, Limits, Session, WorkerDiffers, WorkerFailed, run_isolated
from models_registry.library import SHIPPED
from models_registry.results import unpacked
from models_registry.running import run_waiting
from models_registry.tasks import Given
from models_registry.usecases import LockModel, RegisterModel, RetireModel, lock_model, register_model, retire_model
from tests.builders import privacy
from tests.builders import reads as trial
from tests.builders.models import MadeImages, stand_in
from tests.builders.reads import SUBJECT, TRIAL
from tests.conftest import need
from tests.house import HouseUnderTest, a_house, checked
from tests.req import req

LESIONS = (lesion_at("liver", "T01", (46, 38, 42), suv=11.0), lesion_at("lung left", "T02", (30, 28, 26), suv=9.0))
ASKER = Actor("technologist")


def stored(house: HouseUnderTest, ref: ObjectRef | None) -> bytes:
    """An object of the subject, which must be there."""
    assert ref is not None
    return house.desk.objects.get(ref, subject=f"{TRIAL}/{SUBJECT}")


def raising(error: Exception) -> Callable[..., Session]:
    def runner(files: Mapping[str, bytes], studies: Sequence[Given], expected: Expected | None) -> Session:
        raise error

    return runner


@pytest.fixture(scope="module")
def volume() -> PhantomVolume:
    # Coarse pixels: a quarter of the voxels to write, read and hash in every test.
    return make_volume(replace(SCANNERS["C"], pixel_mm=3.5, matrix=104), LESIONS, 91)


@pytest.fixture(scope="module")
def images(volume: PhantomVolume, tmp_path_factory: pytest.TempPathFactory) -> MadeImages:
    made = MadeImages()
    made.add(tmp_path_factory.mktemp("studies"), volume, SUBJECT, "BL", trial=TRIAL)
    return made


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> HouseUnderTest:
    with a_house(tmp_path_factory.mktemp("models")) as house:
        trial.a_live_trial(house)
        house.person("custodian", "model_custodian")
        trial.assign(house, trial.BOTH)
        house.commit(register_model(house.desk, Actor("custodian"), RegisterModel(SHIPPED, "trainer")))
        house.commit(lock_model(house.desk, Actor("custodian"), LockModel("lesion-at-seed"), runner=stand_in))
    return house


@pytest.fixture
def told(first: HouseUnderTest, tmp_path: Path) -> object:
    with checked(first.copied(tmp_path)) as house:
        yield house


def lock_in(house: HouseUnderTest) -> str:
    with house.desk.reading() as session:
        return queries.locks_known(session)[-1].lock


def ask(house: HouseUnderTest, number: int = 0, **more: str | None) -> RequestRun:
    lesion = LESIONS[number]
    x, y, z = (f"{value:.1f}" for value in lesion.centre_mm)
    command = RequestRun(trial=TRIAL, subject=SUBJECT, time_point="BL", lesion=lesion.label,
                         tracking_uid=f"2.25.{number + 1}", seed_mm=(x, y, z), seed_by="reader-1", lock=lock_in(house))
    return replace(command, **more)  # type: ignore[arg-type]


def rows(house: HouseUnderTest) -> tuple[queries.RunRow, ...]:
    with house.desk.reading() as session:
        return queries.runs_of(session)


def gate(
    house: HouseUnderTest, use: int, name: str, endpoint: str, lock: str | None = None, scope: str = "all"
) -> None:
    trial.recorded(house, gate_words.GateOpened(
        gate=f"G{use}-{endpoint}", use=use, use_name=name, scope=scope, lock=lock or lock_in(house), criteria=(),
        signed=(), endpoint=endpoint), "gates")


@req("GAT-04", "REC-14")
def test_a_gate_that_closes_while_a_run_is_computed_leaves_no_value(told: HouseUnderTest, images: MadeImages) -> None:
    """The answer came; it counts nowhere, and the run is on record as ended."""
    gate(told, 3, "secondary", "LESION")
    request_run(told.desk, ASKER, ask(told, use="secondary", endpoint="LESION"), images)

    def closing(files: Mapping[str, bytes], studies: Sequence[Given], expected: Expected | None) -> Session:
        answered = stand_in(files, studies, expected)
        trial.recorded(told, gate_words.GateSuspended(
            gate="G3-LESION", use=3, cause="critical_deviation", says="A critical deviation is open."), "gates")
        return answered

    run_waiting(told.desk, images, runner=closing)

    (row,) = rows(told)
    assert (row.state, row.cause, row.values) == ("failed", "use-closed", {})


@req("REC-14", "VAL-11")
@pytest.mark.parametrize("spoilt", ["make_segmentation", "make_ai_report"])
def test_files_that_do_not_say_what_was_measured_are_never_stored(
    told: HouseUnderTest, images: MadeImages, monkeypatch: pytest.MonkeyPatch, spoilt: str
) -> None:
    """SEG and SR are read back from their bytes: a mask one slice off, or another number, fails the run."""
    from models_registry import results

    make = getattr(results, spoilt)

    def wrong(parts: Sequence[Any], *rest: Any) -> Any:
        (one,) = parts
        if spoilt == "make_segmentation":
            return make([replace(one, mask=np.roll(one.mask, 1, axis=0))], *rest)
        first, *others = one.measurements
        return make([replace(one, measurements=(replace(first, value=Decimal(1)), *others))], *rest)

    monkeypatch.setattr(results, spoilt, wrong)
    request_run(told.desk, ASKER, ask(told), images)
    run_waiting(told.desk, images, runner=stand_in)

    (row,) = rows(told)
    assert (row.state, row.segmentation, row.report) == ("failed", None, None)
    assert told.words()[-1] == "run.failed"
    assert "read back from its bytes" in str(told.entries()[-1].body["fields"])


@req("REC-14", "GAT-03")
def test_an_open_gate_makes_a_run_gated_and_its_values_visible(told: HouseUnderTest, images: MadeImages) -> None:
    gate(told, 3, "secondary", "volume")
    request_run(told.desk, ASKER, ask(told, use="secondary", endpoint="volume"), images)
    run_waiting(told.desk, images, runner=stand_in)

    (row,) = rows(told)
    assert (row.state, row.standing, row.gate, row.sealed) == ("finished", "gated", "G3-volume", False)
    assert set(row.values) == {"volume", "long_axis", "short_axis"}
    assert row.report is not None


@req("RDG-06", "RDG-02", "GAT-03")
def test_in_phase_4_the_values_are_under_the_seal_and_nowhere_else(told: HouseUnderTest, images: MadeImages) -> None:
    """Two lesions, one sealed AI read; record and tables hold no number of it, and the subject's key opens no mask."""
    gate(told, 4, "primary", "response")
    request_runs(told.desk, ASKER, [ask(told, n, use="primary", endpoint="response") for n in (0, 1)], images)
    run_waiting(told.desk, images, runner=stand_in)

    found = rows(told)
    assert [(row.state, row.sealed, dict(row.values), row.cause, row.found) for row in found] == [
        ("finished", True, {}, None, None)] * 2
    assert all((row.segmentation, row.report, row.confidence) == (None,) * 3 for row in found)
    for row in found:
        enclosed = stored(told, row.result)
        assert b"DICM" not in enclosed
        with pytest.raises(RecordDamaged):
            unpacked(enclosed)
    words = told.words()
    assert words.count("read.sealed") == 1
    assert words.index("read.sealed") < words.index("run.finished")
    with told.desk.reading() as session:
        (task,) = [one for one in reads.current_tasks(session, TRIAL, SUBJECT, "BL") if one.slot == AI_SLOT]
    assert task.locked
    assert not any(" mm" in str(entry.body["fields"].get("values", "")) for entry in told.entries())
    run_waiting(told.desk, images, runner=stand_in)
    assert told.words().count("read.sealed") == 1


@req("RDG-06", "RDG-05")
def test_the_sealed_ai_read_opens_with_the_readers_and_says_what_was_measured(
    told: HouseUnderTest, images: MadeImages, volume: PhantomVolume
) -> None:
    gate(told, 4, "primary", "response")
    request_run(told.desk, ASKER, ask(told, use="primary", endpoint="response"), images)
    run_waiting(told.desk, images, runner=stand_in)

    trial.read_by_both(told, trial.baseline_answer(), trial.baseline_answer())

    with told.desk.reading() as session:
        (ai,) = [one for one in reads.opened_reads(session, TRIAL, SUBJECT) if one.task.slot == AI_SLOT]
    (target,) = ai.answer.targets
    long_mm = volume.truth_of("T01").long_axis_mm
    assert float(target.sizes["response"][0].split(" ")[0]) == pytest.approx(long_mm, abs=5)
    assert target.sizes["volume"][0].endswith(" ml")
    (row,) = rows(told)
    mask = dcmread(BytesIO(stored(told, row.segmentation)))
    report = dcmread(BytesIO(stored(told, row.report)))
    assert (mask.Modality, report.Modality) == ("SEG", "SR")
    assert told.words().count("run.opened") == 1
    opened = next(entry for entry in told.entries() if entry.body["action"] == "run.opened")
    assert opened.body["fields"]["sealed"] == ai.task.sealed


@req("RDG-06", "RDG-02")
def test_a_sealed_result_that_was_exchanged_for_another_does_not_open(
    told: HouseUnderTest, images: MadeImages
) -> None:
    """The seal's key is bound to read and run: another run's masks are damage, and nothing is recorded as opened."""
    gate(told, 4, "primary", "response")
    request_runs(told.desk, ASKER, [ask(told, n, use="primary", endpoint="response") for n in (0, 1)], images)
    run_waiting(told.desk, images, runner=stand_in)
    with told.desk.reading() as session:
        key = "A" * 43 + "="
        (sealed, commit) = seal_of(session, TRIAL, SUBJECT, "BL", AI_SLOT) or ("", "")
        assert sealed
    one, other = (stored(told, row.result) for row in rows(told))
    trial.read_by_both(told, trial.baseline_answer(), trial.baseline_answer())
    with told.desk.reading() as session:
        true_key = key_of_opened(session, sealed)
    assert true_key is not None
    names = [row.run for row in rows(told)]
    assert unpacked(disclose(true_key, commit, names[0], one))
    wrongs = (
        (true_key, commit, names[0], other), (key, commit, names[0], one), (true_key, "f" * 64, names[0], one),
    )
    for wrong in wrongs:
        with pytest.raises(RecordDamaged):
            disclose(*wrong)


@req("RDG-06")
def test_after_the_reads_are_open_the_ai_read_comes_too_late(told: HouseUnderTest, images: MadeImages) -> None:
    gate(told, 4, "primary", "response")
    trial.read_by_both(told, trial.baseline_answer(), trial.baseline_answer())
    request_run(told.desk, ASKER, ask(told, use="primary", endpoint="response"), images)
    run_waiting(told.desk, images, runner=stand_in)

    (row,) = rows(told)
    assert (row.state, row.cause) == ("failed", "seal")
    assert not row.values


@req("RDG-06", "RDG-02")
def test_human_reads_wait_for_an_ai_read_that_has_begun(told: HouseUnderTest, images: MadeImages) -> None:
    """The AI read is sealed first, whoever is quicker (RDG-06); then all open at once."""
    gate(told, 4, "primary", "response")
    request_run(told.desk, ASKER, ask(told, use="primary", endpoint="response"), images)
    for reader in ("reader-1", "reader-2"):
        trial.begin(told, reader)
        trial.seal(told, reader, trial.baseline_answer())
    assert not open_reads(told.desk, TRIAL, SUBJECT, "BL")

    run_waiting(told.desk, images, runner=stand_in)
    assert open_reads(told.desk, TRIAL, SUBJECT, "BL")
    assert told.words().count("read.opened") == 3


@req("RDG-06", "GAT-02")
def test_an_ai_read_that_fails_is_withdrawn_and_holds_nobody(told: HouseUnderTest, images: MadeImages) -> None:
    """Human work never waits for a model that gives no answer (TRIAL 2)."""
    gate(told, 4, "primary", "response")
    request_run(told.desk, ASKER, ask(told, use="primary", endpoint="response"), images)
    for reader in ("reader-1", "reader-2"):
        trial.begin(told, reader)
        trial.seal(told, reader, trial.baseline_answer())

    run_waiting(told.desk, images, runner=raising(WorkerFailed("The worker ended with signal 9.")))
    (row,) = rows(told)
    assert (row.state, row.cause) == ("failed", "worker")
    assert told.words().count("read.withdrawn") == 1
    assert open_reads(told.desk, TRIAL, SUBJECT, "BL")
    assert told.words().count("read.opened") == 2


@req("RDG-06", "GAT-02")
def test_an_imaging_lead_gives_up_an_ai_read_that_does_not_come(told: HouseUnderTest, images: MadeImages) -> None:
    gate(told, 4, "primary", "response")
    request_run(told.desk, ASKER, ask(told, use="primary", endpoint="response"), images)
    with told.desk.reading() as session:
        (begun,) = [one for one in reads.current_tasks(session, TRIAL, SUBJECT, "BL") if one.slot == AI_SLOT]
    with pytest.raises(Refused):
        withdraw_ai_read(told.desk, begun.assignment, "no answer for a day", by=Actor("reader-1"))
    withdraw_ai_read(told.desk, begun.assignment, "no answer for a day", by=Actor("imaging-lead"))

    run_waiting(told.desk, images, runner=stand_in)
    assert told.words().count("read.withdrawn") == 1
    assert told.words().count("read.sealed") == 1, "a late answer may still be a read of its own while none is open"


@req("MLK-01", "GAT-03")
def test_the_gate_of_another_lock_is_refused(told: HouseUnderTest, images: MadeImages) -> None:
    gate(told, 3, "secondary", "volume", lock="LCK-other")

    with pytest.raises(Refused) as refusal:
        request_run(told.desk, ASKER, ask(told, use="secondary", endpoint="volume", standing="gated"), images)

    assert refusal.value.rule == "F-406"
    assert told.words()[-1] == "action.refused"


@req("GAT-01", "GAT-03")
@pytest.mark.parametrize(("scope", "rule"), [("sites:101,102", None), ("sites:102", "F-612"), ("arm:A", "F-612")])
def test_a_gate_serves_the_sites_of_its_scope_alone(
    scope: str, rule: str | None, told: HouseUnderTest, images: MadeImages
) -> None:
    """The subject belongs to site 101; an arm is not known here and opens nothing."""
    gate(told, 3, "secondary", "volume", scope=scope)
    command = ask(told, use="secondary", endpoint="volume", standing="gated")

    if rule is None:
        request_run(told.desk, ASKER, command, images)
        assert rows(told)[-1].standing == "gated"
    else:
        with pytest.raises(Refused) as refusal:
            request_run(told.desk, ASKER, command, images)
        assert refusal.value.rule == rule


def test_asking_for_many_is_all_or_none(told: HouseUnderTest, images: MadeImages) -> None:
    with pytest.raises(Refused):
        request_runs(told.desk, ASKER, [ask(told), ask(told, 1, use="qc", standing="gated")], images)

    assert rows(told) == ()


@req("ACC-02")
@pytest.mark.parametrize("user", ["custodian-2", "adjudicator", "qa-0"])
def test_who_has_no_such_role_asks_for_nothing(user: str, told: HouseUnderTest, images: MadeImages) -> None:
    if user == "custodian-2":
        told.person(user)
    with pytest.raises(Refused) as refusal:
        request_run(told.desk, Actor(user), ask(told), images)

    assert refusal.value.rule == "default-deny"


@pytest.mark.parametrize(("error", "state", "cause"), [
    (WorkerFailed("The worker process ended before its first job: exit 1"), "failed", "worker"),
    (WorkerDiffers("sentinel", "a" * 64, "b" * 64), "refused", "sentinel"),
    (WorkerDiffers("environment", "torch 2.13.0", "torch 2.14.0"), "refused", "environment"),
])
@req("MLK-01", "REC-14")
def test_whatever_the_worker_does_the_run_ends_as_an_entry(
    error: Exception, state: str, cause: str, told: HouseUnderTest, images: MadeImages
) -> None:
    request_runs(told.desk, ASKER, [ask(told), ask(told, 1)], images)

    run_waiting(told.desk, images, runner=raising(error))

    one, other = rows(told)
    assert (one.state, one.cause) == (state, cause)
    assert other.state == "failed"
    assert not one.values
    assert not other.values


def test_a_job_that_the_worker_did_not_reach_is_failed(told: HouseUnderTest, images: MadeImages) -> None:
    """Killed between two jobs: the first has its value, the second is failed, not lost."""
    def killed(files: Mapping[str, bytes], studies: Sequence[Given], expected: Expected | None) -> Session:
        done = stand_in(files, studies, expected)
        late = (Answer("failed", "time-limit", "stopped after 600 s", "an answer"), "600.00 s")
        return replace(done, answers=(done.answers[0], late))

    request_runs(told.desk, ASKER, [ask(told), ask(told, 1)], images)
    run_waiting(told.desk, images, runner=killed)

    assert [(row.state, row.cause) for row in rows(told)] == [("finished", None), ("failed", "time-limit")]


@req("RDG-11")
def test_a_resent_study_is_measured_whole_and_never_mixed_with_the_first(
    told: HouseUnderTest, images: MadeImages
) -> None:
    """Of the first delivery the PET was accepted and the CT rejected; the second is accepted whole."""
    both = MadeImages(dict(images.series), images.files)
    ct, pet = sorted(images.series[TRIAL, SUBJECT, "BL"], key=lambda one: one.modality)
    left = replace(pet, study="1.2.3", series="1.2.3.4")
    both.series[TRIAL, SUBJECT, "BL"] = [left, ct, pet]

    request_run(told.desk, ASKER, ask(told), both)
    assert [one["series"] for one in rows(told)[0].inputs] == [ct.series, pet.series]
    both.series[TRIAL, SUBJECT, "BL"] = [left, replace(ct, study="1.2.3", series="1.2.3.5"), ct, pet]
    with pytest.raises(UnusableInput, match="has 2 studies with CT and PET"):
        request_run(told.desk, ASKER, ask(told), both)
    both.series[TRIAL, SUBJECT, "BL"] = [left, ct]
    with pytest.raises(UnusableInput, match="no study with one CT and one PET"):
        request_run(told.desk, ASKER, ask(told), both)


@req("RDG-11")
def test_images_that_came_again_between_asking_and_running_are_not_measured(
    told: HouseUnderTest, images: MadeImages
) -> None:
    request_run(told.desk, ASKER, ask(told), images)
    other = MadeImages(dict(images.series), images.files)
    other.resent(TRIAL, SUBJECT, "BL")

    run_waiting(told.desk, other, runner=stand_in)

    (row,) = rows(told)
    assert (row.state, row.cause) == ("failed", "input")
    assert "changed since" in (row.found or "")


@req("VAL-11", "RDG-11")
def test_a_series_with_a_gap_ends_as_a_failed_run_not_as_a_value(
    told: HouseUnderTest, volume: PhantomVolume, tmp_path: Path
) -> None:
    """QC runs come before disposition: what cannot be measured is on record as such."""
    broken = MadeImages()
    broken.add(tmp_path / "studies", volume, SUBJECT, "BL", trial=TRIAL, defects=["missing_slice"], accepted=False)
    request_run(told.desk, ASKER, ask(told, use="qc", standing="shadow"), broken)

    run_waiting(told.desk, broken, runner=raising(AssertionError("the worker must not be asked")))

    (row,) = rows(told)
    assert (row.state, row.cause) == ("failed", "input")
    assert not row.values


@req("REC-14")
def test_one_unreadable_study_does_not_hold_the_others_back(
    told: HouseUnderTest, images: MadeImages, volume: PhantomVolume, tmp_path: Path
) -> None:
    """Bytes that make the reader stumble in an unforeseen way end their own run, named, and no other."""
    both = MadeImages(dict(images.series), dict(images.files))
    both.add(tmp_path / "studies", volume, SUBJECT, "W08", trial=TRIAL)
    broken = both.series[TRIAL, SUBJECT, "W08"][0].series
    both.files[broken] = [one[:-4000] for one in both.files[broken]]
    request_runs(told.desk, ASKER, [ask(told, time_point="W08"), ask(told)], both)

    run_waiting(told.desk, both, runner=stand_in)

    first, second = rows(told)
    assert (first.state, first.cause) == ("failed", "input")
    assert second.state == "finished"


@req("PRV-03")
def test_a_run_that_waits_when_its_subject_is_restricted_never_sees_the_images(
    told: HouseUnderTest, images: MadeImages
) -> None:
    """Asking is refused by the row of restrictions; what was asked before ends as failed, unread."""
    privacy.people(told)
    request_run(told.desk, ASKER, ask(told), images)
    privacy.decide(told, "restrict")

    with pytest.raises(Refused) as refusal:
        request_run(told.desk, ASKER, ask(told, 1), images)
    assert refusal.value.rule == "F-901"
    assert run_waiting(told.desk, images, runner=raising(AssertionError("the worker was started"))) == 1
    [row] = rows(told)
    assert (row.state, row.cause) == ("failed", "subject-data")



@req("MLK-08")
def test_a_lock_recalled_while_runs_wait_runs_none_of_them(told: HouseUnderTest, images: MadeImages) -> None:
    request_run(told.desk, ASKER, ask(told), images)
    lock = lock_in(told)
    house_reason = RetireModel(lock, "recalled", "defect_found")
    told.commit(retire_model(told.desk, Actor("custodian"), house_reason))

    run_waiting(told.desk, images, runner=stand_in)

    (row,) = rows(told)
    assert row.state == "refused"
    with told.desk.reading() as session:
        assert queries.refusals_known(session, lock=lock)[-1].cause == "lock_revoked"


@pytest.mark.parametrize(("how", "reason"), [("deleted", "superseded"), ("retired", "because I say so")])
def test_a_retirement_is_coded(how: str, reason: str, told: HouseUnderTest) -> None:
    with pytest.raises(UnusableInput):
        retire_model(told.desk, Actor("custodian"), RetireModel(lock_in(told), how, reason))


def test_the_same_lock_is_not_signed_twice(told: HouseUnderTest) -> None:
    with pytest.raises(Refused) as refusal:
        lock_model(told.desk, Actor("custodian"), LockModel("lesion-at-seed"), runner=stand_in)

    assert refusal.value.rule == "F-402"


@req("MLK-02")
def test_a_model_that_answers_differently_twice_gets_no_lock(told: HouseUnderTest) -> None:
    def fickle(files: Mapping[str, bytes], studies: Sequence[Given], expected: Expected | None) -> Session:
        return replace(stand_in(files, studies, expected), sentinel_output_sha256="0" * 64)

    with pytest.raises(UnusableInput, match="not deterministic here"):
        lock_model(told.desk, Actor("custodian"), LockModel("lesion-at-seed"), runner=fickle)


@req("MLK-01", "REC-14")
@pytest.mark.parametrize(("limits", "cause"), [
    (Limits(wall_s=1), "time-limit"), (Limits(memory_mib=120), "memory-limit"), (Limits(cpu_s=1), "cpu-limit"),
])
def test_a_run_that_meets_a_limit_is_an_entry_with_its_cause_and_never_a_value(
    told: HouseUnderTest, images: MadeImages, limits: Limits, cause: str
) -> None:
    """In the real worker process; the house goes on."""
    need("torch")
    need("namespace")
    request_run(told.desk, ASKER, ask(told), images)

    run_waiting(told.desk, images, runner=partial(run_isolated, limits=limits))

    (row,) = rows(told)
    assert (row.state, row.cause, dict(row.values), row.segmentation) == ("failed", cause, {}, None)
    assert told.words()[-1] == "run.failed"


@req("MLK-07")
def test_without_a_network_wall_a_run_fails_and_says_so(
    told: HouseUnderTest, images: MadeImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models_registry.isolation.network_wall", lambda: ())
    request_run(told.desk, ASKER, ask(told), images)

    run_waiting(told.desk, images)

    (row,) = rows(told)
    assert (row.state, row.cause, dict(row.values)) == ("failed", "network-wall", {})
    # Whoever asked is told why, and not for a sealed run.
    assert row.found
    assert run_line(row).endswith(f"failed  network-wall: {row.found}")
    assert row.found not in run_line(replace(row, sealed=True))
    assert row.found not in run_line(replace(row, state="undecided"))


def test_an_unknown_lock_is_named(told: HouseUnderTest, images: MadeImages) -> None:
    with pytest.raises(Exception, match="There is no lock LCK-none"):
        request_run(told.desk, ASKER, replace(ask(told), lock="LCK-none"), images)


@req("MLK-06")
def test_what_the_tracking_store_says_counts_for_nothing(tmp_path: Path, first: HouseUnderTest) -> None:
    """Another alias, tag or file in MLflow changes no byte that runs: the house never reads from it."""
    pytest.importorskip("mlflow")
    from countersign.adapters.mlflow import MlflowTracking
    from models_registry.digest import read_tree, tree_digest

    tracking = MlflowTracking(tmp_path / "mlflow")
    files = read_tree(SHIPPED)
    hint = tracking.register("lesion-at-seed", "1.0.0", files).hint
    assert tree_digest(tracking.files_of(hint)) == tree_digest(files)
    (weights,) = (tmp_path / "mlflow").rglob("weights.safetensors")
    weights.write_bytes(b"other weights")

    from models_registry.loading import ModelDiffers, verified
    from models_registry.usecases import verify_copy

    with first.desk.reading() as session:
        lock = queries.locks_known(session)[-1]
        version = queries.version_of(session, "lesion-at-seed")
    assert verified(first.desk, lock, version).tree_sha256 == lock.fields.tree_sha256
    with pytest.raises(ModelDiffers, match=r"weights\.safetensors"):
        verify_copy(first.desk, lock, version, tracking.files_of(hint))


def test_undecided_at_baseline_is_not_evaluable_never_zero(images: MadeImages) -> None:
    from core.trials.charter_check import read_charter

    charter = read_charter(trial.charter_text())
    undecided = Answer("undecided", "nothing-at-seed", "nothing", "a lesion")

    class Row:
        lesion, tracking_uid = "T01", "2.25.1"

    stated = blinded.answer_of(charter, "BL", [(Row(), None, undecided)])  # type: ignore[list-item]

    assert stated == {"not_evaluable": {"response": "ai_undecided", "volume": "ai_undecided"}, "targets": []}
    later = blinded.answer_of(charter, "W08", [(Row(), None, undecided)])  # type: ignore[list-item]
    assert later["targets"] == [{"lesion": "T01", "tracking_uid": "2.25.1", "state": "not_assessable"}]




@req("MLK-01")
def test_at_the_command_line_a_lock_is_listed_shown_and_verified(told: HouseUnderTest, tmp_path: Path) -> None:
    """`model verify` exits 0 while every byte is as locked, and 2 with the file named where one is not."""
    from typer.testing import CliRunner

    from countersign.cli import app

    lock, home = lock_in(told), ["--home", str(told.home)]
    terminal = CliRunner()

    listed = terminal.invoke(app, ["model", "list", *home])
    shown = terminal.invoke(app, ["model", "show", lock, *home, "--json"])
    sound = terminal.invoke(app, ["model", "verify", lock, "--no-run", *home])
    shutil.copytree(SHIPPED, tmp_path / "copy")
    with (tmp_path / "copy" / "docs" / "intended-use.md").open("a") as text:
        text.write(" ")
    broken = terminal.invoke(app, ["model", "verify", lock, "--no-run", "--folder", str(tmp_path / "copy"), *home])

    assert (listed.exit_code, shown.exit_code, sound.exit_code) == (0, 0, 0)
    assert lock in listed.output
    assert json.loads(shown.output)["tree_sha256"] in listed.output or lock in shown.output
    assert "are as locked" in sound.output
    assert broken.exit_code == 2
    assert "docs/intended-use.md" in broken.output
    assert told.words()[-1] == "model.refused"


@pytest.mark.parametrize("arguments", [["model", "show", "LCK-none"], ["model", "verify", "LCK-none"]])
def test_at_the_command_line_an_unknown_lock_is_wrong_use(arguments: list[str], told: HouseUnderTest) -> None:
    from typer.testing import CliRunner

    from countersign.cli import app

    said = CliRunner().invoke(app, [*arguments, "--home", str(told.home)])

    assert said.exit_code == 1
    assert "There is no lock LCK-none" in said.output
