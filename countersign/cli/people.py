"""`countersign init` and `countersign user`: founding, and a person's way in."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from countersign.cli.common import HomeOption, JsonOption, answer, house, told
from countersign.cli.documents import sop_app
from countersign.cli.grants import key_app, role_app
from countersign.cli.signing import AsOption, BecauseOption, new_password, proof_of, show_share, show_token, sign
from countersign.cli.signing import answer as ask

if TYPE_CHECKING:
    from core.access.founding import Founder
    from countersign.house import House

init_app = typer.Typer(invoke_without_command=True)
user_app = typer.Typer(no_args_is_help=True, help="People: register, check, enrol, list.")
APPS = {"init": init_app, "user": user_app, "role": role_app, "key": key_app, "sop": sop_app}

OneTime = Annotated[str, typer.Option("--one-time", help="`time` (authenticator) or `counter` (token, scripts).")]


@init_app.callback(invoke_without_command=True)
@told
def init(
    home: HomeOption = None,
    origin: Annotated[str, typer.Option(help="Name of this record for ever: imaging.hospital.example/record.")] = "",
    owner: Annotated[str, typer.Option(help="User id of the system owner.")] = "owner",
    owner_name: Annotated[str, typer.Option(help="Printed name of the system owner.")] = "System owner",
    qa: Annotated[str, typer.Option(help="User id of quality assurance.")] = "qa",
    qa_name: Annotated[str, typer.Option(help="Printed name of quality assurance.")] = "Quality assurance",
    offset: Annotated[str, typer.Option(help="Local time of both, such as +01:00.")] = "+00:00",
    one_time: OneTime = "time",
    signer_socket: Annotated[str, typer.Option(help="Socket of a signer in its own process; else it is in here.")] = "",
    sign_as: Annotated[str, typer.Option("--sign", metavar="USER", help="Sign the founding as this founder.")] = "",
    open_as: Annotated[str, typer.Option("--open", metavar="USER", help="Sign the opening: owner, then QA.")] = "",
    status: Annotated[bool, typer.Option("--status", help="Say what is missing before the opening.")] = False,
) -> None:
    """Found an installation: keys of the house, its first two people, their signatures; later its opening."""
    from core.access.founding import Founder, check_founders, enrol_founders, found_installation, open_installation
    from core.reads.seal_keys import enrol_recovery_key

    if status:
        _tell_status(house(home))
        return
    if sign_as or open_as:
        from core.policy.state import Actor

        opened = house(home)
        act = found_installation if sign_as else open_installation
        sign(opened.desk, act(opened.desk, Actor(sign_as or open_as)))
        _tell_status(opened)
        return
    founders = (
        Founder(owner, owner_name, new_password(owner), offset, one_time),
        Founder(qa, qa_name, new_password(qa), offset, one_time),
    )
    check_founders(*founders)
    opened = _new_home(home, origin, signer_socket)
    for key in enrol_founders(opened.desk, *founders):
        show_token(key.holder, key.one_time_secret, key.one_time_kind, opened.settings.origin)
    for one, share in zip(founders, enrol_recovery_key(opened.desk, owner, qa), strict=True):
        show_share(one.user, share)
    typer.echo(f"{opened.home} is made. Its trust card and first entries are in the record; nothing is signed yet.")
    _sign_founding(opened, founders)


def _new_home(home: str | None, origin: str, signer_socket: str) -> House:
    import os
    import secrets

    from countersign.house import found_house
    from countersign.settings import DATABASE_VARIABLE, Settings, home_folder, sqlite_url

    folder = home_folder(home)
    name = origin or f"countersign.local/{secrets.token_hex(6)}"
    url = os.environ.get(DATABASE_VARIABLE) or sqlite_url(folder)
    return found_house(Settings(folder, name, url, signer_socket=signer_socket or None))


def _sign_founding(opened: House, founders: tuple[Founder, Founder]) -> None:
    import sys

    from core.access.founding import found_installation
    from core.policy.state import Actor

    if not sys.stdin.isatty():
        for one in founders:
            typer.echo(f"Next: countersign init --home {opened.home} --sign {one.user}")
        return
    for one in founders:
        sign(opened.desk, found_installation(opened.desk, Actor(one.user)))
    _tell_status(opened)


def _tell_status(opened: House) -> None:
    from core.access.queries import installation_state, what_opening_lacks
    from core.access.rules import Installation

    with opened.desk.reading() as session:
        state, gaps = installation_state(session), what_opening_lacks(session)
    if state is Installation.OPEN:
        typer.echo("The installation is open.")
        return
    typer.echo(f"The installation is {'founded, not yet open' if state else 'not founded'}.")
    for gap in gaps:
        typer.echo(f"  missing: {gap.what} By {gap.supplied_by}")
    if not gaps:
        typer.echo("  nothing is missing: owner, then QA: countersign init --open USER")


@user_app.command("add")
@told
def add(
    user: Annotated[str, typer.Argument(help="User id; never given to anybody else.")],
    acting: AsOption,
    name: Annotated[str, typer.Option(help="Printed name on signatures.")],
    how: Annotated[str, typer.Option(help="How you checked the identity: passport, identity_card, staff_badge, …")],
    offset: Annotated[str, typer.Option(help="Local time, such as +01:00.")] = "+00:00",
    home: HomeOption = None,
) -> None:
    """Register a person whose identity you checked; prints the one-time code to hand to them."""
    from core.access.enrolment import RegisterPerson, register_person
    from core.policy.state import Actor

    opened = house(home)
    command = RegisterPerson(user, name, how, offset)
    sign(opened.desk, register_person(opened.desk, Actor(acting), command))
    typer.echo(f"One-time code for {user}, valid for 72 hours: {command.code}")
    typer.echo(f"Next, together: countersign user enrol {user} --as {acting} --witness SECOND-PERSON")


@user_app.command("check")
@told
def check(
    user: str, acting: AsOption,
    how: Annotated[str, typer.Option(help="How you checked the identity.")], home: HomeOption = None,
) -> None:
    """Check an identity again and hand out a new one-time code."""
    from core.access.enrolment import check_identity, new_code
    from core.policy.state import Actor

    opened, code = house(home), new_code()
    sign(opened.desk, check_identity(opened.desk, Actor(acting), user, how, code))
    typer.echo(f"One-time code for {user}, valid for 72 hours: {code}")


@user_app.command("recover")
@told
def recover(
    user: str, acting: AsOption, because: BecauseOption,
    how: Annotated[str, typer.Option(help="How you checked the identity again.")], home: HomeOption = None,
) -> None:
    """Key, password or second factor was lost: revoke now, enrol a new key by two persons after 24 hours."""
    from core.access.recovery import BeginRecovery, begin_recovery
    from core.policy.state import Actor

    opened = house(home)
    command = BeginRecovery(user, because, how)
    sign(opened.desk, begin_recovery(opened.desk, Actor(acting), command))
    typer.echo(f"One-time code for {user}, valid from 24 to 96 hours from now: {command.code}")
    typer.echo(f"Tell {user} by another way. Then: countersign user enrol {user} --as {acting} --witness SECOND-PERSON")


@user_app.command("enrol")
@told
def enrol(
    user: str, acting: AsOption,
    witness: Annotated[str, typer.Option(help="The second person who proves the enrolment.")],
    one_time: OneTime = "time", home: HomeOption = None,
) -> None:
    """The holder gives code and a new password; the second person proves; the first signs. All three are here."""
    from core.access.enrolment import EnrolKey, enrol_key
    from core.policy.state import Actor

    opened = house(home)
    code = ask(f"Enrolment code of {user}", ("COUNTERSIGN_ENROLMENT_CODE",), hidden=True)
    command = EnrolKey(user, code, new_password(user), one_time)
    enrolment = enrol_key(
        opened.desk, Actor(acting), command, witness=Actor(witness), witness_proof=proof_of(witness)
    )
    sign(opened.desk, enrolment.proposal)
    show_token(user, enrolment.key.one_time_secret, one_time, opened.settings.origin)
    typer.echo(f"Next: countersign user state --as {user}")


@user_app.command("state")
@told
def state(acting: AsOption, home: HomeOption = None) -> None:
    """Sign your statement of accountability; nothing else can be signed before."""
    from core.access.enrolment import state_accountability
    from core.policy.state import Actor

    opened = house(home)
    sign(opened.desk, state_accountability(opened.desk, Actor(acting)))


@user_app.command("close")
@told
def close(user: str, because: BecauseOption, acting: AsOption, home: HomeOption = None) -> None:
    """Close an account and revoke its key; what the person signed stays theirs."""
    from core.access.usecases import close_account
    from core.policy.state import Actor

    opened = house(home)
    sign(opened.desk, close_account(opened.desk, Actor(acting), user, because))


@user_app.command("list")
@told
def list_people(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Everybody, with account state and roles."""
    from core.access.queries import everybody, grants_of
    from core.access.views import where

    with house(home).desk.reading() as session:
        rows = [(one, grants_of(session, one.user)) for one in everybody(session)]
    lines = [
        f"{one.user:<20} {one.account:<11} {one.printed_name:<36} "
        + ("; ".join(f"{grant.role} for {where(grant)}" for grant in held) or "no role")
        for one, held in rows
    ]
    data = [
        {"user": one.user, "printed_name": one.printed_name, "account": one.account, "entry": one.entry,
         "roles": [asdict(grant) for grant in held]}
        for one, held in rows
    ]
    answer(data, as_json=as_json, words="\n".join(lines) or "Nobody is registered.")


@user_app.command("show")
@told
def show_person(user: str, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """One person: account, key, roles, trainings, and what is missing for each role."""
    from core.access import queries
    from core.access.views import where
    from core.persons import active_kids

    with house(home).desk.reading() as session:
        person, held = queries.registered(session, user), queries.grants_of(session, user)
        day = queries.today(session)
        lacking = [
            gap for grant in held
            for gap in (*queries.training_gaps(session, user, grant.role),
                        *filter(None, [queries.delegation_gap(session, user, grant.role, grant.trial or None, day)]))
        ]
        trained, kids = queries.trained_on(session, user), sorted(active_kids(session, user))
    lacking = list(dict.fromkeys(lacking))
    words = [
        f"{person.printed_name} ({person.user}), {person.account}, local time UTC{person.local_offset}",
        f"identity checked by: {(person.identity or 'nobody').replace('_', ' ')}"
        + ("; enrolled by the root key at init" if person.key_at_init else ""),
        *(f"key: {kid}" for kid in kids),
        *(f"role: {grant.role} for {where(grant)}" for grant in held),
        *(f"trained: {sop} version {version}" for sop, version in sorted(trained)),
        *(f"missing: {gap.what} By {gap.supplied_by}" for gap in lacking),
        *([f"locked out until {person.locked_out_until}"] if person.locked_out_until else []),
    ]
    data = {
        "user": person.user, "printed_name": person.printed_name, "account": person.account, "keys": kids,
        "identity": person.identity, "enrolled_at_init": person.key_at_init,
        "roles": [asdict(grant) for grant in held], "locked_out_until": person.locked_out_until,
        "trained": [{"sop": sop, "version": version} for sop, version in sorted(trained)],
        "missing": [asdict(gap) for gap in lacking],
    }
    answer(data, as_json=as_json, words="\n".join(words))
