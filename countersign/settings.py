"""Every setting, typed, read once: from the home's countersign.toml and the environment."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from audit.signatures import RelyingParty
from core.errors import UnusableInput

FILE = "countersign.toml"
# Where the bytes of a model come from at each load: the house's own objects, or the tracking store by its hint. With
# the first no run asks the store anything.
MODELS_FROM = ("objects", "tracking")
HOME_VARIABLE, DATABASE_VARIABLE = "COUNTERSIGN_HOME", "COUNTERSIGN_DATABASE_URL"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where this installation lives and how it is set."""

    home: Path
    origin: str
    database_url: str
    password_memory_kib: int = 65_536
    password_passes: int = 3
    password_lanes: int = 4
    seal_backup: str | None = None
    signer_socket: str | None = None
    subject_keys: str | None = None
    subject_key_copies: str | None = None
    tracking_url: str | None = None
    models_from: str = "objects"
    passkey_origin: str | None = None

    @property
    def relying_party(self) -> RelyingParty | None:
        """For whose pages passkeys count; None where no address of pages is set."""
        return relying_party_of(self.passkey_origin) if self.passkey_origin else None

    @property
    def seal_backup_folder(self) -> Path:
        """Where copies of seal secrets go: beside the signer, unless `seal_backup` names a folder on another disk."""
        return Path(self.seal_backup) if self.seal_backup else self.home / "seal-backup"

    @property
    def subject_key_folders(self) -> tuple[Path, Path]:
        """Where the keys of subjects lie, and their copies: in the home unless set; copies best on another disk."""
        return (
            Path(self.subject_keys) if self.subject_keys else self.home / "subject-keys",
            Path(self.subject_key_copies) if self.subject_key_copies else self.home / "subject-key-copies",
        )

    @property
    def config_file(self) -> Path:
        return self.home / FILE


def home_folder(given: str | None = None) -> Path:
    """--home, else COUNTERSIGN_HOME, else ./countersign-home."""
    return Path(given or os.environ.get(HOME_VARIABLE) or "countersign-home").absolute()


def read_settings(home: Path) -> Settings:
    """The settings of an existing home. Raises UnusableInput where there is none or the file is broken."""
    path = home / FILE
    if not path.exists():
        raise UnusableInput(
            f"{home} is no home of Countersign.", next_step="Make one with `countersign init --home DIR`."
        )
    try:
        given = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        step = "Correct the file; nothing was changed."
        raise UnusableInput(f"{path} is not TOML: {error}.", next_step=step) from error
    known = {
        "origin", "database_url", "password_memory_kib", "password_passes", "password_lanes", "seal_backup",
        "signer_socket", "subject_keys", "subject_key_copies", "passkey_origin", "tracking_url", "models_from",
    }
    if unknown := set(given) - known:
        raise UnusableInput(f"{path} has unknown settings {sorted(unknown)}; known are {sorted(known)}.")
    if not isinstance(given.get("origin"), str):
        raise UnusableInput(f"{path} lacks `origin`.")
    if given.get("models_from", "objects") not in MODELS_FROM:
        raise UnusableInput(f"{path}: `models_from` is one of {', '.join(MODELS_FROM)}.")
    url = os.environ.get(DATABASE_VARIABLE) or given.pop("database_url", None) or sqlite_url(home)
    given.pop("database_url", None)
    return Settings(home=home, database_url=url, **given)


def write_settings(settings: Settings) -> None:
    """Write the file of a new home; the database's address is kept only where it is not the default."""
    lines = [f'origin = "{settings.origin}"']
    if settings.database_url.startswith("sqlite") and settings.database_url != sqlite_url(settings.home):
        lines.append(f'database_url = "{settings.database_url}"')
    for name in ("signer_socket", "seal_backup", "subject_keys", "subject_key_copies", "passkey_origin",
                 "tracking_url"):
        if getattr(settings, name):
            lines.append(f'{name} = "{getattr(settings, name)}"')
    if settings.models_from != "objects":
        lines.append(f'models_from = "{settings.models_from}"')
    for name in ("password_memory_kib", "password_passes", "password_lanes"):
        lines.append(f"{name} = {getattr(settings, name)}")
    settings.home.mkdir(parents=True, exist_ok=True)
    settings.config_file.write_text("\n".join(lines) + "\n")


def sqlite_url(home: Path) -> str:
    """The embedded default."""
    return f"sqlite:///{home / 'ledger.db'}"


def relying_party_of(origin: str) -> RelyingParty:
    """The relying party of pages at this address, its host being the id. Raises UnusableInput.

    Browsers make passkeys over TLS alone, and on `localhost` (W3C WebAuthn 5.1.3, secure contexts).
    """
    found = re.fullmatch(r"(https|http)://([a-z0-9]([a-z0-9.-]*[a-z0-9])?)(:[0-9]{1,5})?", origin)
    if found is None or (found[1] == "http" and found[2] != "localhost") or re.fullmatch(r"[0-9.]+", found[2]):
        raise UnusableInput(
            f"passkey_origin {origin!r} is no address that browsers make passkeys for.",
            next_step="Write it as people open it, without a path: https://trial.example.org or http://localhost:8080.")
    return RelyingParty(found[2], origin)
