"""Signing at the command line: everything is shown, the meaning is typed, password and code are asked for each time.

At a terminal the person answers prompts. A script gives the answers as lines on standard input, in the order asked,
or in the environment: COUNTERSIGN_MEANING, COUNTERSIGN_PASSWORD, COUNTERSIGN_CODE, and for one person among several
COUNTERSIGN_PASSWORD_READER_1, COUNTERSIGN_CODE_READER_1. Whatever is missing or differs, nothing is signed.
"""

from __future__ import annotations

import getpass
import os
import sys
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from audit.ledger import Receipt
    from audit.signatures import Proof
    from core.work import Desk, Proposal, View

AsOption = Annotated[
    str, typer.Option("--as", envvar="COUNTERSIGN_USER", help="User id of the person who acts and signs.")
]
BecauseOption = Annotated[str, typer.Option("--because", help="Why; part of the record.")]
WIDTH = 100


def sign(desk: Desk, proposal: Proposal, *, aside: bool = False) -> Receipt:
    """Show the page, ask its signer for meaning, password and code, commit, and show the receipt.

    aside: show it on the error stream, where the answer of the command is for a machine.

    Raises:
        UnusableInput: an answer is missing, or another meaning was typed; nothing is signed.
        NotAuthenticated, Stale, Refused: as `Desk.commit` says.
    """
    show(proposal, aside=aside)
    meanings = tuple(dict.fromkeys(draft.meaning for draft in proposal.drafts))
    ask_meaning(" and ".join(meanings))
    receipt = desk.commit(proposal, proof_of(proposal.actor.user))
    typer.echo(f"Signed. Entry {receipt.seq}, {receipt.action}, id {receipt.id}, covered by a checkpoint.",
               err=aside)
    return receipt


def show(proposal: Proposal, *, aside: bool = False) -> None:
    """Every value that is to be signed, and who signs."""
    for view in proposal.views:
        typer.echo(page(view), err=aside)
    manifest = proposal.bodies[0]["manifest"]
    at = proposal.occasion.at[:19].replace("T", " ")
    name, offset = manifest["printed_name"], manifest["local_offset"]
    typer.echo(f"Signer: {name} ({proposal.actor.user}), {at} UTC, local time UTC{offset}", err=aside)


def page(view: View) -> str:
    """A view as text: one value a line, longer ones beneath their label."""
    lines = [view.title, "=" * len(view.title)]
    label_width = min(max((len(label) for label, _ in view.lines), default=0), 48)
    for label, value in view.lines:
        if "\n" in value or len(value) > WIDTH - label_width:
            lines.append(f"{label}:")
            for paragraph in value.split("\n"):
                lines += textwrap.wrap(paragraph, WIDTH - 4, initial_indent="    ", subsequent_indent="    ") or [""]
        else:
            lines.append(f"{label.ljust(label_width)}  {value}")
    return "\n".join(lines) + "\n"


def ask_meaning(expected: str) -> None:
    """The person types what the signature means. Raises UnusableInput where it is another meaning."""
    from core.errors import UnusableInput

    given = answer(f"Meaning of your signature, typed out ({expected})", ("COUNTERSIGN_MEANING",))
    if " ".join(given.casefold().split()) != expected:
        raise UnusableInput(
            f"The signature would mean {expected}; `{given}` was typed.", next_step="Nothing was signed."
        )


def proof_of(user: str) -> Proof:
    """Signing password and one-time code of a person, asked for and kept nowhere."""
    from audit.signatures import Proof

    own = user.upper().replace("-", "_")
    password, code = (
        answer(f"{what} of {user}", (f"COUNTERSIGN_{name}_{own}", f"COUNTERSIGN_{name}"), hidden=True)
        for what, name in (("Signing password", "PASSWORD"), ("One-time code", "CODE"))
    )
    return Proof(password, code)


def new_password(user: str) -> str:
    """A signing password of the person's own choice, typed twice at a terminal."""
    from core.errors import UnusableInput

    own = f"COUNTERSIGN_NEW_PASSWORD_{user.upper().replace('-', '_')}"
    first = answer(f"New signing password of {user}", (own, "COUNTERSIGN_NEW_PASSWORD"), hidden=True)
    typed = sys.stdin.isatty() and not {own, "COUNTERSIGN_NEW_PASSWORD"} & set(os.environ)
    if typed and getpass.getpass("The same once more: ") != first:
        raise UnusableInput("The two passwords differ.", next_step="Nothing was made; try again.")
    return first


def answer(question: str, variables: tuple[str, ...], *, hidden: bool = False) -> str:
    """An answer from the environment, the terminal or the next line of standard input. Raises UnusableInput."""
    from core.errors import UnusableInput

    for name in variables:
        if name in os.environ:
            return os.environ[name]
    if sys.stdin.isatty():
        return getpass.getpass(f"{question}: ") if hidden else str(typer.prompt(question))
    line = sys.stdin.readline()
    if not line:
        raise UnusableInput(
            f"{question}: no answer.",
            next_step=f"Nothing was signed. Answer at a terminal, as a line of input, or in {variables[0]}.",
        )
    return line.rstrip("\r\n")


def show_token(user: str, secret: str, kind: str, origin: str) -> None:
    """The secret of the second factor, once, for its holder's eyes."""
    from urllib.parse import quote

    path = "totp" if kind == "time" else "hotp"
    counter = "" if kind == "time" else "&counter=0"
    label = quote(f"{origin}:{user}")
    typer.echo(f"Second factor of {user}, shown once, for {user} alone:")
    typer.echo(f"    secret {secret}")
    typer.echo(f"    otpauth://{path}/{label}?secret={secret}&issuer={quote(origin)}{counter}")


def show_share(user: str, share: str) -> None:
    """One share of the recovery key of the seals, once, for its holder's eyes."""
    typer.echo(f"Share of the seals' recovery key of {user}, shown once, for {user} alone; keep it on paper:")
    typer.echo(f"    {share}")
