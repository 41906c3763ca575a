"""What holds the record from outside: cosignatures of witnesses and time stamps of an authority (RECORD 3)."""

from __future__ import annotations

import base64
import urllib.error
import urllib.request
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection, insert, select

from audit import proofs, store
from audit.entry import base64_text, from_base64
from audit.vocabulary.ledger import LedgerAnchored
from core.errors import AppendingStopped, OutsideUnavailable, Stale, UnusableInput
from core.persons import ML_DSA_44, keys, keys_in_force
from core.policy.state import Actor, Decision
from countersign.house import House
from countersign.standstill import lift, loss_of
from countersign.witness import written_request

TIMEOUT_S = 10
TOKEN_MEDIA = "application/timestamp-reply"  # noqa: S105  a media type


def _post(url: str, data: bytes, media: str) -> tuple[int, bytes]:
    if not url.startswith(("http://", "https://")):
        raise UnusableInput(f"{url!r} is no http(s) address.")
    request = urllib.request.Request(url, data=data, headers={"Content-Type": media}, method="POST")  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            return answer.status, answer.read(1 << 20)
    except urllib.error.HTTPError as error:
        return error.code, error.read(1 << 16)
    except OSError as error:
        raise OutsideUnavailable(f"{url} does not answer: {type(error).__name__}.") from error


def ask_witness(house: House, url: str, name: str, public_key: bytes) -> str:
    """Have the newest checkpoint cosigned, keep the line, and return one sentence.

    Raises:
        AppendingStopped: the witness saw another or a longer history; what it saw is kept (`STOPPED` in the home).
        OutsideUnavailable: it did not answer, or answered with a signature that does not verify.
    """
    with house.desk.reading() as session:
        newest = store.last_checkpoint(session)
        known = session.execute(
            select(store.cosignatures.c.size).where(store.cosignatures.c.witness == name)
            .order_by(store.cosignatures.c.size.desc()).limit(1)
        ).scalar() or 0
    if newest is None:
        raise UnusableInput("There is no checkpoint yet.")
    restored = house.standstill.restored
    cosigned = known
    # A restored copy only remembers what the witness knew when the copy was made.
    if known == newest.size and not restored:
        return f"{name} has already cosigned {newest.size} entries."
    status, answer = 409, str(known).encode()
    for _ in range(2):
        with house.desk.reading() as session:
            path = proofs.consistency_path(store.StoredNodes(session), known, newest.size) if known else []
        status, answer = _post(
            f"{url.rstrip('/')}/add-checkpoint", written_request(known, path, newest.note).encode(), "text/plain"
        )
        if status != 409:
            break
        known = int(answer)
        if known > newest.size:
            break
    if status == 422 or known > newest.size:
        said, _, seen = answer.decode(errors="replace").partition("\n\n")
        because = said.strip() if status == 422 else (
            f"The witness cosigned {known} entries; this record holds {newest.size}.")
        house.standstill.stop(because, seen if _shows_loss(house, seen) else "")
        raise AppendingStopped(because)
    if status != 200:
        raise OutsideUnavailable(f"The witness answered {status}.")
    line = answer.decode().strip()
    _check_line(line, name, public_key, newest.note)
    if cosigned != newest.size:
        with house.desk.working_tables() as session:
            session.execute(insert(store.cosignatures).values(size=newest.size, witness=name, line=line))
    if restored:
        lift(house, f"{name} knows no more than this record's {newest.size} entries.", Decision(
            True, "P-03", "A service of the house carries out what the rules let it.", "service"))
    return f"{name} cosigned {newest.size} entries."


def _shows_loss(house: House, note: str) -> bool:
    """Whether the note was really made by this house and goes beyond its record: a witness cannot make one up."""
    with house.desk.reading() as session:
        found = loss_of(session, note)
    return found is not None and found.lost and found.signed_here


def _check_line(line: str, name: str, public_key: bytes, note: str) -> None:
    try:
        dash, said, blob_text = line.split(" ")
        blob = base64.b64decode(blob_text, validate=True)
        at_s, signature = int.from_bytes(blob[4:12], "big"), blob[12:]
        if (dash, said) != ("—", name) or line != proofs.cosignature_line(name, public_key, at_s, signature):
            raise ValueError
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, proofs.cosigned_message(note, at_s))
    except (ValueError, InvalidSignature) as error:
        raise OutsideUnavailable("The witness's cosignature does not verify; it was not kept.") from error


def time_stamp_reply(url: str, query: bytes) -> bytes:
    """What an authority answers to a query of RFC 3161 (DER, both). Raises OutsideUnavailable where it gives none."""
    status, answer = _post(url, query, "application/timestamp-query")
    if status != 200:
        raise OutsideUnavailable(f"The time-stamp authority answered {status}.")
    return answer


def anchor(house: House, url: str, authority_certificates: list[bytes]) -> str:
    """Have the newest checkpoint's note time-stamped (RFC 3161) and record the token. Returns one sentence.

    Where the signer holds a key of ML-DSA-44, its line stands under the note that is stamped and in the entry.
    A checkpoint whose only news are anchors is left alone. Raises OutsideUnavailable where no valid token came.
    """
    from rfc3161_client import TimestampRequestBuilder, VerificationError, VerifierBuilder, decode_timestamp_response

    with house.desk.reading() as session:
        newest = store.last_checkpoint(session)
        last = session.execute(select(store.anchors.c.size).order_by(store.anchors.c.size.desc()).limit(1)).scalar()
        since = [
            row.action for row in session.execute(
                select(store.entries.c.action).where(store.entries.c.seq >= (last or 0)).order_by(store.entries.c.seq)
                .limit(3)
            )
        ]
    if newest is None or (last is not None and set(since) <= {"ledger.anchored"}):
        return "Nothing new to anchor."
    beside = house.signer.sign_anchored(newest.size)
    message = (proofs.with_line(newest.note, newest.origin, beside) if beside else newest.note).encode()
    request = TimestampRequestBuilder().data(message).nonce(nonce=True).build()
    answer = time_stamp_reply(url, request.as_bytes())
    try:
        response = decode_timestamp_response(answer)
        builder = VerifierBuilder.from_request(request)
        for certificate in authority_certificates:
            builder = builder.add_root_certificate(x509.load_pem_x509_certificate(certificate))
        builder.build().verify_message(response, message)
    except (ValueError, VerificationError) as error:
        raise OutsideUnavailable("The authority's token does not verify; it was not kept.") from error
    token = house.desk.objects.put(answer, TOKEN_MEDIA)
    with house.desk.open(Actor.of_service("house")) as work:
        if beside is not None:
            _check_in_force(work.session, beside, newest)
        work.session.execute(insert(store.anchors).values(size=newest.size, authority=url, token=answer))
        work.record(
            LedgerAnchored(
                size=newest.size, authority=url, token=token, log_signature=base64_text(beside) if beside else None),
            under=Decision(True, "P-03", "A service of the house anchors the record.", "service"),
        )
    return f"{newest.size} entries anchored by {url}."


def _check_in_force(session: Connection, line: bytes, note: proofs.Checkpoint) -> None:
    """The log's second key may have been replaced while the authority was asked. Raises Stale."""
    for key in keys_in_force(session, "log", "installation", ML_DSA_44):
        public = from_base64(session.execute(select(keys.c.public_key).where(keys.c.kid == key.kid)).scalar_one())
        if key.entry < note.size and line[:4] == proofs.ml_dsa_line(note.origin, public, b"")[:4]:
            return
    raise Stale("The log's keys were replaced while the time stamp was taken.",
                next_step="Nothing was recorded; run `countersign ledger anchor` again.")


def lag(house: House) -> str:
    """How much of the record nothing outside holds yet, in words."""
    now = datetime.now(UTC)
    with house.desk.reading() as session:
        size, _ = store.head(session)
        rows = {
            kind: session.execute(select(table.c.size).order_by(table.c.size.desc()).limit(1)).scalar()
            for kind, table in (("witness", store.cosignatures), ("time stamp", store.anchors))
        }
    parts = [
        f"no {kind} yet" if known is None else f"{kind} through entry {known - 1}, {size - known} behind"
        for kind, known in rows.items()
    ]
    return f"{size} entries at {now:%Y-%m-%d %H:%M} UTC: {'; '.join(parts)}."
