"""Who signed the file of a paper and when, as the record attached to it tells: step 9 of the check (RECORD 4)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from audit.entry import from_base64, kid_of
from core.errors import UnusableInput
from reports.book import Book, Line
from reports.pades import FoundSignature, signatures_of
from reports.recompute import name_of


@dataclass(frozen=True, slots=True)
class Judged:
    """What step 9 says, for machines too, and what differs as (found in the file, demanded by the record, entries)."""

    said: str
    signatures: tuple[dict[str, Any], ...] = ()
    wrong: tuple[tuple[str, str, tuple[int, ...]], ...] = ()


def judge(
    raw: bytes, appended: int, book: Book, trial: str, digest: str, *, stamp_roots: Sequence[x509.Certificate] = (),
    unsigned: bool = False,
) -> Judged:
    """Hold the signatures of a file against the record.

    A paper that somebody approved must be signed by that person, with the certificate that the record enrolled for
    them, and followed by nothing but time stamps. One that nobody approved is a draft and bears no signature.

    Args:
        raw: the file.
        appended: how many bytes stand behind the paper as it was drawn.
        book: the whole record that travels with it.
        trial: of the paper.
        digest: its content digest.
        stamp_roots: roots of time-stamp authorities, from the trust card; without any, stamps are named unchecked.
        unsigned: the paper is about to be signed.
    """
    approval = next((line for line in book.of("report.signed") if line.get("content_digest") == digest
                     and line.get("part") == "approved" and line.body.get("trial") == trial), None)
    wrong: list[tuple[str, str, tuple[int, ...]]] = []
    wanted = f"a signature by {approval.person}, who approved the paper" if approval and not unsigned else "none"
    entries: tuple[int, ...] = (approval.seq,) if approval else ()
    try:
        found = signatures_of(raw, stamp_roots)
    except UnusableInput as error:
        return Judged("", wrong=((error.fact, wanted, entries),))
    if not found:
        if appended:
            wrong.append((f"{appended} bytes behind the paper", "none", ()))
        if approval is not None and not unsigned:
            wrong.append(("none", wanted, entries))
        return Judged("a draft, not signed as a file" if approval is None else "not signed as a file",
                      wrong=tuple(wrong))
    first, stamps = found[0], found[1:]
    said = []
    for number, one in enumerate(found):
        problem = one.problem or ("is not the only one" if number and not one.time_stamp else "")
        if problem:
            kind = "the time stamp" if one.time_stamp else "the signature"
            wrong.append((f"{kind} by {one.signer} {problem}", wanted, entries))
    if approval is None or first.time_stamp:
        wrong.append((f"a {'time stamp' if first.time_stamp else 'signature'} by {first.signer}", wanted, entries))
    else:
        who, problem, entries = _whose(book, first, approval)
        said.append(f"PAdES by {who}, {_utc(first.at)} by the signer's clock")
        if problem:
            wrong.append((problem, wanted, entries))
    for stamp in stamps:
        checked = "" if stamp_roots else ", not traced: no trust card names a time-stamp root"
        said.append(f"time stamp of {stamp.signer}, {_utc(stamp.at)}{checked}")
    return Judged("; ".join(said), tuple(map(_as_data, found)), tuple(wrong))


def _whose(book: Book, found: FoundSignature, approval: Line) -> tuple[str, str, tuple[int, ...]]:
    """Whose certificate it is, in words; what is wrong with that; the entries that say so."""
    enrolled = [line for line in book.of("key.enrolled", "key.rotated")
                if line.get("class") == "person" and line.get("certificate_sha256") == _sha256(found.certificate)]
    if not enrolled:
        return found.signer, f"a certificate of {found.signer} that no entry enrolled", ()
    key = enrolled[-1]
    holder, entries = str(key.get("holder")), (key.seq, approval.seq)
    who = f"{name_of(book, holder)} ({holder}), certificate enrolled by entry {key.seq}"
    kid = kid_of(from_base64(str(key.get("public_key"))))
    ended = next((line for line in book.of("key.revoked", "key.rotated") if line.get("kid") == kid), None)
    if holder != approval.person:
        return who, f"a signature by {holder}", entries
    if ended is not None:
        return who, f"a certificate whose key entry {ended.seq} had ended", (*entries, ended.seq)
    # The file states whole seconds.
    if found.at is None or found.at < datetime.fromisoformat(str(approval.body["at"])).replace(microsecond=0):
        return who, f"a signature that states a time before the approval, {_utc(found.at)}", entries
    return who, "", entries


def _as_data(found: FoundSignature) -> dict[str, Any]:
    return {
        "kind": "time stamp" if found.time_stamp else "signature", "signer": found.signer, "at": _utc(found.at),
        "certificate_sha256": _sha256(found.certificate), "problem": found.problem,
    }


def _sha256(certificate: x509.Certificate) -> str:
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def _utc(at: datetime | None) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if at else "no time"
