"""`countersign bridge`: a model that changes in the middle of a trial."""

from __future__ import annotations

from typing import Annotated

import typer

from countersign.cli.common import HomeOption, JsonOption, answer, house, told
from countersign.cli.signing import AsOption

app = typer.Typer(no_args_is_help=True, help="A model that changes mid-trial: plan, sign, judge, list.")
APPS = {"bridge": app}

PlanArgument = Annotated[str, typer.Argument(metavar="PLAN", help="Plan id, such as DEMO-301-B1.")]


@app.command()
@told
def plan(
    trial: Annotated[str, typer.Argument(help="Trial.")],
    endpoint: Annotated[str, typer.Option(help="Endpoint whose lock changes.")],
    from_lock: Annotated[str, typer.Option("--from", help="Lock so far.")],
    to_lock: Annotated[str, typer.Option("--to", help="Lock that follows; it runs in shadow until its gate opens.")],
    strategy: Annotated[str, typer.Option(help="new_subjects or recompute.")],
    because: Annotated[str, typer.Option(help="Why the model changes.")],
    person: AsOption,
    use: Annotated[str, typer.Option(help="secondary or primary.")] = "secondary",
    home: HomeOption = None,
) -> None:
    """The statistician plans how a lock follows another; validation lead and QA sign after."""
    from core.drift.bridging import PlanBridging, plan_bridging
    from core.policy.state import Actor
    from countersign.cli.signing import sign

    opened = house(home)
    command = PlanBridging(trial, use, endpoint, from_lock, to_lock, strategy, because)
    sign(opened.desk, plan_bridging(opened.desk, Actor(person), command))


@app.command("sign")
@told
def sign_plan(plan: PlanArgument, person: AsOption, home: HomeOption = None) -> None:
    """The validation lead's signature, then QA's, which puts the plan in force."""
    from core.drift.bridging import sign_bridging
    from core.policy.state import Actor
    from countersign.cli.signing import sign

    opened = house(home)
    sign(opened.desk, sign_bridging(opened.desk, Actor(person), plan))


@app.command()
@told
def judge(plan: PlanArgument, person: AsOption, home: HomeOption = None) -> None:
    """Compare both locks on the cases that both measured; of sealed runs the verdict alone is told."""
    from core.drift.bridging import judge_bridging
    from core.policy.state import Actor

    typer.echo(f"{plan}: {judge_bridging(house(home).desk, Actor(person), plan).says}.")


@app.command("list")
@told
def list_plans(
    trial: Annotated[str, typer.Argument(help="Trial.")], home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Plans of a trial, who signed them and what became of them."""
    from dataclasses import asdict

    from core.gates.bridging import plans_of

    with house(home).desk.reading() as session:
        rows = plans_of(session, trial)
    lines = [
        f"{one.plan}  {one.use} {one.endpoint}: {one.from_lock} to {one.to_lock}, {one.strategy}, planned by "
        f"{one.planned_by}, {'in force' if one.in_force else 'not signed by all'}, {one.verdict or 'not judged'}"
        for one in rows]
    answer([asdict(one) for one in rows], as_json=as_json, words="\n".join(lines) or "No model changed.")
