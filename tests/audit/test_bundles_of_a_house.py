"""Bundles out of a real house: what is exported is accepted by the verifier that travels with it, alone."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from sqlalchemy import insert, text

from audit import store, verifier
from audit.bundle import BundleError, Selection, write_bundle
from core.errors import UnusableInput
from core.ledger_exports import StoreSource, Wish, card, export, sentence_by
from core.ledger_queries import SessionReader, newest_note
from core.policy.state import Decision
from core.trials.usecases import CreateTrial, create_trial
from countersign.witness import Witness
from tests.house import ORIGIN, HouseUnderTest
from tests.req import req
from tests.second_verifier import complaints

ALLOWED = Decision(True, "P-01", "set up for a test", "qa_auditor")


@pytest.fixture
def lived(house: HouseUnderTest) -> HouseUnderTest:
    """A house in which two people got keys and roles in a trial."""
    house.person("reader-1", "reader", trial="T1")
    house.person("qa-1", "qa_auditor")
    return house


def the_card(house: HouseUnderTest) -> bytes:
    with house.desk.reading() as session:
        return card(SessionReader(session), ORIGIN)


def alone(bundle: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the bundle's own verify.py in a Python that can import `cryptography` and nothing else beside its library."""
    with zipfile.ZipFile(bundle) as archive:
        (folder / "verify.py").write_bytes(archive.read("verify.py"))
    site = folder / "site"
    if not site.exists():
        site.mkdir()
        for name in ("cryptography", "cffi", "_cffi_backend"):
            spec = importlib.util.find_spec(name)
            assert spec is not None
            assert spec.origin is not None
            origin = Path(spec.origin)
            source = origin.parent if origin.name == "__init__.py" else origin
            (site / source.name).symlink_to(source)
    start = (f"import sys, runpy; sys.path[:] = [p for p in sys.path if 'site-packages' not in p] + [{str(site)!r}]; "
             f"sys.argv = {['verify.py', str(bundle), *options]!r}; "
             f"runpy.run_path({str(folder / 'verify.py')!r}, run_name='__main__')")
    return subprocess.run([sys.executable, "-I", "-S", "-c", start], capture_output=True, text=True, cwd=folder,
                          env={"PATH": os.environ["PATH"]}, check=False)


@req("REC-03", "REC-08")
def test_an_exported_bundle_is_accepted_by_its_own_verifier_with_only_cryptography_beside_it(
    lived: HouseUnderTest, tmp_path: Path
) -> None:
    written = export(lived.desk, Wish(), tmp_path / "all.zip", under=ALLOWED, on_behalf_of="qa-1")
    trust = tmp_path / "card.json"
    trust.write_bytes(the_card(lived))

    result = alone(written.path, tmp_path, "--trust", str(trust), "--json")

    assert result.returncode == 0, result.stderr + result.stdout
    report = json.loads(result.stdout)
    assert (report["verdict"], report["entries"], report["size"]) == ("VERIFIED", written.entries, written.size)
    assert alone(written.path, tmp_path, "--require-trust").returncode == 2
    assert complaints(written.path) == []
    assert lived.words()[-1] == "export.made"


@req("REC-08", "ACC-09")
def test_a_bundle_of_one_trial_holds_its_stream_and_the_keys_and_no_other_content(
    lived: HouseUnderTest, tmp_path: Path
) -> None:
    written = export(lived.desk, Wish(trial="T1"), tmp_path / "t1.zip", under=ALLOWED, on_behalf_of="qa-1")

    report = verifier.verify_bundle(written.path, json.loads(the_card(lived)))

    assert report.verdict == verifier.VERIFIED, report.in_words()
    with zipfile.ZipFile(written.path) as archive:
        streams = {json.loads(line)["stream"] for line in archive.read("entries.jsonl").splitlines()}
        assert "qa-1" not in archive.read("index.html").decode().split("export.made")[0].split("<tbody>")[0]
    assert streams == {"keys", "trial/T1", "house"}
    assert report.entries < report.size


@req("VAL-06", "REC-08")
@pytest.mark.parametrize("demonstration", [True, False])
def test_a_bundle_says_on_its_page_which_trials_are_demonstrations(
    house: HouseUnderTest, tmp_path: Path, demonstration: bool
) -> None:
    """Whatever part of it a bundle holds: chosen entries of a demonstration say so as well (TRIAL 2)."""
    lead = house.person("lead-1", "trial_lead", trial="T1")
    house.commit(create_trial(house.desk, lead, CreateTrial("T1", "A trial", demonstration)))
    wishes = (Wish(), Wish(trial="T1"), Wish(seqs=(len(house.entries()) - 1,)), Wish(seqs=(3,)))
    said = []
    for number, wish in enumerate(wishes):
        written = export(house.desk, wish, tmp_path / f"{number}.zip", under=ALLOWED, on_behalf_of="qa-1")
        assert verifier.verify_bundle(written.path, json.loads(the_card(house))).verdict == verifier.VERIFIED
        with zipfile.ZipFile(written.path) as archive:
            said.append("Demonstration, not for clinical use: T1." in archive.read("index.html").decode())

    assert said == [demonstration] * 3 + [False]


@req("REC-09", "REC-08")
@pytest.mark.parametrize("wish", [Wish(), Wish(trial="T1"), Wish(seqs=(3,))], ids=["whole", "trial", "chosen"])
def test_a_certified_copy_states_source_method_certifier_and_digest(
    lived: HouseUnderTest, tmp_path: Path, wish: Wish
) -> None:
    """EMA 2023 6.5. The page says it for people; the signed entry and the checkpoint that are in the copy prove it."""
    written = export(lived.desk, wish, tmp_path / "copy.zip", under=ALLOWED, on_behalf_of="qa-1")
    with zipfile.ZipFile(written.path) as archive:
        page = archive.read("index.html").decode()
        about = json.loads(archive.read("bundle.json"))
        entries = {one["seq"]: one for one in map(json.loads, archive.read("entries.jsonl").splitlines())}
    proved = entries[about["export"]]
    lines = dict(re.findall(r'<tr><th scope="row">([^<]+)</th><td>([^<]+)</td></tr>', page))

    assert lines["Source"] == f"ledger {ORIGIN}, {written.size} entries; {wish.in_words()}"
    assert about["format"] in lines["Method"]
    assert "byte for byte" in lines["Method"]
    assert lines["Certified by"].startswith("house, on behalf of qa-1, by rule P-01, ")
    assert lines["Certified by"].endswith(f" UTC, signed entry {proved['seq']} (export.made), key {proved['kid']}")
    assert lines["Digest"] == f"SHA-256 root {written.root}, signed in checkpoint.txt"
    assert (proved["body"]["action"], proved["body"]["on_behalf_of"]) == ("export.made", "qa-1")
    assert proved["body"]["fields"]["scope"] == wish.in_words()
    assert verifier.verify_bundle(written.path, json.loads(the_card(lived))).verdict == verifier.VERIFIED


@req("REC-09", "REC-04")
@pytest.mark.parametrize(("member", "old", "new"), [
    ("entries.jsonl", b'"on_behalf_of":"qa-1"', b'"on_behalf_of":"qa-2"'), ("bundle.json", ORIGIN.encode(), b"x" * 9),
    ("checkpoint.txt", ORIGIN.encode(), b"x" * 9), ("bundle.json", b"countersign-bundle/1", b"countersign-bundle/9"),
], ids=["certifier", "source", "origin of the digest", "method"])
def test_a_copy_that_states_another_certifier_source_or_method_is_refused(
    lived: HouseUnderTest, tmp_path: Path, member: str, old: bytes, new: bytes
) -> None:
    written = export(lived.desk, Wish(), tmp_path / "copy.zip", under=ALLOWED, on_behalf_of="qa-1")
    false = tmp_path / "false.zip"
    with zipfile.ZipFile(written.path) as true, zipfile.ZipFile(false, "w", zipfile.ZIP_DEFLATED) as target:
        for name in true.namelist():
            content = true.read(name)
            assert name != member or old in content
            target.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)),
                            content.replace(old, new) if name == member else content)

    report = verifier.verify_bundle(false, json.loads(the_card(lived)))

    assert report.verdict != verifier.VERIFIED
    assert not report.ok
    assert complaints(false)


@req("REC-08", "ACC-09")
def test_what_a_rule_hides_is_withheld_with_proof_and_its_text_is_nowhere_in_the_bundle(
    lived: HouseUnderTest, tmp_path: Path
) -> None:
    def hidden(entry: dict[str, object]) -> str | None:
        return "F-90" if entry["stream"] == "trial/T1" else None

    wish = Wish(trial="T1")
    written = export(lived.desk, wish, tmp_path / "t1.zip", under=ALLOWED, on_behalf_of="qa-1", hidden=hidden)
    report = verifier.verify_bundle(written.path)

    assert report.ok, report.in_words()
    assert report.withheld == written.withheld > 0
    with zipfile.ZipFile(written.path) as archive:
        assert b"role.granted" not in archive.read("entries.jsonl").split(b'"action":"vocabulary.adopted"')[0]
        assert not [line for line in archive.read("entries.jsonl").splitlines()
                    if json.loads(line)["stream"] == "trial/T1"]
        assert "role.granted" not in archive.read("index.html").decode()


@req("REC-08")
@pytest.mark.parametrize("leaves", [True, False])
def test_chosen_entries_come_with_proofs(lived: HouseUnderTest, tmp_path: Path, leaves: bool) -> None:
    last = len(lived.words()) - 1
    written = export(lived.desk, Wish(seqs=(last, last - 3), leaves=leaves), tmp_path / "two.zip", under=ALLOWED,
                     on_behalf_of="qa-1")

    report = verifier.verify_bundle(written.path, json.loads(the_card(lived)))

    assert report.verdict == verifier.VERIFIED, report.in_words()
    assert any("heads" in text for text in report.not_checked) is not leaves


@req("REC-08")
def test_a_bundle_is_written_whole_or_not_at_all(lived: HouseUnderTest, tmp_path: Path) -> None:
    """Wrong wishes change nothing on disk and record no export."""
    before = len(lived.words())
    there = tmp_path / "there.zip"
    there.write_bytes(b"kept")
    for wish, out in ((Wish(trial="T9"), tmp_path / "a.zip"), (Wish(seqs=(9999,)), tmp_path / "a.zip"),
                      (Wish(), there), (Wish(), tmp_path / "none" / "a.zip")):
        with pytest.raises(UnusableInput):
            export(lived.desk, wish, out, under=ALLOWED, on_behalf_of="qa-1")
    with lived.desk.reading() as session:
        reader = SessionReader(session)
        note = newest_note(reader).note
        for selection in (Selection("whole", (), before), Selection("whole", (), 3),
                          Selection("whole", (), before - 1, hidden=lambda entry: None)):
            with pytest.raises(BundleError):
                write_bundle(StoreSource(reader), note, selection, tmp_path / "a.zip", sentence=sentence_by(reader))

    assert there.read_bytes() == b"kept"
    assert not (tmp_path / "a.zip").exists()
    assert not list(tmp_path.glob("*.part"))
    assert len(lived.words()) == before


@req("REC-04", "REC-08")
def test_a_bundle_carries_what_a_witness_had_cosigned_before(lived: HouseUnderTest, tmp_path: Path) -> None:
    witness = Witness(tmp_path / "witness", ORIGIN, lived.house.signer.public_key("log"))
    with lived.desk.reading() as session:
        note = newest_note(SessionReader(session))
    line = witness.add_checkpoint(0, [], note.note)
    with lived.desk.working_tables() as session:
        session.execute(insert(store.cosignatures).values(size=note.size, witness=witness.name, line=line))
    trust = json.loads(the_card(lived))
    trust["witnesses"] = [{"name": witness.name, "public_key": base64.b64encode(witness.public_key).decode()}]

    for number, wish in enumerate((Wish(), Wish(trial="T1"))):
        written = export(lived.desk, wish, tmp_path / f"{number}.zip", under=ALLOWED, on_behalf_of="qa-1")
        report = verifier.verify_bundle(written.path, trust)
        assert report.verdict == verifier.VERIFIED, report.in_words()
        assert report.witnessed_size == note.size
        assert any(f"after entry {note.size - 1}" in text for text in report.not_checked)


@req("REC-01", "REC-08")
def test_equal_exports_are_equal_bytes(lived: HouseUnderTest, tmp_path: Path) -> None:
    export(lived.desk, Wish(), tmp_path / "a.zip", under=ALLOWED, on_behalf_of="qa-1")
    with lived.desk.reading() as session:
        reader = SessionReader(session)
        last = next(reader.rows("SELECT max(seq) FROM entry"))[0]
        streams = session.execute(text("SELECT stream, max(stream_seq) + 1 FROM entry GROUP BY stream")).all()
        ends = {str(name): int(due) - (name == "house") for name, due in streams}
        selection = Selection("whole", tuple(sorted(ends.items())), last)
        again = tmp_path / "b.zip"
        write_bundle(StoreSource(reader), newest_note(reader).note, selection, again, sentence=sentence_by(reader))

    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
