"""`countersign role` and `countersign key`: who may do what, and with which key."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from countersign.cli.common import HomeOption, JsonOption, answer, house, told
from countersign.cli.signing import AsOption, BecauseOption, new_password, proof_of, show_token, sign

role_app = typer.Typer(no_args_is_help=True, help="Roles: grant, revoke, delegate, delegation log, review, list.")
key_app = typer.Typer(no_args_is_help=True, help="Personal and house keys: list, renew a password, rotate, revoke.")

TrialOption = Annotated[str | None, typer.Option("--trial", help="The trial; left out for the whole installation.")]
SiteOption = Annotated[str | None, typer.Option("--site", help="One site of the trial.")]
DAY = "YYYY-MM-DD"


@role_app.command("grant")
@told
def grant(
    user: str, role: str, acting: AsOption, because: BecauseOption = "needed for the work",
    trial: TrialOption = None, site: SiteOption = None, home: HomeOption = None,
) -> None:
    """Grant a role; by a trial lead, imaging lead or investigator this delegates its tasks too."""
    from core.access.usecases import GrantRole, grant_role
    from core.policy.state import Actor

    opened = house(home)
    sign(opened.desk, grant_role(opened.desk, Actor(acting), GrantRole(user, role, because, trial, site)))


@role_app.command("revoke")
@told
def revoke(
    user: str, role: str, acting: AsOption, because: BecauseOption,
    trial: TrialOption = None, site: SiteOption = None, home: HomeOption = None,
) -> None:
    """Take a role; it ends at once."""
    from core.access.usecases import GrantRole, revoke_role
    from core.policy.state import Actor

    opened = house(home)
    sign(opened.desk, revoke_role(opened.desk, Actor(acting), GrantRole(user, role, because, trial, site)))


@role_app.command("delegate")
@told
def delegate(
    user: str, role: str, acting: AsOption, trial: Annotated[str, typer.Option("--trial")],
    from_on: Annotated[str | None, typer.Option("--from", metavar=DAY, help="First day; today if left out.")] = None,
    until_on: Annotated[str | None, typer.Option("--until", metavar=DAY, help="Last day.")] = None,
    site: SiteOption = None, home: HomeOption = None,
) -> None:
    """Delegate the tasks of a role that the person holds: a line of the delegation log."""
    from core.access.usecases import DelegateTasks, delegate_tasks
    from core.clock import in_words
    from core.policy.state import Actor

    opened = house(home)
    first = _day(from_on) or in_words(opened.desk.clock.now())[:10]
    command = DelegateTasks(user, role, trial, first, _day(until_on), site)
    sign(opened.desk, delegate_tasks(opened.desk, Actor(acting), command))


def _day(text: str | None) -> str | None:
    from datetime import date

    from core.errors import UnusableInput

    if text is None:
        return None
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise UnusableInput(f"`{text}` is no day; one looks like 2026-11-24.") from error


@role_app.command("undelegate")
@told
def undelegate(
    user: str, role: str, acting: AsOption, because: BecauseOption, trial: Annotated[str, typer.Option("--trial")],
    site: SiteOption = None, home: HomeOption = None,
) -> None:
    """Take the tasks of a role back; the role stays."""
    from core.access.usecases import GrantRole, end_delegation
    from core.policy.state import Actor

    opened = house(home)
    sign(opened.desk, end_delegation(opened.desk, Actor(acting), GrantRole(user, role, because, trial, site)))


@role_app.command("delegations")
@told
def delegations(
    trial: Annotated[str, typer.Option("--trial", help="The trial whose log it is.")],
    home: HomeOption = None, as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Comma-separated, one line of the log a line.")] = False,
) -> None:
    """The delegation log of a trial: who delegated what to whom, from when, until when, in which entry."""
    import sys

    from core.access.delegation_log import COLUMNS, delegation_log
    from core.clock import in_words
    from core.ledger_rows import write_csv

    opened = house(home)
    today = in_words(opened.desk.clock.now())[:10]
    with opened.desk.reading() as session:
        lines = delegation_log(session, trial)
    if as_csv:
        write_csv((asdict(one) for one in lines), sys.stdout, COLUMNS)
        return
    words = [
        f"{one.user:<20} {one.role}" + (f", site {one.site}" if one.site else "")
        + f": from {one.from_on} until {one.until_on or 'it is ended'}; signed by {one.signed_by} ({one.signed_as}), "
        f"entry {one.entry}" + (", with the grant" if one.how == "grant" else "")
        + (f"; ended {one.ended_at} by {one.ended_by}, entry {one.ended_entry}: {one.because}"
           if one.ended_entry is not None else "; in force" if one.in_force(today) else "; not in force today")
        for one in lines
    ]
    answer([asdict(one) | {"in_force": one.in_force(today)} for one in lines], as_json=as_json,
           words="\n".join(words) or f"Nobody delegated anything in {trial}. The signed charter delegates its trial "
           "lead and investigators.")


@role_app.command("review")
@told
def review(
    acting: AsOption, conclusion: Annotated[str, typer.Option(help="What the review found.")],
    end: Annotated[list[str] | None, typer.Option(help="USER:ROLE[:TRIAL[:SITE]] to be ended; repeat it.")] = None,
    next_by: Annotated[str | None, typer.Option(
        "--next-by", metavar=DAY, help="Day the next review is due; six months from today if left out.")] = None,
    home: HomeOption = None,
) -> None:
    """Sign the periodic review of every grant; then revoke what is to end."""
    from core.access.roles import Grant
    from core.access.usecases import review_access
    from core.errors import UnusableInput
    from core.policy.state import Actor

    ending = set()
    for text in end or []:
        parts = text.split(":")
        if not 2 <= len(parts) <= 4:
            raise UnusableInput(f"`{text}` is not USER:ROLE[:TRIAL[:SITE]].")
        ending.add((parts[0], Grant(*parts[1:])))
    opened = house(home)
    sign(opened.desk, review_access(
        opened.desk, Actor(acting), conclusion, to_end=frozenset(ending), next_by=next_by))


@role_app.command("list")
@told
def list_roles(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Every role: what it does, where and by whom it is granted, and who holds it."""
    from core.access.queries import everybody, grants_of
    from core.access.roles import CATALOGUE

    with house(home).desk.reading() as session:
        held = [(one.user, each) for one in everybody(session) for each in grants_of(session, one.user)]
    data = [
        asdict(role) | {"held_by": [
            {"user": user, "trial": each.trial, "site": each.site} for user, each in held if each.role == role.name
        ]}
        for role in CATALOGUE
    ]
    lines = []
    for row in data:
        lines.append(f"{row['name']:<24} {row['description']}")
        lines.append(f"{'':<24} for {row['scope']}; granted by {', '.join(row['granted_by'])}"
                     + ("" if row["trained"] else "; no training, no delegation"))
        lines += [
            f"{'':<24} held by {one['user']}" + (f" in {one['trial']}" if one["trial"] else "")
            + (f", site {one['site']}" if one["site"] else "") for one in row["held_by"]
        ]
    answer(data, as_json=as_json, words="\n".join(lines))


@key_app.command("list")
@told
def list_keys(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Every key of the record: class, holder, since when, and whether it was revoked."""
    from sqlalchemy import select

    from core.persons import keys

    with house(home).desk.reading() as session:
        rows = [dict(row) for row in session.execute(select(keys).order_by(keys.c.entry)).mappings()]
    lines = [
        f"{row['kid'][:16]}…  {row['klass']:<8} {row['holder']:<20} since entry {row['entry']}"
        + (f", {row['algorithm']}" if row["algorithm"] != "ed25519" else "")
        + (f", ended by entry {row['revoked_by']}" if row["revoked_by"] is not None else "")
        + (f", suspect from entry {row['suspect_from']} on" if row["suspect_from"] is not None else "")
        for row in rows
    ]
    answer(rows, as_json=as_json, words="\n".join(lines))


@key_app.command("authority")
@told
def authority(home: HomeOption = None) -> None:
    """Print the certificate (PEM) under which the PDF and DICOM signatures of all persons stand, for other readers."""
    typer.echo(house(home).desk.signer.certificate_of_authority().rstrip("\n"))


@key_app.command("passkeys")
@told
def list_passkeys(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Every passkey of the record: whose, for which pages, since when, and whether it ended."""
    from core.passkeys import all_passkeys

    with house(home).desk.reading() as session:
        passkeys = all_passkeys(session)
    lines = [
        f"entry {one.entry:<6} {one.algorithm:<8} {one.holder:<20} {one.label}, for {one.rp}"
        + (", synced" if one.synced else "") + (", signs alone" if one.alone else "")
        + (f", ended by entry {one.ended_by}" if one.ended_by is not None else "")
        for one in passkeys
    ]
    answer([asdict(one) for one in passkeys], as_json=as_json, words="\n".join(lines) or "No passkey is enrolled.")


@key_app.command("revoke-passkey")
@told
def revoke_passkey_of(
    entry: Annotated[int, typer.Argument(help="The entry that enrolled it; `key passkeys` shows it.")],
    acting: AsOption, because: BecauseOption, home: HomeOption = None,
) -> None:
    """Revoke a passkey at once: your own, or as owner or QA one that somebody lost."""
    from core.access.passkeys import revoke_passkey
    from core.policy.state import Actor

    opened = house(home)
    sign(opened.desk, revoke_passkey(opened.desk, Actor(acting), entry, because))


@key_app.command("password")
@told
def password(acting: AsOption, home: HomeOption = None) -> None:
    """Renew your own signing password: the old one, a code, and the new one."""
    from core.access.recovery import renew_password
    from core.policy.state import Actor

    opened = house(home)
    receipt = renew_password(opened.desk, Actor(acting), proof_of(acting), new_password(acting))
    typer.echo(f"Renewed. Entry {receipt.seq}, {receipt.action}.")


@key_app.command("rotate")
@told
def rotate(
    acting: AsOption,
    one_time: Annotated[
        str | None, typer.Option("--new-second-factor", help="Make a new one too: `time` or `counter`.")] = None,
    home: HomeOption = None,
) -> None:
    """Replace your own key: the old one signs it, a new one takes its place under the password you choose now."""
    from core.access.rotation import RotateKey, rotate_key
    from core.policy.state import Actor

    opened = house(home)
    rotation = rotate_key(opened.desk, Actor(acting), RotateKey(new_password(acting), one_time))
    sign(opened.desk, rotation.proposal)
    opened.desk.signer.discard_replaced("person", acting)
    if rotation.key.one_time_secret:
        show_token(acting, rotation.key.one_time_secret, rotation.key.one_time_kind, opened.settings.origin)
    typer.echo(f"The new key signs from now on: {rotation.key.kid}")


@key_app.command("rotate-service")
@told
def rotate_service(
    holder: Annotated[str, typer.Argument(help="The service, as `key list` names it.")],
    acting: AsOption, because: BecauseOption, home: HomeOption = None,
) -> None:
    """Replace the key of a service: owner and QA sign, each with this command; the second signature does it."""
    _rotate_house_key(holder, acting, because, home)


@key_app.command("rotate-log")
@told
def rotate_log(acting: AsOption, because: BecauseOption, home: HomeOption = None) -> None:
    """Replace the log key, which signs the checkpoints: owner and QA sign, each with this command."""
    _rotate_house_key("log", acting, because, home)
    typer.echo("A witness needs the new public key as a further --log-key: countersign key list --json")


@key_app.command("rotate-root")
@told
def rotate_root(acting: AsOption, because: BecauseOption, home: HomeOption = None) -> None:
    """Replace the root key, which founded the record and continues it after a loss: owner and QA sign, each with this
    command. Trust cards stay as they are: the record leads from the first root key to the new one."""
    _rotate_house_key("root", acting, because, home)


def _rotate_house_key(holder: str, acting: str, because: str, home: str | None) -> None:
    from core.access.rotation import rotate_house_key
    from core.policy.state import Actor

    opened = house(home)
    proposal = rotate_house_key(opened.desk, Actor(acting), holder, because)
    sign(opened.desk, proposal)
    if proposal.then is None:
        typer.echo("Nothing is replaced yet. The other of owner and QA gives the second signature with this command.")
        return
    opened.desk.signer.discard_replaced(holder if holder in ("log", "root") else "service", holder)
    typer.echo(f"The key of {holder} is replaced; the old one signs nothing more.")


@key_app.command("revoke")
@told
def revoke_key_of(
    named: Annotated[str, typer.Argument(metavar="USER|KID", help="A person, or the beginning of a key id.")],
    acting: AsOption, because: BecauseOption,
    suspect_from: Annotated[int | None, typer.Option(help="Entries from this number on are suspect.")] = None,
    home: HomeOption = None,
) -> None:
    """Revoke a key at once: your own, or as owner or QA somebody's. A replaced key can be named as suspect."""
    from core.access.usecases import revoke_key
    from core.policy.state import Actor

    opened = house(home)
    sign(opened.desk, revoke_key(opened.desk, Actor(acting), named, because, suspect_from=suspect_from))
