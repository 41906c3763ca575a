"""The locked model at work: people point at lesions, the model measures in its own process, results are entries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from audit.vocabulary.reads import Seed
from core import outbox
from core.arrival.queries import accepted_series, load_series, series_of
from core.ids import derived_uid
from core.reads.usecases import PlaceSeeds, place_seeds
from countersign.demonstration.cast import actor
from countersign.demonstration.lives import Life
from countersign.demonstration.stage import Stage
from countersign.demonstration.trial import TRIAL
from models_registry.asking import RequestRun, request_runs
from models_registry.images import ArrivalImages
from models_registry.queries import runs_of

PLACER = "imaging-lead"


def tracking_uid(subject: str, lesion: str) -> str:
    """One UID per lesion for the whole trial."""
    return derived_uid("lesion", TRIAL, subject, lesion)


def seeds_at(life: Life, time_point: str) -> dict[str, tuple[str, str, str]]:
    """Points inside the target lesions that are still there, as a person would place them: near the centre."""
    return {
        lesion.label: tuple(f"{value:.1f}" for value in lesion.centre_mm)  # type: ignore[misc]
        for lesion in life.at(time_point) if lesion.present and lesion.label.startswith("TL")
    }


def point_at_lesions(
    stage: Stage, life: Life, time_point: str, *, accepted: bool = True, scanned: str | None = None
) -> None:
    """The imaging lead places and signs the seeds on the CT; `scanned` is the life's own name of the scan."""
    with stage.desk.reading() as session:
        find = accepted_series if accepted else series_of
        series = next(row for row in find(session, TRIAL, life.subject, time_point) if row.modality == "CT")
        frame = str(load_series(session, stage.desk.objects, TRIAL, series.series)[0].FrameOfReferenceUID)
    seeds = tuple(
        Seed(lesion=lesion, tracking_uid=tracking_uid(life.subject, lesion), x=point[0], y=point[1], z=point[2])
        for lesion, point in seeds_at(life, scanned or time_point).items()
    )
    command = PlaceSeeds(TRIAL, life.subject, time_point, series.series, frame, seeds)
    stage.signed(place_seeds(stage.desk, actor(PLACER), command))


def ask(
    stage: Stage, life: Life, time_point: str, use: str, endpoint: str | None = None, standing: str | None = None,
    only_first: bool = False, asked_by: str = PLACER, scanned: str | None = None,
) -> None:
    """Ask for the lesions of a time point; the worker follows from the entries."""
    found = list(seeds_at(life, scanned or time_point).items())
    commands = [
        RequestRun(
            TRIAL, life.subject, time_point, lesion, tracking_uid(life.subject, lesion), point, PLACER,
            str(stage.notes["lock"]), use, endpoint, standing,
        )
        for lesion, point in (found[:1] if only_first else found)
    ]
    request_runs(stage.desk, actor(asked_by), commands, ArrivalImages())


def work(stage: Stage) -> None:
    """What the outbox holds is carried out; every run ends in an entry."""
    with stage.desk.reading() as session:
        before = len(runs_of(session, state="requested"))
    outbox.drain(stage.desk)
    with stage.desk.reading() as session:
        runs = runs_of(session, trial=TRIAL)
    states: dict[str, int] = {}
    for run in runs:
        states[run.state] = states.get(run.state, 0) + 1
    said = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    stage.say(f"   {before} runs waited; all runs of the trial so far: {said}")


def measure(
    stage: Stage, lives: Iterable[Life], time_points: Sequence[str], uses: Sequence[tuple[str, str, str | None]]
) -> None:
    """Seeds and runs for time points of subjects; `uses` gives (use, endpoint, standing)."""
    for life in lives:
        for time_point in time_points:
            if time_point not in life.factors or not seeds_at(life, time_point):
                continue
            point_at_lesions(stage, life, time_point)
            for use, endpoint, standing in uses:
                ask(stage, life, time_point, use, endpoint, standing)
    work(stage)
