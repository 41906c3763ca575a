"""One entry examined as an outsider would: bytes, signature, key, head, path, root, checkpoint; nothing on faith."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from audit import proofs
from audit.verifier import (
    ENTRY_TYPE,
    ML_DSA_44,
    PROOF_TYPE,
    Passkeys,
    Wrong,
    canonical,
    check_members,
    decode_b64,
    failed_claim,
    good_ml_dsa_signature,
    good_signature,
    leaf_hash,
    note_signed_by,
    pae,
    parse_canonical,
    parse_note,
    root_of_path,
)
from core.errors import NotFound
from core.ledger_queries import Line, Note, Reader, ReadNodes, former_origins, newest_note, proof_of
from core.ledger_suspects import Suspicion, suspicion_of, suspicions


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was checked. `good` is None where there was nothing to check."""

    name: str
    what: str
    value: str
    good: bool | None


@dataclass(frozen=True, slots=True)
class KeyOnRecord:
    """A key as the entries of the stream `keys` tell it."""

    kid: str
    klass: str
    holder: str
    public: bytes
    printed_name: str | None
    enrolled: int
    ended: int | None
    algorithm: str = "ed25519"

    def signs_size(self, size: int) -> bool:
        """Whether a log key is in force for the checkpoint of this size; a rotation's own is the new key's first."""
        return self.enrolled < size and (self.ended is None or size <= self.ended)


@dataclass(frozen=True, slots=True)
class Evidence:
    """An entry, its proof, and every step of the check."""

    line: Line
    note: Note
    path: tuple[bytes, ...]
    steps: tuple[Step, ...]
    key: KeyOnRecord | None
    suspicion: Suspicion | None = None

    @property
    def good(self) -> bool:
        return all(step.good is not False for step in self.steps)

    @property
    def proof_file(self) -> str:
        return proofs.proof_file(self.line.seq, self.path, self.note.note)


def keys_on_record(reader: Reader) -> dict[str, KeyOnRecord]:
    """All keys ever enrolled, by key id."""
    sql = ("SELECT seq, data FROM entry WHERE action IN ('ledger.founded', 'key.enrolled', 'key.rotated', "
           "'key.revoked') ORDER BY seq")
    found: dict[str, KeyOnRecord] = {}

    def end(kid: str, seq: int) -> None:
        if kid in found and found[kid].ended is None:
            found[kid] = replace(found[kid], ended=seq)

    for seq, data in reader.rows(sql):
        entry = json.loads(bytes(data))
        fields = entry["body"]["fields"]
        if entry["body"]["action"] == "key.revoked":
            end(fields["kid"], seq)
            continue
        public = decode_b64(fields["public_key"])
        kid = _kid(public)
        if entry["body"]["action"] == "key.rotated":
            end(fields["kid"], seq)
        found[kid] = KeyOnRecord(kid, fields["class"], fields["holder"], public, fields.get("printed_name"), seq, None,
                                 fields.get("algorithm", "ed25519"))
    return found


def _kid(public: bytes) -> str:
    import hashlib

    return hashlib.sha256(public).hexdigest()


def examine(reader: Reader, line: Line) -> Evidence:
    """Check one entry under the newest checkpoint. Raises NotFound in an empty ledger."""
    note = newest_note(reader)
    keys = keys_on_record(reader)
    key = keys.get(line.kid)
    steps: list[Step] = []

    def step(name: str, what: str, value: str, good: bool | None) -> None:
        steps.append(Step(name, what, value, good))

    leaf = leaf_hash(line.raw)
    entry = _form(line, step)
    step("Leaf", f"Digest of the entry as stored, {len(line.raw)} bytes", leaf.hex(), leaf == line.leaf)
    if entry is not None:
        _signatures(entry, keys, step)
        _passkey(reader, entry, keys, step)
    try:
        path = proof_of(reader, line.seq, note)
        root = root_of_path(line.seq, note.size, leaf, path)
    except (ValueError, NotFound) as problem:
        path, root = [], b""
        step("Path", str(problem), "", False)
    else:
        ends = f"{path[0].hex()[:8]}… to {path[-1].hex()[:8]}…" if path else "the only entry"
        step("Path", f"{len(path)} sibling digests, leaf to root", ends, True)
    step("Root", f"Root of {note.size} entries, recomputed from leaf and path", root.hex(), root == note.root)
    _checkpoint(note, keys, step)
    _origins(reader, line, note, step)
    _head(reader, line, step)
    return Evidence(line, note, tuple(path), tuple(steps), key, suspicion_of(line, suspicions(reader)))


def _form(line: Line, step: Any) -> dict[str, Any] | None:
    try:
        entry = parse_canonical(line.raw)
        check_members(entry)
    except ValueError as problem:
        step("Form", f"The stored bytes: {problem}", "", False)
        return None
    step("Form", "The stored bytes are their own canonical form", "RFC 8785, suite 1", entry["seq"] == line.seq)
    return entry


def _signatures(entry: dict[str, Any], keys: dict[str, KeyOnRecord], step: Any) -> None:
    body, kid, seq = entry["body"], entry["kid"], entry["seq"]
    key = keys.get(kid)
    own = key is not None and key.holder == body["actor"]
    in_force = key is not None and key.enrolled <= seq and (key.ended is None or seq <= key.ended)
    step("Key", f"Enrolled by entry {key.enrolled} for {key.holder} ({key.klass}), in force, and the actor's own"
         if key else "The key was never enrolled", kid, own and in_force)
    signed = key is not None and good_signature(key.public, decode_b64(entry["sig"]), pae(ENTRY_TYPE, canonical(body)))
    step("Signature", "Ed25519 over exactly these words", entry["sig"][:24] + "…", signed)
    bare = {name: value for name, value in body.items() if name not in ("proofs", "assertion")}
    for proof in body.get("proofs", ()):
        other = keys.get(proof["kid"])
        fits = good_ml_dsa_signature if other is not None and other.algorithm == ML_DSA_44 else good_signature
        good = other is not None and fits(other.public, decode_b64(proof["sig"]), pae(PROOF_TYPE, canonical(bare)))
        step("Proof", f"Further signature by {other.holder if other else 'an unknown key'}", proof["kid"], good)


def _passkey(reader: Reader, entry: dict[str, Any], keys: dict[str, KeyOnRecord], step: Any) -> None:
    """Told where a passkey answered, or should have; that its counts rise from use to use shows over all entries."""
    body, seq, key = entry["body"], entry["seq"], keys.get(entry["kid"])
    if key is None or key.klass != "person":
        return
    known = Passkeys()
    sql = ("SELECT seq, data FROM entry WHERE action IN ('key.passkey_enrolled', 'key.passkey_revoked', 'key.revoked') "
           "AND seq < :seq ORDER BY seq")
    try:
        for at, data in reader.rows(sql, seq=seq):
            earlier = json.loads(bytes(data))["body"]
            fields = earlier["fields"]
            if earlier["action"] == "key.passkey_enrolled":
                known.enrol(earlier, at)
            elif earlier["action"] == "key.passkey_revoked":
                known.revoke(fields, at)
            elif fields["kid"] in keys and keys[fields["kid"]].klass == "person":
                known.end_of(keys[fields["kid"]].holder, at)
        claim = known.claim(body, key.klass, seq)
    except Wrong as wrong:
        step("Passkey", f"Of its passkey: {wrong.reason}", "", False)
        return
    if claim is not None:
        step("Passkey", f"A passkey of {key.holder} answered for exactly these words, the device having verified them",
             body["assertion"]["credential"][:24] + "…", failed_claim([claim]) is None)


def _checkpoint(note: Note, keys: dict[str, KeyOnRecord], step: Any) -> None:
    try:
        parsed = parse_note(note.note.encode())
    except ValueError as problem:
        step("Checkpoint", f"The note {problem}", "", False)
        return
    logs = [key for key in keys.values()
            if key.klass == "log" and key.algorithm == "ed25519" and key.signs_size(parsed.size)]
    signed = any(note_signed_by(parsed, parsed.origin, key.public) for key in logs)
    step("Checkpoint", f"Ed25519 signature of the root by the log key of {parsed.origin}", f"size {parsed.size}",
         signed and (parsed.size, parsed.root) == (note.size, note.root))
    others = len(parsed.lines) - 1
    step("Outside", f"{others} cosignatures of witnesses on this checkpoint" if others else
         "No witness has cosigned it yet: loss of the newest entries would show only against one", "", None)


def _origins(reader: Reader, line: Line, note: Note, step: Any) -> None:
    """Told only where the record was continued: the name an entry was signed for is the one it bore then."""
    former = former_origins(reader)
    if former:
        now = note.note.partition("\n")[0]
        due = next((name for name, size in former if line.seq < size), now)
        step("Origin", f"Signed for the record's name at that time; it is called {now} now", line.body["log"],
             line.body["log"] == due)


def _head(reader: Reader, line: Line, step: Any) -> None:
    head = line.body["head"]
    try:
        root = proofs.root_at(ReadNodes(reader, head["size"]), head["size"])
    except NotFound as problem:
        step("Head", problem.fact, "", False)
        return
    step("Head", f"What the signer had seen, {head['size']} entries, is the beginning of this ledger", root.hex(),
         root == decode_b64(head["root"], 32) and head["size"] <= line.seq)
