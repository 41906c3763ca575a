"""What a model server signs with every answer, and what must hold before one of its numbers is used. Pure.

The statement binds a fresh nonce of ours, the bundle it serves, its environment, the tensor that it got and the tensor
that it gave. It is signed as a DSSE pre-authentication encoding, so that the key can have signed nothing else by it.
Checks, in this order: 1 there is a statement of this form · 2 signed by the enrolled key · 3 our nonce · 4 it does not
refuse · 5 the locked bundle and tensors · 6 the locked environment · 7 the tensors that were sent and received ·
8 the same start of the server, counting on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from audit.entry import base64_text, canonical, from_base64, kid_of, pae
from audit.signatures import signature_is_valid
from models_registry.digest import sha256
from models_registry.isolation import WorkerDiffers

FORM = "countersign-attestation/1"
PAYLOAD_TYPE = "application/vnd.countersign.attestation+json"
NONCE_HEADER, HEADER = "countersign-nonce", "countersign-attestation"
TEXTS = ("form", "nonce", "at", "tree_sha256", "tensors_sha256", "code_sha256", "software", "dialect", "serves", "boot",
         "input_sha256", "output_sha256", "refused")


@dataclass(frozen=True, slots=True)
class Statement:
    """What a server says of one answer. `boot` names one start of the server, `count` its answers since then.

    input_sha256, output_sha256: tensor_digest; both empty where the server only says what it is, or refuses.
    code_sha256: tree digest of the sources that read the bundle there. `serves`: program and version behind it.
    """

    nonce: str
    at: str
    tree_sha256: str
    tensors_sha256: str
    code_sha256: str
    software: str
    environment: Mapping[str, str]
    dialect: str
    serves: str
    boot: str
    count: int
    input_sha256: str = ""
    output_sha256: str = ""
    refused: str = ""

    def payload(self) -> bytes:
        """The canonical bytes that are signed."""
        return canonical({
            "form": FORM, "nonce": self.nonce, "at": self.at, "tree_sha256": self.tree_sha256,
            "tensors_sha256": self.tensors_sha256, "code_sha256": self.code_sha256, "software": self.software,
            "environment": dict(self.environment), "dialect": self.dialect, "serves": self.serves, "boot": self.boot,
            "count": self.count, "input_sha256": self.input_sha256, "output_sha256": self.output_sha256,
            "refused": self.refused,
        }, "attestation")

    def signed(self, key: Ed25519PrivateKey) -> str:
        """The text of the header: payload and signature, each in base64, parted by a full stop."""
        payload = self.payload()
        return f"{base64_text(payload)}.{base64_text(key.sign(pae(PAYLOAD_TYPE, payload)))}"


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A server as the record knows it: its address and the public half (32 bytes) of the key it signs with.

    authority: certificates (PEM) that alone vouch for its host; None: those of the system.
    """

    server: str
    url: str
    public_key: bytes
    dialect: str
    authority: str | None = None


@dataclass(slots=True)
class Attested:
    """One session with a server: what it has to state each time, and every statement that held."""

    enrolled: Enrolled
    tree_sha256: str
    tensors_sha256: str
    environment: Mapping[str, str] | None
    boot: str = ""
    count: int = -1
    texts: list[str] = field(default_factory=list)

    def check(self, text: str | None, nonce: str, sent: str, received: str) -> Statement:
        """The statement of one answer, every check done. Raises WorkerDiffers naming the first that fails."""
        statement = read(text, self.enrolled.public_key)                                                        # 1, 2
        if statement.nonce != nonce:                                                                            # 3
            raise WorkerDiffers("attestation", "a statement on this very request", "one made for another request")
        if statement.refused:                                                                                   # 4
            raise WorkerDiffers("attestation", "a server that serves what it hashed", statement.refused)
        for check, locked, stated in (("files", self.tree_sha256, statement.tree_sha256),                       # 5
                                      ("tensors", self.tensors_sha256, statement.tensors_sha256)):
            if locked != stated:
                raise WorkerDiffers(check, locked, stated)
        if self.environment is None:                                                                            # 6
            self.environment = dict(statement.environment)
        for name in sorted(set(self.environment) | set(statement.environment)):
            expected, found = self.environment.get(name, "absent"), statement.environment.get(name, "absent")
            if expected != found:
                raise WorkerDiffers("environment", f"{name} {expected}", f"{name} {found}")
        for what, ours, stated in (("sent", sent, statement.input_sha256),                                      # 7
                                   ("received", received, statement.output_sha256)):
            if ours != stated:
                raise WorkerDiffers("attestation", f"the tensor {what}, {ours}", stated or "no tensor")
        if (self.boot and statement.boot != self.boot) or statement.count <= self.count:                        # 8
            raise WorkerDiffers("attestation", f"start {self.boot}, past answer {self.count}",
                                f"start {statement.boot}, answer {statement.count}")
        self.boot, self.count = statement.boot, statement.count
        self.texts.append(str(text))
        return statement


def read(text: str | None, public_key: bytes) -> Statement:
    """A statement signed by this key. Raises WorkerDiffers where there is none, or another key signed it."""
    needed = f"a statement signed by key {kid_of(public_key)[:16]}"
    if not text:
        raise WorkerDiffers("attestation", needed, "an answer without any: this server cannot attest")
    try:
        payload, signature = (from_base64(part) for part in text.split("."))
        stated = json.loads(payload)
        well_formed = stated["form"] == FORM and type(stated["count"]) is int and all(
            isinstance(stated[name], str) for name in TEXTS) and all(
            isinstance(part, str) for pair in stated["environment"].items() for part in pair)
        members: dict[str, Any] = {name: value for name, value in stated.items() if name != "form"}
        statement = Statement(**members)
        well_formed = well_formed and statement.payload() == payload
    except Exception:  # noqa: BLE001  bytes from outside: whatever is wrong with them, they are no statement
        raise WorkerDiffers("attestation", needed, "something that is no statement") from None
    if not well_formed:
        raise WorkerDiffers("attestation", needed, "a statement of another form")
    if not signature_is_valid(public_key, pae(PAYLOAD_TYPE, payload), signature):
        raise WorkerDiffers("attestation", needed, "a signature of another key")
    return statement


def tensor_digest(tensor: NDArray[np.float32]) -> str:
    """SHA-256 over shape and values (little-endian float32, C order)."""
    stated = canonical({"shape": list(tensor.shape), "type": "float32"}, "tensor")
    return hashlib.sha256(stated + b"\0" + np.ascontiguousarray(tensor).astype("<f4").tobytes()).hexdigest()


def server_id(public_key: bytes, url: str, lock: str) -> str:
    """The id of a server: a digest of what its enrolment binds."""
    bound = canonical({"key": kid_of(public_key), "url": url, "lock": lock}, "server")
    return f"SRV-{sha256(bound)[:12]}"
