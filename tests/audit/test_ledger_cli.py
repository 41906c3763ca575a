"""`countersign ledger` as an auditor types it: answers, forms, exit codes, and half a second."""

from __future__ import annotations

import csv
import io
import json
import resource
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from audit import verifier
from core.ledger_rows import COLUMNS
from countersign.cli.ledger import app
from tests.house import HouseUnderTest
from tests.req import req


@pytest.fixture
def lived(house: HouseUnderTest, monkeypatch: pytest.MonkeyPatch) -> HouseUnderTest:
    """A house with people; commands that open it again see the same clock as the test."""
    monkeypatch.setattr("countersign.house.SystemClock", lambda: house.clock)
    house.person("reader-1", "reader", trial="T1")
    house.person("qa-1", "qa_auditor")
    return house


def said(house: HouseUnderTest, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [arguments[0], *arguments[1:], "--home", str(house.home)])
    assert result.exit_code == code, result.output + repr(result.exception)
    return result


def data(house: HouseUnderTest, *arguments: str, code: int = 0) -> Any:
    return json.loads(said(house, *arguments, "--json", code=code).stdout)


@req("ATR-04", "REC-02")
def test_a_question_is_answered_in_words_json_and_csv_with_the_same_entries(lived: HouseUnderTest) -> None:
    as_json = data(lived, "query", "action:role.*")["entries"]
    as_csv = list(csv.DictReader(io.StringIO(said(lived, "query", "action:role.*", "--csv").stdout)))
    words = said(lived, "query", "action:role.*").stdout

    assert [row["seq"] for row in as_json] == [int(row["seq"]) for row in as_csv]
    assert tuple(as_csv[0]) == COLUMNS == tuple(as_json[0])
    assert all(row["evidence"] in words and row["sentence"] in words for row in as_json)
    assert f"{len(as_json)} entries fit" in words
    assert {row["action"] for row in as_json} == {"role.granted"}


@req("ATR-04")
def test_pages_and_the_whole_answer_hold_every_entry_once(lived: HouseUnderTest) -> None:
    whole = [row["seq"] for row in data(lived, "query", "", "--all")["entries"]]
    first = data(lived, "query", "", "--limit", "5")
    second = data(lived, "query", "", "--limit", "5", "--before", str(first["next_before"]))

    assert whole == list(range(len(lived.words()) - 1, -1, -1))
    assert [row["seq"] for row in first["entries"] + second["entries"]] == whole[:10]


@req("ATR-04")
def test_a_wrong_question_is_told_its_place_and_ends_with_1(lived: HouseUnderTest) -> None:
    result = said(lived, "query", "action:read.* who:me", code=1)

    assert "At character 15: who: is no key" in result.stderr
    assert result.stderr.splitlines()[-1].index("^") == 14


@req("REC-03")
def test_verify_ends_with_0_on_a_good_ledger_and_with_2_on_a_changed_one(lived: HouseUnderTest) -> None:
    assert data(lived, "verify")["ok"] is True
    assert "The record agrees" in said(lived, "verify").stdout

    with lived.desk.engine.connect() as session:
        session.execute(text("DROP TRIGGER entry_no_update"))
        session.execute(text("UPDATE entry SET actor = 'somebody' WHERE seq = 5"))
        session.commit()
        assert data(lived, "verify", code=2)["first"]["seq"] == 5
        assert "THE RECORD DISAGREES. First bad: entry 5, column actor" in said(lived, "verify", code=2).stdout
        session.execute(text("UPDATE entry SET actor = 'installation' WHERE seq = 5"))
        session.commit()


@req("REC-03", "REC-08")
def test_a_proof_is_given_for_a_number_or_a_code_and_holds(lived: HouseUnderTest, tmp_path: Path) -> None:
    proof = data(lived, "prove", "5")
    by_code = said(lived, "prove", proof["evidence"]).stdout
    said(lived, "prove", "5", "--out", str(tmp_path / "p"))
    index, path, note = verifier.parse_proof((tmp_path / "p").read_bytes())

    assert by_code == proof["proof"]
    assert index == 5
    assert verifier.root_of_path(5, note.size, bytes.fromhex(proof["leaf"]), path) == note.root
    assert said(lived, "prove", "5", "--out", str(tmp_path / "p"), code=1)
    assert "no entry 99999" in said(lived, "prove", "99999", code=1).stderr


@req("REC-08")
def test_an_exported_bundle_fits_the_card_and_the_checkpoint(lived: HouseUnderTest, tmp_path: Path) -> None:
    said(lived, "card", "--out", str(tmp_path / "card.json"))
    whole = data(lived, "export", "--out", str(tmp_path / "all.zip"))
    data(lived, "export", "--out", str(tmp_path / "t1.zip"), "--trial", "T1")
    data(lived, "export", "--out", str(tmp_path / "two.zip"), "--entry", "5", "--entry", "9")

    for name in ("all.zip", "t1.zip", "two.zip"):
        report = verifier.verify_bundle(tmp_path / name, tmp_path / "card.json")
        assert report.verdict == verifier.VERIFIED, report.in_words()
    with zipfile.ZipFile(tmp_path / "two.zip") as archive:
        assert "proofs/5.tlog-proof" in archive.namelist()
    assert data(lived, "checkpoint")["size"] == whole["size"] + 2
    assert lived.words()[-3:] == ["export.made"] * 3
    assert "exists already" in said(lived, "export", "--out", str(tmp_path / "all.zip"), code=1).stderr


@req("REC-01")
def test_rebuild_says_which_table_differs_and_mends_it(lived: HouseUnderTest) -> None:
    assert data(lived, "rebuild")["different"] == []
    with lived.desk.engine.connect() as session:
        session.execute(text("UPDATE key SET holder = 'somebody' WHERE holder = 'reader-1'"))
        session.commit()

    assert data(lived, "rebuild", "--dry-run", code=2)["different"] == ["key"]
    assert data(lived, "rebuild", code=2)["different"] == ["key"]
    assert data(lived, "rebuild")["different"] == []


@req("ATR-04")
def test_a_home_that_is_not_there_is_named_and_ends_with_1(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["query", "", "--home", str(tmp_path / "none")])

    assert result.exit_code == 1
    assert "is no home of Countersign" in result.stderr


@req("REC-08")
def test_the_verifier_command_has_exit_codes_of_its_own(lived: HouseUnderTest, tmp_path: Path) -> None:
    data(lived, "export", "--out", str(tmp_path / "all.zip"))
    said(lived, "card", "--out", str(tmp_path / "card.json"))
    bundle, card = str(tmp_path / "all.zip"), str(tmp_path / "card.json")
    (tmp_path / "broken.zip").write_bytes((tmp_path / "all.zip").read_bytes()[:-9])

    assert verifier.main([bundle]) == 0
    assert verifier.main([bundle, "--trust", card, "--require-trust", "--jobs", "2", "--json"]) == 0
    assert verifier.main([bundle, "--require-trust"]) == 2
    assert verifier.main([str(tmp_path / "broken.zip")]) == 2
    assert verifier.main([str(tmp_path / "none.zip")]) == 1
    assert verifier.main(["--nonsense"]) == 1
    assert verifier.main(["--help"]) == 0


@pytest.mark.parametrize("arguments", [["query", "action:role.*"], ["prove", "5"], ["checkpoint"]])
@req("ATR-04")
def test_questions_are_answered_without_heavy_libraries_in_half_a_second(
    lived: HouseUnderTest, arguments: list[str]
) -> None:
    code = ("import sys; from countersign.cli import app\n"
            f"try: app({['ledger', *arguments, '--home', str(lived.home)]!r})\n"
            "finally: sys.stderr.write(' '.join(m for m in ('sqlalchemy', 'pydicom', 'torch', 'fastapi', 'orjson') "
            "if m in sys.modules))")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False,
                            cwd=Path(__file__).parents[2])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)

    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5
