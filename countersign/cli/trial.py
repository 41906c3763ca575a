"""`countersign trial|charter|site|subject`: from a charter file to enrolled subjects; gates and cohort beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from countersign.cli.common import HomeOption, JsonOption, answer, house, told
from countersign.cli.data_lock import allocation_app, lock_app
from countersign.cli.gate import cohort_app, gate_app
from countersign.cli.signing import AsOption, sign

trial_app = typer.Typer(no_args_is_help=True, help="Trials: create, show, bring live; cut, lock, unlock the data.")
trial_app.registered_commands += lock_app.registered_commands
charter_app = typer.Typer(no_args_is_help=True, help="Imaging charters: check, sign, accept, approve, schema.")
site_app = typer.Typer(no_args_is_help=True, help="Sites: train, qualify scanners, activate, close, list.")
subject_app = typer.Typer(no_args_is_help=True, help="Subjects: add, consent, enrol, list.")
APPS = {
    "trial": trial_app, "charter": charter_app, "site": site_app, "subject": subject_app, "gate": gate_app,
    "cohort": cohort_app, "allocation": allocation_app,
}
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Charter, YAML.")]


@trial_app.command("create")
@told
def create(
    trial: str, title: str, acting: AsOption,
    demonstration: Annotated[bool, typer.Option("--demonstration", help="Its evidence counts nowhere else.")] = False,
    home: HomeOption = None,
) -> None:
    """Set a trial up."""
    from core.policy.state import Actor
    from core.trials.usecases import CreateTrial, create_trial

    opened = house(home)
    sign(opened.desk, create_trial(opened.desk, Actor(acting), CreateTrial(trial, title, demonstration)))


@trial_app.command("show")
@told
def show(trial: Annotated[str | None, typer.Argument()] = None, home: HomeOption = None, as_json: JsonOption = False
         ) -> None:
    """Trials and how far they are; one trial with its charter, sites and subjects."""
    from dataclasses import asdict

    from core.trials import queries

    with house(home).desk.reading() as session:
        if trial is None:
            rows = queries.trials_known(session)
            answer([asdict(one) for one in rows], as_json=as_json, words="\n".join(
                f"{one.trial}  {one.stage}  {one.evidence_class}  {one.title}" for one in rows) or "No trial yet.")
            return
        row = queries.the_trial(session, trial)
        charters = queries.charters_of(session, trial)
        sites, subjects = queries.sites_of(session, trial), queries.subjects_of(session, trial)
        uses = queries.open_uses(session, trial)
    lines = [f"{row.trial}: {row.title}", f"stage {row.stage}, evidence class {row.evidence_class}"]
    lines += [
        f"charter {one.version} sha256 {one.digest}, signed by {one.signed_by} (entry {one.entry}), "
        + (f"approved (entry {one.approved_entry})" if one.approved_entry is not None else "not approved")
        for one in charters
    ]
    lines += [f"site {one.site} ({one.country}): {one.state.replace('_', ' ')}" for one in sites]
    lines += [f"{len(subjects)} subjects", f"AI uses open: {', '.join(one.code for one in uses) or 'none'}"]
    data = {
        "trial": asdict(row), "charters": [asdict(one) for one in charters], "sites": [asdict(one) for one in sites],
        "subjects": [asdict(one) for one in subjects], "uses_open": [one.code for one in uses],
    }
    answer(data, as_json=as_json, words="\n".join(lines))


@trial_app.command("test")
@told
def tried(
    trial: str, acting: AsOption,
    dummies: Annotated[int, typer.Option("--dummy-subjects", help="How many dummy subjects were used.")],
    step: Annotated[list[str], typer.Option("--step", help="A step that was tried; repeat for more.")],
    home: HomeOption = None,
) -> None:
    """Sign that the configuration was tried with dummy subjects."""
    from core.policy.state import Actor
    from core.trials.usecases import SignConfigurationTest, sign_configuration_test

    opened = house(home)
    command = SignConfigurationTest(trial, dummies, tuple(step))
    sign(opened.desk, sign_configuration_test(opened.desk, Actor(acting), command))


@trial_app.command("activate")
@told
def activate(trial: str, acting: AsOption, home: HomeOption = None) -> None:
    """Bring a trial live; says what still lacks."""
    from core.policy.state import Actor
    from core.trials.usecases import activate_trial

    opened = house(home)
    sign(opened.desk, activate_trial(opened.desk, Actor(acting), trial))


@charter_app.command("check")
@told
def check(file: File, as_json: JsonOption = False) -> None:
    """Every problem of a charter with its line; needs no home."""
    from dataclasses import asdict

    from core.trials.charter_check import check_charter

    checked = check_charter(_text(file))
    words = "\n".join(str(one) for one in checked.problems) or f"{file.name}: no problem found."
    answer([asdict(one) for one in checked.problems], as_json=as_json, words=words)
    if checked.problems:
        raise typer.Exit(1)


def _text(file: Path) -> str:
    from core.errors import UnusableInput

    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UnusableInput(f"{file.name} is not UTF-8 text (byte {error.start}).") from error


@charter_app.command("schema")
@told
def schema() -> None:
    """JSON Schema of the charter, for editors."""
    from core.trials.charter_check import charter_json_schema

    answer(charter_json_schema(), as_json=True, words="")


@charter_app.command("sign")
@told
def sign_file(file: File, acting: AsOption, home: HomeOption = None) -> None:
    """The trial lead signs a charter text."""
    from core.policy.state import Actor
    from core.trials.usecases import sign_charter

    opened = house(home)
    sign(opened.desk, sign_charter(opened.desk, Actor(acting), _text(file)))


@charter_app.command("accept")
@told
def accept(trial: str, acting: AsOption, home: HomeOption = None) -> None:
    """A named investigator takes responsibility under the signed charter."""
    from core.policy.state import Actor
    from core.trials.usecases import accept_charter

    opened = house(home)
    sign(opened.desk, accept_charter(opened.desk, Actor(acting), trial))


@charter_app.command("approve")
@told
def approve(trial: str, acting: AsOption, home: HomeOption = None) -> None:
    """QA approves the charter; it is in force."""
    from core.policy.state import Actor
    from core.trials.usecases import approve_charter

    opened = house(home)
    sign(opened.desk, approve_charter(opened.desk, Actor(acting), trial))


@charter_app.command("impact")
@told
def impact(
    trial: str, grade: Annotated[str, typer.Argument(help="none, minor or major.")], acting: AsOption,
    because: Annotated[str, typer.Option("--because", help="Why; part of the record.")], home: HomeOption = None,
) -> None:
    """The imaging lead signs what an amendment means for imaging."""
    from core.policy.state import Actor
    from core.trials.amendments import assess_amendment

    opened = house(home)
    sign(opened.desk, assess_amendment(opened.desk, Actor(acting), trial, grade, because))


@site_app.command("amend")
@told
def amend(
    trial: str, site: str, version: str, acting: AsOption,
    effective_on: Annotated[str, typer.Option("--from", metavar="YYYY-MM-DD", help="Day of the site's approval.")],
    home: HomeOption = None,
) -> None:
    """An approved amendment is in effect at a site from its approval there."""
    from core.policy.state import Actor
    from core.trials.amendments import approve_at_site

    opened = house(home)
    sign(opened.desk, approve_at_site(opened.desk, Actor(acting), trial, site, version, effective_on))


@site_app.command("train")
@told
def train(trial: str, site: str, acting: AsOption, home: HomeOption = None) -> None:
    """Confirm that a site's people know the imaging manual."""
    from core.policy.state import Actor
    from core.trials.sites import train_site

    opened = house(home)
    sign(opened.desk, train_site(opened.desk, Actor(acting), trial, site))


@site_app.command("qualify")
@told
def qualify(
    trial: str, site: str, scanner: str, modality: str, acting: AsOption,
    manufacturer: Annotated[str, typer.Option("--manufacturer")],
    until: Annotated[str, typer.Option("--until", metavar="YYYY-MM-DD")],
    evidence: Annotated[str, typer.Option("--evidence", help="Where the phantom scan is filed.")],
    home: HomeOption = None,
) -> None:
    """Qualify a scanner (the device serial number of its images) until a day."""
    from core.policy.state import Actor
    from core.trials.sites import QualifyScanner, qualify_scanner

    opened = house(home)
    command = QualifyScanner(trial, site, scanner, modality, manufacturer, until, evidence)
    sign(opened.desk, qualify_scanner(opened.desk, Actor(acting), command))


@site_app.command("activate")
@told
def activate_one(
    trial: str, site: str, acting: AsOption,
    effective_on: Annotated[str, typer.Option("--from", metavar="YYYY-MM-DD", help="First day that counts.")],
    home: HomeOption = None,
) -> None:
    """Images of the site count from a day on."""
    from core.policy.state import Actor
    from core.trials.sites import activate_site

    opened = house(home)
    sign(opened.desk, activate_site(opened.desk, Actor(acting), trial, site, effective_on))


@site_app.command("close")
@told
def close(trial: str, site: str, acting: AsOption, home: HomeOption = None) -> None:
    """Close a site; images that come later are held."""
    from core.policy.state import Actor
    from core.trials.sites import close_site

    opened = house(home)
    sign(opened.desk, close_site(opened.desk, Actor(acting), trial, site))


@site_app.command("list")
@told
def list_sites(trial: str, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Sites and their scanners."""
    from dataclasses import asdict

    from core.trials.queries import scanners_of, sites_of, the_trial

    with house(home).desk.reading() as session:
        the_trial(session, trial)
        sites, scanners = sites_of(session, trial), scanners_of(session, trial)
    lines = [
        f"{one.site}  {one.country}  {one.state.replace('_', ' ')}  from {one.effective_on or '—'}" for one in sites
    ]
    lines += [f"{one.site}  scanner {one.manufacturer} {one.scanner} ({one.modality}) until {one.valid_until}"
              for one in scanners]
    answer({"sites": [asdict(one) for one in sites], "scanners": [asdict(one) for one in scanners]}, as_json=as_json,
           words="\n".join(lines))


@subject_app.command("add")
@told
def add(
    trial: str, subject: str, site: str, acting: AsOption,
    on: Annotated[str, typer.Option("--on", metavar="YYYY-MM-DD", help="Day of screening.")], home: HomeOption = None,
) -> None:
    """Enter a coded subject for screening."""
    from core.policy.state import Actor
    from core.trials.subjects import ScreenSubject, screen_subject

    receipt = screen_subject(house(home).desk, Actor(acting), ScreenSubject(trial, subject, site, on))
    typer.echo(f"Entered: entry {receipt.seq}.")


@subject_app.command("consent")
@told
def consent(
    trial: str, subject: str, version: str, acting: AsOption,
    on: Annotated[str, typer.Option("--on", metavar="YYYY-MM-DD")],
    scope: Annotated[list[str], typer.Option("--scope", help="images, ai or future_use; repeat for more.")],
    home: HomeOption = None,
) -> None:
    """Record a consent and what it covers."""
    from core.policy.state import Actor
    from core.trials.subjects import RecordConsent, record_consent

    receipt = record_consent(
        house(home).desk, Actor(acting), RecordConsent(trial, subject, version, on, tuple(scope)))
    typer.echo(f"Recorded: entry {receipt.seq}.")


@subject_app.command("enrol")
@told
def enrol(
    trial: str, subject: str, acting: AsOption, on: Annotated[str, typer.Option("--on", metavar="YYYY-MM-DD")],
    home: HomeOption = None,
) -> None:
    """The investigator enrols a subject; its time points are expected from then on."""
    from core.policy.state import Actor
    from core.trials.subjects import enrol_subject

    opened = house(home)
    sign(opened.desk, enrol_subject(opened.desk, Actor(acting), trial, subject, on))


@subject_app.command("fail")
@told
def fail(
    trial: str, subject: str, reason: str, acting: AsOption,
    on: Annotated[str, typer.Option("--on", metavar="YYYY-MM-DD")],
    comment: Annotated[str, typer.Option(help="Free text; kept under the subject's key alone.")] = "",
    home: HomeOption = None,
) -> None:
    """The investigator ends screening without enrolment, with a coded reason."""
    from core.policy.state import Actor
    from core.trials.subjects import fail_screening

    opened = house(home)
    sign(opened.desk, fail_screening(opened.desk, Actor(acting), trial, subject, on, reason, comment or None))


@subject_app.command("progress")
@told
def progress(
    trial: str, subject: str, became: str, acting: AsOption,
    on: Annotated[str, typer.Option("--on", metavar="YYYY-MM-DD")], home: HomeOption = None,
) -> None:
    """on_study, off_treatment, completed, withdrawn, lost or died, as the site reports it."""
    from core.policy.state import Actor
    from core.trials.subjects import progress_subject

    receipt = progress_subject(house(home).desk, Actor(acting), trial, subject, became, on)
    typer.echo(f"Recorded: entry {receipt.seq}.")


@subject_app.command("withdraw-consent")
@told
def withdraw_consent(
    trial: str, subject: str, acting: AsOption,
    as_of: Annotated[str, typer.Option("--as-of", metavar="YYYY-MM-DD", help="Images from this day on are refused.")],
    home: HomeOption = None,
) -> None:
    """Consent ends as of a day; earlier images stay."""
    from core.policy.state import Actor
    from core.trials.subjects import withdraw_consent as withdraw

    receipt = withdraw(house(home).desk, Actor(acting), trial, subject, as_of)
    typer.echo(f"Recorded: entry {receipt.seq}.")


@subject_app.command("missed")
@told
def missed(
    trial: str, subject: str, time_point: str, reason: str, acting: AsOption,
    not_evaluable: Annotated[bool, typer.Option("--not-evaluable", help="Images exist, unusable.")] = False,
    comment: Annotated[str, typer.Option(help="Free text; kept under the subject's key alone.")] = "",
    home: HomeOption = None,
) -> None:
    """Declare a time point missed, or not evaluable, with a coded reason."""
    from core.policy.state import Actor
    from core.trials.subjects import declare_gap

    opened = house(home)
    sign(opened.desk, declare_gap(
        opened.desk, Actor(acting), trial, subject, time_point, reason, evaluable=not_evaluable,
        comment=comment or None))


@subject_app.command("list")
@told
def list_subjects(trial: str, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Subjects with their time points as they are today."""
    from dataclasses import asdict
    from datetime import date

    from core.clock import in_words
    from core.trials.queries import subjects_of, the_trial, time_points_of

    opened = house(home)
    today = date.fromisoformat(in_words(opened.desk.clock.now())[:10])
    with opened.desk.reading() as session:
        stage = the_trial(session, trial).stage
        rows = [(one, time_points_of(session, trial, one.subject)) for one in subjects_of(session, trial)]
    lines = [
        f"{one.subject}  site {one.site}  {one.state.replace('_', ' ')}  "
        + ", ".join(f"{point.time_point} {point.state_on(today, stage)}" for point in points) for one, points in rows
    ]
    data = [asdict(one) | {"time_points": [asdict(point) | {"today": point.state_on(today, stage)} for point in points]}
            for one, points in rows]
    answer(data, as_json=as_json, words="\n".join(lines) or "No subject yet.")
