"""`countersign validate installation | model | sign-report | review | report`: from a run to its signed report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from countersign.cli.common import HomeOption, JsonOption, answer, house, told
from countersign.cli.signing import AsOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from countersign.house import House
    from validation.runner import Outcome

ProtocolArgument = Annotated[str, typer.Argument(metavar="PROTOCOL", help="Id of a protocol.")]
VersionOption = Annotated[int, typer.Option("--version", help="Version; the newest where not given.")]
RunsArgument = Annotated[list[str], typer.Argument(metavar="RUN...", help="Ids of concluded runs.")]
DataOption = Annotated[
    str, typer.Option("--data", envvar="COUNTERSIGN_DATA", help="Folder of clinical test cases.", show_default=False)
]
ExploratoryOption = Annotated[bool, typer.Option(
    "--exploratory", help="Try a protocol that is not approved yet; the run is evidence of nothing, for ever.")]
TestsOption = Annotated[str, typer.Option(
    "--tests", help="File that `make evidence` wrote on this very software; counted in the matrix of requirements.")]
PdfOption = Annotated[str, typer.Option("--pdf", help="Write the signed report here; named by its runs if not given.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `validate`."""
    for name, command in (("installation", installation), ("model", model), ("sign-report", sign_report),
                          ("review", review), ("report", report)):
        app.command(name)(command)


@told
def installation(
    person: AsOption,
    protocols: Annotated[str, typer.Option(help="Ids, in order, separated by commas.")] =
    "IQ-INSTALLATION,OQ-INSTALLATION",
    pdf: PdfOption = "", tests: TestsOption = "",
    unsigned: Annotated[bool, typer.Option(
        "--unsigned", help="End with the verdicts; `validate sign-report` makes the report later.")] = False,
    network_wall: Annotated[str, typer.Option(help="Where the kernel gives no network namespace, what keeps this "
                                              "machine off the network: container_without_network or firewall.")] = "",
    evidence: Annotated[str, typer.Option(help="File that shows the stated network wall.")] = "",
    exploratory: ExploratoryOption = False, home: HomeOption = None, as_json: JsonOption = False,
) -> None:
    """Run the approved IQ and OQ of this installation, sign their report, and write it as a PDF.

    Ends with 1 where a verdict is not passed; the report is made and signed all the same.
    """
    from core.policy.state import Actor
    from countersign.network_wall import StatedWall
    from countersign.qualification import checks_of, environment
    from validation.runner import Bench, RunProtocol, run_in_order

    stated = StatedWall.read(network_wall, evidence)
    opened = house(home)
    given = _tests(tests)
    bench = Bench(environment(opened), checks_of(opened, person, stated), say=_say(as_json))
    commands = [RunProtocol(name.strip(), exploratory=exploratory) for name in protocols.split(",")]
    outcomes = run_in_order(opened.desk, Actor(person), commands, bench)
    signed = None if unsigned else _signed(opened, person, [one for one in outcomes if one.report], given, pdf,
                                           as_json=as_json)
    _tell(outcomes, signed, as_json=as_json)


@told
def model(
    protocol: ProtocolArgument, person: AsOption, version: VersionOption = 0, data: DataOption = "",
    exploratory: ExploratoryOption = False, home: HomeOption = None, as_json: JsonOption = False,
) -> None:
    """Run an approved protocol on the lock that it names. Ends with 1 where the verdict is not passed."""
    from pathlib import Path

    from core.errors import UnusableInput
    from core.policy.state import Actor
    from countersign.adapters.locked_model import RegistryModel
    from countersign.qualification import environment
    from validation.queries import protocol_row
    from validation.runner import Bench, RunProtocol, run_protocol

    opened = house(home)
    with opened.desk.reading() as session:
        row = protocol_row(session, protocol, version or None)
    if row["lock"] is None:
        raise UnusableInput(f"{protocol} is about this installation.", next_step="`countersign validate installation`.")
    asked = RegistryModel(opened.desk, row["lock"])
    about = {f"model {name}": value for name, value in asked.environment().items()}
    bench = Bench(environment(opened) | about, model=asked, data=Path(data) if data else None, say=_say(as_json))
    command = RunProtocol(protocol, row["version"], exploratory)
    _tell([run_protocol(opened.desk, Actor(person), command, bench)], None, as_json=as_json)


@told
def sign_report(
    runs: RunsArgument, person: AsOption, pdf: PdfOption = "", tests: TestsOption = "", home: HomeOption = None,
) -> None:
    """Make the report of runs that you executed, sign its file with your certificate, and write it as a PDF."""
    opened = house(home)
    _sign(opened, person, runs, _tests(tests), pdf, as_json=False)


@told
def review(
    runs: RunsArgument, person: AsOption,
    conclusion: Annotated[str, typer.Option(help="What follows from the report.")],
    pdf: Annotated[str, typer.Option("--pdf", help="Write the file with both signatures here.")] = "",
    home: HomeOption = None,
) -> None:
    """Review the reports of runs by exception, and sign their file as the second person; not by who ran them."""
    from core.policy.state import Actor
    from countersign.cli.signing import sign
    from reports.queries import report_files
    from reports.validation_signing import review_runs

    opened = house(home)
    sign(opened.desk, review_runs(opened.desk, Actor(person), runs, conclusion))
    with opened.desk.reading() as session:
        file = next(iter(report_files(session, runs[0])), None)
    if file is None:
        typer.echo("No signed file tells of these runs; who ran them makes it: `countersign validate sign-report`.")
    elif file.part == "executed":
        typer.echo(f"The file waits for one person's review of all its runs: {', '.join(file.runs)}.")
    else:
        _write(opened, file.pdf, pdf or _named(file.runs))


@told
def report(
    run: Annotated[str, typer.Argument(help="Id of a concluded run.")],
    pdf: Annotated[str, typer.Option(help="Write the newest signed file here; a draft, where nobody signed.")] = "",
    tests: TestsOption = "",
    person: Annotated[str, typer.Option("--as", help="For whom a draft is drawn (user id).")] = "console",
    home: HomeOption = None,
) -> None:
    """The report of a run as the runner wrote it, JSON, digest checked; or its signed file."""
    from core.errors import NotFound
    from core.policy.state import Actor
    from core.projection import from_reference
    from reports.queries import report_files
    from reports.validation_signing import draw
    from validation.queries import run_row

    opened = house(home)
    with opened.desk.reading() as session:
        row = run_row(session, run)
        file = next(iter(report_files(session, run)), None)
    if row["report"] is None:
        raise NotFound(f"{run} was not concluded; it has no report.", next_step="Run the protocol again.")
    if not pdf:
        typer.echo(opened.desk.objects.get(from_reference(row["report"])).decode("utf-8"))
    elif file is not None:
        _write(opened, file.pdf, pdf)
    else:
        _keep(draw(opened.desk, Actor(person), [run], tests=_tests(tests)).pdf, pdf)
        typer.echo("A draft: nobody has signed it. Who ran it signs: `countersign validate sign-report`.")


# -- Shared --------------------------------------------------------------------------------------------------------


def _tests(file: str) -> bytes | None:
    from pathlib import Path

    from core.errors import UnusableInput
    from core.work import release
    from validation.traceability import evidence_for_release

    if not file:
        return None
    try:
        content = Path(file).read_bytes()
    except OSError as error:
        raise UnusableInput(f"{file} cannot be read: {error.strerror}.", next_step="Check the path.") from error
    evidence_for_release(content, release())
    return content


def _signed(
    opened: House, person: str, outcomes: Sequence[Outcome], tests: bytes | None, pdf: str, *, as_json: bool
) -> dict[str, Any] | None:
    """The report of these outcomes, signed; where the signature fails, the runs stand and the way on is told."""
    from core.errors import CountersignError

    if not outcomes:
        return None
    runs = [one.run for one in outcomes]
    try:
        return _sign(opened, person, runs, tests, pdf, as_json=as_json)
    except CountersignError as error:
        again = f"The runs stand. Sign their report: countersign validate sign-report {' '.join(runs)} --as {person}"
        typer.echo(f"{error.in_words()}\n{again}", err=True)
        raise typer.Exit(1) from error


def _sign(
    opened: House, person: str, runs: Sequence[str], tests: bytes | None, pdf: str, *, as_json: bool
) -> dict[str, Any]:
    import time

    from core.policy.state import Actor
    from countersign.cli.signing import sign
    from reports.queries import report_files
    from reports.validation_signing import sign_executed

    begun = time.monotonic()
    _say(as_json)("The report is drawn from the record, set, and checked against it …")
    proposal = sign_executed(opened.desk, Actor(person), runs, tests=tests)
    _say(as_json)(f"  {time.monotonic() - begun:.1f} s. It needs your signature.")
    receipt = sign(opened.desk, proposal, aside=as_json)
    with opened.desk.reading() as session:
        file = report_files(session, runs[0])[0]
    path = pdf or _named(file.runs)
    _write(opened, file.pdf, path, quiet=as_json)
    return {"pdf": path, "sha256": file.pdf.sha256, "pages": file.pages, "content_digest": file.content_digest,
            "entry": receipt.seq}


def _named(runs: Sequence[str]) -> str:
    return f"validation-{runs[0]}{f'-and-{len(runs) - 1}' if len(runs) > 1 else ''}.pdf"


def _write(opened: House, kept: Any, path: str, *, quiet: bool = False) -> None:
    _keep(opened.desk.objects.get(kept), path)
    if not quiet:
        typer.echo(f"{path}: {kept.bytes} bytes, SHA-256 {kept.sha256}\nCheck it anywhere: countersign verify {path}")


def _keep(data: bytes, path: str) -> None:
    from pathlib import Path

    from core.errors import UnusableInput

    try:
        Path(path).write_bytes(data)
    except OSError as error:
        raise UnusableInput(f"{path} cannot be written: {error.strerror}.",
                            next_step="Name another place: `countersign validate report RUN --pdf FILE`.") from error


def _say(as_json: bool) -> Any:
    return (lambda text: None) if as_json else typer.echo


def _tell(outcomes: Sequence[Outcome], signed: dict[str, Any] | None, *, as_json: bool) -> None:
    from audit.vocabulary.registry import fields_of

    data = [
        {"run": one.run, "verdict": one.verdict, "evidence_class": one.evidence_class,
         "strata": [fields_of(part) for part in one.strata],
         "criteria": [fields_of(part) for part in one.criteria], "deviations": list(one.deviations),
         "report": fields_of(one.report) if one.report else None, "entry": one.seq, "waits_for": list(one.waits_for),
         **({"signed": signed} if signed else {})}
        for one in outcomes
    ]
    words = []
    for one in outcomes:
        words += [f"{one.run}: {one.verdict.replace('_', ' ')} (entry {one.seq}, report {one.report.sha256[:12]}…)"
                  if one.report else f"{one.run}: no verdict yet; `countersign validate observe {one.run} STEP` for "
                  f"{', '.join(one.waits_for)}"]
        words += [f"  {c.criterion}: {c.verdict.replace('_', ' ')}; {c.limit}; found {c.estimate or 'nothing'} "
                  f"[{c.low or '-'}, {c.high or '-'}] on {c.subjects}" for c in one.criteria]
        words += [f"  {part.stratum}, {part.measure}: {part.verdict.replace('_', ' ')}" for part in one.strata]
        words += [f"  deviation {name} is open" for name in one.deviations]
    if signed is not None:
        words += [f"The report is signed (entry {signed['entry']}); a second person reviews it: countersign validate "
                  f"review {' '.join(one.run for one in outcomes if one.report)} --conclusion TEXT --as USER"]
    answer(data, as_json=as_json, words="\n".join(words))
    if any(one.verdict != "passed" for one in outcomes):
        raise typer.Exit(1)
