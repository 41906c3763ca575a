"""Keys over the years, attacked on forged ledgers: both verifiers say the same, and name the entry."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from audit import verifier
from audit.verifier import WRONG, Report, verify_bundle
from tests.bundles import (
    INTAKE,
    LOG,
    ORIGIN,
    READERS,
    ROOT,
    SERVICE,
    WORDS,
    Ledger,
    Pen,
    b64,
    cosigned,
    jcs,
    note,
    tree_root,
    write,
)
from tests.req import req
from tests.second_verifier import complaints, opinion, second_root

READER, OTHER = READERS
FRESH = Pen.of("person", "reader-1", "second")
NEW_LOG = Pen.of("log", "installation", "second")
MORE_WORDS = (*WORDS, ("validation.suspect", ("service", "person")), ("key.rotation_signed", ("person",)),
              ("ledger.rehashed", ("service",)), ("ledger.anchored", ("service",)))


class Beside:
    """The log's ML-DSA-44 key, as a Pen where one is needed."""

    klass, holder = "log", "installation"

    def __init__(self, seed: str = "beside") -> None:
        self.private = MLDSA44PrivateKey.from_seed_bytes(hashlib.sha256(seed.encode()).digest())

    @property
    def public(self) -> bytes:
        return self.private.public_key().public_bytes_raw()

    @property
    def kid(self) -> str:
        return hashlib.sha256(self.public).hexdigest()

    @property
    def fields(self) -> dict[str, Any]:
        return {"class": "log", "holder": "installation", "public_key": b64(self.public), "algorithm": "ml-dsa-44"}

    def line(self, size: int, root: bytes, origin: str = ORIGIN) -> bytes:
        """C2SP tlog-cosignature, ML-DSA-44: key id, no time, signature over `cosigned_message`."""
        name = bytes([len(origin)]) + origin.encode()
        message = b"subtree/v1\n\0" + name + bytes(8) + name + bytes(8) + size.to_bytes(8, "big") + root
        key_id = hashlib.sha256(origin.encode() + b"\n\x06" + self.public).digest()[:4]
        return key_id + bytes(8) + self.private.sign(message)


def a_ledger(declared: tuple[Any, ...] = MORE_WORDS) -> Ledger:
    """Founded with all words of this page; entry 7 comes next."""
    made = Ledger(founded=False)
    made.add("ledger.founded", ROOT.fields, by=ROOT)
    made.enrol(LOG)
    words = [{"name": name, "version": 1, "signed_by": list(by), "sentence": "{actor} did"} for name, by in declared]
    made.add("vocabulary.adopted", {"digest": hashlib.sha256(jcs(words)).hexdigest(), "words": words}, by=ROOT)
    for pen in (SERVICE, INTAKE, *READERS):
        made.enrol(pen)
    return made


def judged(folder: Path, members: dict[str, bytes], **options: Any) -> Report:
    """The verdict, which the second verifier must share."""
    path = write(folder / "bundle.zip", members)
    report = verify_bundle(path, **options)
    if "trust" not in options and not any(name.startswith("anchors/") for name in members):
        assert bool(complaints(path)) is not report.ok, (report.in_words(), complaints(path))
    return report


def bad(folder: Path, ledger: Ledger) -> tuple[int, int | None]:
    """Step and entry of the first finding in a bundle of everything."""
    ledger.export()
    report = judged(folder, ledger.whole())
    assert report.verdict == WRONG, report.in_words()
    assert report.first_bad is not None
    return report.first_bad.step, report.first_bad.seq


def good(folder: Path, ledger: Ledger) -> Report:
    ledger.export()
    report = judged(folder, ledger.whole())
    assert report.ok, report.in_words()
    return report


def read(ledger: Ledger, by: Pen, **options: Any) -> int:
    return ledger.add("read.signed", {"sum": "84.5 mm"}, by=by, trial="T1", **options)


def rotate(ledger: Ledger, old: Pen, new: Any, **options: Any) -> int:
    proofs = options.pop("proofs", (new,))
    return ledger.add("key.rotated", new.fields | {"kid": old.kid}, by=options.pop("by", old), proofs=proofs, **options)


# -- class, holder, signed_by ----------------------------------------------------------------------------------------


@req("SIG-04", "SIG-09", "ACC-01")
def test_a_service_key_signs_under_no_persons_name_even_where_the_word_allows_both(tmp_path: Path) -> None:
    ledger = a_ledger()
    ledger.add("validation.suspect", {"run": "r"}, by=SERVICE, actor="reader-1")

    assert bad(tmp_path, ledger) == (6, 7)


@req("SIG-04", "ACC-01")
@pytest.mark.parametrize(("by", "actor"), [(INTAKE, "house"), (READER, "reader-2"), (SERVICE, "intake")])
def test_every_key_signs_only_as_its_holder(tmp_path: Path, by: Pen, actor: str) -> None:
    ledger = a_ledger()
    ledger.add("validation.suspect", {"run": "r"}, by=by, actor=actor)

    assert bad(tmp_path, ledger) == (6, 7)


@req("SIG-04", "SIG-09")
@pytest.mark.parametrize("pen", [Pen.of("person", "intake"), Pen.of("service", "reader-1"), Pen.of("log", "reader-1")])
def test_no_person_bears_the_name_of_a_service_nor_a_service_that_of_a_person(tmp_path: Path, pen: Pen) -> None:
    """A service signs as its holder; under a person's own name it would pass for them."""
    ledger = a_ledger()
    ledger.enrol(pen)

    assert bad(tmp_path, ledger) == (6, 7)


@req("SIG-04", "SIG-05")
def test_a_key_signs_nothing_before_its_own_enrolment(tmp_path: Path) -> None:
    ledger = a_ledger()
    late = Pen.of("person", "reader-3")
    read(ledger, late)
    ledger.enrol(late)

    assert bad(tmp_path, ledger) == (6, 7)


@req("SIG-04", "SIG-05", "SIG-09")
@pytest.mark.parametrize("proofs", [(FRESH,), (FRESH, OTHER), (FRESH, OTHER, Pen.of("person", "reader-3"))])
def test_a_second_key_enrolled_by_an_administrator_is_refused(tmp_path: Path, proofs: tuple[Pen, ...]) -> None:
    """Whoever could put a key of their own beside the holder's would sign in the holder's name."""
    ledger = a_ledger()
    ledger.enrol(Pen.of("person", "reader-3"))
    ledger.add("key.enrolled", FRESH.fields, by=ROOT, proofs=proofs)

    assert bad(tmp_path, ledger) == (6, 8)


@req("SIG-04")
def test_a_further_key_that_the_one_in_force_proves_is_accepted(tmp_path: Path) -> None:
    ledger = a_ledger()
    ledger.add("key.enrolled", FRESH.fields, by=ROOT, proofs=(FRESH, READER))
    read(ledger, FRESH)
    read(ledger, READER)

    good(tmp_path, ledger)


@req("SIG-09", "REC-03")
@pytest.mark.parametrize("twin", [Pen.of("service", "intake", "second"), NEW_LOG])
def test_a_second_key_of_the_house_beside_the_one_in_force_is_refused(tmp_path: Path, twin: Pen) -> None:
    ledger = a_ledger()
    ledger.enrol(twin)

    assert bad(tmp_path, ledger) == (6, 7)


@req("SIG-05", "SIG-09")
def test_one_person_alone_enrols_nobody(tmp_path: Path) -> None:
    ledger, new = a_ledger(), Pen.of("person", "reader-3")
    ledger.enrol(new, by=READER)
    assert bad(tmp_path, ledger) == (6, 7)

    ledger = a_ledger()
    ledger.add("key.enrolled", new.fields, by=READER, proofs=(new, OTHER))
    assert "without two other persons" in good(tmp_path, ledger).in_words(), "those by the root key stay listed"


# -- rotation of personal and service keys ---------------------------------------------------------------------------


@req("SIG-04", "REC-10")
@pytest.mark.parametrize(("old", "new"), [(READER, FRESH), (INTAKE, Pen.of("service", "intake", "second"))])
def test_after_its_rotation_only_the_new_key_signs(tmp_path: Path, old: Pen, new: Pen) -> None:
    word = "read.signed" if old is READER else "series.received"
    ledger = a_ledger()
    rotate(ledger, old, new)
    ledger.add(word, {"series": "1"}, by=new, trial="T1")
    good(tmp_path, ledger)

    stale = a_ledger()
    rotate(stale, old, new)
    stale.add(word, {"series": "1"}, by=old, trial="T1")
    assert bad(tmp_path, stale) == (6, 8)

    early = a_ledger()
    early.add(word, {"series": "1"}, by=new, trial="T1")
    rotate(early, old, new)
    assert bad(tmp_path, early) == (6, 7)


@req("SIG-04", "SIG-09")
def test_a_root_key_comes_by_rotation_of_the_first_alone_and_then_only_it_signs(tmp_path: Path) -> None:
    new = Pen.of("root", "installation", "second")
    late = Pen.of("service", "gates", "late")
    with_root = tuple((name, (*by, "root") if name == "key.rotated" else by) for name, by in MORE_WORDS)
    ledger = a_ledger(with_root)
    rotate(ledger, ROOT, new)
    ledger.add("key.enrolled", late.fields, by=new, proofs=(late,))
    said = good(tmp_path, ledger).remarks
    assert any("without the signatures of two persons: entries 7" in one for one in said)

    stale = a_ledger(with_root)
    rotate(stale, ROOT, new)
    stale.add("key.enrolled", late.fields, by=ROOT, proofs=(late,))
    assert bad(tmp_path, stale) == (6, 8)

    second = a_ledger(with_root)
    second.add("key.enrolled", new.fields, by=ROOT, proofs=(new,))
    assert bad(tmp_path, second) == (6, 7)

    unproved = a_ledger(with_root)
    unproved.add("key.rotated", new.fields | {"kid": ROOT.kid}, by=ROOT, proofs=(READER,))
    assert bad(tmp_path, unproved) == (6, 7)


@req("SIG-04", "SIG-09")
@pytest.mark.parametrize("name", ["by another person", "by the root key", "unproved", "to another holder",
                                  "to another class", "of a replaced key"])
def test_a_rotation_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    ledger, fields = a_ledger(), FRESH.fields | {"kid": READER.kid}
    if name == "by another person":
        ledger.add("key.rotated", fields, by=OTHER, proofs=(FRESH,))
    elif name == "by the root key":
        ledger.add("key.rotated", fields, by=ROOT, proofs=(FRESH,))
    elif name == "unproved":
        ledger.add("key.rotated", fields, by=READER, proofs=(OTHER,))
    elif name == "to another holder":
        ledger.add("key.rotated", fields | {"holder": "reader-2"}, by=READER, proofs=(FRESH,))
    elif name == "to another class":
        ledger.add("key.rotated", fields | {"class": "service"}, by=READER, proofs=(FRESH,))
    else:
        rotate(ledger, READER, FRESH)
        ledger.add("key.rotated", Pen.of("person", "reader-1", "third").fields | {"kid": READER.kid}, by=FRESH,
                   proofs=(Pen.of("person", "reader-1", "third"),))

    assert bad(tmp_path, ledger) == (6, 8 if name == "of a replaced key" else 7)


@req("SIG-05", "SIG-10")
def test_a_rotation_does_not_hide_that_a_key_was_recovered(tmp_path: Path) -> None:
    ledger, third = a_ledger(), Pen.of("person", "reader-1", "third")
    ledger.add("key.revoked", {"kid": READER.kid, "because": "lost"}, by=ROOT)
    ledger.enrol(FRESH)
    read(ledger, FRESH)
    rotate(ledger, FRESH, third)
    read(ledger, third)

    remarks = [text for text in good(tmp_path, ledger).remarks if "earlier one was lost (entry 8)" in text]

    assert any("it signed entries 9, 10 (2 in all)" in text for text in remarks)
    assert any("it signed entries 11 (1 in all)" in text for text in remarks)


@req("SIG-09")
def test_keys_of_the_house_replaced_without_two_signatures_are_listed(tmp_path: Path) -> None:
    new, newer = Pen.of("service", "intake", "second"), Pen.of("service", "intake", "third")
    ledger = a_ledger()
    rotate(ledger, INTAKE, new)
    order = {"class": "service", "holder": "intake", "kid": new.kid, "because": "yearly"}
    first = ledger.parsed(ledger.add("key.rotation_signed", order, by=READER))["body"]["id"]
    second = ledger.parsed(ledger.add("key.rotation_signed", order | {"first": first}, by=OTHER))["body"]["id"]
    rotate(ledger, new, newer, caused_by=second)
    alone = ledger.parsed(ledger.add(
        "key.rotation_signed", order | {"kid": newer.kid, "first": first}, by=READER))["body"]["id"]
    rotate(ledger, newer, Pen.of("service", "intake", "fourth"), caused_by=alone)

    said = [text for text in good(tmp_path, ledger).remarks if "signatures of two persons" in text]

    assert said == ["keys of the house replaced without the signatures of two persons: entries 7, 12"]


# -- the log key -----------------------------------------------------------------------------------------------------


def noted(ledger: Ledger, size: int, log: Pen) -> bytes:
    """An earlier checkpoint, cosigned so that it is kept."""
    text = note(ledger.origin, size, tree_root(ledger.leaves[:size]), log)
    return cosigned(text, "w.example", Pen.of("witness", "w"), 1_795_514_500).encode()


@req("REC-03", "REC-10")
def test_each_checkpoint_is_signed_by_the_log_key_of_its_size(tmp_path: Path) -> None:
    """The note that covers the rotation's entry is the new key's first; the old key's last is the one before it."""
    ledger = a_ledger()
    rotation = rotate(ledger, LOG, NEW_LOG)
    read(ledger, READER)
    ledger.export()
    ledger.log = NEW_LOG
    whole = ledger.whole()

    def verdict(size: int, log: Pen) -> Report:
        return judged(tmp_path, whole | {f"anchors/{size}.note": noted(ledger, size, log)})

    assert verdict(rotation, LOG).ok
    assert verdict(rotation + 1, NEW_LOG).ok
    for size, log in ((rotation, NEW_LOG), (rotation + 1, LOG), (3, NEW_LOG), (ledger.size, LOG)):
        report = verdict(size, log)
        assert (report.verdict, report.findings[0].step) == (WRONG, 10), (size, report.in_words())
    ledger.log = LOG
    assert judged(tmp_path, ledger.whole()).findings[0].step == 10


@req("REC-03", "REC-10")
def test_a_log_key_signs_no_deed(tmp_path: Path) -> None:
    ledger = a_ledger()
    ledger.add("series.received", {"series": "1"}, by=LOG, trial="T1")

    assert bad(tmp_path, ledger) == (6, 7)


# -- suspicion -------------------------------------------------------------------------------------------------------


@req("SIG-10")
def test_suspect_entries_are_counted_and_none_becomes_invalid(tmp_path: Path) -> None:
    """Also those that the key only proved, as a second person does at an enrolment."""
    ledger, new = a_ledger(), Pen.of("person", "reader-3")
    for _ in range(25):
        read(ledger, READER)
    ledger.add("key.enrolled", new.fields, by=ROOT, proofs=(new, READER, OTHER))
    ledger.add("key.revoked", {"kid": READER.kid, "because": "stolen", "suspect_from": 10}, by=ROOT)

    said = [text for text in good(tmp_path, ledger).remarks if "as suspect from entry 10" in text]

    assert len(said) == 1
    assert "and 3 more" in said[0] or "(23 in all)" in said[0]
    assert "(23 in all)" in said[0]
    assert "not invalid" in said[0]


@req("SIG-10")
def test_a_later_revocation_cannot_take_a_suspicion_back(tmp_path: Path) -> None:
    ledger = a_ledger()
    seq = read(ledger, READER)
    ledger.add("key.revoked", {"kid": READER.kid, "because": "stolen", "suspect_from": seq}, by=ROOT)
    ledger.add("key.revoked", {"kid": READER.kid, "because": "never mind"}, by=ROOT)

    assert any(f"as suspect from entry {seq}" in text for text in good(tmp_path, ledger).remarks)


@req("SIG-10")
@pytest.mark.parametrize("since", [-1, 8, 99])
def test_a_suspicion_names_an_entry_that_was_there(tmp_path: Path, since: int) -> None:
    ledger = a_ledger()
    ledger.add("key.revoked", {"kid": READER.kid, "because": "stolen", "suspect_from": since}, by=ROOT)

    assert bad(tmp_path, ledger) == (6, 7)


# -- ML-DSA-44 -------------------------------------------------------------------------------------------------------


def with_beside(beside: Beside) -> Ledger:
    ledger = a_ledger()
    ledger.add("key.enrolled", beside.fields, by=ROOT, proofs=(beside,))
    read(ledger, READER)
    return ledger


def lined(ledger: Ledger, size: int, blob: bytes) -> bytes:
    text = note(ledger.origin, size, tree_root(ledger.leaves[:size]), ledger.log)
    return f"{text}— {ledger.origin} {b64(blob)}\n".encode()


@req("REC-10", "REC-03")
def test_a_line_of_the_logs_ml_dsa_key_is_checked_beside_the_first(tmp_path: Path) -> None:
    beside = Beside()
    ledger = with_beside(beside)
    ledger.export()
    members = ledger.whole()

    right = beside.line(ledger.size, tree_root(ledger.leaves))
    fine = judged(tmp_path, members | {"checkpoint.txt": lined(ledger, ledger.size, right)})
    assert fine.ok, fine.in_words()
    assert any("good ML-DSA-44 signature" in text for text in fine.remarks)

    wrong = beside.line(ledger.size, tree_root(ledger.leaves[:-1]))
    other_size = beside.line(ledger.size - 1, tree_root(ledger.leaves))
    for blob in (wrong, other_size, right[:-1] + bytes([right[-1] ^ 1]), right[:-1], right[:4] + b"\x01" + right[5:]):
        report = judged(tmp_path, members | {"checkpoint.txt": lined(ledger, ledger.size, blob)})
        assert (report.verdict, report.findings[0].step) == (WRONG, 10), report.in_words()
    stranger = Beside("stranger").line(ledger.size, tree_root(ledger.leaves))
    ignored = judged(tmp_path, members | {"checkpoint.txt": lined(ledger, ledger.size, stranger)})
    assert ignored.ok, "a line of an unknown key is not read (C2SP signed-note)"
    assert not any("ML-DSA" in text for text in ignored.remarks)


@req("REC-10")
def test_an_ml_dsa_key_is_replaced_by_the_log_key_beside_it_and_signs_no_size_of_the_other(tmp_path: Path) -> None:
    old, new = Beside(), Beside("second")
    ledger = with_beside(old)
    rotation = rotate(ledger, old, new, by=LOG)  # type: ignore[arg-type]
    ledger.export()
    members = ledger.whole()

    def verdict(size: int, key: Beside) -> Report:
        blob = key.line(size, tree_root(ledger.leaves[:size]))
        return judged(tmp_path, members | {f"anchors/{size}.note": lined(ledger, size, blob)})

    assert verdict(rotation, old).ok
    assert verdict(rotation + 1, new).ok
    assert verdict(rotation, new).findings[0].step == 10
    assert verdict(rotation + 1, old).findings[0].step == 10
    thief = with_beside(old)
    rotate(thief, old, new, by=SERVICE)  # type: ignore[arg-type]
    assert bad(tmp_path, thief) == (6, 9)


@req("REC-10", "SIG-04")
def test_an_ml_dsa_key_belongs_to_the_log_alone_and_proves_itself(tmp_path: Path) -> None:
    beside, other = Beside(), Beside("other")
    person = a_ledger()
    person.add("key.enrolled", beside.fields | {"class": "person", "holder": "reader-3"}, by=ROOT,
               proofs=(beside,))
    assert bad(tmp_path, person) == (6, 7)
    short = a_ledger()
    short.add("key.enrolled", NEW_LOG.fields | {"algorithm": "ml-dsa-44"}, by=ROOT, proofs=(NEW_LOG,))
    assert bad(tmp_path, short) == (6, 7)
    unproved = a_ledger()
    unproved.add("key.enrolled", beside.fields, by=ROOT, proofs=(LOG,))
    assert bad(tmp_path, unproved) == (6, 7)
    forged = a_ledger()
    forged.now += 1_000_000
    body = forged.body("key.enrolled", beside.fields, by=ROOT, proofs=(beside,))  # type: ignore[arg-type]
    body["proofs"][0]["sig"] = b64(other.private.sign(b"something else"))
    forged.append(body, ROOT)
    assert bad(tmp_path, forged) == (7, 7)


@req("REC-10", "REC-08")
def test_where_the_library_has_no_ml_dsa_the_verifier_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = Beside()
    ledger = with_beside(beside)
    ledger.export()
    members = ledger.whole() | {
        "checkpoint.txt": lined(ledger, ledger.size, beside.line(ledger.size, tree_root(ledger.leaves)))}
    monkeypatch.setattr(verifier, "mldsa", None)

    report = verify_bundle(write(tmp_path / "b.zip", members))

    assert report.ok, report.in_words()
    assert any("2 signatures of ML-DSA-44" in text and "has no ML-DSA-44" in text for text in report.not_checked)


@req("REC-10", "REC-03")
def test_the_line_that_an_anchor_records_is_of_the_root_it_names(tmp_path: Path) -> None:
    beside = Beside()

    def anchored(size: int, signed: Callable[[bytes], bytes]) -> Ledger:
        """`signed` gets the true root of 8 entries; signing twice gives other bytes, so each ledger is its own."""
        ledger = with_beside(beside)
        blob = signed(tree_root(ledger.leaves[:8]))
        ledger.add("ledger.anchored", {"size": size, "authority": "a", "log_signature": b64(blob)}, by=SERVICE)
        return ledger

    good(tmp_path, anchored(8, lambda root: beside.line(8, root)))
    assert bad(tmp_path, anchored(7, lambda root: beside.line(7, root))) == (10, 9)
    assert bad(tmp_path, anchored(8, lambda root: Beside("stranger").line(8, root))) == (10, 9)
    assert bad(tmp_path, anchored(99, lambda root: beside.line(99, root))) == (10, 9)
    assert bad(tmp_path, anchored(8, lambda root: b"short")) == (10, 9)


# -- the second hash -------------------------------------------------------------------------------------------------


@req("REC-10", "REC-03")
def test_a_second_hash_over_the_entries_is_recomputed_from_their_bytes(tmp_path: Path) -> None:
    ledger = a_ledger()
    for size in (1, 5, 7):
        ledger.add("ledger.rehashed", {
            "size": size, "algorithm": "sha3-512", "root": b64(second_root(ledger.entries[:size]))}, by=SERVICE)
    ledger.add("ledger.rehashed", {
        "size": ledger.size, "algorithm": "sha3-512", "root": b64(second_root(ledger.entries))}, by=SERVICE)

    report = good(tmp_path, ledger)

    assert any("recomputed under sha3-512" in text and "newest covers 10" in text for text in report.remarks)
    ledger = a_ledger()
    ledger.add("ledger.rehashed", {"size": 7, "algorithm": "sha3-512", "root": b64(second_root(ledger.entries))},
               by=SERVICE)
    ledger.export("keys", "trial/T1", scope="trial T1")
    part = verify_bundle(write(tmp_path / "part.zip", ledger.part("keys", "trial/T1")))
    assert any("second hash that entries 7 state" in text for text in part.not_checked)


@req("REC-10", "REC-03")
@pytest.mark.parametrize("name", ["another root", "another size", "entries to come", "another hash", "a short root"])
def test_a_false_second_hash_is_found(tmp_path: Path, name: str) -> None:
    ledger = a_ledger()
    said: dict[str, Any] = {"size": 7, "algorithm": "sha3-512", "root": b64(second_root(ledger.entries))}
    changes: dict[str, dict[str, Any]] = {
        "another root": {"root": b64(second_root(ledger.entries[:6]))}, "another size": {"size": 6},
        "entries to come": {"size": 8}, "another hash": {"algorithm": "sha-512"},
        "a short root": {"root": b64(bytes(32))},
    }
    ledger.add("ledger.rehashed", said | changes[name], by=SERVICE)

    assert bad(tmp_path, ledger) == (9, 7)


@req("REC-10", "REC-03")
def test_of_two_false_second_hashes_the_first_entry_is_named(tmp_path: Path) -> None:
    """Also where the later entry speaks of fewer entries."""
    ledger = a_ledger()
    for size in (7, 3):
        ledger.add("ledger.rehashed", {"size": size, "algorithm": "sha3-512", "root": b64(bytes(64))}, by=SERVICE)
    ledger.export()
    path = write(tmp_path / "b.zip", ledger.whole())

    first = verify_bundle(path).first_bad

    assert first is not None
    assert (first.step, first.seq, opinion(path).seq) == (9, 7, 7)


@req("REC-10", "REC-04")
def test_a_record_rewritten_where_sha_256_is_broken_fails_under_the_second_hash() -> None:
    """Entries exchanged for others with the same leaves: the first tree cannot tell, the second can."""
    ledger = a_ledger()
    stated = [verifier.Rehash(7, 7, second_root(ledger.entries))]
    exchanged = [*ledger.entries[:5], ledger.entries[5].replace(b"reader-1", b"reader-9"), ledger.entries[6]]

    assert verifier.check_rehashes(stated, iter(ledger.entries)) == 1
    with pytest.raises(verifier.Wrong) as wrong:
        verifier.check_rehashes(stated, iter(exchanged))
    assert (wrong.value.step, wrong.value.seq) == (9, 7)
    assert json.loads(exchanged[5])["body"]["fields"]["holder"] == "reader-9"


# -- any life of keys ------------------------------------------------------------------------------------------------

_PENS = {name: Pen.of(klass, holder, name) for name, (klass, holder) in {
    "ann-1": ("person", "ann"), "ann-2": ("person", "ann"), "ben-1": ("person", "ben"), "ben-2": ("person", "ben"),
    "cat-1": ("person", "cat"), "intake-1": ("service", "intake"), "intake-2": ("service", "intake"),
}.items()}
_NAMES = st.sampled_from(sorted(_PENS))
_STEPS = st.one_of(
    st.tuples(st.just("enrol"), _NAMES, st.sampled_from(["root", *sorted(_PENS)]), st.sets(_NAMES, max_size=2)),
    st.tuples(st.just("rotate"), _NAMES, _NAMES, st.booleans()),
    st.tuples(st.just("revoke"), _NAMES, st.sampled_from(["root", *sorted(_PENS)]), st.integers(-1, 12)),
    st.tuples(st.just("sign"), _NAMES, st.sampled_from(["ann", "ben", "cat", "intake"]), st.none()),
)


@given(st.lists(_STEPS, max_size=7))
@req("SIG-04", "SIG-09", "REC-03")
def test_both_verifiers_agree_on_every_life_of_keys(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Any, ...]]
) -> None:
    """Enrolments, rotations, revocations and signatures in any order, by anybody: accepted by both or by none."""
    ledger = a_ledger()
    for name in ("ann-1", "ben-1", "cat-1"):
        ledger.enrol(_PENS[name])

    def pen(name: str) -> Pen:
        return ROOT if name == "root" else _PENS[name]

    for kind, first, second, more in steps:
        if kind == "enrol":
            proofs = [_PENS[first], *(_PENS[one] for one in sorted(more - {first}))]
            ledger.add("key.enrolled", _PENS[first].fields, by=pen(second), proofs=proofs)
        elif kind == "rotate":
            rotate(ledger, _PENS[first], _PENS[second], proofs=(_PENS[second],) if more else (_PENS[first],))
        elif kind == "revoke":
            since = {} if more < 0 else {"suspect_from": more}
            ledger.add("key.revoked", {"kid": _PENS[first].kid, "because": "x"} | since, by=pen(second))
        else:
            word = "read.signed" if _PENS[first].klass == "person" else "series.received"
            ledger.add(word, {"series": "1"}, by=_PENS[first], actor=second, trial="T1")
    ledger.export()

    report = judged(tmp_path_factory.mktemp("b"), ledger.whole())

    if report.ok:
        _nobody_signed_in_anothers_name(ledger)


def _nobody_signed_in_anothers_name(ledger: Ledger) -> None:
    """Read from the bytes alone: each signing key was born before, had not ended, and belongs to the actor."""
    holders: dict[str, str] = {}
    for raw in ledger.entries:
        entry = json.loads(raw)
        body, fields = entry["body"], entry["body"]["fields"]
        if body["action"] == "ledger.founded":
            holders[entry["kid"]] = fields["holder"]
        assert holders[entry["kid"]] == body["actor"]
        if body["action"] in ("key.revoked", "key.rotated"):
            holders.pop(fields["kid"], None)
        if body["action"] in ("key.enrolled", "key.rotated"):
            holders[hashlib.sha256(base64.b64decode(fields["public_key"])).hexdigest()] = fields["holder"]
