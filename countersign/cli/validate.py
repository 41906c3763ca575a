"""`countersign validate`: protocols, test sets, runs, deviations and releases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from countersign.cli.common import HomeOption, JsonOption, answer, house, told
from countersign.cli.signing import AsOption

if TYPE_CHECKING:
    from validation.runner import Outcome

app = typer.Typer(no_args_is_help=True, help="Validation of this installation and of model versions.")
APPS = {"validate": app}

ProtocolArgument = Annotated[str, typer.Argument(metavar="PROTOCOL", help="Id of a protocol.")]
VersionOption = Annotated[int, typer.Option("--version", help="Version; the newest where not given.")]
TextArgument = Annotated[str, typer.Argument(metavar="NAME|FILE", help="A shipped protocol, or a YAML file.")]
LockOption = Annotated[str, typer.Option("--lock", help="Lock that the protocol is about.")]
UseOption = Annotated[int, typer.Option("--use", help="1 qc, 2 cohort, 3 secondary, 4 primary.")]
EndpointOption = Annotated[str, typer.Option("--endpoint", help="Endpoint id, for uses 3 and 4.")]
ExploratoryOption = Annotated[bool, typer.Option(
    "--exploratory", help="Try a protocol that is not approved yet; the run is evidence of nothing, for ever.")]
DataOption = Annotated[
    str, typer.Option("--data", envvar="COUNTERSIGN_DATA", help="Folder of clinical test cases.", show_default=False)
]


@app.command("list")
@told
def list_(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Protocols with the signature each waits for, runs with their verdicts, open deviations, releases."""
    from validation import queries

    with house(home).desk.reading() as session:
        plans = queries.protocol_lines(session)
        lines = queries.validation_lines(session)
        open_ones = [dict(row) for row in queries.deviation_lines(session) if row["state"] == "open"]
        released = [dict(row) for target in ("installation",) for row in queries.releases_of(session, target)]
    runs = {line.run: line for line in lines}
    words = ["Protocols"]
    words += [f"  {p['protocol']} v{p['version']}  {p['kind']} {p['lock'] or 'installation'}  {p['state']}"
              + (f", waits for {p['waits_for'].replace(':', ', ')}" if p["waits_for"] else "") for p in plans]
    words += ["Runs"]
    words += [f"  {one.run}  {one.state}: {(one.verdict or 'no verdict').replace('_', ' ')}" for one in runs.values()]
    words += ["Open deviations", *(f"  {d['deviation']} ({d['klass_name']}): {d['says']}" for d in open_ones)]
    words += ["Releases", *(f"  {r['target']} {r['what']} by {r['person']}, {r['at']}" for r in released)]
    data = {
        "protocols": plans, "open_deviations": open_ones, "releases": released,
        "runs": [{"run": one.run, "state": one.state, "verdict": one.verdict} for one in runs.values()],
    }
    answer(data, as_json=as_json, words="\n".join(words))


@app.command()
@told
def shipped() -> None:
    """Names of the protocols that ship as drafts."""
    from validation.protocol import shipped as names

    typer.echo("\n".join(names()))


def _text(name: str) -> str:
    from pathlib import Path

    from validation.protocol import template

    path = Path(name)
    return path.read_text(encoding="utf-8") if path.suffix in (".yaml", ".yml") and path.is_file() else template(name)


@app.command()
@told
def power(
    cases: Annotated[int, typer.Option(min=1, max=5000, help="Planned cases.")],
    true: Annotated[float, typer.Option(min=0, max=1, help="Proportion that is expected to be true.")],
    limit: Annotated[float, typer.Option(min=0, max=1, help="Limit that the lower 95 % bound must reach.")],
) -> None:
    """Chance that a PQ of this size reaches its limit on the exact bound; to plan a test set before it is sealed."""
    from validation.proportions import power_of_lower_bound

    typer.echo(f"{100 * power_of_lower_bound(cases, true, limit):.1f} % that the exact lower 95 % bound of {cases} "
               f"cases is at least {limit:g}, if the true proportion is {true:g}.")


@app.command()
@told
def seal(
    name: TextArgument, person: AsOption, lock: LockOption, use: UseOption = 3, endpoint: EndpointOption = "",
    data: DataOption = "", home: HomeOption = None,
) -> None:
    """Seal the test set of a protocol before it is drafted: which cases will judge, with their digests."""
    from pathlib import Path

    from core.policy.state import Actor
    from countersign.cli.signing import sign
    from validation.protocol import filled
    from validation.usecases import SealTestSet, seal_test_set

    opened = house(home)
    text = filled(_text(name), lock=lock, use=use, endpoint=endpoint or None)
    sign(opened.desk, seal_test_set(opened.desk, Actor(person), SealTestSet(text, Path(data) if data else None)))


@app.command()
@told
def draft(
    name: TextArgument, person: AsOption, lock: LockOption = "", use: UseOption = 3, endpoint: EndpointOption = "",
    home: HomeOption = None,
) -> None:
    """Sign a protocol as its author; lock, use, endpoint and the digest of a sealed test set are filled in."""
    from core.policy.state import Actor
    from countersign.cli.signing import sign
    from validation import queries
    from validation.protocol import filled, read
    from validation.usecases import DraftProtocol, draft_protocol

    opened = house(home)
    text = _text(name)
    if lock:
        text = filled(text, lock=lock, use=use, endpoint=endpoint or None)
    plan = read(text)
    if plan.test_set is not None:
        with opened.desk.reading() as session:
            sealed = queries.test_set_row(session, plan.test_set.id)
        text = filled(text, lock=lock, test_set_digest=sealed["digest"])
    sign(opened.desk, draft_protocol(opened.desk, Actor(person), DraftProtocol(text)))


@app.command("sign")
@told
def sign_(protocol: ProtocolArgument, person: AsOption, version: VersionOption = 0, home: HomeOption = None) -> None:
    """Give the next signature under a protocol: review or approval, in the order that it asks for."""
    from core.policy.state import Actor
    from countersign.cli.signing import sign
    from validation.usecases import SignProtocol, sign_protocol

    opened = house(home)
    command = SignProtocol(protocol, _version(opened, protocol, version))
    sign(opened.desk, sign_protocol(opened.desk, Actor(person), command))


def _version(opened: Any, protocol: str, version: int) -> int:
    from validation.queries import protocol_row

    with opened.desk.reading() as session:
        return int(protocol_row(session, protocol, version or None)["version"])


@app.command("open")
@told
def open_(
    test_set: Annotated[str, typer.Argument(metavar="TEST-SET")], protocol: ProtocolArgument, person: AsOption,
    version: VersionOption = 0, home: HomeOption = None,
) -> None:
    """Open a test set for a protocol: first or second of two persons, whichever is missing."""
    from core.policy.state import Actor
    from countersign.cli.signing import sign
    from validation.usecases import OpenTestSet, open_test_set

    opened = house(home)
    command = OpenTestSet(test_set, protocol, _version(opened, protocol, version))
    sign(opened.desk, open_test_set(opened.desk, Actor(person), command))


@app.command()
@told
def installation(
    person: AsOption,
    protocols: Annotated[str, typer.Option(help="Ids, in order, separated by commas.")] =
    "IQ-INSTALLATION,OQ-INSTALLATION",
    network_wall: Annotated[str, typer.Option(help="Where the kernel gives no network namespace, what keeps this "
                                              "machine off the network: container_without_network or firewall.")] = "",
    evidence: Annotated[str, typer.Option(help="File that shows the stated network wall.")] = "",
    exploratory: ExploratoryOption = False, home: HomeOption = None, as_json: JsonOption = False,
) -> None:
    """Run the approved IQ and OQ of this installation. Ends with 1 where a verdict is not passed."""
    from core.policy.state import Actor
    from countersign.network_wall import StatedWall
    from countersign.qualification import checks_of, environment
    from validation.runner import Bench, RunProtocol, run_protocol

    stated = StatedWall.read(network_wall, evidence)
    opened = house(home)
    bench = Bench(environment(opened), checks_of(opened, person, stated), say=_say(as_json))
    outcomes = [run_protocol(opened.desk, Actor(person), RunProtocol(name.strip(), exploratory=exploratory), bench)
                for name in protocols.split(",")]
    _tell(outcomes, as_json=as_json)


@app.command()
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
    _tell([run_protocol(opened.desk, Actor(person), command, bench)], as_json=as_json)


def _say(as_json: bool) -> Any:
    return (lambda text: None) if as_json else typer.echo


def _tell(outcomes: list[Outcome], *, as_json: bool) -> None:
    from audit.vocabulary.registry import fields_of

    data = [
        {"run": one.run, "verdict": one.verdict, "evidence_class": one.evidence_class,
         "strata": [fields_of(part) for part in one.strata],
         "criteria": [fields_of(part) for part in one.criteria], "deviations": list(one.deviations),
         "report": fields_of(one.report) if one.report else None, "entry": one.seq, "waits_for": list(one.waits_for)}
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
    answer(data, as_json=as_json, words="\n".join(words))
    if any(one.verdict != "passed" for one in outcomes):
        raise typer.Exit(1)


@app.command()
@told
def observe(
    run: Annotated[str, typer.Argument(help="Id of a run with open manual steps.")],
    step: Annotated[str, typer.Argument(help="Id of the manual step.")], person: AsOption,
    found: Annotated[str, typer.Option(help="What you found.")],
    verdict: Annotated[str, typer.Option(help="passed, failed or not_executed.")],
    evidence: Annotated[str, typer.Option(help="File that shows it; needed for passed.")] = "",
    altered: Annotated[str, typer.Option(help="What was done otherwise than signed, and why.")] = "",
    home: HomeOption = None,
) -> None:
    """Sign what you found at a manual step. The verdict of the run follows its last step."""
    import mimetypes
    from pathlib import Path

    from core.outbox import drain
    from core.policy.state import Actor
    from countersign.cli.signing import sign
    from validation.observing import ObserveStep, observe_step
    from validation.queries import run_row

    opened = house(home)
    media = mimetypes.guess_type(evidence)[0] or "application/octet-stream"
    command = ObserveStep(run, step, found, verdict, Path(evidence).read_bytes() if evidence else None, media,
                          altered or None)
    sign(opened.desk, observe_step(opened.desk, Actor(person), command))
    drain(opened.desk)
    with opened.desk.reading() as session:
        row = run_row(session, run)
    typer.echo(f"{run}: {row['state']}, {(row['verdict'] or 'no verdict yet').replace('_', ' ')}")


@app.command()
@told
def review(
    run: Annotated[str, typer.Argument(help="Id of a concluded run.")], person: AsOption,
    conclusion: Annotated[str, typer.Option(help="What follows from the report.")], home: HomeOption = None,
) -> None:
    """Sign the report of a run as its reviewer; not by the person who ran it."""
    from core.policy.state import Actor
    from countersign.cli.signing import sign
    from validation.releases import ReviewRun, review_run

    opened = house(home)
    sign(opened.desk, review_run(opened.desk, Actor(person), ReviewRun(run, conclusion)))


@app.command()
@told
def deviate(
    deviation: Annotated[str, typer.Argument(help="Id of the new deviation.")], person: AsOption,
    klass: Annotated[str, typer.Option("--class", help="critical, major or minor.")],
    about: Annotated[str, typer.Option(help="What it is about: a run, a procedure, a place.")],
    says: Annotated[str, typer.Option(help="What was not as signed; no subject's data.")],
    source: Annotated[str, typer.Option(help="Where it was noticed, such as validation or operation.")] = "operation",
    trial: Annotated[str, typer.Option(help="Trial that it touches.")] = "", lock: LockOption = "",
    home: HomeOption = None,
) -> None:
    """Report a deviation. A critical one suspends the gates of its trial or lock at once."""
    from core.policy.state import Actor
    from countersign.cli.signing import sign
    from validation.releases import OpenDeviation, open_deviation

    opened = house(home)
    command = OpenDeviation(deviation, klass, source, about, says, trial or None, lock or None)
    sign(opened.desk, open_deviation(opened.desk, Actor(person), command))


@app.command()
@told
def close(
    deviation: Annotated[str, typer.Argument(help="Id of a deviation.")], person: AsOption,
    cause: Annotated[str, typer.Option(help="Why it happened.")],
    impact: Annotated[str, typer.Option(help="What it touches.")],
    action: Annotated[str, typer.Option(help="What was done.")],
    conclusion: Annotated[str, typer.Option(help="What follows.")],
    retest: Annotated[str, typer.Option(help="RUN/STEP that passed after the failed step, or 'none: ' and why.")] = "",
    home: HomeOption = None,
) -> None:
    """Close a deviation; not by the person in whose run it arose."""
    from core.policy.state import Actor
    from countersign.cli.signing import sign
    from validation.releases import CloseDeviation, close_deviation

    opened = house(home)
    command = CloseDeviation(deviation, cause, impact, action, conclusion, retest or None)
    sign(opened.desk, close_deviation(opened.desk, Actor(person), command))


@app.command()
@told
def suspect(
    run: Annotated[str, typer.Argument(help="Id of a run.")], person: AsOption,
    cause: Annotated[str, typer.Option(help="Change, drift or incident.")],
    scope: Annotated[str, typer.Option(help="What is to be done again: IQ, OQ, PQ.")], home: HomeOption = None,
) -> None:
    """Set what a run showed suspect: it counts no more until it is shown again."""
    from core.policy.state import Actor
    from countersign.cli.signing import sign
    from validation.releases import MarkSuspect, mark_suspect

    opened = house(home)
    sign(opened.desk, mark_suspect(opened.desk, Actor(person), MarkSuspect(run, cause, scope)))


@app.command()
@told
def release(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Runs that it rests on: IQ and OQ at least.")],
    person: AsOption, conclusion: Annotated[str, typer.Option(help="What is released for what.")],
    lock: LockOption = "",
    tests: Annotated[str, typer.Option(help="File that `make evidence` wrote on this very software.")] = "",
    demonstration: Annotated[bool, typer.Option(
        "--demonstration", help="For demonstrations alone: no gate of a clinical trial accepts it.")] = False,
    home: HomeOption = None,
) -> None:
    """QA's release of this installation, or of a lock. Refused while a requirement of high risk is not shown."""
    from pathlib import Path

    from core.policy.state import Actor
    from countersign.cli.signing import sign
    from validation.releases import SignRelease, sign_release

    opened = house(home)
    command = SignRelease(tuple(runs), conclusion, lock or None, Path(tests).read_bytes() if tests else None,
                          demonstration)
    sign(opened.desk, sign_release(opened.desk, Actor(person), command))


@app.command()
@told
def report(
    run: Annotated[str, typer.Argument(help="Id of a concluded run.")],
    pdf: Annotated[str, typer.Option(help="Write it here as a PDF, with the matrices.")] = "",
    tests: Annotated[str, typer.Option(help="With --pdf: evidence of this software's tests, counted there.")] = "",
    home: HomeOption = None,
) -> None:
    """The report of a run as the runner wrote it, JSON, digest checked; or told as a PDF."""
    from core.errors import NotFound
    from core.projection import from_reference
    from validation.queries import run_row

    opened = house(home)
    with opened.desk.reading() as session:
        row = run_row(session, run)
    if row["report"] is None:
        raise NotFound(f"{run} was not concluded; it has no report.", next_step="Run the protocol again.")
    content = opened.desk.objects.get(from_reference(row["report"]))
    if pdf:
        _print(opened, row, content, pdf, tests)
    else:
        typer.echo(content.decode("utf-8"))


def _print(opened: Any, row: Any, content: bytes, pdf: str, tests: str) -> None:
    from pathlib import Path

    from core.policy.matrix import printed_matrix
    from core.work import release
    from reports.validation_paper import ValidationReport, write_validation
    from validation import traceability
    from validation.queries import counting_steps, deviations_of

    shown = traceability.evidence_for_release(Path(tests).read_bytes(), release()) if tests else {}
    with opened.desk.reading() as session:
        matrix = traceability.traced(shown, counting_steps(session, with_evidence=True))
        found = deviations_of(session, row["run"])
    write_validation(ValidationReport(
        content, dict(row), [dict(one) for one in found], matrix, traceability.as_csv(matrix), printed_matrix(),
        bool(tests)), Path(pdf))
    typer.echo(f"{row['run']} is told in {pdf}.")


@app.command()
@told
def trace(
    evidence: Annotated[str, typer.Option(help="File that `pytest --evidence=FILE` wrote.")] = "",
    out: Annotated[str, typer.Option(help="Write the whole matrix here, CSV.")] = "",
    home: HomeOption = None,
) -> None:
    """Requirement to test to recorded step. Ends with 1 where something fails or a high risk is not shown."""
    from pathlib import Path

    from validation import traceability
    from validation.queries import counting_steps

    steps: list[tuple[str, str, list[str]]] = []
    if home is not None:
        with house(home).desk.reading() as session:
            steps = counting_steps(session)
    matrix = traceability.traced(traceability.read_evidence(Path(evidence)) if evidence else {}, steps)
    if out:
        Path(out).write_text(traceability.as_csv(matrix), encoding="utf-8")
    typer.echo(traceability.in_words(matrix))
    if traceability.gaps(matrix):
        raise typer.Exit(1)


@app.command()
@told
def matrix(
    out: Annotated[str, typer.Option(help="Write it here, CSV; to the console where not given.")] = "",
) -> None:
    """The policy table asked about every action, role, stage, phase and relation: who may act when, by which rows."""
    from pathlib import Path

    from core.policy.matrix import printed_matrix

    text = printed_matrix()
    if not out:
        typer.echo(text, nl=False)
        return
    Path(out).write_text(text, encoding="utf-8")
    typer.echo(f"{len(text.splitlines()) - 1} lines in {out}.")
