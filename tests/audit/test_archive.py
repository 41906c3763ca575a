"""A house that is given up: what its archive holds proves itself for as long as anybody keeps it, without the house."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from audit import verifier
from core.data_lock.closing import close_trial
from core.errors import CountersignError
from core.ledger_check import check_store
from core.ledger_exports import Wish, export
from core.ledger_queries import SessionReader
from core.policy.state import Decision
from countersign.backup import take_copy
from countersign.house import open_house
from countersign.restore import restore
from tests.audit.test_bundles_of_a_house import alone, the_card
from tests.builders import trials as build
from tests.builders.reads import TRIAL
from tests.house import ORIGIN, HouseUnderTest
from tests.req import req
from tests.second_verifier import complaints

PASSPHRASE = "twelve archived horses walk home"
ALLOWED = Decision(True, "P-01", "set up for a test", "qa_auditor")


@dataclass(frozen=True)
class Archive:
    """What is kept of a house (SOP-16, step 10): bundle with its verifier, trust card, encrypted copy; and its size."""

    bundle: Path
    card: Path
    copy: Path
    words: int
    house: HouseUnderTest


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """A trial closed, the record exported and copied, and then the house decommissioned: its home is gone."""
    kept = tmp_path_factory.mktemp("archive")
    house = HouseUnderTest(tmp_path_factory.mktemp("given-up"))
    build.live(house)
    build.people(house, "statistician")
    build.enrolled(house)
    build.soft_locked(house)
    build.locked(house)
    house.commit(close_trial(house.desk, build.LEAD, TRIAL))
    bundle = export(house.desk, Wish(), kept / "record.zip", under=ALLOWED, on_behalf_of="qa-auditor").path
    (kept / "card.json").write_bytes(the_card(house))
    take_copy(house.house, kept / "copy", PASSPHRASE)
    words = len(house.words())
    house.house.close()
    shutil.rmtree(house.home)
    return Archive(bundle, kept / "card.json", kept / "copy", words, house)


@req("OPS-08", "REC-08")
def test_the_record_of_a_house_that_is_gone_verifies_from_its_archive_alone(archive: Archive, tmp_path: Path) -> None:
    """No home, no service, no key of the house: the bundle's own verifier and the trust card, and a second reading."""
    assert not archive.house.home.exists()

    told = alone(archive.bundle, tmp_path, "--trust", str(archive.card), "--require-trust", "--json")

    assert told.returncode == 0, told.stderr + told.stdout
    report = json.loads(told.stdout)
    assert (report["verdict"], report["entries"]) == ("VERIFIED", archive.words)
    assert complaints(archive.bundle) == []


@req("OPS-08", "OPS-02", "REC-02")
def test_an_archived_house_is_read_again_and_still_refuses_what_its_closed_trial_refused(
    archive: Archive, tmp_path: Path
) -> None:
    """The encrypted copy becomes a home again elsewhere, years later: every entry is there and leads to its root."""
    years = 15 * 365 * 86_400 * 1_000_000
    restore(archive.copy, tmp_path / "again", passphrase=PASSPHRASE, now_us=archive.house.clock.at_us + years)
    again = open_house(tmp_path / "again", clock=archive.house.clock)
    with again.desk.reading() as session:
        check = check_store(SessionReader(session), ORIGIN)

    assert check.ok, check.in_words()
    assert check.entries == archive.words
    assert again.compare().none
    with pytest.raises(CountersignError):
        close_trial(again.desk, build.LEAD, TRIAL)
    again.close()


@req("OPS-08", "REC-04")
@pytest.mark.parametrize("what", ["bundle", "copy"])
def test_an_archive_of_which_one_byte_rotted_says_so(archive: Archive, tmp_path: Path, what: str) -> None:
    """Nobody takes for the record what is not it any more, however long it lay."""
    if what == "bundle":
        broken = tmp_path / "record.zip"
        whole = bytearray(archive.bundle.read_bytes())
        whole[len(whole) // 3] ^= 1
        broken.write_bytes(whole)
        assert verifier.verify_bundle(broken, json.loads(archive.card.read_text())).verdict != verifier.VERIFIED
        return
    shutil.copytree(archive.copy, tmp_path / "copy")
    largest = max((one for one in (tmp_path / "copy").rglob("*") if one.is_file()), key=lambda one: one.stat().st_size)
    whole = bytearray(largest.read_bytes())
    whole[len(whole) // 2] ^= 1
    largest.write_bytes(whole)
    with pytest.raises(CountersignError):
        restore(tmp_path / "copy", tmp_path / "again", passphrase=PASSPHRASE, now_us=archive.house.clock.at_us)
    assert not (tmp_path / "again").exists()
