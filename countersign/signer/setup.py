"""Settings of a signer in its own process: signer.toml in its own folder, which the house cannot read."""

from __future__ import annotations

import os
import pwd
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from core.clock import Clock, SystemClock
from core.errors import AlreadyDone, UnusableInput
from countersign import database
from countersign.settings import relying_party_of
from countersign.signer.guard import Guard
from countersign.signer.journal import Journal
from countersign.signer.keyfiles import PasswordCost, write_durably
from countersign.signer.local import LocalSigner
from countersign.signer.memory import HeadMemory
from countersign.signer.served import Office, SignerServer

FILE = "signer.toml"
KNOWN = {
    "origin", "database_url", "socket", "allow", "seal_backup", "password_memory_kib", "password_passes",
    "password_lanes", "passkey_origin",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SignerSettings:
    """`allow`: ids of the users of this machine who may ask, that of the house and nobody else's."""

    folder: Path
    origin: str
    database_url: str
    socket: Path
    allow: tuple[int, ...]
    seal_backup: str | None = None
    cost: PasswordCost = field(default_factory=PasswordCost)
    passkey_origin: str | None = None

    @property
    def copies(self) -> Path:
        return Path(self.seal_backup) if self.seal_backup else self.folder / "seal-backup"


def write_setup(settings: SignerSettings) -> None:
    """Write the file of a new signer. Raises AlreadyDone where there is one, UnusableInput for no database address."""
    path = settings.folder / FILE
    if not settings.database_url.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://")):
        raise UnusableInput(
            f"`{settings.database_url}` is no address of a database.",
            next_step="Give sqlite:////FOLDER-OF-THE-HOME/ledger.db, or postgresql://USER@HOST/NAME.")
    if path.exists():
        raise AlreadyDone(f"{path} is there already.", next_step="Change it by hand, then start the signer again.")
    lines = [
        f'origin = "{settings.origin}"', f'database_url = "{settings.database_url}"', f'socket = "{settings.socket}"',
        f"allow = [{', '.join(str(uid) for uid in settings.allow)}]",
        f"password_memory_kib = {settings.cost.memory_kib}", f"password_passes = {settings.cost.passes}",
        f"password_lanes = {settings.cost.lanes}",
    ]  # fmt: skip
    if settings.seal_backup:
        lines.append(f'seal_backup = "{settings.seal_backup}"')
    if settings.passkey_origin:
        lines.append(f'passkey_origin = "{settings.passkey_origin}"')
    write_durably(path, ("\n".join(lines) + "\n").encode())


def read_setup(folder: Path) -> SignerSettings:
    """The settings of a signer's folder. Raises UnusableInput."""
    path = folder / FILE
    if not path.exists():
        raise UnusableInput(f"{folder} is no folder of a signer.", next_step="Make one: `countersign signer init`.")
    try:
        given = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise UnusableInput(f"{path} is not TOML: {error}.", next_step="Correct the file.") from error
    if set(given) - KNOWN or not {"origin", "database_url", "socket", "allow"} <= set(given):
        raise UnusableInput(f"{path} has other settings than {sorted(KNOWN)}.", next_step="Correct the file.")
    default = PasswordCost()
    cost = PasswordCost(
        int(given.get("password_memory_kib", default.memory_kib)), int(given.get("password_passes", default.passes)),
        int(given.get("password_lanes", default.lanes)),
    )
    return SignerSettings(
        folder, str(given["origin"]), str(given["database_url"]), Path(given["socket"]),
        tuple(int(uid) for uid in given["allow"]), given.get("seal_backup"), cost,
        given.get("passkey_origin"),
    )  # fmt: skip


def become(user: str) -> None:
    """Give root's rights up for those of a user, by name or number. Raises UnusableInput."""
    try:
        entry = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except KeyError as error:
        raise UnusableInput(f"This machine has no user {user}.", next_step="Make one for the signer alone.") from error
    try:
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    except PermissionError as error:
        raise UnusableInput("Only root may start the signer as another user.", next_step="Leave --user out.") from error


def open_signer(
    settings: SignerSettings, clock: Clock | None = None, *, user: str = ""
) -> tuple[SignerServer, LocalSigner, Journal]:
    """The server on its socket, ready to serve; the database is only read. `user`: whom root becomes before it
    touches any key."""
    os.umask(0o077)
    engine = database.connect_to_read(settings.database_url)
    if settings.passkey_origin:
        import countersign.signer.webauthn  # noqa: F401  read before root's rights are given up
    if user:
        become(user)
    memory = HeadMemory(settings.folder / "head")
    signer = LocalSigner(
        settings.folder / "keys", engine, settings.origin, clock or SystemClock(), settings.cost,
        seal_backup=settings.copies, memory=memory,
        party=relying_party_of(settings.passkey_origin) if settings.passkey_origin else None,
    )
    journal = Journal(settings.folder / "signed")
    office = Office(signer, Guard(signer.origin_after, engine), journal)
    return SignerServer(settings.socket, office, frozenset(settings.allow)), signer, journal
