"""What the signer takes from a passkey, the verifier takes too: else a signature given would spoil the record."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from audit.entry import challenge_of
from audit.verifier import Passkeys, Wrong, failed_claim
from core.errors import NotAuthenticated
from countersign.settings import relying_party_of
from countersign.signer.webauthn import verified_count
from tests.passkeys import PAGE, Authenticator, url64
from tests.req import req

PARTY = relying_party_of(PAGE)
BODY: dict[str, Any] = {
    "action": "read.signed", "version": 1, "actor": "reader-1", "fields": {"sum": "84.5 mm"},
    "manifest": {"auth": {"factors": ["password", "passkey"]}},
}
EXTENDED = b"\xa1\x63abc\x01"  # CBOR of {"abc": 1}

odd_client = st.fixed_dictionaries({}, optional={
    "origin": st.sampled_from([PAGE, "https://localhost", "http://localhost", "https://a.localhost", "null", 7, None]),
    "type": st.sampled_from(["webauthn.get", "webauthn.create", None]),
    "challenge": st.sampled_from([url64(challenge_of(BODY)), url64(challenge_of(BODY)) + "=", "AAAA", None]),
    "crossOrigin": st.sampled_from([False, True, None, 0, ""]),
    "topOrigin": st.sampled_from(["https://elsewhere.example.org"]),
    "tokenBinding": st.sampled_from([{"status": "supported"}, "x"]),
})


def the_verifier_takes(device: Authenticator, assertion: dict[str, Any]) -> bool:
    enrolment = BODY | {"action": "key.passkey_enrolled", "fields": device.fields() | {"sign_count": 0}}
    known = Passkeys()
    known.enrol(enrolment | {"assertion": device.answer(enrolment, count=1)}, 5)
    try:
        claim = known.claim(BODY | {"assertion": assertion}, "person", 6)
    except Wrong:
        return False
    return claim is not None and failed_claim([claim]) is None


@given(
    algorithm=st.sampled_from(["es256", "ed25519"]), client=odd_client,
    flags=st.sampled_from([5, 5, 5, 1, 4, 0x45, 0x85]),
    count=st.sampled_from([2, 2**32 - 1]), more=st.sampled_from([b"", b"", EXTENDED, b"\x00"]),
    rp=st.sampled_from([None, None, "example.org"]),
)
@req("REC-03", "SIG-03")
def test_what_the_signer_takes_the_verifier_takes_too(
    algorithm: str, client: dict[str, Any], flags: int, count: int, more: bytes, rp: str | None
) -> None:
    device = Authenticator.of("reader-1", algorithm, more=more)
    assertion = device.answer(BODY, flags=flags, count=count, rp=rp, **client)
    try:
        taken = verified_count(PARTY, challenge_of(BODY), device.fields(), assertion) == count
    except NotAuthenticated:
        taken = False
    if taken:
        assert the_verifier_takes(device, assertion)
    if (client, flags, more, rp) == ({}, 5, b"", None):
        assert taken
