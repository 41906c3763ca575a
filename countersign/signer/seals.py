"""Secrets of seals at rest, and the one rule of their release: every required seal is committed (RECORD 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, select

from audit import store
from audit.entry import Entry, base64_text
from core.errors import NotAuthenticated, NotFound, RecordDamaged, Refused
from core.reads.rules import supersedes
from core.reads.sealing import IV_BYTES, KEY_BYTES, NONCE_BYTES, Sealed, SealSecret, new_secret, padded, seal
from core.reads.sealing import commitment as commit_to
from countersign.signer.keyfiles import KeyFolder

AI_SLOT = "ai"


class SealBox:
    """Implements core.reads.ports.SealKeeper. It believes committed entries only, never the asker."""

    def __init__(self, keys: KeyFolder, engine: Engine) -> None:
        self._keys = keys
        self._engine = engine

    def seal(self, occasion: str, plaintext: bytes) -> Sealed:
        """Seal under a secret of its own; asked again for the same occasion it gives the same seal."""
        if self._keys.path("seal-occasion", occasion).exists():
            commit = str(self._keys.read("seal-occasion", occasion)["commit"])
            secret = self._secret(commit)
            if commit_to(secret.nonce, padded(plaintext)) != commit:
                # One key and vector never meet a second plaintext: the two would give each other away.
                raise Refused("What is to be sealed has changed since the page was opened.", rule="F-530")
            return seal(plaintext, secret)
        secret = new_secret()
        sealed = seal(plaintext, secret)
        kept = self._keys.seal(f"seal/{sealed.commit}", secret.key + secret.nonce + secret.iv)
        self._keys.write("seal", sealed.commit, {"secret": kept})
        self._keys.write("seal-occasion", occasion, {"commit": sealed.commit})
        return sealed

    def release(self, trial: str, subject: str, time_point: str, sealed: Sequence[str]) -> list[tuple[str, str, str]]:
        """Key and nonce of the named seals of a time point, once every required one is committed.

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
        missing = _missing(begun, holders, withdrawn, named)
        if missing:
            raise Refused(
                f"{time_point} of {subject} stays sealed: {', '.join(missing)} not in.",
                rule="F-531",
                next_step="Wait for the missing seals; nothing was opened.",
            )
        released = []
        for identifier, entry in zip(sealed, named, strict=True):
            secret = self._secret(str(entry.body["fields"]["commit"]))
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

    def _secret(self, commit: str) -> SealSecret:
        try:
            kept: dict[str, Any] = self._keys.read("seal", commit)
        except NotFound as error:
            raise RecordDamaged(f"The signer holds no secret for the seal {commit[:16]}….") from error
        try:
            raw = self._keys.unseal(f"seal/{commit}", kept["secret"])
        except (NotAuthenticated, KeyError) as error:
            raise RecordDamaged(f"The secret of the seal {commit[:16]}… was changed; it does not open.") from error
        if len(raw) != KEY_BYTES + NONCE_BYTES + IV_BYTES:
            raise RecordDamaged(f"The secret of the seal {commit[:16]}… has the wrong length.")
        return SealSecret(raw[:KEY_BYTES], raw[KEY_BYTES : KEY_BYTES + NONCE_BYTES], raw[KEY_BYTES + NONCE_BYTES :])


def _entries(session: Connection, action: str, trial: str, subject: str | None) -> list[Entry]:
    entries = store.entries
    query = select(entries.c.data).where(entries.c.action == action, entries.c.trial == trial)
    if subject is not None:
        query = query.where(entries.c.subject == subject)
    return [Entry.parse(bytes(row.data)) for row in session.execute(query.order_by(entries.c.seq))]


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
