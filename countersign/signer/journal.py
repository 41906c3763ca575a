"""What the signer signed for each person, kept on its own side: a list that no captured house can shorten."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from audit import store
from audit.entry import Entry, base64_text
from audit.signatures import Signature
from core.errors import RecordDamaged


@dataclass(frozen=True, slots=True)
class Signed:
    """One signature as the signer remembers it."""

    at: str
    action: str
    id: str
    trial: str | None
    kid: str
    sig: str


@dataclass(frozen=True, slots=True)
class Statement:
    """A person's signatures by the signer's memory, against the record.

    `unrecorded`: signed, and in no committed entry (a page that went stale, or one that was held back).
    `unknown`: entry numbers in this person's name that this signer did not sign.
    """

    user: str
    signed: tuple[Signed, ...]
    unrecorded: tuple[Signed, ...]
    unknown: tuple[int, ...]

    def in_words(self) -> str:
        """The list as it is handed to the person."""
        lines = [f"Signatures of {self.user} by the signer's own memory: {len(self.signed)}", ""]
        missing = {one.sig for one in self.unrecorded}
        for one in self.signed:
            where = f" in {one.trial}" if one.trial else ""
            note = "   NOT IN THE RECORD" if one.sig in missing else ""
            lines.append(f"  {one.at}  {one.action}{where}  {one.id}{note}")
        if self.unknown:
            lines += ["", "Entries in your name that this signer did not sign:"]
            lines += [f"  entry {seq}" for seq in self.unknown]
        lines += ["", "If you did not sign one of these, tell QA at once: your key may be in other hands."]
        return "\n".join(lines) + "\n"


class Journal:
    """One file of JSON lines per person, appended and synced before the signature is given out."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._guard = threading.Lock()

    def note(self, user: str, signatures: Sequence[Signature], bodies: Sequence[dict[str, Any]]) -> None:
        """Remember what one page signed."""
        lines = [
            json.dumps({
                "at": body["at"], "action": body["action"], "id": body["id"], "trial": body.get("trial"),
                "kid": signature.kid, "sig": base64_text(signature.sig),
            }, sort_keys=True) + "\n"
            for signature, body in zip(signatures, bodies, strict=True) if body["actor"] == user
        ]  # fmt: skip
        with self._guard:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self._path(user), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(descriptor, "".join(lines).encode())
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def users(self) -> list[str]:
        """Everybody for whom something was signed."""
        return sorted(path.stem for path in self._folder.glob("*.jsonl"))

    def statement(self, session: Connection, user: str) -> Statement:
        """The person's list, compared with the committed entries of their name. Raises RecordDamaged."""
        signed = tuple(self._of(user))
        entries = store.entries
        rows = session.execute(select(entries.c.seq, entries.c.data).where(entries.c.actor == user))
        recorded = {Entry.parse(bytes(row.data)).sig: row.seq for row in rows}
        known = {one.sig for one in signed}
        return Statement(
            user, signed, tuple(one for one in signed if one.sig not in recorded),
            tuple(sorted(seq for sig, seq in recorded.items() if sig not in known)),
        )

    def _of(self, user: str) -> Iterator[Signed]:
        path = self._path(user)
        if not path.exists():
            return
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            try:
                yield Signed(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise RecordDamaged(f"Line {number} of the signer's list of {user} is damaged.") from error

    def _path(self, user: str) -> Path:
        return self._folder / f"{user}.jsonl"
