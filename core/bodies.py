"""What the body of an entry says (RECORD 1), put together from an event and its circumstances."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from audit.entry import SUITE, Entry, base64_text, body_to_prove, canonical
from audit.proofs import EMPTY_ROOT, Checkpoint
from audit.vocabulary.registry import fields_of, word_of
from core.proposal import Occasion, Prover


def body_of(
    event: Any, last: Checkpoint | None, origin: str, *, actor: str, role: str, rule: str, occasion: Occasion,
    **sometimes: Any,
) -> dict[str, Any]:
    """A complete body on top of the last checkpoint; members that do not apply are left out."""
    word = word_of(event)
    head = {"size": last.size if last else 0, "root": base64_text(last.root if last else EMPTY_ROOT)}
    always = {
        "action": word.name, "version": word.version, "type": SUITE, "actor": actor, "at": occasion.at,
        "head": head, "id": occasion.id, "log": origin, "role": role, "rule": rule, "fields": fields_of(event),
    }
    return always | {key: value for key, value in sometimes.items() if value is not None}


def bodies_of(
    events: Sequence[Any], occasions: Sequence[Occasion], last: Checkpoint | None, origin: str, **circumstances: Any
) -> list[tuple[dict[str, Any], bytes]]:
    """The bodies of several events in the same circumstances, each with its canonical bytes (RECORD 1).

    What those of one word and instant share is put together once, and encoded once around the places of id and fields.
    """
    out: list[tuple[dict[str, Any], bytes]] = []
    shared: dict[str, Any] = {}
    kind, frame = None, None
    for event, occasion in zip(events, occasions, strict=True):
        if type(event) is not kind or occasion.at != shared["at"]:
            kind, shared = type(event), body_of(event, last, origin, occasion=occasion, **circumstances)
            frame = _frame(shared) if len(events) > 1 else None
        fields = fields_of(event)
        body = shared | {"id": occasion.id, "fields": fields}
        out.append((body, canonical(body, "body") if frame is None else b'%s"fields":%s%s"id":"%s"%s' % (
            frame[0], canonical(fields, "body.fields"), frame[1], occasion.id.encode(), frame[2])))
    return out


def _frame(shared: Mapping[str, Any]) -> tuple[bytes, bytes, bytes] | None:
    """The canonical bytes before fields, between fields and id, and after id; None where they cannot be told apart.

    Each of the two members is there; where its bytes are there once, that is the member.
    """
    whole = canonical({**shared, "fields": {}, "id": ""}, "body")
    before, *rest = whole.split(b'"fields":{}')
    parts = rest[0].split(b'"id":""') if len(rest) == 1 else []
    return (before, parts[0], parts[1]) if len(parts) == 2 and b'"id":""' not in before else None


def prove(body: dict[str, Any], provers: Sequence[Prover]) -> None:
    """Let further keys sign the same words, in the order given."""
    message = body_to_prove(body)
    given = [by(message) for by in provers]
    body["proofs"] = [{"kid": one.kid, "sig": base64_text(one.sig)} for one in given]


def naming(body: dict[str, Any], event: Any) -> dict[str, Any]:
    """The body with the fields of the event that names its signed document."""
    fields = fields_of(event)
    digest = hashlib.sha256(canonical(fields, "fields")).hexdigest()
    return body | {"fields": fields, "manifest": body["manifest"] | {"record_digest": digest}}


def rotates_the_log_key(entry: Entry) -> bool:
    """Whether the checkpoint over this entry is the first by the new log key (RECORD 3)."""
    if entry.body["action"] != "key.rotated":
        return False
    fields = entry.body["fields"]
    return (fields.get("class"), fields.get("algorithm")) == ("log", None)
