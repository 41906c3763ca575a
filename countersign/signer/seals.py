"""Secrets of seals at rest, and the rules of their release: what is committed decides, never the asker (RECORD 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, select

from audit import store
from audit.entry import Entry, base64_text
from core.drift import inside
from core.errors import NotAuthenticated, NotFound, RecordDamaged, Refused
from core.reads.rules import supersedes
from core.reads.sealing import (
    IV_BYTES,
    KEY_BYTES,
    NONCE_BYTES,
    Sealed,
    SealSecret,
    disclose,
    enclose,
    new_secret,
    padded,
    seal,
)
from core.reads.sealing import commitment as commit_to
from countersign.signer.keyfiles import KeyFolder
from countersign.signer.seal_backup import SealBackup

AI_SLOT = "ai"
RECOVER = "Owner and QA bring their shares: `countersign seals recover --as OWNER`, then `--as QA`."
OPENERS = {"qa_auditor", "imaging_lead"}


class SealBox:
    """The sealing and releasing half of core.reads.ports.SealKeeper; recovery is in seal_recovery.py."""

    def __init__(self, keys: KeyFolder, engine: Engine, backup: SealBackup) -> None:
        self._keys = keys
        self._engine = engine
        self._backup = backup

    def seal(self, occasion: str, plaintext: bytes) -> Sealed:
        """Seal under a secret of its own; asked again for the same occasion it gives the same seal."""
        if self._keys.path("seal-occasion", occasion).exists():
            commit = str(self._keys.read("seal-occasion", occasion)["commit"])
            secret = self.secret(commit)
            if commit_to(secret.nonce, padded(plaintext)) != commit:
                # One key and vector never meet a second plaintext: the two would give each other away.
                raise Refused("What is to be sealed has changed since the page was opened.", rule="F-530")
            return seal(plaintext, secret)
        self._backup.in_force()
        secret = new_secret()
        sealed = seal(plaintext, secret)
        self.keep(sealed.commit, secret)
        self._backup.keep(sealed.commit, secret.key + secret.nonce + secret.iv)
        self._keys.write("seal-occasion", occasion, {"commit": sealed.commit})
        return sealed

    def keep(self, commit: str, secret: SealSecret) -> None:
        """Write a secret durably under the signer's pepper."""
        kept = self._keys.seal(f"seal/{commit}", secret.key + secret.nonce + secret.iv)
        self._keys.write("seal", commit, {"secret": kept})

    def enclose(self, commit: str, name: str, data: bytes) -> bytes:
        """Encrypt an object of a sealed read under its seal's key."""
        return enclose(self.secret(commit), commit, name, data)

    def levels_inside(self, job: bytes) -> tuple[bool, int, int]:
        """Levels of drift over enclosed answers; the answers themselves do not leave (core.drift.inside)."""
        return inside.levels(job, self._disclose)

    def verdict_inside(self, job: bytes) -> str:
        """Agreement of two locks over enclosed answers, likewise."""
        return inside.verdict(job, self._disclose)

    def _disclose(self, commit: str, name: str, stored: bytes) -> bytes:
        return disclose(base64_text(self.secret(commit).key), commit, name, stored)

    def commits(self) -> list[str]:
        """Commitments of all secrets at rest."""
        return sorted(path.stem for path in (self._keys.folder / "seal").glob("*.json"))

    def release(self, trial: str, subject: str, time_point: str, sealed: Sequence[str]) -> list[tuple[str, str, str]]:
        """Key and nonce of the named seals of a time point, once every required one is committed; before that only
        where the data are locked, or QA and imaging lead have both signed for exactly these.

        Raises:
            Refused: a required seal is missing, or an id is no committed seal of this time point.
            RecordDamaged: the secret of a seal is lost or changed.
        """
        with self._engine.connect() as session, session.begin():
            ever = [
                entry
                for entry in _entries(session, "read.begun", trial, subject)
                if entry.body["fields"]["time_point"] == time_point
            ]
            holders = {
                entry.body["fields"]["slot"]: entry.body["id"]
                for entry in _entries(session, "read.assigned", trial, subject)
            }
            orders = _entries(session, "reread.ordered", trial, subject)
            begun = [
                entry
                for entry in ever
                if not any(
                    supersedes(order.body["fields"], order.seq, entry.body["fields"], entry.seq) for order in orders
                )
            ]
            withdrawn = {
                entry.body["fields"]["assignment"] for entry in _entries(session, "read.withdrawn", trial, None)
            }
            named = [self._named(session, identifier, ever) for identifier in sealed]
            early = _locked(session, trial) or _ordered(session, trial, subject, time_point, sealed)
        missing = _missing(begun, holders, withdrawn, named)
        if missing and not early:
            raise Refused(
                f"{time_point} of {subject} stays sealed: {', '.join(missing)} not in.",
                rule="F-531",
                next_step="Wait for the missing seals, or let QA and imaging lead sign that these open "
                "(`countersign read open-early`); nothing was opened.",
            )
        released = []
        for identifier, entry in zip(sealed, named, strict=True):
            secret = self.secret(str(entry.body["fields"]["commit"]))
            released.append((identifier, base64_text(secret.key), base64_text(secret.nonce)))
        return released

    @staticmethod
    def _named(session: Connection, identifier: str, begun: Sequence[Entry]) -> Entry:
        entry = store.entry_by_id(session, identifier)
        fits = (
            entry is not None
            and entry.body["action"] in ("read.sealed", "read.marked")
            and entry.body["fields"]["assignment"] in {one.body["id"] for one in begun}
        )
        if entry is None or not fits:
            raise Refused(f"{identifier} is no committed seal of this time point.", rule="F-531")
        return entry

    def secret(self, commit: str) -> SealSecret:
        """The secret of a seal. Raises RecordDamaged where it is lost or was changed."""
        try:
            kept: dict[str, Any] = self._keys.read("seal", commit)
        except NotFound as error:
            raise RecordDamaged(
                f"The signer holds no secret for the seal {commit[:16]}….", next_step=RECOVER
            ) from error
        try:
            raw = self._keys.unseal(f"seal/{commit}", kept["secret"])
        except (NotAuthenticated, KeyError) as error:
            raise RecordDamaged(
                f"The secret of the seal {commit[:16]}… was changed; it does not open.", next_step=RECOVER
            ) from error
        return secret_of(raw, commit)


def secret_of(raw: bytes, commit: str) -> SealSecret:
    """Key, nonce and vector from their bytes at rest. Raises RecordDamaged for another length."""
    if len(raw) != KEY_BYTES + NONCE_BYTES + IV_BYTES:
        raise RecordDamaged(f"The secret of the seal {commit[:16]}… has the wrong length.", next_step=RECOVER)
    return SealSecret(raw[:KEY_BYTES], raw[KEY_BYTES : KEY_BYTES + NONCE_BYTES], raw[KEY_BYTES + NONCE_BYTES :])


def _entries(session: Connection, action: str, trial: str, subject: str | None) -> list[Entry]:
    entries = store.entries
    query = select(entries.c.data).where(entries.c.action == action, entries.c.trial == trial)
    if subject is not None:
        query = query.where(entries.c.subject == subject)
    return [Entry.parse(bytes(row.data)) for row in session.execute(query.order_by(entries.c.seq))]


def _locked(session: Connection, trial: str) -> bool:
    """Whether the data of a trial are locked: the newest word about it says so."""
    newest = [
        entry for action in ("database.locked", "database.unlocked") for entry in _entries(session, action, trial, None)
    ]
    return bool(newest) and max(newest, key=lambda entry: entry.seq).body["action"] == "database.locked"


def _ordered(session: Connection, trial: str, subject: str, time_point: str, sealed: Sequence[str]) -> bool:
    """Whether QA and imaging lead, two persons, have both signed that exactly these seals open now."""
    orders = {
        entry.body["id"]: entry
        for entry in _entries(session, "opening.ordered", trial, subject)
        if entry.body["fields"]["time_point"] == time_point
    }
    for entry in orders.values():
        first = orders.get(entry.body["fields"].get("first", ""))
        if first is None or first.seq >= entry.seq or first.body["actor"] == entry.body["actor"]:
            continue
        covered = set(first.body["fields"]["seals"]) & set(entry.body["fields"]["seals"])
        if {first.body["role"], entry.body["role"]} == OPENERS and set(sealed) <= covered:
            return True
    return False


def _missing(
    begun: Sequence[Entry], holders: dict[str, str], withdrawn: set[str], named: Sequence[Entry]
) -> list[str]:
    """Slots whose seal must be in and is not: every human slot by its present holder, and an AI read that began."""
    if not begun:
        return ["any read"]
    sealed = {entry.body["fields"]["assignment"] for entry in named if entry.body["action"] == "read.sealed"}
    missing = []
    for slot in begun[-1].body["fields"]["slots"]:
        current = {
            entry.body["id"]
            for entry in begun
            if entry.body["fields"]["slot"] == slot and entry.body["fields"]["assigned"] == holders.get(slot)
        }
        if not current & sealed:
            missing.append(slot)
    for entry in begun:
        if entry.body["fields"]["slot"] == AI_SLOT and entry.body["id"] not in sealed | withdrawn:
            missing.append(AI_SLOT)
    return missing
