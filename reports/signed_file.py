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
from reports import validation_report
from reports.book import Book, Line
from reports.pades import FoundSignature, signatures_of
from reports.recompute import name_of
from reports.tables import qualification


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
        holder, who, problem, entries = _whose(book, first, approval)
        if holder and holder != approval.person:
            problem = f"a signature by {holder}"
        said.append(f"PAdES by {who}, {_utc(first.at)} by the signer's clock")
        if problem:
            wrong.append((problem, wanted, entries))
    for stamp in stamps:
        checked = "" if stamp_roots else ", not traced: no trust card names a time-stamp root"
        said.append(f"time stamp of {stamp.signer}, {_utc(stamp.at)}{checked}")
    return Judged("; ".join(said), tuple(map(_as_data, found)), tuple(wrong))


def judge_report(
    raw: bytes, appended: int, book: Book, runs: Sequence[str], *, stamp_roots: Sequence[x509.Certificate] = (),
    unsigned: bool = False,
) -> Judged:
    """Hold the signatures of a report of validation against the record that travels with it.

    The first is by who ran the runs, after their verdicts; a second, if there is one, by a person who neither ran
    them nor carried out a step of theirs. A file without any is a draft.
    """
    ends = [end for run in runs if (end := qualification.concluded(book, run))]
    ran = {line.person for line in qualification.started(book, runs)}
    wanted = f"a signature by {' or '.join(sorted(ran))}, who ran it"
    wrong: list[tuple[str, str, tuple[int, ...]]] = []
    try:
        found = signatures_of(raw, stamp_roots, by_two=True)
    except UnusableInput as error:
        return Judged("", wrong=((error.fact, wanted, ()),))
    if appended and not found:
        wrong.append((f"{appended} bytes behind the paper", "none", ()))
    if not found or not ends:
        return Judged("a draft, not signed as a file" if not unsigned else "about to be signed", wrong=tuple(wrong))
    barred, last = validation_report.testers(book, runs), max(ends, key=lambda end: end.seq)
    said: list[str] = []
    for number, one in enumerate(found):
        entries: tuple[int, ...] = ()
        holder, who, problem = "", one.signer, one.problem
        if not one.time_stamp:
            holder, who, other, entries = _whose(book, one, last)
            problem = problem or other
            right = holder in ran if number == 0 else holder not in barred
            if not problem and not right:
                problem = f"a signature by {holder}" + (", who ran it" if number else "")
            part = "executed" if number == 0 else "reviewed"
            said.append(f"PAdES as {part} by {who}, {_utc(one.at)} by the signer's clock")
        else:
            said.append(f"time stamp of {one.signer}, {_utc(one.at)}"
                        + ("" if stamp_roots else ", not traced: no trust card names a time-stamp root"))
            problem = problem or ("a time stamp before any signature" if number == 0 else "")
        if problem:
            wrong.append((f"{who}: {problem}", wanted if number == 0 else "a second signature by another person",
                          entries))
    if len([one for one in found if not one.time_stamp]) == 1:
        said.append("not signed by a reviewer")
    return Judged("; ".join(said), tuple(map(_as_data, found)), tuple(wrong))


def enrolment_of(book: Book, certificate: x509.Certificate) -> Line | None:
    """The entry that names a person's certificate by its digest; the newest where there are several."""
    enrolled = [line for line in book.of("key.enrolled", "key.rotated")
                if line.get("class") == "person" and line.get("certificate_sha256") == _sha256(certificate)]
    return enrolled[-1] if enrolled else None


def _whose(book: Book, found: FoundSignature, since: Line) -> tuple[str, str, str, tuple[int, ...]]:
    """Whose certificate it is, by id and in words; what is wrong with it; the entries that say so. `since`: what was
    there before the person signed."""
    key = enrolment_of(book, found.certificate)
    if key is None:
        return "", found.signer, f"a certificate of {found.signer} that no entry enrolled", ()
    holder, entries = str(key.get("holder")), (key.seq, since.seq)
    who = f"{name_of(book, holder)} ({holder}), certificate enrolled by entry {key.seq}"
    kid = kid_of(from_base64(str(key.get("public_key"))))
    ended = next((line for line in book.of("key.revoked", "key.rotated") if line.get("kid") == kid), None)
    if ended is not None:
        return holder, who, f"a certificate whose key entry {ended.seq} had ended", (*entries, ended.seq)
    # The file states whole seconds.
    if found.at is None or found.at < datetime.fromisoformat(str(since.body["at"])).replace(microsecond=0):
        before = "approval" if since.action == "report.signed" else "verdict"
        return holder, who, f"a signature that states a time before the {before}, {_utc(found.at)}", entries
    return holder, who, "", entries


def _as_data(found: FoundSignature) -> dict[str, Any]:
    return {
        "kind": "time stamp" if found.time_stamp else "signature", "signer": found.signer, "at": _utc(found.at),
        "certificate_sha256": _sha256(found.certificate), "problem": found.problem,
    }


def _sha256(certificate: x509.Certificate) -> str:
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def _utc(at: datetime | None) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if at else "no time"
