"""What browsers and authenticators say, read by Yubico's fido2: registrations and assertions of W3C WebAuthn 7.1, 7.2.

User verification is required in both. Attestation is not asked for and not looked at: it would name a device, and the
record rests on the enrolled key alone.
"""

from __future__ import annotations

import json
from typing import Any

from fido2.cose import ES256, CoseKey, EdDSA
from fido2.server import Fido2Server
from fido2.utils import websafe_encode
from fido2.webauthn import (
    Aaguid,
    AttestationConveyancePreference,
    AttestedCredentialData,
    AuthenticatorData,
    PublicKeyCredentialRpEntity,
    UserVerificationRequirement,
)

from audit.entry import ASSERTION, from_base64
from audit.signatures import NewPasskey, RelyingParty
from core.errors import NotAuthenticated, UnusableInput

P256, ED25519 = 1, 6  # COSE elliptic curves (RFC 9053, 7.1)
LONGEST_ID = 1023


def read_registration(
    party: RelyingParty, challenge: bytes, client_data: bytes, attestation_object: bytes
) -> NewPasskey:
    """A credential that a browser made for a page of ours. Raises UnusableInput, in words, for anything else."""
    try:
        # The id stands in the attestation object too, and that one is taken; the library wants any here.
        data = _server(party).register_complete(_state(challenge), {
            "id": "AA", "rawId": "AA", "type": "public-key", "response": {
                "clientDataJSON": websafe_encode(client_data),
                "attestationObject": websafe_encode(attestation_object),
            },
        })
        made = data.credential_data
        if made is None or not 1 <= len(made.credential_id) <= LONGEST_ID:
            raise ValueError("The browser named no credential.")
        algorithm, public = _plain_key(made.public_key)
    except Exception as problem:  # bytes from outside may raise anything in a parser; all of it means the same
        raise UnusableInput(f"The passkey was not made as it has to be: {problem}",
                            next_step="Try again; nothing was enrolled.") from problem
    return NewPasskey(made.credential_id, algorithm, public, party.id, data.counter, data.is_backup_eligible())


def verified_count(party: RelyingParty, challenge: bytes, known: dict[str, Any], assertion: dict[str, str]) -> int:
    """The counter of an authenticator that answered this challenge, by the passkey whose enrolment's fields are
    `known`, with its user verified, on a page of ours. Raises NotAuthenticated."""
    try:
        if set(assertion) != ASSERTION or known["rp"] != party.id or known["credential"] != assertion["credential"]:
            raise ValueError("Another passkey or relying party, or another form than that of the record.")
        raw = {name: from_base64(text) for name, text in assertion.items()}
        client = json.loads(raw["client_data"])
        # Exactly as the verifier reads it: no other spelling of the challenge, no frame in a foreign page.
        if client["challenge"] != websafe_encode(challenge) or client.get("crossOrigin", False) is not False:
            raise ValueError("It was made for other words, or inside another site's page.")
        credential = AttestedCredentialData.create(
            Aaguid.NONE, raw["credential"], _cose(known["algorithm"], from_base64(known["public_key"])))
        named = websafe_encode(raw["credential"])
        _server(party).authenticate_complete(_state(challenge), [credential], {
            "id": named, "rawId": named, "type": "public-key", "response": {
                "clientDataJSON": websafe_encode(raw["client_data"]),
                "authenticatorData": websafe_encode(raw["authenticator_data"]),
                "signature": websafe_encode(raw["signature"]),
            },
        })
        return int(AuthenticatorData(raw["authenticator_data"]).counter)
    except Exception as problem:  # as above: hostile bytes
        raise NotAuthenticated(f"The passkey's answer is not for these words: {problem}") from problem


def _server(party: RelyingParty) -> Fido2Server:
    entity = PublicKeyCredentialRpEntity(id=party.id, name=party.id)
    # Not `str.__eq__`: to what is no text it answers NotImplemented, which would count as true.
    return Fido2Server(
        entity, AttestationConveyancePreference.NONE, verify_origin=lambda origin: bool(origin == party.origin))


def _state(challenge: bytes) -> dict[str, Any]:
    return {"challenge": websafe_encode(challenge), "user_verification": UserVerificationRequirement.REQUIRED}


def _plain_key(key: CoseKey) -> tuple[str, bytes]:
    """Algorithm and key as the record writes them. Raises ValueError for another kind than ES256 and Ed25519."""
    if key.get(3) == ES256.ALGORITHM and key.get(-1) == P256:
        return "es256", b"\x04" + key[-2].rjust(32, b"\0") + key[-3].rjust(32, b"\0")
    if key.get(3) == EdDSA.ALGORITHM and key.get(-1) == ED25519:
        return "ed25519", bytes(key[-2])
    raise ValueError("It uses another algorithm than ES256 or Ed25519.")


def _cose(algorithm: str, public: bytes) -> CoseKey:
    """Raises ValueError for a key that is none."""
    if algorithm == "es256" and len(public) == 65:
        return CoseKey.parse({1: 2, 3: ES256.ALGORITHM, -1: P256, -2: public[1:33], -3: public[33:]})
    if algorithm == "ed25519":
        return CoseKey.parse({1: 1, 3: EdDSA.ALGORITHM, -1: ED25519, -2: public})
    raise ValueError(f"It uses {algorithm}, which is not allowed.")
