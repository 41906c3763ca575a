"""Which entries are suspect: signed or proved by a key that was revoked as suspect from before them on (RECORD 4), or
about a run of a model whose lock was recalled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from core.ledger_queries import Line, Reader


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A key's entries are suspect from entry `since` on, or all runs of a recalled `lock`; entry `by` said so."""

    since: int
    by: int
    lock: str | None = None

    def in_words(self) -> str:
        if self.lock is not None:
            return (f"Entry {self.by} recalled lock {self.lock}, which this run is of. The entry is not invalid by it; "
                    "what rests on the run is to be looked at.")
        return (f"Entry {self.by} revoked a key that signed or proved this as suspect from entry {self.since} on. The "
                "entry is not invalid by it; what rests on it is to be looked at.")


def suspicions(reader: Reader) -> dict[str, Suspicion]:
    """By key id and by lock. A later revocation can widen a suspicion and never takes it back."""
    found: dict[str, Suspicion] = {}
    for seq, data in reader.rows("SELECT seq, data FROM entry WHERE action = 'key.revoked' ORDER BY seq"):
        fields = json.loads(bytes(data))["body"]["fields"]
        since = fields.get("suspect_from")
        known = found.get(fields["kid"])
        if since is not None and (known is None or since < known.since):
            found[fields["kid"]] = Suspicion(since, seq)
    for seq, data in reader.rows("SELECT seq, data FROM entry WHERE action = 'model.retired' ORDER BY seq"):
        fields = json.loads(bytes(data))["body"]["fields"]
        if fields["how"] == "recalled":
            found[fields["lock"]] = Suspicion(0, seq, fields["lock"])
    return found


def suspicion_of(line: Line, marks: Mapping[str, Suspicion]) -> Suspicion | None:
    """The suspicion that touches an entry, None where none does."""
    for kid in (line.kid, *(proof["kid"] for proof in line.body.get("proofs", ()))):
        mark = marks.get(kid)
        if mark is not None and line.seq >= mark.since:
            return mark
    if line.body["action"].startswith("run."):
        return marks.get(line.body["fields"].get("lock", ""))
    return None
