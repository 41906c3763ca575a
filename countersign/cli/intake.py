"""`countersign intake FOLDER` and `countersign qc …`: take images in, see their checks, dispose of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from countersign.cli.common import HomeOption, JsonOption, answer, house, told
from countersign.cli.signing import AsOption

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from core.arrival.queries import CaseRow, SeriesRow

intake_app = typer.Typer(help="Take a folder of DICOM files in.")
qc_app = typer.Typer(
    no_args_is_help=True, help="Quality control: list, show, ai, dispose, release, queries, incomplete, refused."
)
APPS = {"intake": intake_app, "qc": qc_app}

TrialOption = Annotated[str, typer.Option("--trial", help="The trial.")]
CaseArgument = Annotated[str, typer.Argument(metavar="CASE", help="A case as `qc list` names it.")]


@intake_app.command()
@told
def intake(
    folder: Annotated[str, typer.Argument(help="Folder with the images; everything below it is read.")],
    trial: TrialOption,
    person: AsOption,
    subject: Annotated[str, typer.Option(help="Coded subject id, where the images do not say it.")] = "",
    time_point: Annotated[str, typer.Option(help="Time point, where the images do not say it.")] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read every file below a folder, de-identify, check and store what belongs to the trial, record all of it."""
    from pathlib import Path

    from core.arrival.usecases import IntakeFolder, intake_folder
    from core.policy.state import Actor

    command = IntakeFolder(Path(folder), trial, subject or None, time_point or None)
    account = intake_folder(house(home).desk, Actor(person), command)
    counts = {name: account.count(name) for name in ("accepted", "duplicate", "conflict", "refused")}
    base = Path(folder)
    files = [
        {"path": str(one.path.relative_to(base)), "outcome": one.outcome, "code": one.code, "series": one.series}
        for one in account.outcomes
    ]
    told_apart = [f"  {one['path']}: {one['outcome']} ({one['code']})" for one in files if one["outcome"] != "accepted"]
    shown = told_apart[:20] + ([f"  … and {len(told_apart) - 20} more"] if len(told_apart) > 20 else [])
    answer(
        {"intake": account.intake, **counts, "cases": list(account.cases), "files": files}, as_json=as_json,
        words="\n".join([
            f"Intake {account.intake}: {len(files)} files, "
            + ", ".join(f"{count} {name}" for name, count in counts.items()),
            *shown, *(f"  case {case}" for case in account.cases),
        ]),
    )


def _seen(session: Connection, person: str, trial: str) -> None:
    from core.arrival.queries import quality_facts
    from core.policy.decide import permit
    from core.policy.state import Actor

    permit(Actor(person), "quality.see", quality_facts(session, Actor(person), "quality.see", trial))


def _line(case: CaseRow, row: SeriesRow) -> dict[str, Any]:
    return {
        "case": case.case_id, "subject": case.subject, "time_point": case.time_point, "modality": case.modality,
        "instances": row.instances, "acquired_on": row.acquired_on, "not_met": case.broken, "held": row.held,
        "disposition": row.disposition, "by": row.disposed_by, "reason": row.disposed_reason, "series": case.series,
        "entry": case.entry,
    }  # fmt: skip


@qc_app.command("list")
@told
def list_cases(
    trial: TrialOption,
    person: AsOption,
    undisposed: Annotated[bool, typer.Option("--open", help="Only cases without a disposition.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """The cases of a trial, oldest first."""
    from core.arrival.queries import cases_of

    with house(home).desk.reading() as session:
        _seen(session, person, trial)
        lines = [_line(case, row) for case, row in cases_of(session, trial, undisposed=undisposed)]
    words = "\n".join(
        f"{one['case']:<32} {one['instances']:>5} instances  {one['not_met']} not met  "
        f"{one['disposition'] or ('held: ' + one['held'] if one['held'] else 'to dispose')}"
        for one in lines
    )
    answer(lines, as_json=as_json, words=words or "There is no case.")


@qc_app.command()
@told
def show(case: CaseArgument, trial: TrialOption, person: AsOption, home: HomeOption = None,
         as_json: JsonOption = False) -> None:
    """Every rule of a case: required, measured, where, outcome."""
    from dataclasses import asdict

    from core.arrival.queries import case_of, dispositions_of, the_series
    from core.privacy.queries import text_of

    desk = house(home).desk
    with desk.reading() as session:
        _seen(session, person, trial)
        found = case_of(session, trial, case)
        row = the_series(session, trial, found.series)
        comments = [
            {"entry": one.entry, "by": one.person, "disposition": one.disposition, "comment": text}
            for one in dispositions_of(session, trial)
            if one.case_id == found.case_id
            and (text := text_of(session, desk.objects.keys, one.entry_id)) is not None
        ]
    rules = [asdict(rule) for rule in found.rules]
    words = [f"Case {found.case_id}: {found.broken} rules not met under charter {found.charter_version}"]
    words += [
        f"  {rule.outcome.replace('_', ' '):<8} {rule.rule:<26} required {rule.required}; "
        f"measured {rule.measured} ({rule.where})" for rule in found.rules
    ]
    words += [f"  {one['disposition']} by {one['by']}, entry {one['entry']}: {one['comment']}" for one in comments]
    answer(_line(found, row) | {"rules": rules, "comments": comments}, as_json=as_json, words="\n".join(words))


@qc_app.command()
@told
def ai(case: CaseArgument, trial: TrialOption, person: AsOption, home: HomeOption = None,
       as_json: JsonOption = False) -> None:
    """What the model of the open gate says of a case; that you were shown it is recorded."""
    from core.policy.state import Actor
    from countersign.cli.model_show import flag_line
    from models_registry.showing import show_in_quality

    flags = show_in_quality(house(home).desk, Actor(person), trial, case)
    data = [{"run": one.run.run, "lock": one.run.lock, "gate": one.gate, "flagged": one.flagged,
             "state": one.run.state, "values": dict(one.run.values), "confidence": one.run.confidence,
             "domain_distance": one.run.domain_distance, "cause": one.run.cause, "found": one.run.found,
             "limit": one.run.limit, "entry": one.run.ended_entry} for one in flags]
    words = [f"{'to look at' if one.flagged else 'no flag   '}  {flag_line(one.run)}" for one in flags]
    words += ["You dispose of the series; a flag disposes of nothing."] if flags else []
    answer(data, as_json=as_json, words="\n".join(words) or "No run of an open gate looked at this case.")


@qc_app.command()
@told
def dispose(
    case: CaseArgument,
    trial: TrialOption,
    person: AsOption,
    disposition: Annotated[str, typer.Option(help="accepted, queried or rejected")],
    reason: Annotated[str, typer.Option(help="Coded reason, such as all_rules_met or missing_slices.")],
    comment: Annotated[str, typer.Option(help="Free text; kept under the subject's key alone.")] = "",
    home: HomeOption = None,
) -> None:
    """Accept, query or reject a series, with your signature."""
    from core.arrival.usecases import DisposeCase, dispose_case
    from core.policy.state import Actor
    from countersign.cli.signing import sign

    desk = house(home).desk
    sign(desk, dispose_case(desk, Actor(person), DisposeCase(trial, case, disposition, reason, comment or None)))


@qc_app.command()
@told
def release(
    series: Annotated[str, typer.Argument(help="UID of a held series, as `qc list --json` names it.")],
    trial: TrialOption,
    person: AsOption,
    home: HomeOption = None,
) -> None:
    """Take a series off hold once its site is active and its scanner qualified."""
    from core.arrival.usecases import ReleaseSeries, release_series
    from core.policy.state import Actor

    release_series(house(home).desk, Actor(person), ReleaseSeries(trial, series))
    typer.echo("The series is no longer held.")


@qc_app.command()
@told
def refused(trial: TrialOption, person: AsOption, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """What was kept out of a trial or recognised: unreadable files, foreign series, conflicts, duplicates."""
    from dataclasses import asdict

    from core.arrival.queries import refusals_of, why_in_words

    with house(home).desk.reading() as session:
        _seen(session, person, trial)
        rows = refusals_of(session, trial)
    said = [asdict(row) | {"meaning": why_in_words(row.code)} for row in rows]
    words = "\n".join(
        f"entry {one['entry']:<6} {one['kind']:<10} {one['count']:>5}  {one['code']:<26} {one['meaning']}".rstrip()
        for one in said
    )
    answer(said, as_json=as_json, words=words or "Nothing was refused.")


@qc_app.command()
@told
def queries(trial: TrialOption, person: AsOption, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Series that wait for their site's answer, oldest question first."""
    from core.arrival.queries import open_queries

    with house(home).desk.reading() as session:
        _seen(session, person, trial)
        found = open_queries(session, trial)
    lines: list[dict[str, Any]] = [
        {"case": one.series.case_id, "site": one.series.site, "subject": one.series.subject,
         "time_point": one.series.time_point, "modality": one.series.modality, "reason": one.reason,
         "asked_at": one.asked_at, "asked_by": one.asked_by, "not_met": list(one.not_met), "entry": one.entry}
        for one in found
    ]
    words = "\n".join(
        f"site {one['site']:<6} {one['case']:<32} {one['reason']}, asked by {one['asked_by']}, {one['asked_at'][:10]}; "
        f"not met: {', '.join(one['not_met']) or 'no rule'}" for one in lines
    )
    answer(lines, as_json=as_json, words=words or "No query is open.")


@qc_app.command()
@told
def incomplete(trial: TrialOption, person: AsOption, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Time points with images of which something expected has not come, or is not accepted."""
    from dataclasses import asdict

    from core.arrival.queries import incomplete_time_points

    with house(home).desk.reading() as session:
        _seen(session, person, trial)
        found = incomplete_time_points(session, trial)
    words = "\n".join(
        f"{one.subject:<12} {one.time_point:<10} not received: {', '.join(one.lacking) or 'nothing'}; "
        f"not accepted: {', '.join(one.not_accepted) or 'nothing'}" for one in found
    )
    answer([asdict(one) for one in found], as_json=as_json, words=words or "No time point with images is incomplete.")
