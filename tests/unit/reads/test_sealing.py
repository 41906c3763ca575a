"""The seal of RECORD 5 against worked bytes, and against whoever changes one of its parts."""

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import RecordDamaged
from core.reads.sealing import SealSecret, commitment, new_secret, open_seal, padded, seal
from tests.req import req

VECTOR = json.loads((Path(__file__).parents[2] / "vectors" / "record.json").read_text(encoding="utf-8"))["seal"]


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


@req("RDG-04")
def test_the_commitment_equals_the_worked_one() -> None:
    assert commitment(base64.b64decode(VECTOR["nonce"]), padded(VECTOR["plaintext"].encode())) == VECTOR["commit"]


@req("RDG-04")
@given(st.binary(max_size=9000).filter(lambda text: not text.endswith(b" ")))
def test_a_seal_opens_to_what_was_sealed_and_its_length_tells_next_to_nothing(plaintext: bytes) -> None:
    secret = new_secret()
    sealed = seal(plaintext, secret)
    assert open_seal(sealed, key=b64(secret.key), nonce=b64(secret.nonce)) == plaintext
    assert (len(base64.b64decode(sealed.ct)) - 16) % 4096 == 0


@req("RDG-04", "REC-04")
@pytest.mark.parametrize("part", ["ct", "iv", "commit", "key", "nonce"])
def test_a_seal_with_one_changed_part_does_not_open(part: str) -> None:
    secret = new_secret()
    sealed = seal(b'{"response":"PR"}', secret)
    key, nonce = b64(secret.key), b64(secret.nonce)

    def changed(text: str) -> str:
        raw = bytearray(base64.b64decode(text))
        raw[len(raw) // 2] ^= 1
        return b64(bytes(raw))

    if part == "key":
        key = changed(key)
    elif part == "nonce":
        nonce = changed(nonce)
    elif part == "commit":
        sealed = replace(sealed, commit="0" * 64)
    else:
        sealed = replace(sealed, **{part: changed(getattr(sealed, part))})
    with pytest.raises(RecordDamaged):
        open_seal(sealed, key=key, nonce=nonce)


@req("RDG-04")
def test_equal_answers_have_unequal_seals_and_a_short_nonce_is_refused() -> None:
    assert seal(b"x", new_secret()) != seal(b"x", new_secret())
    assert "SealSecret(…)" in repr(SealSecret(b"k", b"n", b"i"))
    with pytest.raises(ValueError, match="32 bytes"):
        commitment(b"short", b"")
