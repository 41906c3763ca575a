"""What somebody might do to a bundle; each is found, and the first bad entry is named."""

from __future__ import annotations

import hashlib
import io
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.verifier import SELF_CONSISTENT, VERIFIED, WRONG, Report, WrongUse, verify_bundle
from tests.bundles import (
    INTAKE,
    LOG,
    READERS,
    ROOT,
    SERVICE,
    Ledger,
    Pen,
    a_ledger,
    b64,
    cosigned,
    jcs,
    leaf_of,
    note,
    pae,
    tree_root,
    write,
)
from tests.req import req
from tests.second_verifier import complaints

READER, OTHER = READERS


def judged(folder: Path, members: dict[str, bytes], **options: Any) -> Report:
    """The verdict of the verifier; the second opinion must be the same on whole ledgers."""
    path = write(folder / "bundle.zip", members)
    report = verify_bundle(path, **options)
    if json.loads(members["bundle.json"])["scope"]["kind"] == "whole" and "trust" not in options:
        assert bool(complaints(path)) is not report.ok, (report.in_words(), complaints(path))
    return report


def bad(report: Report) -> tuple[int, int | None]:
    """Step and entry of the first finding."""
    assert report.verdict == WRONG
    assert report.first_bad is not None
    return report.first_bad.step, report.first_bad.seq


def resealed(ledger: Ledger, changed: list[bytes], log: Pen = LOG) -> dict[str, bytes]:
    """A bundle whose tree was built anew over changed entries and signed by `log`: what a thief of the log key does."""
    members = ledger.whole()
    leaves = [leaf_of(one) for one in changed]
    members["entries.jsonl"] = b"".join(one + b"\n" for one in changed)
    members["leaves.bin"] = b"".join(leaves)
    members["checkpoint.txt"] = note(ledger.origin, len(changed), tree_root(leaves), log).encode()
    about = json.loads(members["bundle.json"])
    about["last"] = about["export"] = len(changed) - 1
    members["bundle.json"] = jcs(about) + b"\n"
    return members


def edited(raw: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    entry = json.loads(raw)
    change(entry)
    return jcs(entry)


@req("REC-03", "REC-08")
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_good_bundle_is_verified_with_its_trust_card_and_only_self_consistent_without(
    tmp_path: Path, jobs: int
) -> None:
    ledger = a_ledger()

    without = judged(tmp_path, ledger.whole(), jobs=jobs)
    with_card = judged(tmp_path, ledger.whole(), trust=ledger.card(), jobs=jobs)

    assert without.verdict == SELF_CONSISTENT
    assert with_card.verdict == VERIFIED
    assert any("origin" in text for text in without.not_checked)
    assert any("newest entries" in text for text in with_card.not_checked)


@req("REC-04")
def test_another_ledger_under_the_same_name_fails_against_the_trust_card(tmp_path: Path) -> None:
    other = Ledger(founded=False)
    thief = Pen.of("root", "installation", "thief")
    other.add("ledger.founded", thief.fields, by=thief)
    other.enrol(LOG, by=thief)
    words = json.loads(a_ledger().entries[2])["body"]["fields"]
    other.add("vocabulary.adopted", words, by=thief)
    other.enrol(SERVICE, by=thief)
    other.export()

    assert judged(tmp_path, other.whole()).verdict == SELF_CONSISTENT
    assert bad(judged(tmp_path, other.whole(), trust=a_ledger().card())) == (13, 0)


@req("REC-04")
def test_a_cosignature_of_a_witness_on_the_card_is_counted_and_a_false_one_is_not(tmp_path: Path) -> None:
    ledger, witness = a_ledger(), Pen.of("witness", "w")
    card = ledger.card() | {"witnesses": [{"name": "w.example", "public_key": b64(witness.public)}]}
    members = ledger.whole()
    members["checkpoint.txt"] = cosigned(ledger.note(), "w.example", witness, 1_795_514_500).encode()
    true = judged(tmp_path, members, trust=card)
    members["checkpoint.txt"] = cosigned(ledger.note(), "w.example", Pen.of("witness", "x"), 1_795_514_500).encode()
    false = judged(tmp_path, members, trust=card)

    assert true.cosignatures == [f"w.example at 2026-11-24 10:01:40 UTC over {ledger.size} entries"]
    assert not any("newest entries" in text for text in true.not_checked)
    assert false.cosignatures == []
    assert any("newest entries" in text for text in false.not_checked)


@req("REC-04")
def test_an_earlier_cosigned_checkpoint_must_be_the_beginning_of_this_ledger(tmp_path: Path) -> None:
    """Whoever cuts the ledger and lets it grow anew shows against what a witness saw, even with all keys."""
    ledger, witness = a_ledger(), Pen.of("witness", "w")
    card = ledger.card() | {"witnesses": [{"name": "w.example", "public_key": b64(witness.public)}]}

    def seen(source: Ledger, size: int) -> bytes:
        text = note(source.origin, size, tree_root(source.leaves[:size]), LOG)
        return cosigned(text, "w.example", witness, 1_795_514_500).encode()

    for leaves in (True, False):
        members = ledger.whole() | {"anchors/15.note": seen(ledger, 15)}
        if not leaves:
            del members["leaves.bin"]
        good = judged(tmp_path, members, trust=card)
        assert good.ok
        assert good.witnessed_size == 15
        assert any("after entry 14" in text for text in good.not_checked)
        forked = members | {"anchors/15.note": seen(a_ledger(8), 15)}
        assert bad(judged(tmp_path, forked, trust=card)) == (13, 14)
    longer = ledger.whole() | {"anchors/99.note": seen(a_ledger(7, 200), 99)}
    assert bad(judged(tmp_path, longer, trust=card))[0] == 13


def _rewritten(seq: int, change: Callable[[dict[str, Any]], object]) -> Callable[[Ledger], list[bytes]]:
    return lambda ledger: [edited(raw, change) if n == seq else raw for n, raw in enumerate(ledger.entries)]


def _set(*path: Any) -> Callable[[dict[str, Any]], object]:
    *way, name, value = path

    def change(entry: dict[str, Any]) -> None:
        for step in way:
            entry = entry[step]
        if value is None:
            del entry[name]
        else:
            entry[name] = value

    return change


def _replace_raw(seq: int, old: bytes, new: bytes) -> Callable[[Ledger], list[bytes]]:
    def change(ledger: Ledger) -> list[bytes]:
        assert old in ledger.entries[seq]
        return [raw.replace(old, new, 1) if n == seq else raw for n, raw in enumerate(ledger.entries)]

    return change


def _swapped(ledger: Ledger) -> list[bytes]:
    out = list(ledger.entries)
    out[9], out[10] = out[10], out[9]
    return out


def _swapped_renumbered(ledger: Ledger) -> list[bytes]:
    first, second = ledger.parsed(9), ledger.parsed(10)
    for name in ("seq", "ts"):
        first[name], second[name] = second[name], first[name]
    return [*ledger.entries[:9], jcs(second), jcs(first), *ledger.entries[11:]]


def _replayed(ledger: Ledger) -> list[bytes]:
    """The last entry but the export once more, renumbered, with its own body: an old deed counted twice."""
    old = ledger.parsed(ledger.size - 2)
    end = ledger.parsed(ledger.size - 1)
    again = old | {"seq": old["seq"] + 1, "ts": old["ts"] + 1, "stream_seq": old["stream_seq"] + 1}
    end = end | {"seq": end["seq"] + 1}
    return [*ledger.entries[:-1], jcs(again), jcs(end)]


# Entries 0 to 6 found the ledger, 7 to 18 are deeds, 19 is the export.
EDITS: dict[str, tuple[Callable[[Ledger], list[bytes]], int, int]] = {
    "fields changed": (_rewritten(8, _set("body", "fields", "subject", "T1-999")), 7, 8),
    "time of signing changed": (_rewritten(8, _set("body", "at", "2026-11-24T10:00:20.000000Z")), 7, 8),
    "time of record before its forerunner": (_rewritten(8, _set("ts", 1_795_600_001_000_000)), 4, 8),
    "time of record far off": (_rewritten(19, _set("ts", 1_795_699_000_000_000)), 8, 19),
    "entry dropped": (lambda ledger: [*ledger.entries[:9], *ledger.entries[10:]], 4, 9),
    "entry doubled": (lambda ledger: [*ledger.entries[:9], ledger.entries[8], *ledger.entries[9:]], 4, 9),
    "two entries swapped": (_swapped, 4, 9),
    "an old deed replayed": (_replayed, 4, 19),
    "signature emptied": (_rewritten(8, _set("sig", "")), 3, 8),
    "signature removed": (_rewritten(8, _set("sig", None)), 3, 8),
    "algorithm named": (_rewritten(8, _set("alg", "none")), 3, 8),
    "member of the body added": (_rewritten(8, _set("body", "note", "x")), 3, 8),
    "member of the body removed": (_rewritten(8, _set("body", "rule", None)), 3, 8),
    "kid of another person": (_rewritten(8, lambda e: e.update(kid=OTHER.kid if e["kid"] != OTHER.kid else READER.kid)),
                              6, 8),
    "kid that was never enrolled": (_rewritten(8, _set("kid", "0" * 64)), 6, 8),
    "kid in capitals": (_rewritten(8, lambda e: e.update(kid=e["kid"].upper())), 3, 8),
    "stream renamed": (_rewritten(8, _set("stream", "house")), 4, 8),
    "stream_seq skipped": (_rewritten(8, lambda e: e.update(stream_seq=e["stream_seq"] + 1)), 4, 8),
    "origin changed": (_rewritten(8, _set("body", "log", "countersign.example/other")), 4, 8),
    "suite changed": (_rewritten(8, _set("body", "type", 2)), 3, 8),
    "a word that is not declared": (_rewritten(8, _set("body", "action", "series.burned")), 5, 8),
    "a version that is not declared": (_rewritten(8, _set("body", "version", 2)), 5, 8),
    "null": (_replace_raw(8, b'"version":1', b'"version":null'), 3, 8),
    "decimal number": (_replace_raw(8, b'"version":1', b'"version":1.0'), 3, 8),
    "exponent": (_replace_raw(8, b'"version":1', b'"version":1e0'), 3, 8),
    "number beyond 2^53": (_replace_raw(8, b'"version":1', b'"version":9007199254740993'), 3, 8),
    "thirty digits": (_replace_raw(8, b'"version":1', b'"version":1' + b"0" * 30), 3, 8),
    "member twice": (_replace_raw(8, b'"version":1', b'"version":1,"version":1'), 3, 8),
    "space": (_replace_raw(8, b'"version":1', b'"version": 1'), 3, 8),
    "escaped letter": (_replace_raw(8, b'"type"', b'"t\\u0079pe"'), 3, 8),
    "members out of order": (_replace_raw(8, b'"type":1,"version":1', b'"version":1,"type":1'), 3, 8),
    "NUL": (_rewritten(8, _set("body", "reason", "a\u0000b")), 3, 8),
    "not NFC": (_rewritten(8, _set("body", "reason", "u\u0308")), 3, 8),
    "turned direction of text": (_rewritten(8, _set("body", "reason", "\u202eabc")), 3, 8),
    "unassigned character": (_rewritten(8, _set("body", "reason", "\u0378")), 3, 8),
    "member name with capital": (_rewritten(8, _set("body", "fields", "Subject", "x")), 3, 8),
    "not UTF-8": (_replace_raw(8, b'"version":1', b'"version":\xff'), 3, 8),
    "nested without end": (lambda ledger: [*ledger.entries[:8], b"[" * 30_000, *ledger.entries[9:]], 3, 8),
    "an entry too large": (_rewritten(8, _set("body", "fields", "subject", "x" * 66_000)), 3, 8),
    "empty line": (lambda ledger: [*ledger.entries[:8], b"", *ledger.entries[8:]], 3, 8),
    "Windows line end": (lambda ledger: [raw + b"\r" if n == 8 else raw for n, raw in enumerate(ledger.entries)], 3, 8),
    "head of another tree": (_rewritten(8, _set("body", "head", "root", b64(b"x" * 32))), 7, 8),
    "spare bits of base64": (_rewritten(8, lambda e: e.update(sig=e["sig"][:-3] + _next_letter(e["sig"][-3]) + "==")),
                             3, 8),
}


def _next_letter(letter: str) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return alphabet[alphabet.index(letter) + 1]


@pytest.mark.parametrize("name", EDITS)
@req("REC-03", "REC-04")
def test_a_change_of_an_entry_is_named_even_when_the_log_key_signed_a_new_tree(tmp_path: Path, name: str) -> None:
    """Edits by somebody with database and log key, and no key of an actor."""
    change, step, seq = EDITS[name]
    ledger = a_ledger()

    report = judged(tmp_path, resealed(ledger, change(ledger)))

    assert bad(report) == (step, seq), report.in_words()


@pytest.mark.parametrize("name", EDITS)
@req("REC-03")
def test_the_same_change_without_the_log_key_is_found_as_well(tmp_path: Path, name: str) -> None:
    ledger = a_ledger()
    members = ledger.whole() | {"entries.jsonl": b"".join(one + b"\n" for one in EDITS[name][0](ledger))}

    assert judged(tmp_path, members).verdict == WRONG


@req("REC-04")
def test_swapped_and_renumbered_entries_betray_themselves_by_the_heads_that_later_signers_saw(tmp_path: Path) -> None:
    ledger = Ledger()
    for _ in range(4):
        ledger.add("series.received", {"series": "1"}, by=SERVICE, trial="T1")
        ledger.add("series.received", {"series": "1"}, by=INTAKE, trial="T2")
    ledger.export()

    report = judged(tmp_path, resealed(ledger, _swapped_renumbered(ledger)))

    assert report.first_bad is not None
    assert report.first_bad.step == 8


def _signed_anew(ledger: Ledger, seq: int, by: Pen, change: Callable[[dict[str, Any]], object]) -> list[bytes]:
    """An edit by somebody who also holds the actor's key."""
    entry = ledger.parsed(seq)
    change(entry["body"])
    entry["sig"] = b64(by.private.sign(pae("application/vnd.countersign.entry.v1+json", jcs(entry["body"]))))
    entry["kid"] = by.kid
    return [*ledger.entries[:seq], jcs(entry), *ledger.entries[seq + 1:]]


@req("REC-04", "SIG-09")
def test_an_edit_by_a_thief_of_log_key_and_actor_key_is_found_by_what_others_had_seen(tmp_path: Path) -> None:
    ledger = Ledger()
    ledger.add("read.signed", {"sum": "84.5 mm"}, by=READER, trial="T1")
    ledger.add("read.signed", {"sum": "80.0 mm"}, by=OTHER, trial="T1")
    ledger.export()

    forged = _signed_anew(ledger, 7, READER, lambda body: body["fields"].update(sum="60.0 mm"))

    assert bad(judged(tmp_path, resealed(ledger, forged))) == (8, 8)


@req("SIG-04", "SIG-09", "ACC-01")
@pytest.mark.parametrize(
    ("by", "options", "step"),
    [
        (SERVICE, {"actor": "reader-1"}, 6),  # a service signs in a person's word
        (READER, {"actor": "reader-2"}, 6),  # one person's key under another's name
        (Pen.of("person", "reader-1", "stranger"), {}, 6),  # a key that nobody enrolled
        (ROOT, {"actor": "reader-1"}, 6),  # the root key is no person
    ],
)
def test_only_the_persons_own_enrolled_key_signs_a_persons_word(
    tmp_path: Path, by: Pen, options: dict[str, Any], step: int
) -> None:
    ledger = Ledger()
    ledger.add("read.signed", {"sum": "84.5 mm"}, by=by, trial="T1", **options)
    ledger.export()

    assert bad(judged(tmp_path, ledger.whole())) == (step, 7)


@req("SIG-10")
def test_a_revoked_key_signs_nothing_more_and_suspect_entries_are_listed(tmp_path: Path) -> None:
    ledger = Ledger()
    ledger.add("read.signed", {"sum": "84.5 mm"}, by=READER, trial="T1")
    ledger.add("key.revoked", {"kid": READER.kid, "because": "token lost", "suspect_from": 7}, by=ROOT)
    good = Ledger.__new__(Ledger)
    good.__dict__ = {**ledger.__dict__, "entries": list(ledger.entries), "_streams": dict(ledger._streams)}
    good.export()
    ledger.add("read.signed", {"sum": "60.0 mm"}, by=READER, trial="T1")
    ledger.export()

    marked = judged(tmp_path, good.whole())

    assert marked.ok
    assert any("suspect from entry 7" in text and "entries 7" in text for text in marked.remarks)
    assert bad(judged(tmp_path, ledger.whole())) == (6, 9)


@req("SIG-04", "SIG-05")
def test_every_entry_of_a_recovered_key_is_listed(tmp_path: Path) -> None:
    """A lost key replaced by others' word: nothing is wrong, and nobody may overlook it."""
    fresh = Pen.of("person", "reader-1", "second")
    ledger = Ledger()
    ledger.add("key.revoked", {"kid": READER.kid, "because": "token lost"}, by=ROOT)
    ledger.enrol(fresh)
    ledger.add("read.signed", {"sum": "84.5 mm"}, by=fresh, trial="T1")
    ledger.export()

    report = judged(tmp_path, ledger.whole())

    assert report.ok
    assert any("earlier one was lost (entry 8); it signed entries 9" in text for text in report.remarks), report.remarks


@req("SIG-04")
def test_a_rotated_key_passes_on_class_and_holder_and_then_counts_no_more(tmp_path: Path) -> None:
    fresh = Pen.of("person", "reader-1", "second")
    ledger = Ledger()
    ledger.add("key.rotated", fresh.fields | {"kid": READER.kid}, by=READER, proofs=(fresh,))
    ledger.add("read.signed", {"sum": "84.5 mm"}, by=fresh, trial="T1")
    ledger.export()
    assert judged(tmp_path, ledger.whole()).ok

    stale = Ledger()
    stale.add("key.rotated", fresh.fields | {"kid": READER.kid}, by=READER, proofs=(fresh,))
    stale.add("read.signed", {"sum": "84.5 mm"}, by=READER, trial="T1")
    stale.export()
    assert bad(judged(tmp_path, stale.whole())) == (6, 8)

    unproven = Ledger()
    unproven.add("key.rotated", fresh.fields | {"kid": READER.kid}, by=READER)
    unproven.export()
    assert bad(judged(tmp_path, unproven.whole())) == (6, 7)

    grown = Ledger()
    grown.add("key.rotated", fresh.fields | {"kid": READER.kid, "holder": "reader-2"}, by=READER, proofs=(fresh,))
    grown.export()
    assert bad(judged(tmp_path, grown.whole())) == (6, 7)


@req("SIG-04", "SIG-05")
def test_an_enrolment_needs_the_new_keys_own_proof_and_no_key_is_enrolled_twice(tmp_path: Path) -> None:
    ledger = Ledger()
    ledger.enrol(Pen.of("person", "reader-3"), proof=False)
    ledger.export()
    assert bad(judged(tmp_path, ledger.whole())) == (6, 7)

    twice = Ledger()
    twice.enrol(READER)
    twice.export()
    assert bad(judged(tmp_path, twice.whole())) == (6, 7)

    root = Ledger()
    root.enrol(Pen.of("root", "installation", "second"))
    root.export()
    assert bad(judged(tmp_path, root.whole())) == (6, 7)


@req("REC-04")
def test_a_proof_by_a_second_person_is_checked_like_a_signature(tmp_path: Path) -> None:
    good = Ledger()
    good.add("read.signed", {"sum": "84.5 mm"}, by=READER, trial="T1", proofs=(OTHER,))
    good.export()
    assert judged(tmp_path, good.whole()).ok

    entry = good.parsed(7)
    entry["body"]["proofs"][0]["sig"] = b64(OTHER.private.sign(b"another body"))
    body = entry["body"]
    entry["sig"] = b64(READER.private.sign(pae("application/vnd.countersign.entry.v1+json", jcs(body))))
    forged = [*good.entries[:7], jcs(entry), *good.entries[8:]]
    assert bad(judged(tmp_path, resealed(good, forged))) == (7, 7)


@req("REC-03", "REC-04")
@pytest.mark.parametrize(
    ("seen", "late", "step"), [(5, None, 8), (8, None, None), (8, 1_000_000_000, 8), (8, 800_000_000, None)]
)
def test_a_head_never_falls_and_signing_time_stays_near(
    tmp_path: Path, seen: int, late: int | None, step: int | None
) -> None:
    """Back-dating shows: the key had seen more before, or its time is far from the ledger's."""
    ledger = Ledger()
    ledger.add("read.signed", {"sum": "1.0 mm"}, by=READER, trial="T1", seen=7)
    at_us = ledger.now + 1_000_000 - late if late else None
    ledger.add("read.signed", {"sum": "2.0 mm"}, by=READER, trial="T1", seen=seen, at_us=at_us)
    ledger.export()

    report = judged(tmp_path, ledger.whole())

    assert report.ok if step is None else bad(report) == (step, 8)


@req("REC-03")
def test_a_late_entry_is_accepted_when_its_code_says_so(tmp_path: Path) -> None:
    ledger = Ledger()
    ledger.add("read.signed", {"sum": "2.0 mm"}, by=READER, trial="T1", at_us=ledger.now - 3_600_000_000, reason="late")
    ledger.export()

    assert judged(tmp_path, ledger.whole()).ok


@req("REC-03")
def test_a_head_that_claims_the_future_or_another_history_is_refused(tmp_path: Path) -> None:
    for head in ({"size": 9, "root": b64(b"y" * 32)}, {"size": 3, "root": b64(b"y" * 32)}):
        ledger = Ledger()
        ledger.now += 1
        body = ledger.body("read.signed", {"sum": "1.0 mm"}, by=READER, trial="T1") | {"head": head}
        ledger.append(body, READER)
        ledger.export()
        assert bad(judged(tmp_path, ledger.whole())) == (8, 7)


@req("REC-04")
def test_the_checkpoint_must_be_of_these_entries_and_of_the_log_key(tmp_path: Path) -> None:
    ledger = a_ledger()
    members, thief = ledger.whole(), Pen.of("log", "thief")
    cases = {
        "another root": (ledger.note(root=b"r" * 32), 9),
        "another signer": (ledger.note(log=thief), 10),
        "another name": (ledger.note(name="countersign.example/other"), 10),
        "fewer entries": (note(ledger.origin, ledger.size - 1, tree_root(ledger.leaves[:-1]), LOG), 2),
        "more entries": (note(ledger.origin, ledger.size + 1, tree_root(ledger.leaves), LOG), 9),
        "another origin": (note("countersign.example/b", ledger.size, tree_root(ledger.leaves), LOG), 2),
        "no signature": (ledger.note().split("—")[0], 2),
        "an extension line": (ledger.note().replace("\n\n", "\nextension\n\n"), 2),
        "too many lines": (ledger.note() + ledger.note().split("\n\n")[1] * 16, 2),
    }
    for name, (changed, step) in cases.items():
        assert bad(judged(tmp_path, members | {"checkpoint.txt": changed.encode()}))[0] == step, name


@req("REC-03")
def test_an_ended_log_key_signs_no_further_checkpoint(tmp_path: Path) -> None:
    ledger, fresh = Ledger(), Pen.of("log", "installation", "second")
    ledger.add("key.rotated", fresh.fields | {"kid": LOG.kid}, by=LOG, actor="installation", proofs=(fresh,))
    ledger.export()
    assert bad(judged(tmp_path, ledger.whole())) == (10, None)
    ledger.log = fresh
    assert judged(tmp_path, ledger.whole()).ok


@req("REC-03")
def test_the_newest_entries_cannot_be_cut_off_without_the_checkpoint(tmp_path: Path) -> None:
    ledger = a_ledger()
    members = ledger.whole()
    cut = members | {"entries.jsonl": b"".join(one + b"\n" for one in ledger.entries[:-3])}

    assert judged(tmp_path, cut).verdict == WRONG
    assert judged(tmp_path, members | {"entries.jsonl": b""}).verdict == WRONG
    assert judged(tmp_path, members | {"entries.jsonl": members["entries.jsonl"][:-1]}).verdict == WRONG


@req("REC-03")
def test_one_changed_leaf_in_leaves_bin_is_found(tmp_path: Path) -> None:
    ledger = a_ledger()
    members = ledger.whole()
    leaves = bytearray(members["leaves.bin"])
    leaves[9 * 32] ^= 1

    assert bad(judged(tmp_path, members | {"leaves.bin": bytes(leaves)})) == (9, 9)
    assert judged(tmp_path, members | {"leaves.bin": members["leaves.bin"] + b"x" * 32}).verdict == WRONG
    assert judged(tmp_path, members | {"leaves.bin": members["leaves.bin"][:-1]}).verdict == WRONG


_LEDGERS = {seed: a_ledger(seed, 6) for seed in (1, 2, 3)}


@given(st.sampled_from(sorted(_LEDGERS)), st.sampled_from(["entries.jsonl", "checkpoint.txt", "leaves.bin",
                                                           "bundle.json"]), st.data())
@req("REC-03", "REC-04")
def test_one_byte_changed_anywhere_is_found(
    tmp_path_factory: pytest.TempPathFactory, seed: int, name: str, data: st.DataObject
) -> None:
    """Both verifiers refuse every change of one byte of what they read."""
    members = _LEDGERS[seed].whole()
    raw = bytearray(members[name])
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))

    path = write(tmp_path_factory.mktemp("b") / "b.zip", members | {name: bytes(raw)})

    assert verify_bundle(path).verdict == WRONG
    assert complaints(path)


@given(st.integers(0, 2**32), st.integers(0, 20))
@req("REC-03", "REC-08")
def test_every_ledger_that_follows_the_rules_is_accepted_by_both(
    tmp_path_factory: pytest.TempPathFactory, seed: int, deeds: int
) -> None:
    ledger = a_ledger(seed, deeds)
    folder = tmp_path_factory.mktemp("b")

    assert judged(folder, ledger.whole()).ok
    part = Ledger()
    part.some_deeds(deeds, random.Random(seed))
    part.export("keys", "trial/T1", scope="trial T1")
    assert judged(folder, part.part("keys", "trial/T1"), trust=part.card()).verdict == VERIFIED


def a_part() -> Ledger:
    ledger = Ledger()
    ledger.some_deeds(20, random.Random(3))
    ledger.export("keys", "trial/T1", scope="trial T1")
    return ledger


@req("REC-08", "ACC-09")
@pytest.mark.parametrize("leaves", [True, False])
def test_a_bundle_of_one_trial_is_complete_for_it_and_says_what_it_leaves_out(tmp_path: Path, leaves: bool) -> None:
    ledger = a_part()
    seqs = [seq for seq in range(ledger.size) if ledger.parsed(seq)["stream"] == "trial/T1"]

    good = judged(tmp_path, ledger.part("keys", "trial/T1", leaves=leaves))
    hidden = judged(tmp_path, ledger.part("keys", "trial/T1", leaves=leaves, withhold=seqs[2:4]))

    assert good.ok
    assert any("not part of this bundle" in text for text in good.not_checked)
    assert any("heads" in text for text in good.not_checked) is not leaves
    assert hidden.ok
    assert hidden.withheld == 2
    assert any("2 withheld" in text for text in hidden.not_checked)


@req("REC-03", "REC-08")
@pytest.mark.parametrize("leaves", [True, False])
def test_an_entry_missing_from_an_exported_stream_is_found(tmp_path: Path, leaves: bool) -> None:
    ledger = a_part()
    members = ledger.part("keys", "trial/T1", leaves=leaves)
    lines = members["entries.jsonl"].splitlines(keepends=True)
    trial = [n for n, line in enumerate(lines) if json.loads(line)["stream"] == "trial/T1"]

    inside = lines[:trial[1]] + lines[trial[1] + 1:]
    last = lines[:trial[-1]] + lines[trial[-1] + 1:]
    key = lines[:5] + lines[6:]

    assert bad(judged(tmp_path, members | {"entries.jsonl": b"".join(inside)}))[0] == 4
    assert bad(judged(tmp_path, members | {"entries.jsonl": b"".join(last)}))[0] == 11
    assert bad(judged(tmp_path, members | {"entries.jsonl": b"".join(key)}))[0] in (4, 6)
    no_export = members | {"entries.jsonl": b"".join(lines[:-1])}
    assert bad(judged(tmp_path, no_export))[0] == 11


@req("REC-03")
def test_a_proof_of_another_entry_tree_or_checkpoint_proves_nothing(tmp_path: Path) -> None:
    ledger = a_part()
    members = ledger.part("keys", "trial/T1", leaves=False)
    names = sorted(name for name in members if name.startswith("proofs/"))
    first, second = names[3], names[4]
    other = Ledger()
    other.some_deeds(20, random.Random(4))
    other.export("keys", "trial/T1")
    foreign = next(raw for name, raw in other.part("keys", "trial/T1").items() if name.startswith("proofs/"))

    assert bad(judged(tmp_path, members | {first: members[second]}))[0] == 9
    assert bad(judged(tmp_path, members | {first: foreign}))[0] == 9
    changed = members[first].replace(b"index", b"extra AAAA\nindex", 1)
    assert judged(tmp_path, members | {first: changed}).ok  # `extra` is unauthenticated: ignored, never read
    gone = dict(members)
    del gone[first]
    assert bad(judged(tmp_path, gone))[0] == 9


@req("REC-03", "SIG-04")
def test_entries_of_the_stream_keys_cannot_be_withheld(tmp_path: Path) -> None:
    assert judged(tmp_path, a_part().part("keys", "trial/T1", withhold=[5])).verdict == WRONG


@req("REC-08")
def test_chosen_entries_come_with_all_keys_and_claim_no_completeness(tmp_path: Path) -> None:
    ledger = Ledger()
    ledger.some_deeds(20, random.Random(3))
    ledger.export("keys", scope="entries 9, 12")

    report = judged(tmp_path, ledger.part("keys", kind="entries", chosen=(9, 12), leaves=False))

    assert report.ok, report.in_words()
    assert any("chosen" in text for text in report.not_checked)


@req("REC-03", "REC-08")
def test_objects_must_have_the_digest_they_are_named_by(tmp_path: Path) -> None:
    ledger, content = a_ledger(), b"view"
    name = f"objects/{hashlib.sha256(content).hexdigest()}"

    assert judged(tmp_path, ledger.whole() | {name: content}).objects == 1
    assert bad(judged(tmp_path, ledger.whole() | {name: b"vieW"}, trust=ledger.card()))[0] == 12


@req("REC-03")
def test_a_foreign_or_damaged_file_gets_a_verdict_and_no_crash(tmp_path: Path) -> None:
    whole = write(tmp_path / "good.zip", a_ledger().whole()).read_bytes()
    path = tmp_path / "bad.zip"
    for raw in (b"", b"PK", b"%PDF-1.7", whole[:200], whole[:-40]):
        path.write_bytes(raw)
        assert verify_bundle(path).verdict == WRONG
    members = a_ledger().whole()
    for extra in ("../entries.jsonl", "entries.txt", "objects/abc", "proofs/x.tlog-proof"):
        assert bad(verify_bundle(write(path, members | {extra: b"x"}))) == (1, None)
    for name in ("bundle.json", "entries.jsonl", "checkpoint.txt"):
        assert verify_bundle(write(path, {k: v for k, v in members.items() if k != name})).verdict == WRONG
    doubled = io.BytesIO()
    with zipfile.ZipFile(doubled, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("entries.jsonl", b"")
    path.write_bytes(doubled.getvalue())
    assert bad(verify_bundle(path)) == (1, None)
    with pytest.raises(WrongUse):
        verify_bundle(tmp_path / "none.zip")
    with pytest.raises(WrongUse):
        verify_bundle(path, {"countersign_trust_card": 2})
