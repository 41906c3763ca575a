"""`countersign validate`: protocols, test sets, runs, deviations and releases."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from countersign.cli import validate_runs
from countersign.cli.common import HomeOption, JsonOption, answer, house, told
from countersign.cli.signing import AsOption
from countersign.cli.validate_runs import DataOption, ProtocolArgument, VersionOption

app = typer.Typer(no_args_is_help=True, help="Validation of this installation and of model versions.")
APPS = {"validate": app}
validate_runs.register(app)

TextArgument = Annotated[str, typer.Argument(metavar="NAME|FILE", help="A shipped protocol, or a YAML file.")]
LockOption = Annotated[str, typer.Option("--lock", help="Lock that the protocol is about.")]
UseOption = Annotated[int, typer.Option("--use", help="1 qc, 2 cohort, 3 secondary, 4 primary.")]
EndpointOption = Annotated[str, typer.Option("--endpoint", help="Endpoint id, for uses 3 and 4.")]


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
