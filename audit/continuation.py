"""A record continued under a new origin after a loss: what the pair of entries must say (RECORD 8).

The signer asks this before it ever signs a note of another name than the last; the verifier has its own rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from audit.entry import Entry, MalformedEntry, base64_text, body_to_prove, body_to_sign, from_base64, kid_of
from audit.signatures import signature_is_valid

WORD = "ledger.continued"


def continued_origin(
    entries: Sequence[bytes], *, origin: str, size: int, root: bytes, root_key: bytes,
    person_key: Callable[[str], bytes],
) -> str:
    """The new origin that a pair of entries brings to the record of `size` entries.

    Raises:
        MalformedEntry: the first two entries are no pair by two persons, each proven by the root key, about exactly
            this record; or one of the entries is signed for another origin.
    """
    parsed = [Entry.parse(raw) for raw in entries]
    if len(parsed) < 2 or any(one.body["action"] != WORD for one in parsed[:2]):
        raise MalformedEntry("a continuation begins with two entries of ledger.continued.")
    first, second = parsed[0].body, parsed[1].body
    fields = first["fields"]
    new = str(fields.get("origin"))
    due = {"old_origin": origin, "restored_size": size, "restored_root": base64_text(root)}
    if any(fields.get(name) != value for name, value in due.items()) or new == origin:
        raise MalformedEntry("the continuation is about another record than the committed one.")
    if second["fields"] != {**fields, "first": first["id"]} or second["actor"] == first["actor"]:
        raise MalformedEntry("the second signature is by another person, names the first and says the same.")
    if any(one.body["log"] != new or one.seq != size + number for number, one in enumerate(parsed)):
        raise MalformedEntry("an entry of the continuation is signed for another origin or stands elsewhere.")
    for one in parsed[:2]:
        person = person_key(one.body["actor"])
        if one.kid != kid_of(person) or not signature_is_valid(person, body_to_sign(one.body), from_base64(one.sig)):
            raise MalformedEntry(f"{one.body['actor']} did not sign the continuation.")
        proofs = {proof["kid"]: proof["sig"] for proof in one.body.get("proofs", ())}
        proven = proofs.get(kid_of(root_key), "")
        if not proven or not signature_is_valid(root_key, body_to_prove(one.body), from_base64(proven)):
            raise MalformedEntry("the root key has not proven the continuation.")
    return new
