"""Scene 4: images arrive, rightly and wrongly; every file has one recorded outcome, a technologist disposes."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

from core.arrival.queries import cases_of
from core.arrival.usecases import DisposeCase, IntakeAccount, IntakeFolder, dispose_case, intake_folder
from core.phantoms import SCANNERS, StudyHeader, make_volume, write_study
from countersign.demonstration.cast import actor
from countersign.demonstration.inference import ask, point_at_lesions, work
from countersign.demonstration.lives import LIVES, Life
from countersign.demonstration.stage import Stage
from countersign.demonstration.trial import TRIAL

DEMONSTRATED_SEEDS = 90_000
SENDER, TECHNOLOGIST = "data-manager", "technologist"
DEFECTS_TO_SHOW = {
    # time point of a subject -> what is wrong with its first delivery
    ("101-002", "W08"): ("wrong_spacing",),
    ("102-002", "W08"): ("wrong_spacing",),
    ("101-001", "W16"): ("missing_slice",),
    ("102-001", "W16"): ("wrong_modality",),
    # Names in private, nested and free-text elements: removed on arrival, and asked about.
    ("103-001", "W16"): ("name_private", "name_nested", "name_free_text"),
}
COMES_AGAIN = {"wrong_spacing", "missing_slice", "wrong_modality"}


def scan(stage: Stage, life: Life, time_point: str, *, defects: tuple[str, ...] = (), again: str = "") -> Path:
    """The study of a subject as its site would export it; truth is known, the header is realistic."""
    # Seeds of the demonstration lie apart from those of training, tuning and the sealed set.
    seed = DEMONSTRATED_SEEDS + sum(ord(sign) for sign in life.subject)
    volume = make_volume(SCANNERS[life.scanner], life.at(time_point), seed=seed)
    header = StudyHeader(
        protocol=TRIAL, site=life.site, subject=life.subject, time_point=time_point,
        acquired_on=life.scanned_on(time_point), uid_seed=again,
    )
    folder = stage.folder / "deliveries" / f"{life.subject}-{time_point}{again}"
    write_study(folder, volume, header, defects)
    return folder


def send(stage: Stage, folder: Path) -> IntakeAccount:
    """The data manager takes a delivery in."""
    account = intake_folder(stage.desk, actor(SENDER), IntakeFolder(folder, TRIAL))
    outcomes = Counter(one.outcome for one in account.outcomes)
    stage.say(f"   {folder.name}: " + ", ".join(f"{count} {name}" for name, count in sorted(outcomes.items())))
    return account


def dispose_all(stage: Stage) -> Counter[str]:
    """The technologist accepts what meets every rule, queries what is unclear, rejects what the charter bars."""
    counts: Counter[str] = Counter()
    with stage.desk.reading() as session:
        waiting = cases_of(session, TRIAL, undisposed=True)
    with_ct = {case.study for case, _ in waiting if case.modality == "CT"}
    barred = {
        case.study for case, _ in waiting
        if case.study not in with_ct
        or any(rule.outcome == "not_met" and rule.when_broken == "reject" for rule in case.rules)
    }
    for case, row in waiting:
        broken = {rule.when_broken for rule in case.rules if rule.outcome == "not_met"}
        if "reject" in broken:
            command = DisposeCase(TRIAL, case.case_id, "accepted", "all_rules_met")
            stage.refused(
                f"accepting {case.modality} of {case.subject}, {case.time_point}, which the charter bars",
                partial(dispose_case, stage.desk, actor(TECHNOLOGIST), command),
            )
        disposition, reason = (
            ("rejected", "protocol_deviation") if "reject" in broken
            # The CT has to come again; with another frame of reference its PET is of no use.
            else ("rejected", "incomplete_study") if case.study in barred
            else ("queried", "protocol_deviation") if "query" in broken or row.held else ("accepted", "all_rules_met")
        )
        if disposition == "accepted" and broken:
            reason = "judged_irrelevant"
        counts[disposition] += 1
        command = DisposeCase(TRIAL, case.case_id, disposition, reason)
        stage.signed(dispose_case(stage.desk, actor(TECHNOLOGIST), command))
    stage.say("   disposed: " + ", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
    return counts


def answer_queries(stage: Stage) -> None:
    """The site has answered what was queried, and the technologist accepts with that reason."""
    with stage.desk.reading() as session:
        queried = [case for case, row in cases_of(session, TRIAL) if row.disposition == "queried"]
    for case in queried:
        broken = {rule.when_broken for rule in case.rules if rule.outcome == "not_met"}
        if "reject" not in broken:
            command = DisposeCase(TRIAL, case.case_id, "accepted", "answered_by_site")
            stage.signed(dispose_case(stage.desk, actor(TECHNOLOGIST), command))
    stage.say(f"   {len(queried)} queries answered by their sites")


def receive(stage: Stage) -> None:
    """Baselines and two broken studies first, as run-in: the model flags in shadow, people judge without seeing it."""
    with stage.scene("Arrival: run-in, people judge before any flag is seen"):
        run_in = [(life, "BL") for life in LIVES] + [
            (_life(subject), time_point) for (subject, time_point), defects in DEFECTS_TO_SHOW.items()
            if defects == ("wrong_spacing",)
        ]
        for life, time_point in run_in:
            send(stage, scan(stage, life, time_point, defects=DEFECTS_TO_SHOW.get((life.subject, time_point), ())))
            point_at_lesions(stage, life, time_point, accepted=False)
            ask(stage, life, time_point, "qc", standing="shadow", only_first=True)
        work(stage)
        dispose_all(stage)
    with stage.scene("Arrival: the other time points, and what was broken comes again"):
        for life in LIVES:
            for time_point in life.factors:
                if (life, time_point) not in run_in:
                    defects = DEFECTS_TO_SHOW.get((life.subject, time_point), ())
                    send(stage, scan(stage, life, time_point, defects=defects))
        dispose_all(stage)
        for (subject, time_point), defects in DEFECTS_TO_SHOW.items():
            if not COMES_AGAIN.intersection(defects):
                continue
            send(stage, scan(stage, _life(subject), time_point, again="-again"))
        dispose_all(stage)
        answer_queries(stage)


def _life(subject: str) -> Life:
    return next(one for one in LIVES if one.subject == subject)
