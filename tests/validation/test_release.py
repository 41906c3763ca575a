"""A clinical release asks for every requirement of high risk shown, by tests of this very software or by steps."""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pikepdf
import pytest
from sqlalchemy import Connection, Engine

from audit import turn
from core.errors import Refused, UnusableInput
from core.work import Desk, release
from countersign import export_rehearsal, qualification, rehearsal
from reports import query_export
from reports.attached import open_paper
from reports.recheck import check_pdf
from reports.visible import squeezed
from tests.builders.validation import Team, approve, failing, installation, passing, reviewed, run
from tests.house import HouseUnderTest
from tests.req import req
from tests.validation.test_cli import call
from validation import protocol, queries
from validation.observing import ObserveStep, observe_step
from validation.releases import SignRelease, sign_release
from validation.traceability import code_digest, requirements


def evidence(
    outcome: str = "passed", *, left_out: tuple[str, ...] = (), changed: Mapping[str, Any] = MappingProxyType({})
) -> bytes:
    """Evidence in the form of `pytest --evidence`: one test for each requirement that a test must show."""
    tests: dict[str, Any] = {
        f"tests/test_{one.id}.py::test_it": {"requirements": [one.id], "outcome": "passed"}
        for one in requirements() if one.method == "test" and one.id not in left_out
    }
    tests["tests/test_one.py::test_it"] = {"requirements": ["OPS-10"], "outcome": outcome}
    document = {"release": release(), "code_sha256": code_digest(), "whole": True, "tests": tests, **changed}
    return json.dumps(document).encode()


def ready(house: HouseUnderTest) -> tuple[Team, tuple[str, ...]]:
    """IQ and OQ passed and reviewed; what no test shows was observed."""
    team = Team.of(house)
    runs = []
    for kind in ("IQ", "OQ"):
        approve(house, team, installation("fine", kind=kind))
        runs.append(run(house, team, f"{kind}-SMALL", checks={"fine": passing()}).run)
    reviewed(house, team, *runs)
    return team, tuple(runs)


def looked_for(house: HouseUnderTest, team: Team) -> None:
    """OQ-OUTSIDE: identity checks and documents are there; no graphics processor, module or validator is."""
    approve(house, team, protocol.template("oq-outside"))
    outside = run(house, team, "OQ-OUTSIDE")
    for step in outside.waits_for:
        there = step in ("OUT-04", "OUT-05")
        seen = ObserveStep(outside.run, step, "Seen." if there else "There is none here.",
                           "passed" if there else "not_executed", b"a copy" if there else None)
        house.commit(observe_step(house.desk, team.tester, seen))
    house.work()
    with house.desk.reading() as session:
        assert queries.run_row(session, outside.run)["verdict"] == "not_executed"


@req("VAL-02", "VAL-06")
def test_a_requirement_of_high_risk_that_nothing_shows_blocks_the_release(house: HouseUnderTest) -> None:
    """Without evidence, with a gap, with a failure: refused with the list; whole: released, with tests and matrix."""
    team, runs = ready(house)

    def released(tests: bytes | None) -> Any:
        return sign_release(house.desk, team.qa, SignRelease(runs, "Fit for use.", tests=tests))

    with pytest.raises(Refused, match="SIG-05") as by_hand:
        released(evidence())
    looked_for(house, team)
    with pytest.raises(Refused, match="GAT-02") as nothing:
        released(None)
    with pytest.raises(Refused, match=r"Not shown: SIG-01 \(open\)\.") as gap:
        released(evidence(left_out=("SIG-01",)))
    with pytest.raises(Refused, match=r"Not shown: OPS-10 \(failing\)\."):
        released(evidence("failed"))
    house.commit(released(evidence()))

    assert {one.value.rule for one in (by_hand, nothing, gap)} == {"F-734"}
    event = house.entries()[-1].body["fields"]
    assert event["evidence_class"] == "standard"
    with house.desk.reading() as session:
        assert queries.installation_is_released(session, release())
    matrix = (house.home / "objects" / event["matrix"]["sha256"][:2] / event["matrix"]["sha256"][2:]).read_text()
    assert "OQ-OUTSIDE-v1-R1/OUT-04 sha256:" in matrix
    assert "action.refused" in house.words()


@req("VAL-02")
@pytest.mark.parametrize(
    ("changed", "said"),
    [({"code_sha256": "0" * 64}, "here runs"), ({"release": "0.0"}, "here runs"),
     ({"whole": False, "because": "only some were asked for: -k gates"}, "not of all: only some"),
     ({"tests": {"tests/t.py::test_it": {"requirements": [], "outcome": "failed"}}}, "no requirement: tests/t.py")],
)
def test_tests_of_another_software_or_not_all_of_them_show_nothing(
    house: HouseUnderTest, changed: dict[str, Any], said: str
) -> None:
    """Who may choose which tests are told would leave out the one that fails."""
    team, runs = ready(house)

    with pytest.raises(UnusableInput, match=said):
        sign_release(house.desk, team.qa, SignRelease(runs, "Fit for use.", tests=evidence(changed=changed)))


@req("VAL-02")
def test_a_release_without_the_matrix_is_one_of_class_demonstration(house: HouseUnderTest) -> None:
    """Gates of clinical trials refuse that class by their own criterion."""
    team, runs = ready(house)

    house.commit(sign_release(house.desk, team.qa, SignRelease(runs, "To be shown.", demonstration=True)))

    event = house.entries()[-1].body["fields"]
    assert event["evidence_class"] == "demonstration"
    assert "matrix" not in event


@req("VAL-01", "VAL-04")
def test_the_report_of_a_run_is_told_as_a_paper(house: HouseUnderTest, tmp_path: Path) -> None:
    """A draft, as nobody signed: verdict, deviation and digests stand there; the runner's report is attached whole."""
    team = Team.of(house)
    approve(house, team, installation("fine", "bad"))
    outcome = run(house, team, "IQ-SMALL", checks={"fine": passing(), "bad": failing("Two files differ.")})
    out = tmp_path / "iq.pdf"

    done = call(house, "report", outcome.run, "--pdf", str(out))

    assert done.exit_code == 0, done.output
    assert outcome.report is not None
    with pikepdf.open(out) as pdf:
        attached = pdf.attachments[f"report-{outcome.run}.json"].get_file().read_bytes()
        policy = pdf.attachments["policy-matrix.csv"].get_file().read_bytes()
    assert hashlib.sha256(attached).hexdigest() == outcome.report.sha256
    text = squeezed("".join(piece for page in open_paper(out).printed for piece in page))
    for said in (outcome.run, "failed", "Two files differ.", outcome.deviations[0], "Signature needed",
                 outcome.report.sha256, hashlib.sha256(policy).hexdigest()):
        assert squeezed(said) in text, said
    assert "a draft, not signed as a file" in check_pdf(out).steps[9]


@req("VAL-06", "VAL-05")
def test_a_release_rests_on_the_last_word_of_each_protocol(house: HouseUnderTest) -> None:
    """An older run that passed is not named past a later one that failed, nor past a newer version of the protocol."""
    team, named = ready(house)

    def released(*names: str) -> Any:
        return sign_release(house.desk, team.qa, SignRelease(names, "To be shown.", demonstration=True))

    released(*named)
    run(house, team, "OQ-SMALL", checks={"fine": failing()})
    with pytest.raises(Refused) as failed:
        released(*named)
    again = run(house, team, "OQ-SMALL", checks={"fine": passing()}).run
    reviewed(house, team, again)
    released(named[0], again)
    approve(house, team, installation("fine", kind="IQ"))
    with pytest.raises(Refused) as replaced:
        released(named[0], again)
    newest = run(house, team, "IQ-SMALL", checks={"fine": passing()}).run
    reviewed(house, team, newest)
    released(newest, again)

    assert (failed.value.rule, replaced.value.rule) == ("F-736", "F-736")


# -- The checks behind OQ: each protection taken away once ---------------------------------------------------------


@req("OPS-03", "VAL-04")
def test_a_clock_that_is_always_believed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.clock.AHEAD_LIMIT_US", 10**13)
    monkeypatch.setattr("core.clock.BACK_LIMIT_US", 10**13)

    assert not rehearsal.clock_step().passed


@req("OPS-02", "VAL-04")
def test_a_restored_home_that_appends_at_once_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("countersign.standstill.Standstill.because", lambda self: None)

    assert not rehearsal.restore_drill().passed


@req("SIG-08", "VAL-04")
def test_a_login_that_never_ends_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("countersign.web.accounts.IDLE_US", 10**13)

    assert not rehearsal.session_and_proof().passed


@req("REC-01", "VAL-04")
def test_a_writer_that_takes_no_lock_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two writers that read the same head: one of them fails or overwrites, and the check says so."""

    @contextmanager
    def unlocked(engine: Engine) -> Iterator[Connection]:
        connection = engine.connect()
        try:
            with connection.begin():
                connection.exec_driver_sql("SELECT count(*) FROM entry")  # a read transaction, as without the lock
                time.sleep(0.002)
                yield connection.execution_options(countersign_write=True)
        finally:
            connection.close()

    real = turn.locked
    monkeypatch.setattr(rehearsal, "EACH", 5)

    def only_for_writers(engine: Engine, *, at_once: bool = True) -> Any:
        if threading.current_thread() is not threading.main_thread():
            return unlocked(engine)
        return real(engine, at_once=at_once)

    monkeypatch.setattr(turn, "locked", only_for_writers)

    assert not rehearsal.two_writers().passed


@req("GAT-03", "VAL-04")
def test_a_refusal_that_leaves_no_trace_is_found(house: HouseUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the same refusal of an earlier day stands on record; and an act that is allowed is found."""
    house.person("tester-9")
    assert qualification.refusal_is_recorded(house.house, "tester-9").passed
    house.clock.advance(minutes=90)
    with monkeypatch.context() as patched:
        patched.setattr(Desk, "record_refusal", lambda *given: None)
        assert not qualification.refusal_is_recorded(house.house, "tester-9").passed
    with monkeypatch.context() as patched:
        patched.setattr(qualification, "permit", lambda *given: None)
        assert not qualification.refusal_is_recorded(house.house, "tester-9").passed


def _yes_to_all(folder: Path) -> Path:
    (folder / "yes.py").write_text("print('VERIFIED')\n", encoding="utf-8")
    return folder / "yes.py"


@req("REC-08", "ATR-04", "VAL-04")
@pytest.mark.parametrize("broken", ["a row is left out", "another file is named", "the verifier says yes to all"])
def test_an_export_that_is_not_as_the_record_is_found(
    broken: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(export_rehearsal, "FORMS", ("csv", "json"))
    rows, digest = query_export._rows, query_export._digest
    if broken == "a row is left out":
        monkeypatch.setattr(query_export, "_rows", lambda *a, **b: itertools.islice(rows(*a, **b), 1, None))
    elif broken == "another file is named":
        monkeypatch.setattr(query_export, "_digest", lambda path: ("0" * 64, digest(path)[1]))
    else:
        monkeypatch.setattr("audit.verifier.__file__", str(_yes_to_all(tmp_path)))

    found = export_rehearsal.exports_hold()

    assert not found.passed
    assert "NOT" in found.says


@req("REC-01", "VAL-04")
def test_a_live_record_with_another_beginning_is_found(house: HouseUnderTest) -> None:
    size, root = rehearsal.standing_of(house.house)
    assert rehearsal.live_record_kept(house.house, (size, root)).passed

    assert not rehearsal.live_record_kept(house.house, (size, "0" * 64)).passed
    assert not rehearsal.live_record_kept(house.house, (size + 1, root)).passed
