"""Runs: a person asks, the worker answers, the record keeps the outcome whatever it is.

Asking records run.requested with everything the run rests on. Running takes all waiting runs of a lock at once, so that
the worker process, its environment check and its sentinel serve many; a run that has an outcome already is passed over,
so that it may be tried again after a crash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.dataset import FileDataset
from sqlalchemy import Connection

from audit.vocabulary.models import InputSeries, RunFailed, RunFinished, RunRequested, RunUndecided, RunValue
from core.dicom.volume import Volume, load_volume
from core.errors import CountersignError, Refused, UnusableInput
from core.policy.decide import permit
from core.policy.state import Decision
from core.work import Actor, Desk, Receipt
from models_registry import queries
from models_registry.contract import Study
from models_registry.digest import environment_digest
from models_registry.isolation import WorkerFailed, run_isolated
from models_registry.loading import INFERENCE, ModelDiffers, answers
from models_registry.pipeline import Answer, input_digest
from models_registry.ports import GivenSeries, Images, Runner
from models_registry.preprocessing import Image
from models_registry.queries import RunRow
from models_registry.results import Written, write_result
from models_registry.rules import Standing, standing_of

BATCH = 16
Point = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class RequestRun:
    """Ask for a measurement of one lesion.

    seed_mm: x, y, z in millimetres (LPS) as decimal text, placed by `seed_by`; None where nobody placed one.
    use: qc, cohort, secondary, primary or none; standing: gated, shadow or exploratory, or None to take what is open.
    """

    trial: str
    subject: str
    time_point: str
    lesion: str
    tracking_uid: str
    seed_mm: Point | None
    seed_by: str
    lock: str
    use: str = "none"
    endpoint: str | None = None
    standing: str | None = None


@dataclass(frozen=True, slots=True)
class _Given:
    """The images of a run, read and measured out."""

    series: tuple[GivenSeries, ...]
    study: Study
    ct_files: tuple[FileDataset, ...]


class _Reader:
    """Reads series as volumes, each once for all lesions of its time point."""

    def __init__(self, desk: Desk, images: Images) -> None:
        self._desk, self._images = desk, images
        self._read: dict[tuple[str, str], tuple[Volume, tuple[FileDataset, ...]]] = {}

    def given(self, session: Connection, trial: str, series: Sequence[GivenSeries], seed: Point | None) -> _Given:
        """CT and PET as the model takes them. Raises where geometry or scale is unusable, or a digest differs."""
        (ct, files), (pet, _) = (self._volume(session, trial, one.series) for one in series)
        frame = ct.geometry.frame_of_reference
        point = None if seed is None else (float(seed[0]), float(seed[1]), float(seed[2]))
        study = Study(
            ct=_image(ct), pet=_image(pet), seed_mm=point, ct_unit=ct.unit, pet_unit=pet.unit,
            axial=_axial(ct) and _axial(pet), one_frame=bool(frame) and frame == pet.geometry.frame_of_reference,
        )
        return _Given(tuple(series), study, files)

    def _volume(self, session: Connection, trial: str, series: str) -> tuple[Volume, tuple[FileDataset, ...]]:
        if (trial, series) not in self._read:
            files = tuple(self._images.load(session, self._desk.objects, trial, series))
            self._read[trial, series] = load_volume(files), files
        return self._read[trial, series]


def request_run(desk: Desk, person: Actor, command: RequestRun, images: Images) -> Receipt:
    """One run asked for; see `request_runs`."""
    return request_runs(desk, person, [command], images)[0]


def request_runs(desk: Desk, person: Actor, commands: Sequence[RequestRun], images: Images) -> list[Receipt]:
    """Record that a person asks for runs, all or none; the worker follows from the entries.

    Raises:
        Refused: the person may not ask, the lock does not run, a series is not accepted, or the gate is closed.
        UnusableInput: a time point has not exactly one CT and one PET, or their geometry or scale is unusable.
        NotFound: no such lock.
    """
    reader, prepared = _Reader(desk, images), []
    for command in commands:
        with desk.reading() as session:
            queries.lock_of(session, command.lock)
            series = _two_series(images.series_of(session, command.trial, command.subject, command.time_point), command)
            # Asked before the images are opened, so that who may not ask opens none.
            _permitted(session, person, command, series, desk)
            given = reader.given(session, command.trial, series, command.seed_mm)
        prepared.append((command, series, input_digest(given.study)))
    with desk.open(INFERENCE, on_behalf_of=person.user, asked="run.request") as work:
        for command, series, digest in prepared:
            standing, decision = _decided(work.session, person, command, series)
            model = queries.lock_of(work.session, command.lock).fields.model
            work.record(RunRequested(
                run=desk.occasion().id, lock=command.lock, model=model, subject=command.subject,
                time_point=command.time_point, study=series[0].study, lesion=command.lesion,
                tracking_uid=command.tracking_uid, seed=_seed_text(command.seed_mm), seed_by=command.seed_by,
                inputs=tuple(InputSeries(modality=one.modality, series=one.series, instances=one.instances,
                                         manifest_sha256=one.manifest_sha256) for one in series),
                use=command.use, standing=standing.name, sealed=standing.sealed, input_sha256=digest,
                endpoint=command.endpoint, gate=standing.gate,
            ), under=decision, trial=command.trial)
    return work.receipts


def _permitted(session: Connection, person: Actor, command: RequestRun, series: Sequence[GivenSeries],
               desk: Desk) -> None:
    try:
        _decided(session, person, command, series)
    except Refused as refusal:
        desk.record_refusal(person.user, "run.request", refusal)
        raise


def _decided(session: Connection, person: Actor, command: RequestRun, series: Sequence[GivenSeries]
             ) -> tuple[Standing, Decision]:
    """The person may ask, and the service may run: both are asked of the table."""
    lock = queries.lock_of(session, command.lock)
    standing = standing_of(command.standing, command.use, command.endpoint, command.lock,
                           queries.gates_open(session, command.trial))
    relations = _relations(lock.valid, standing, command, series)
    permit(person, "run.request", queries.run_facts(
        session, person, "run.request", command.trial, relations=relations, endpoint=command.endpoint))
    decision = permit(INFERENCE, "ai.run", queries.run_facts(
        session, INFERENCE, "ai.run", command.trial, relations=relations, endpoint=command.endpoint))
    return standing, decision


def _relations(valid: bool, standing: Standing, command: RequestRun, series: Sequence[GivenSeries]) -> frozenset[str]:
    relations = set(standing.relations)
    if command.use != "none":
        relations.add(f"for_{command.use}")
    if not valid:
        relations.add("lock_not_valid")
    # Use 1 serves quality control itself, so it comes before the disposition.
    if command.use != "qc" and not all(one.accepted for one in series):
        relations.add("not_accepted")
    return frozenset(relations)


def _two_series(found: Sequence[GivenSeries], command: RequestRun) -> tuple[GivenSeries, ...]:
    chosen = []
    for modality in ("CT", "PT"):
        fitting = [one for one in found if one.modality == modality]
        if len(fitting) != 1:
            raise UnusableInput(f"{command.subject}, {command.time_point} has {len(fitting)} {modality} series; the "
                                "model needs exactly one.", next_step="Dispose the surplus or missing series first.")
        chosen.append(fitting[0])
    return tuple(chosen)


def _seed_text(seed: Point | None) -> str:
    return "none" if seed is None else " ".join(seed) + " mm"


def _seed_of(text: str) -> Point | None:
    if text == "none":
        return None
    x, y, z, _ = text.split(" ")
    return x, y, z


def _image(volume: Volume) -> Image:
    geometry = volume.geometry
    return Image(volume.values, geometry.origin, geometry.spacing_mm)


def _axial(volume: Volume) -> bool:
    """Rows to the left, columns to the back, slices to the head, within a thousandth."""
    geometry = volume.geometry
    found = (*geometry.row, *geometry.column, *geometry.normal)
    return all(abs(a - b) <= 1e-3 for a, b in zip(found, (1, 0, 0, 0, 1, 0, 0, 0, 1), strict=True))


def run_waiting(desk: Desk, images: Images, lock: str | None = None, *, runner: Runner = run_isolated) -> int:
    """Run everything that waits (of one lock, where given). Returns how many runs ended, in whatever way."""
    with desk.reading() as session:
        waiting = queries.runs_of(session, state="requested", lock=lock)
    done = 0
    for name in sorted({one.lock for one in waiting}):
        mine = [one for one in waiting if one.lock == name]
        for first in range(0, len(mine), BATCH):
            done += _run_batch(desk, images, name, mine[first : first + BATCH], runner)
    return done


def _run_batch(desk: Desk, images: Images, lock: str, rows: Sequence[RunRow], runner: Runner) -> int:
    with desk.reading() as session:
        locked = queries.lock_of(session, lock)
        version = queries.version_of(session, locked.fields.model, locked.fields.model_version)
    given: list[tuple[RunRow, _Given]] = []
    reader = _Reader(desk, images)
    for row in rows:
        try:
            with desk.reading() as session:
                one = _again(session, images, reader, row)
        except CountersignError as error:
            _fail(desk, row, "input", error.fact)
            continue
        given.append((row, one))
    if not given:
        return len(rows)
    try:
        session_here, _ = answers(desk, locked, version, [one.study for _, one in given], runner=runner,
                                       run=given[0][0].run)
    except ModelDiffers as refusal:
        # The first run's refusal is recorded by the loader; the others were not run for the same cause.
        for row, _ in given[1:]:
            _fail(desk, row, "model-refused", refusal.fact)
        return len(rows)
    except WorkerFailed as failure:
        for row, _ in given:
            _fail(desk, row, "worker", failure.fact)
        return len(rows)
    environment = environment_digest(session_here.environment)
    for (row, one), (answer, took) in zip(given, session_here.answers, strict=True):
        _record(desk, locked, row, one, answer, took, environment)
    return len(rows)


def _again(session: Connection, images: Images, reader: _Reader, row: RunRow) -> _Given:
    """The input of a waiting run as it is now; it must be what was asked for."""
    series = [one for one in images.series_of(session, row.trial, row.subject, row.time_point)
              if one.series in {given["series"] for given in row.inputs}]
    wanted = [(given["series"], given["manifest_sha256"]) for given in row.inputs]
    chosen = sorted(series, key=lambda one: [name for name, _ in wanted].index(one.series))
    if [(one.series, one.manifest_sha256) for one in chosen] != wanted:
        raise UnusableInput(f"The series of {row.subject}, {row.time_point} changed since the run was asked for.")
    given = reader.given(session, row.trial, chosen, _seed_of(row.seed))
    if input_digest(given.study) != row.input_sha256:
        raise UnusableInput(f"The input of {row.subject}, {row.time_point} is not what the run was asked for.")
    return given


def _record(desk: Desk, lock: queries.LockRow, row: RunRow, given: _Given, answer: Answer, took: str,
            environment: str) -> None:
    """One outcome as an entry; objects are written before, nothing slow is done under the lock."""
    if answer.status == "failed":
        _fail(desk, row, answer.cause, f"{answer.found}; needed: {answer.limit}", took)
        return
    if answer.status == "undecided":
        _end(desk, row, RunUndecided(
            run=row.run, lock=row.lock, model=row.model, subject=row.subject, time_point=row.time_point,
            study=row.study, lesion=row.lesion, use=row.use, standing=row.standing, sealed=row.sealed,
            input_sha256=row.input_sha256, environment_sha256=environment, cause=answer.cause, found=answer.found,
            limit=answer.limit, took=took, endpoint=row.endpoint, gate=row.gate))
        return
    try:
        written = write_result(desk, lock, row, given.ct_files, answer)
    except CountersignError as error:
        _fail(desk, row, "output", error.fact, took)
        return
    _end(desk, row, _finished(row, answer, took, environment, written))


def _finished(row: RunRow, answer: Answer, took: str, environment: str, written: Written) -> RunFinished:
    values = () if row.sealed else tuple(
        RunValue(name=one.name, value=one.value, uncertainty=one.uncertainty, failed=one.failed)
        for one in answer.values)
    said = "sealed" if row.sealed else ", ".join(
        f"{one.name.replace('_', ' ')} {one.value or 'not measured'}" for one in answer.values)
    return RunFinished(
        run=row.run, lock=row.lock, model=row.model, subject=row.subject, time_point=row.time_point, study=row.study,
        lesion=row.lesion, use=row.use, standing=row.standing, sealed=row.sealed, input_sha256=row.input_sha256,
        environment_sha256=environment, output_sha256=answer.output_sha256, values_said=said, took=took, values=values,
        confidence=None if row.sealed else answer.confidence,
        domain_distance=None if row.sealed else answer.domain_distance, segmentation=written.segmentation,
        report=written.report, result=written.result, tracking_uid=row.tracking_uid, endpoint=row.endpoint,
        gate=row.gate,
    )


def _fail(desk: Desk, row: RunRow, cause: str, detail: str, took: str = "0.00 s") -> None:
    _end(desk, row, RunFailed(
        run=row.run, lock=row.lock, model=row.model, subject=row.subject, time_point=row.time_point, study=row.study,
        lesion=row.lesion, use=row.use, standing=row.standing, sealed=row.sealed, input_sha256=row.input_sha256,
        cause=cause, detail=_plain(detail), took=took, endpoint=row.endpoint, gate=row.gate))


def _plain(text: str) -> str:
    """A worker's last words, fit for the record: printable, short."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:400]


def _end(desk: Desk, row: RunRow, event: RunFinished | RunUndecided | RunFailed) -> None:
    with desk.open(INFERENCE, on_behalf_of=row.asked_by, asked="ai.run") as work:
        now = queries.run_of(work.session, row.run)
        if now.state != "requested":
            # Another worker was first; its outcome stands.
            return
        relations = {row.standing} if row.standing != "gated" else set()
        if row.use != "none":
            relations.add(f"for_{row.use}")
        if not queries.lock_of(work.session, row.lock).valid:
            relations.add("lock_not_valid")
        decision = permit(INFERENCE, "ai.run", queries.run_facts(
            work.session, INFERENCE, "ai.run", row.trial, relations=relations, endpoint=row.endpoint))
        work.record(event, under=decision, trial=row.trial, caused_by=row.entry_id)
