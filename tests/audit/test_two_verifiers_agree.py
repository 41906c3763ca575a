"""Two verifiers, written apart, on random ledgers and random changes: the same verdict and the same first bad entry."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from audit.verifier import Report, verify_bundle
from tests.bundles import INTAKE, READERS, ROOT, SERVICE, Ledger, b64, jcs, write
from tests.long import LONG, first_seed
from tests.random_ledgers import CHANGES, Case, a_case, change
from tests.req import req
from tests.second_verifier import Opinion, opinion

LEDGERS, EACH = (1_000, 8) if LONG else (40, 6)
FIRST = first_seed()
PARTS = 8


def disagreement(one: Report, other: Opinion) -> str:
    """What the two say differently; empty when they agree."""
    first = one.first_bad
    here, there = (first.seq if first else None), other.seq
    if one.ok is not other.good:
        return f"{one.verdict} {first.in_words() if first else ''}; the other: {other.said or 'good'}"
    if here is not None and there is not None and here != there:
        return f"first bad {first.in_words() if first else here}; the other: {there}, {other.said}"
    if one.ok and (one.witnessed_size, one.withheld) != (other.witnessed, other.withheld):
        return f"witnessed {one.witnessed_size}, withheld {one.withheld}; the other: {other}"
    return ""


@pytest.mark.parametrize("part", range(PARTS))
@req("REC-03", "REC-04", "REC-08")
def test_two_verifiers_agree_on_random_ledgers_and_changes(tmp_path: Path, part: int) -> None:
    """Each ledger as it is, which both must accept, and with up to three changes; COUNTERSIGN_SEED repeats a run."""
    told: Counter[bool] = Counter()
    tried: set[str] = set()
    for seed in range(FIRST + part, FIRST + LEDGERS, PARTS):
        made = a_case(random.Random(seed))
        for number in range(EACH):
            case = Case(made.ledger, dict(made.members), made.pens, made.passkeys, made.card)
            if number:
                change(case, random.Random(seed * 1_000 + number))
            path = write(tmp_path / "b.zip", case.members)
            one, other = verify_bundle(path, case.card), opinion(path, case.card)
            assert not disagreement(one, other), (seed, number, case.done, disagreement(one, other))
            assert number or one.ok, (seed, one.in_words())
            told[one.ok] += 1
            tried |= set(case.done)
    assert told[True] >= LEDGERS // PARTS
    assert told[False] >= told.total() // 4
    assert len(tried) >= (len(set(CHANGES)) if LONG else 10)


# What the random search, or reading both side by side, found in the first verifier; each is refused since.


def _part() -> Ledger:
    """Two exports of the house with entries between, then one of keys and house."""
    ledger = Ledger()
    ledger.add("series.received", {"series": "1"}, by=SERVICE)
    ledger.add("series.received", {"series": "2"}, by=INTAKE)
    ledger.export("keys", scope="first")
    ledger.add("series.received", {"series": "3"}, by=SERVICE)
    ledger.add("series.received", {"series": "4"}, by=INTAKE, trial="T1")
    return ledger


def both(path: Path) -> tuple[int, int | None]:
    """Step and entry that the verifier names; the second opinion must not differ."""
    one, other = verify_bundle(path), opinion(path)
    assert not disagreement(one, other), disagreement(one, other)
    assert one.first_bad is not None
    return one.first_bad.step, one.first_bad.seq


@req("REC-03", "REC-08")
@pytest.mark.parametrize("leaves", [True, False])
def test_no_entry_before_an_older_export_can_be_left_out(tmp_path: Path, leaves: bool) -> None:
    """An export stands for its stream only where that stream was not exported."""
    ledger = _part()
    ledger.export("keys", "house", scope="house")
    members = ledger.part("keys", "house", leaves=leaves)
    assert verify_bundle(write(tmp_path / "good.zip", members)).ok
    lines = members["entries.jsonl"].splitlines(keepends=True)
    cut = members | {"entries.jsonl": b"".join(lines[:7] + lines[9:])}
    cut = {name: raw for name, raw in cut.items() if name not in ("proofs/7.tlog-proof", "proofs/8.tlog-proof")}

    assert both(write(tmp_path / "b.zip", cut)) == (4, 9)


@req("REC-08", "ACC-09")
def test_an_entry_of_a_stream_that_was_not_exported_is_refused(tmp_path: Path) -> None:
    ledger = _part()
    ledger.export("keys", "trial/T1", scope="trial T1")
    members = ledger.part("keys", "trial/T1", chosen=(7,))

    assert both(write(tmp_path / "b.zip", members)) == (11, 7)


@req("REC-03")
def test_every_line_and_every_proof_of_a_bundle_is_judged(tmp_path: Path) -> None:
    """What nobody compares could be shown to people as evidence."""
    ledger = _part()
    ledger.export("keys", "house", scope="house")
    members = ledger.part("keys", "house")
    line = jcs({"seq": 99, "stream": "house", "stream_seq": 9, "leaf": "0" * 64, "rule": "F-90"}) + b"\n"
    first = jcs({"export": 12, "first": 3, "format": "countersign-bundle/1", "last": 12, "origin": ledger.origin,
                 "scope": {"kind": "streams", "streams": ledger.streams("house", "keys")}}) + b"\n"
    foreign = {"withheld.jsonl": line}, {"proofs/11.tlog-proof": members["proofs/9.tlog-proof"]}, {"bundle.json": first}

    for change_of in foreign:
        assert verify_bundle(write(tmp_path / "b.zip", members | change_of)).verdict == "WRONG", change_of
        both(tmp_path / "b.zip")
    unknown = verify_bundle(write(tmp_path / "b.zip", members | {"anchors/paper": b"trust me"}))
    assert any("anchors/paper" in text for text in unknown.not_checked)


@req("REC-03", "REC-04")
@pytest.mark.parametrize("jobs", [1, 2])
def test_the_first_bad_entry_is_named_however_late_it_shows(tmp_path: Path, jobs: int) -> None:
    """A signature checked on another core, or an id used twice, is not hidden by a fault further on."""
    ledger = Ledger()
    for number in range(6):
        ledger.add("series.received", {"series": str(number)}, by=SERVICE)
    body = ledger.body("series.received", {"series": "x"}, by=SERVICE)
    twice = ledger.append(body | {"id": ledger.parsed(8)["body"]["id"]}, SERVICE)
    ledger.add("read.signed", {"sum": "1.0 mm"}, by=READERS[0])
    ledger.export()
    members = ledger.whole()
    del members["leaves.bin"]
    lines = members["entries.jsonl"].splitlines()
    lines[-1] = lines[-1].replace(b'"type":1', b'"type":2')
    members["entries.jsonl"] = b"\n".join(lines) + b"\n"
    path = write(tmp_path / "b.zip", members)
    doubled = verify_bundle(path, jobs=jobs).first_bad
    members["entries.jsonl"] = members["entries.jsonl"].replace(b'"series":"2"', b'"series":"9"')
    path = write(tmp_path / "b.zip", members)
    changed = verify_bundle(path, jobs=jobs).first_bad

    assert doubled is not None
    assert changed is not None
    assert (doubled.step, doubled.seq) == (4, twice)
    assert (changed.step, changed.seq) == (7, 9)
    assert opinion(path).seq == 9


@req("REC-03", "REC-08")
@pytest.mark.parametrize("space", ["\u00a0", "\u2003", "\t"])
def test_a_signature_line_whose_name_holds_a_space_is_no_line_of_a_note(tmp_path: Path, space: str) -> None:
    """C2SP signed-note: a key's name holds no Unicode space and no plus; such a line spoils the note."""
    ledger = _part()
    ledger.export()
    members = ledger.whole()
    stray = members["checkpoint.txt"] + f"— a{space}witness {b64(bytes(76))}\n".encode()

    assert both(write(tmp_path / "b.zip", members | {"checkpoint.txt": stray})) == (2, None)


@req("SIG-10")
def test_a_second_revocation_takes_no_mark_of_suspicion_away(tmp_path: Path) -> None:
    ledger = Ledger()
    ledger.add("read.signed", {"sum": "84.5 mm"}, by=READERS[0], trial="T1")
    for more in ({"suspect_from": 7}, {}):
        ledger.add("key.revoked", {"kid": READERS[0].kid, "because": "lost", **more}, by=ROOT)
    ledger.export()

    report = verify_bundle(write(tmp_path / "b.zip", ledger.whole()))

    assert any("suspect from entry 7" in text and "entries 7" in text for text in report.remarks)
