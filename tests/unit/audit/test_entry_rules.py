"""Each rule of an entry's form by an example on either side of it, and the place that a refusal names."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from audit.entry import (
    ASSERTION,
    ENTRY_TYPE,
    LARGEST_ENTRY,
    LARGEST_INTEGER,
    PROOF_TYPE,
    Entry,
    MalformedEntry,
    SignedBody,
    body_to_prove,
    body_to_sign,
    canonical,
    challenge_of,
    check_members,
    check_profile,
    entry_bytes,
    from_base64,
    kid_of,
    leaf_hash,
    payload_to_sign,
    stream_of,
)
from tests.bundles import pae
from tests.req import req

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "record.json").read_text("utf-8"))
RAW = VECTORS["entries"][3]["entry"].encode()
OUTER: dict[str, Any] = json.loads(RAW)
BODY: dict[str, Any] = OUTER["body"]


@req("REC-03")
@pytest.mark.parametrize(("bad", "said"), [
    (2**53, "entry: a whole number beyond"), (-(2**53), "entry: a whole number beyond"),
    ({"a": 2**53}, "entry.a: a whole number beyond"), ({"a": -(2**53)}, "entry.a: a whole number beyond"),
    ({"a": [1, "b\x00"]}, "entry.a[1]: character U+0000 is not allowed"),
    ({"a": {"b": "e\u0301"}}, "entry.a.b: text is not in Unicode form NFC"),
    ({"a": "x\u202ey"}, "entry.a: character U+202E is not allowed"), ("\u0378", "entry: character U+0378"),
    ({"a": {"B": 1}}, "entry.a: member name 'B' is not"), ({1: 2}, "entry: member name 1 is not"),
    ({"a": 1.5}, "entry.a: float has no place"), ([None], "entry[0]: NoneType has no place"),
    ({"a": "é", "b": [True, {"c": None}]}, "entry.b[1].c: NoneType has no place"),
])
def test_what_the_profile_refuses_is_named_with_its_place(bad: Any, said: str) -> None:
    """Also inside of members that were accepted so far: nothing deeper is looked at less closely."""
    for check in (check_profile, canonical):
        with pytest.raises(MalformedEntry) as refusal:
            check(bad)
        assert str(refusal.value).startswith(said)
    with pytest.raises(MalformedEntry) as refusal:
        check_profile(bad, "body")
    assert str(refusal.value).startswith(said.replace("entry", "body", 1))


@req("REC-03")
@pytest.mark.parametrize("good", [
    LARGEST_INTEGER, -LARGEST_INTEGER, {"a": "é", "b": LARGEST_INTEGER, "c": -LARGEST_INTEGER}, "line\nline", "é\nline",
    {"a1_b": [True, False, "", []]}, {}, 0,
])
def test_what_the_profile_accepts_is_written_as_the_reference_writes_it(good: Any) -> None:
    assert canonical(good) == rfc8785.dumps(good)


@req("REC-03")
def test_a_name_that_is_no_text_is_refused_after_names_that_passed() -> None:
    check_profile({"passed_once": 1})

    with pytest.raises(MalformedEntry, match="member name None"):
        check_profile({None: 1})


@req("REC-03")
def test_base64_is_refused_for_what_is_wrong_with_it() -> None:
    assert from_base64("QQ==") == b"A"
    for bad, said in (("Q!Q==", "damaged"), ("QQ=", "damaged"), ("QR==", "stray bits")):
        with pytest.raises(MalformedEntry, match=said):
            from_base64(bad)


@req("REC-03", "SIG-03")
def test_what_is_signed_is_the_body_without_what_comes_after_it() -> None:
    """Three signatures over one body: of the actor over all of it, of a passkey before its assertion, of a further key
    before proofs and assertion."""
    body = BODY | {"assertion": dict.fromkeys(sorted(ASSERTION), "QQ=="), "proofs": [{"kid": "k", "sig": "QQ=="}]}
    bare = {key: value for key, value in body.items() if key != "assertion"}

    assert body_to_sign(body) == payload_to_sign(rfc8785.dumps(body)) == pae(ENTRY_TYPE, rfc8785.dumps(body))
    assert challenge_of(body) == hashlib.sha256(rfc8785.dumps(bare)).digest()
    assert body_to_prove(body) == pae(PROOF_TYPE, rfc8785.dumps({key: bare[key] for key in bare if key != "proofs"}))
    for sign in (body_to_sign, challenge_of, body_to_prove):
        with pytest.raises(MalformedEntry, match=r"^body\.fields\.a: NoneType"):
            sign(BODY | {"fields": {"a": None}})


@req("REC-03")
def test_keys_streams_and_leaves_are_named_as_the_format_says() -> None:
    for key in VECTORS["keys"].values():
        assert kid_of(from_base64(key["public_key"])) == key["kid"]
    assert stream_of("key.enrolled", "DEMO-301") == "keys"
    assert stream_of("gate.opened", "DEMO-301") == "trial/DEMO-301"
    assert stream_of("role.granted", None) == "house"
    assert Entry.parse(RAW).leaf == leaf_hash(RAW)


def _outer(**other: Any) -> bytes:
    return rfc8785.dumps(OUTER | other)


@req("REC-03")
@pytest.mark.parametrize(("raw", "said"), [
    (b"{", "not JSON"), (b"[]", "outer members"), (_outer(zeta=1), "outer members"), (_outer(body=[]), "outer members"),
    (RAW + b"\n", "their own canonical form"),
    (_outer(body={key: value for key, value in BODY.items() if key != "role"}), r"lacks \['role'\]"),
    (_outer(body=BODY | {"zeta": 1}), r"foreign members \['zeta'\]"),
])
def test_bytes_that_are_no_entry_are_refused_for_what_is_wrong_with_them(raw: bytes, said: str) -> None:
    with pytest.raises(MalformedEntry, match=said):
        Entry.parse(raw)


@req("REC-03")
def test_an_assertion_has_all_of_its_members_and_no_other() -> None:
    whole = dict.fromkeys(sorted(ASSERTION), "QQ==")
    check_members(BODY | {"assertion": whole})

    for bad in ("text", sorted(ASSERTION), {**whole, "more": ""}, {"credential": ""}):
        with pytest.raises(MalformedEntry, match=r"assertion has the members .*authenticator_data"):
            check_members(BODY | {"assertion": bad})


def _filled(size: int) -> tuple[dict[str, Any], bytes]:
    """The worked entry with as long a text in it as makes it `size` bytes."""
    text = "x" * (size - len(_outer(body=BODY | {"fields": {"a": ""}})))
    body = BODY | {"fields": {"a": text}}
    return body, _outer(body=body)


@req("REC-03")
def test_an_entry_is_written_and_read_up_to_its_largest_size_and_no_further() -> None:
    def write(body: dict[str, Any]) -> bytes:
        signed = SignedBody(body, OUTER["kid"], OUTER["sig"])
        return entry_bytes(signed, seq=OUTER["seq"], stream=OUTER["stream"], stream_seq=OUTER["stream_seq"],
                           ts=OUTER["ts"])

    body, raw = _filled(LARGEST_ENTRY)
    larger, too_large = _filled(LARGEST_ENTRY + 1)

    assert len(raw) == LARGEST_ENTRY
    assert write(body) == raw == Entry.parse(raw).raw
    for refused in (lambda: write(larger), lambda: Entry.parse(too_large)):
        with pytest.raises(MalformedEntry, match=f"{LARGEST_ENTRY + 1} bytes exceeds {LARGEST_ENTRY}"):
            refused()


@req("REC-03")
def test_members_are_written_in_the_order_of_their_names_in_whatever_order_they_were_put_together() -> None:
    backwards = {key: BODY[key] for key in sorted(BODY, reverse=True)}
    signed = SignedBody(backwards, OUTER["kid"], OUTER["sig"])

    raw = entry_bytes(signed, seq=OUTER["seq"], stream=OUTER["stream"], stream_seq=OUTER["stream_seq"], ts=OUTER["ts"])

    assert raw == RAW
