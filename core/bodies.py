"""What the body of an entry says (RECORD 1), put together from an event and its circumstances."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
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
    fields = entry.body["fields"]
    return (entry.body["action"], fields.get("class"), fields.get("algorithm")) == ("key.rotated", "log", None)
