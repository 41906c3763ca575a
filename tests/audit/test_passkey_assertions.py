"""A passkey's assertion is checked offline: every way to make one fit another body, person, page or time is found.

Both verifiers judge each ledger. The Ed25519 keys are all in the thief's hands here: what is found, is found by the
passkey alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit.verifier import Report, verify_bundle
from tests.bundles import READERS, ROOT, SERVICE, Ledger, Pen, b64, write
from tests.passkeys import Authenticator
from tests.req import req
from tests.second_verifier import opinion

ONE, OTHER = READERS
FACTORS: dict[str, Any] = {"manifest": {"meaning": "authorship", "auth": {"factors": ["password", "passkey"]}}}


def enrolled(algorithm: str = "es256", **more: Any) -> tuple[Ledger, Authenticator]:
    """A ledger in which reader-1 has a passkey."""
    ledger, device = Ledger(), Authenticator.of("reader-1", algorithm)
    ledger.add("key.passkey_enrolled", device.fields(**more), by=ONE, passkey=device)
    return ledger, device


def judged(tmp_path: Path, ledger: Ledger) -> Report:
    """The verifier's report; the second opinion names the same entry."""
    ledger.export()
    path = write(tmp_path / "b.zip", ledger.whole())
    report, second = verify_bundle(path), opinion(path)
    assert report.ok is second.good, (report.in_words(), second)
    assert (report.first_bad.seq if report.first_bad else None) == second.seq, (report.in_words(), second)
    return report


def a_read(ledger: Ledger, by: Pen = ONE, **more: Any) -> dict[str, Any]:
    ledger.now += 1_000_000
    return ledger.body("read.signed", {"sum": "84.5 mm"}, by=by, trial="T1", **more)


def read(ledger: Ledger, device: Authenticator | None = None, by: Pen = ONE, **wrong: Any) -> int:
    """A signed read; `wrong` says how its assertion is made otherwise than it should."""
    body = a_read(ledger, by, **FACTORS)
    if device is not None:
        body["assertion"] = device.answer(body, **wrong)
    return ledger.append(body, by)


@req("REC-03", "REC-08", "SIG-03")
@pytest.mark.parametrize("algorithm", ["es256", "ed25519"])
@pytest.mark.parametrize("counting", [True, False])
def test_good_assertions_are_checked_and_counted(tmp_path: Path, algorithm: str, counting: bool) -> None:
    """Many passkeys leave their counter at 0; then only the challenge stands against a replay."""
    ledger, device = Ledger(), Authenticator.of("reader-1", algorithm, counting=counting)
    ledger.add("key.passkey_enrolled", device.fields(), by=ONE, passkey=device)
    further = Authenticator.of("a second device", algorithm)
    ledger.add("key.passkey_enrolled", further.fields(), by=ONE, passkey=device)
    for each in (device, further, device):
        read(ledger, each)
    read(ledger, device, flags=0x85)
    ledger.add("read.signed", {"sum": "84.5 mm"}, by=ONE, trial="T1")  # with a one-time code, as ever

    report = judged(tmp_path, ledger)

    assert report.ok, report.in_words()
    assert report.assertions == 6
    assert "6 entries carry a passkey's assertion" in report.in_words()
    assert any("attestation" in text for text in report.not_checked)


WRONG_ANSWERS: dict[str, tuple[dict[str, Any], str]] = {
    "another challenge": ({"challenge": "AAAA"}, "another body"),
    "a page of another site": ({"origin": "https://localhost.example.org"}, "no page of localhost"),
    "a page without TLS": ({"origin": "http://reader.localhost"}, "no page of localhost"),
    "a frame in another page": ({"crossOrigin": True}, "somebody else"),
    "a registration": ({"type": "webauthn.create"}, "another kind"),
    "another relying party": ({"rp": "example.org"}, "another relying party"),
    "no user verification": ({"flags": 1}, "without verifying the user"),
    "no user presence": ({"flags": 4}, "without verifying the user"),
    "a counter that fell": ({"count": 0}, "counts 0 after"),
    "a counter that stands": ({"count": 1}, "counts 1 after 1"),
}


@req("REC-03", "REC-08", "SIG-03", "SIG-04")
@pytest.mark.parametrize("what", WRONG_ANSWERS)
def test_an_assertion_that_says_otherwise_is_the_first_bad_entry(tmp_path: Path, what: str) -> None:
    wrong, words = WRONG_ANSWERS[what]
    ledger, device = enrolled()
    bad = read(ledger, device, **wrong)
    read(ledger, device)

    report = judged(tmp_path, ledger)

    assert report.first_bad is not None
    assert (report.first_bad.step, report.first_bad.seq) == (7, bad)
    assert words in report.first_bad.reason


def _swap(ledger: Ledger, device: Authenticator) -> None:
    """What the person answered for, with another sum in it, signed anew with the stolen key."""
    read(ledger, device)
    body = json.loads(ledger.entries.pop())["body"]
    ledger._streams["trial/T1"] -= 1
    ledger.append(body | {"fields": {"sum": "12.0 mm"}}, ONE)


def _replay(ledger: Ledger, device: Authenticator) -> None:
    first = ledger.parsed(read(ledger, device))["body"]
    body = a_read(ledger, **FACTORS)
    ledger.append(body | {"assertion": first["assertion"]}, ONE)


def _of_another_person(ledger: Ledger, device: Authenticator) -> None:
    read(ledger, device, by=OTHER)


def _never_enrolled(ledger: Ledger, _: Authenticator) -> None:
    read(ledger, Authenticator.of("a device of the thief"))


def _revoked(ledger: Ledger, device: Authenticator) -> None:
    ledger.add("key.passkey_revoked", {"holder": "reader-1", "credential": b64(device.credential), "label": "it",
                                       "because": "lost"}, by=OTHER)
    read(ledger, device)


def _ended_with_the_key(ledger: Ledger, device: Authenticator) -> None:
    ledger.add("key.revoked", {"kid": ONE.kid, "because": "lost"}, by=ROOT)
    fresh = Pen.of("person", "reader-1", "after recovery")
    ledger.add("key.enrolled", fresh.fields, by=ROOT, proofs=(fresh,))
    read(ledger, device, by=fresh)


def _enrolled_for_somebody_else(ledger: Ledger, _: Authenticator) -> None:
    """An administrator's passkey is the administrator's: the word has no place to name another holder."""
    theirs = Authenticator.of("of the administrator")
    ledger.add("key.passkey_enrolled", theirs.fields(holder="reader-1"), by=OTHER, passkey=theirs)
    read(ledger, theirs)


def _a_further_one_without_the_first(ledger: Ledger, _: Authenticator) -> None:
    theirs = Authenticator.of("of a captured house")
    ledger.add("key.passkey_enrolled", theirs.fields(), by=ONE, passkey=theirs)


def _enrolled_without_assertion(ledger: Ledger, _: Authenticator) -> None:
    ledger.add("key.passkey_enrolled", Authenticator.of("of a captured house").fields(), by=OTHER)


def _enrolled_twice(ledger: Ledger, device: Authenticator) -> None:
    ledger.add("key.passkey_enrolled", device.fields(), by=OTHER, passkey=device)


def _factors_without_assertion(ledger: Ledger, _: Authenticator) -> None:
    read(ledger)


def _assertion_that_the_manifest_does_not_name(ledger: Ledger, device: Authenticator) -> None:
    body = a_read(ledger)
    ledger.append(body | {"assertion": device.answer(body)}, ONE)


def _of_a_service(ledger: Ledger, device: Authenticator) -> None:
    body = a_read(ledger, SERVICE, **FACTORS) | {"action": "series.received"}
    ledger.append(body | {"assertion": device.answer(body)}, SERVICE)


def _revoked_twice(ledger: Ledger, device: Authenticator) -> None:
    for _ in range(2):
        ledger.add("key.passkey_revoked", {"holder": "reader-1", "credential": b64(device.credential), "label": "it",
                                           "because": "lost"}, by=ONE)


DEEDS: dict[Callable[[Ledger, Authenticator], None], tuple[int, str]] = {
    _swap: (7, "another body"),
    _replay: (7, "another body"),
    _of_another_person: (6, "a passkey of reader-1"),
    _never_enrolled: (6, "not enrolled before"),
    _revoked: (6, "ended with entry"),
    _ended_with_the_key: (6, "ended with entry"),
    _enrolled_for_somebody_else: (6, "a passkey of reader-2"),
    _a_further_one_without_the_first: (6, "not enrolled before"),
    _enrolled_without_assertion: (6, "carries no assertion"),
    _enrolled_twice: (6, "enrolled before"),
    _factors_without_assertion: (7, "carries no assertion"),
    _assertion_that_the_manifest_does_not_name: (7, "does not name"),
    _of_a_service: (6, "service key"),
    _revoked_twice: (6, "ended with entry"),
}


@req("REC-03", "REC-08", "SIG-03", "SIG-04", "SIG-09", "SIG-10")
@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.__name__.strip("_"))
def test_whoever_holds_every_other_key_still_cannot(tmp_path: Path, deed: Any) -> None:
    """The last entry before the export is the bad one, and is named."""
    ledger, device = enrolled()
    deed(ledger, device)
    bad = ledger.size - 1

    report = judged(tmp_path, ledger)

    assert report.first_bad is not None, deed
    assert (report.first_bad.step, report.first_bad.seq) == (DEEDS[deed][0], bad), report.in_words()
    assert DEEDS[deed][1] in report.first_bad.reason


@req("REC-03", "SIG-03", "SIG-09")
def test_who_signs_with_passkeys_alone_signs_nothing_without(tmp_path: Path) -> None:
    """A stolen key and password make no entry in that person's name; after the revocation the code counts again."""
    ledger, device = enrolled(alone=True)
    read(ledger, device)
    ledger.add("key.passkey_revoked", {"holder": "reader-1", "credential": b64(device.credential), "label": "it",
                                       "because": "lost"}, by=OTHER)
    ledger.add("read.signed", {"sum": "84.5 mm"}, by=ONE, trial="T1")
    assert judged(tmp_path, ledger).ok

    ledger, device = enrolled(alone=True)
    bad = ledger.add("read.signed", {"sum": "84.5 mm"}, by=ONE, trial="T1")
    report = judged(tmp_path, ledger)
    assert report.first_bad is not None
    assert (report.first_bad.step, report.first_bad.seq) == (7, bad)
    assert "passkeys alone" in report.first_bad.reason


@req("REC-03", "REC-08")
def test_a_signature_of_the_passkey_that_is_not_over_these_bytes_is_found(tmp_path: Path) -> None:
    for algorithm in ("es256", "ed25519"):
        ledger, device = enrolled(algorithm)
        body = a_read(ledger, **FACTORS)
        given, another = device.answer(body), device.answer(body)
        bad = ledger.append(body | {"assertion": given | {"signature": another["signature"]}}, ONE)

        report = judged(tmp_path, ledger)

        assert report.first_bad is not None
        assert (report.first_bad.step, report.first_bad.seq) == (7, bad)
        assert "passkey's assertion of reader-1" in report.first_bad.reason
