"""Words about model servers: which ones may answer for a lock's network, and what each of their answers rests on."""

from __future__ import annotations

from audit.vocabulary.registry import ObjectRef, event


@event(
    "server.enrolled", signed_by="person", clause="21 CFR 11.10(a); EU Annex 22 draft 2025, 10.2",
    sentence="{actor} enrolled the model server {server} at {url} for {model} {lock}; key {key}, it serves {serves}",
)
class ServerEnrolled:
    """From now on the network of this lock answers there; everything else of a run stays in the house.

    `public_key` is the Ed25519 key (base64 of 32 bytes) that signs each answer, `key` its lower-case hex SHA-256.
    `statement` is what the server said of itself, signed over a nonce of ours; digests and environment are those of
    the lock. `code_sha256`: the sources that read the bundle there. `authority`: certificates (PEM) that alone vouch
    for its host; the system's where there are none.
    """

    server: str
    lock: str
    model: str
    url: str
    public_key: str
    key: str
    dialect: str
    serves: str
    software: str
    code_sha256: str
    environment_sha256: str
    statement: str
    authority: str | None = None


@event(
    "server.withdrawn", signed_by="person", clause="21 CFR 11.10(a)",
    sentence="{actor} withdrew the model server {server} from {model} {lock}: {reason}",
)
class ServerWithdrawn:
    """It answers for this lock no more. What it answered stays."""

    server: str
    lock: str
    model: str


@event(
    "run.served", signed_by="service", clause="21 CFR 11.10(a); EU Annex 22 draft 2025, 9-10",
    sentence="For run {run} the network answered at the model server {server}; key {key}, statements {attestation}",
)
class RunServed:
    """A remote run: who answered for its network, and the signed statements as an object, one line each.

    The statements bind nonce, bundle, environment, tensor in and tensor out. `threads` and `device` are as stated by
    the server. The outcome of the run follows as an entry of its own; where a run was repeated after a crash, the last
    entry before its outcome is the one it rests on.
    """

    run: str
    lock: str
    model: str
    server: str
    key: str
    attestation: ObjectRef
    answers: int
    environment_sha256: str
    serves: str
    threads: str
    device: str
