"""The record as papers read it: the entries of one range, from the live ledger or from a bundle, with their codes."""

from __future__ import annotations

import json
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO, Any

from audit.entry import Entry, MalformedEntry
from audit.proofs import Frontier
from core.errors import UnusableInput
from reports.evidence import EvidenceCodes
from reports.model import Range

LEAF = 32


@dataclass(frozen=True, slots=True)
class Line:
    """One entry as papers read it."""

    seq: int
    ts: int
    stream: str
    kid: str
    leaf: bytes
    body: Mapping[str, Any]

    @classmethod
    def of(cls, entry: Entry) -> Line:
        return cls(entry.seq, entry.ts, entry.stream, entry.kid, entry.leaf, entry.body)

    @property
    def action(self) -> str:
        return str(self.body["action"])

    @property
    def id(self) -> str:
        return str(self.body["id"])

    @property
    def fields(self) -> Mapping[str, Any]:
        fields: Mapping[str, Any] = self.body["fields"]
        return fields

    @property
    def person(self) -> str:
        """Whose deed it is: the one it was attested for, else the signer."""
        return str(self.body.get("on_behalf_of") or self.body["actor"])

    @property
    def reason(self) -> str:
        return str(self.body.get("reason", ""))

    def get(self, name: str, default: Any = "") -> Any:
        """A field of the event, or the default where it is absent."""
        return self.fields.get(name, default)


class Book:
    """Entries 0 .. size − 1 of one log, as far as they are at hand, in the order of the record."""

    def __init__(self, origin: str, lines: Iterable[Line], leaves: Iterable[bytes], size: int) -> None:
        """`leaves` are the leaf hashes of *all* entries of the range: codes and root depend on every one.

        Raises UnusableInput where there are fewer leaves than the range says, or a line has another leaf.
        """
        frontier, self.codes = Frontier(), EvidenceCodes()
        known: list[bytes] = []
        for seq, leaf in enumerate(leaves):
            if seq >= size:
                break
            frontier.add(leaf)
            self.codes.add(seq, leaf)
            known.append(leaf)
        if len(known) != size or size == 0:
            raise UnusableInput(f"The range says {size} entries, the record at hand has {len(known)}.")
        self._leaves = known
        # What was worked out from these lines once (opened reads, courses); the lines never change.
        self.memo: dict[tuple[str, ...], Any] = {}
        self.lines: dict[int, Line] = {}
        self._by_action: dict[str, list[Line]] = defaultdict(list)
        self._by_id: dict[str, Line] = {}
        for line in lines:
            if line.seq >= size:
                continue
            if known[line.seq] != line.leaf:
                raise UnusableInput(f"Entry {line.seq} is not the one that the tree holds.")
            self.lines[line.seq] = line
            self._by_action[line.action].append(line)
            self._by_id[line.id] = line
        last = self.lines[max(self.lines)]
        self.range = Range(
            origin=origin, size=size, root=f"sha256:{frontier.root().hex()}", last_entry_at=instant(last.ts),
            last_code=self.codes.code(size - 1),
        )

    def of(self, *actions: str) -> list[Line]:
        """The entries of these actions, in order."""
        if len(actions) == 1:
            return list(self._by_action.get(actions[0], ()))
        return sorted((line for action in actions for line in self._by_action.get(action, ())), key=lambda x: x.seq)

    def all(self) -> Iterator[Line]:
        """All entries at hand, in order."""
        return (self.lines[seq] for seq in sorted(self.lines))

    def line(self, seq: int) -> Line:
        """Entry `seq`. Raises UnusableInput where it is not at hand."""
        if seq not in self.lines:
            raise UnusableInput(f"Entry {seq} is not among the entries at hand.")
        return self.lines[seq]

    def by_id(self, identity: str) -> Line | None:
        """The entry with this id."""
        return self._by_id.get(identity)

    def until(self, size: int) -> Book:
        """The same book as it stood at an earlier size. Raises UnusableInput for a size beyond this one."""
        if size > self.range.size:
            raise UnusableInput(f"The range says {size} entries, the record at hand has {self.range.size}.")
        return Book(self.range.origin, (line for line in self.all() if line.seq < size), self._leaves, size)

    def of_trial(self, trial: str) -> Book:
        """Only what concerns a trial: its stream, the house's and the keys. Codes and root stay those of the log."""
        streams = {"keys", "house", f"trial/{trial}"}
        kept = [line for line in self.all() if line.stream in streams]
        return Book(self.range.origin, kept, self._leaves, self.range.size)

    @classmethod
    def from_bundle(cls, source: str | IO[bytes]) -> Book:
        """Read a bundle (RECORD 7). It must hold leaves.bin; its truth is the verifier's matter, not ours.

        Raises UnusableInput where the archive is no bundle, or an entry is not in its canonical form.
        """
        try:
            with zipfile.ZipFile(source) as archive:
                about = json.loads(archive.read("bundle.json"))
                raw_leaves = archive.read("leaves.bin")
                lines = []
                with archive.open("entries.jsonl") as entries:
                    for number, raw in enumerate(entries):
                        try:
                            lines.append(Line.of(Entry.parse(raw.rstrip(b"\n"))))
                        except MalformedEntry as error:
                            raise UnusableInput(f"Line {number + 1} of entries.jsonl: {error}") from error
        except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
            raise UnusableInput(f"The attached record is not a whole bundle with its leaves: {error}") from error
        if len(raw_leaves) % LEAF:
            raise UnusableInput("leaves.bin of the attached record is cut off.")
        leaves = [raw_leaves[at : at + LEAF] for at in range(0, len(raw_leaves), LEAF)]
        return cls(str(about["origin"]), lines, leaves, len(leaves))


def instant(ts: int) -> str:
    """"2026-11-24 14:05:32.000000 UTC" from microseconds since 1970."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ts)
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f UTC")
