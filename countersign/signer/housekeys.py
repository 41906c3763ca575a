"""Keys of the house at rest: root, log and services by Ed25519, the log's second key by ML-DSA-44 (FIPS 204)."""

from __future__ import annotations

from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from audit.entry import base64_text
from audit.signatures import LOG_BESIDE
from core.persons import ED25519, ML_DSA_44
from countersign.signer.ed25519 import SigningKey
from countersign.signer.keyfiles import KeyFolder

HouseKey = SigningKey | MLDSA44PrivateKey


def ml_dsa_is_there() -> bool:
    """Whether the library beneath can make keys of ML-DSA-44 (FIPS 204)."""
    try:
        MLDSA44PrivateKey.from_seed_bytes(bytes(32))
    except UnsupportedAlgorithm:
        return False
    return True


def new_record(keys: KeyFolder, holder: str) -> dict[str, Any]:
    """A fresh key of the house as its file holds it."""
    beside = holder == LOG_BESIDE
    if beside:
        lattice = MLDSA44PrivateKey.generate()
        public, seed = lattice.public_key().public_bytes_raw(), lattice.private_bytes_raw()
    else:
        curve = SigningKey.generate()
        public, seed = curve.public, curve.seed
    return {
        "public_key": base64_text(public),
        "private": keys.seal(f"house/{holder}", seed),
        "algorithm": ML_DSA_44 if beside else ED25519,
    }


def opened(keys: KeyFolder, holder: str, record: dict[str, Any]) -> HouseKey:
    """The key of a record, ready to sign."""
    raw = keys.unseal(f"house/{holder}", record["private"])
    if record["algorithm"] == ML_DSA_44:
        return MLDSA44PrivateKey.from_seed_bytes(raw)
    return SigningKey(raw)
