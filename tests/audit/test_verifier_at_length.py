"""The stand-alone verifier on long bundles: memory that does not grow, any number of jobs, and what it did not see."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from audit import verifier
from audit.verifier import verify_bundle
from tests.bundles import INTAKE, SERVICE, START_US, Ledger, b64, in_words, jcs, leaf_of, note, pae, tree_root, write
from tests.req import req

ENTRY = "application/vnd.countersign.entry.v1+json"
SHORT, LONG = 2_000, 20_000


def a_long_bundle(path: Path, size: int) -> Path:
    """Two services' entries by the thousand; the head is that of the founding, so that nothing is quadratic here."""
    ledger = Ledger()
    head, start = ledger.head(), ledger.size
    rng = random.Random(3)
    # One message is signed in full; the others are made by the same template, cheaply.
    body = ledger.body("series.received", {"series": "1.2.3", "note": "x" * 200}, by=SERVICE)
    for seq in range(start, size):
        by = (SERVICE, INTAKE)[seq % 2]
        now = START_US + (seq + 9) * 1_000_000
        body |= {"actor": by.holder, "at": in_words(now), "head": head,
                 "id": f"{seq:08x}-0000-7000-8000-{rng.getrandbits(48):012x}"}
        payload = _quick(body)
        entry = {"body": body, "kid": by.kid, "seq": seq, "sig": b64(by.private.sign(pae(ENTRY, payload))),
                 "stream": "house", "stream_seq": seq - start, "ts": now + 250}
        ledger.entries.append(_quick(entry))
    ledger._streams["house"], ledger.now = size - start, START_US + (size + 9) * 1_000_000
    root = _root(ledger.leaves)
    export = ledger.body("export.made", {"scope": "the whole ledger", "streams": ledger.streams(), "size": ledger.size},
                         by=SERVICE, seen=0) | {"head": {"size": ledger.size, "root": b64(root)}}
    ledger.append(export, SERVICE)
    leaves = ledger.leaves
    about = {"format": "countersign-bundle/1", "origin": ledger.origin, "first": 0, "last": ledger.size - 1,
             "export": ledger.size - 1, "scope": {"kind": "whole", "streams": export["fields"]["streams"]}}
    return write(path, {
        "bundle.json": jcs(about) + b"\n", "entries.jsonl": b"".join(one + b"\n" for one in ledger.entries),
        "checkpoint.txt": note(ledger.origin, ledger.size, _root(leaves), ledger.log).encode(),
        "leaves.bin": b"".join(leaves),
    })


def _quick(value: Any) -> bytes:
    """JCS of plain ASCII, as rfc8785 writes it, at a tenth of the time."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _root(leaves: list[bytes]) -> bytes:
    """Level by level; the odd one at the end goes up as it is, which gives the tree of RFC 6962, 2.1."""
    level = leaves
    while len(level) > 1:
        pairs = [tree_root(level[at:at + 2]) for at in range(0, len(level) - 1, 2)]
        level = [*pairs, *level[len(pairs) * 2:]]
    return level[0]


def peak_kib(bundle: Path, *options: str) -> int:
    """Most memory that the verifier held, as its own process, in KiB.

    VmHWM is of this program alone; what getrusage says includes the process that started it.
    """
    said = subprocess.run([sys.executable, "-c", (
        "import re, runpy, sys\n"
        f"sys.argv = ['verify.py', {str(bundle)!r}, *{list(options)!r}]\n"
        "try:\n"
        f"    runpy.run_path({verifier.__file__!r}, run_name='__main__')\n"
        "except SystemExit as leaving:\n"
        "    assert leaving.code == 0, leaving.code\n"
        "sys.stderr.write(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1])\n"
    )], capture_output=True, text=True, check=True)
    return int(said.stderr)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("long")
    return a_long_bundle(folder / "short.zip", SHORT), a_long_bundle(folder / "long.zip", LONG)


@req("REC-03", "REC-08")
def test_ten_times_the_entries_need_no_more_memory(bundles: tuple[Path, Path]) -> None:
    """Constant memory (RECORD 7): the ids of ten times the entries go to a file, not into memory."""
    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not tell how much memory a program held")
    short, long = (peak_kib(bundle) for bundle in bundles)

    with zipfile.ZipFile(bundles[1]) as archive:
        assert archive.getinfo("entries.jsonl").file_size > 12_000_000
    # Ids, in buckets that spill: 256 x 4 kB at most. Anything kept per entry would show: 18,000 entries are 12 MB.
    assert long - short < 4_096, (short, long)
    assert long < 1.1 * short, (short, long)


@req("REC-03", "REC-08")
@pytest.mark.parametrize("change", ["none", "signature", "word", "end"])
def test_any_number_of_jobs_comes_to_the_same_report(bundles: tuple[Path, Path], tmp_path: Path, change: str) -> None:
    """Also where a later fault is met while earlier signatures are still being checked elsewhere."""
    with zipfile.ZipFile(bundles[0]) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    lines = members["entries.jsonl"].splitlines()
    if change != "none":
        lines[1_200] = lines[1_200].replace(b'"1.2.3"', b'"1.2.4"')
    if change == "word":
        lines[1_300] = lines[1_300].replace(b"series.received", b"series.burned")
    if change == "end":
        del lines[-1]
    members["entries.jsonl"] = b"".join(line + b"\n" for line in lines)
    members["leaves.bin"] = b"".join(leaf_of(line) for line in lines)
    path = write(tmp_path / "b.zip", members)

    reports = [verify_bundle(path, jobs=jobs) for jobs in (1, 2, 3)]

    assert reports[0].ok is (change == "none"), reports[0].in_words()
    assert [report.findings for report in reports] == [reports[0].findings] * 3
    if change != "none":
        assert reports[0].first_bad is not None
        assert (reports[0].first_bad.step, reports[0].first_bad.seq) == (7, 1_200)
    else:
        assert reports[0] == reports[1] == reports[2]


@req("REC-04", "REC-08")
def test_a_good_verdict_says_in_plain_words_what_was_not_checked(tmp_path: Path) -> None:
    """No card, no witness, no time stamp, no leaves, entries withheld: a reader must not take silence for a check."""
    ledger = Ledger()
    ledger.some_deeds(20, random.Random(3))
    ledger.export("keys", "trial/T1", scope="trial T1")
    hidden = [seq for seq in range(ledger.size) if ledger.parsed(seq)["stream"] == "trial/T1"][2:4]
    members = ledger.part("keys", "trial/T1", leaves=False, withhold=hidden)

    bare = verify_bundle(write(tmp_path / "b.zip", members)).in_words()
    held = verify_bundle(tmp_path / "b.zip", ledger.card()).in_words()

    for words in (
        "SELF-CONSISTENT, ORIGIN NOT VERIFIED", "not checked: the origin. Without a trust card",
        "not checked: loss of the newest entries, rollback, and a fork by a holder of all keys: no cosignature of a "
        "known witness and no time stamp", "not checked: heads: without leaves.bin",
        "not checked: the content of 2 withheld entries; that they exist is proven", "that are not part of this bundle",
    ):
        assert words in bare, bare
    assert held.startswith("VERIFIED\n")
    assert "the origin. Without" not in held
    assert "no cosignature of a known witness and no time stamp" in held
