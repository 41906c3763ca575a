"""A run of a protocol that nobody approved: refused, or stated to be exploratory, and evidence of nothing for ever."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from sqlalchemy import select, update

from audit import verifier
from core.errors import Refused, UnusableInput
from core.gates.projections import validations as gate_validations
from core.ledger_exports import Wish, export
from core.policy.state import Decision
from models_registry.queries import wall_stated
from tests.builders.validation import (
    LOCK,
    FakeModel,
    Team,
    approve,
    failing,
    installation,
    locked,
    passing,
    reviewed,
    run,
    small_pq,
)
from tests.house import HouseUnderTest
from tests.req import req
from tests.validation.test_cli import call
from validation import protocol, queries
from validation.observing import ObserveStep, observe_step
from validation.ports import Found
from validation.projections import runs
from validation.releases import (
    CloseDeviation,
    MarkSuspect,
    ReviewRun,
    SignRelease,
    close_deviation,
    mark_suspect,
    review_run,
    sign_release,
)
from validation.runner import Bench, Outcome, RunProtocol, run_protocol
from validation.usecases import DraftProtocol, SealTestSet, SignProtocol, draft_protocol, seal_test_set, sign_protocol


def tried(house: HouseUnderTest, team: Team, name: str, **bench: object) -> Outcome:
    """The newest version of a protocol, run as exploratory by the tester."""
    return run_protocol(house.desk, team.tester, RunProtocol(name, exploratory=True),
                        Bench({"machine": "test"}, **bench))  # type: ignore[arg-type]


def drafted(house: HouseUnderTest, team: Team, text: str) -> None:
    house.commit(draft_protocol(house.desk, team.author, DraftProtocol(text)))


@req("VAL-03")
def test_an_unapproved_protocol_runs_only_where_it_is_stated_and_says_so_in_the_record(house: HouseUnderTest) -> None:
    """Without the word it is refused; with it the start, the verdict, the report and the lists say exploratory."""
    team = Team.of(house)
    drafted(house, team, installation("fine", "bad", kind="OQ", requires=["IQ"]))
    checks = {"fine": passing(), "bad": failing()}

    with pytest.raises(Refused) as refusal:
        run(house, team, "OQ-SMALL", checks=checks)
    outcome = tried(house, team, "OQ-SMALL", checks=checks)

    assert refusal.value.rule == "F-704"
    assert (outcome.verdict, outcome.deviations) == ("failed", ())
    said = {entry.body["action"]: entry.body["fields"] for entry in house.entries()}
    draft = next(entry for entry in house.entries() if entry.body["action"] == "protocol.drafted")
    for word in ("validation.started", "validation.concluded"):
        assert (said[word]["evidence_class"], said[word]["protocol_seq"]) == ("exploratory", draft.seq)
    assert "deviation.opened" not in said
    report = json.loads(call(house, "report", outcome.run).output)
    assert (report["evidence_class"], report["approved_at"]) == ("exploratory", "")
    listed = json.loads(call(house, "list", "--json").output)
    assert listed["runs"] == [{"run": outcome.run, "state": "exploratory", "verdict": "failed"}]


@req("VAL-03", "VAL-06")
def test_a_later_approval_makes_no_evidence_of_it(house: HouseUnderTest) -> None:
    """Neither reviewed nor released, nor a forerunner, a retest, a step of the matrix, a stated wall; before and after
    its protocol is approved, and after it was set suspect."""
    team = Team.of(house)
    walled = {"fine": lambda: Found(True, "a wall", states={"network_wall": "firewall"})}
    for kind in ("IQ", "OQ"):
        drafted(house, team, installation("fine", kind=kind))
    names = [tried(house, team, f"{kind}-SMALL", checks=walled).run for kind in ("IQ", "OQ")]

    def nothing_rests_on_it() -> None:
        for name in names:
            with pytest.raises(Refused) as review:
                review_run(house.desk, team.lead, ReviewRun(name, "Complete."))
            assert review.value.rule == "F-735"
        with pytest.raises(Refused):
            sign_release(house.desk, team.qa, SignRelease(tuple(names), "Fit.", demonstration=True))
        with house.desk.reading() as session:
            assert queries.counting_run(session, "IQ", target="installation", lock=None) is None
            assert queries.counting_steps(session) == []
            assert session.execute(select(gate_validations)).all() == []
            assert wall_stated(session) is None

    nothing_rests_on_it()
    for kind in ("IQ", "OQ"):
        for signer in (team.lead, team.qa):
            house.commit(sign_protocol(house.desk, signer, SignProtocol(f"{kind}-SMALL", 1)))
    nothing_rests_on_it()
    with pytest.raises(UnusableInput, match="is approved: its runs count"):
        tried(house, team, "IQ-SMALL", checks=walled)
    house.commit(mark_suspect(house.desk, team.lead, MarkSuspect(names[0], "A library was patched.", "IQ")))
    nothing_rests_on_it()

    failed = run(house, team, "IQ-SMALL", checks={"fine": failing()})
    closing = CloseDeviation(failed.deviations[0], "A setting", "None", "Corrected", "Closed", f"{names[0]}/S-1")
    with pytest.raises(UnusableInput, match="no later pass"):
        close_deviation(house.desk, team.qa, closing)


@req("VAL-03", "VAL-06")
def test_a_release_does_not_name_an_exploratory_run_beside_good_ones(house: HouseUnderTest) -> None:
    team = Team.of(house)
    good = []
    for kind in ("IQ", "OQ"):
        approve(house, team, installation("fine", kind=kind))
        good.append(run(house, team, f"{kind}-SMALL", checks={"fine": passing()}).run)
    reviewed(house, team, *good)
    drafted(house, team, installation("fine", kind="IQ"))
    bad = tried(house, team, "IQ-SMALL", checks={"fine": passing()}).run

    with pytest.raises(Refused) as refusal:
        sign_release(house.desk, team.qa, SignRelease((*good, bad), "Fit.", demonstration=True))

    assert refusal.value.rule in ("F-731", "F-735")
    house.commit(sign_release(house.desk, team.qa, SignRelease(tuple(good), "Fit.", demonstration=True)))


@req("VAL-03", "VAL-08")
def test_a_sealed_test_set_is_not_tried_on(house: HouseUnderTest) -> None:
    """A draft opens no test set, so an exploratory PQ sees none of its cases."""
    team = Team.of(house)
    locked(house)
    house.commit(seal_test_set(house.desk, team.lead, SealTestSet(small_pq())))
    digest = house.entries()[-1].body["fields"]["digest"]
    drafted(house, team, protocol.filled(small_pq(), lock=LOCK, test_set_digest=digest))
    model = FakeModel()

    with pytest.raises(Refused) as refusal:
        tried(house, team, "PQ-SMALL", model=model)

    assert (refusal.value.rule, model.asked) == ("F-706", 0)


@req("VAL-03", "VAL-04")
def test_its_manual_steps_are_observed_and_deviate_from_nothing(house: HouseUnderTest) -> None:
    team = Team.of(house)
    by_hand = ("  - {id: M-1, requirements: [RPT-02], manual: Look., title: Paper, expected: Valid, on_fail: major}\n"
               "signatures:\n")
    drafted(house, team, installation("fine").replace("signatures:\n", by_hand))
    name = tried(house, team, "IQ-SMALL", checks={"fine": passing()}).run

    house.commit(observe_step(house.desk, team.tester, ObserveStep(name, "M-1", "It is not.", "failed")))
    house.work()

    with house.desk.reading() as session:
        row = queries.run_row(session, name)
    assert (row["state"], row["verdict"]) == ("exploratory", "failed")
    assert "deviation.opened" not in house.words()


@req("VAL-03", "REC-04")
def test_calling_it_standard_afterwards_is_found(house: HouseUnderTest, tmp_path: Path) -> None:
    """In the table: the rebuild differs. In the record: the verifier names the entry."""
    team = Team.of(house)
    drafted(house, team, installation("fine"))
    name = tried(house, team, "IQ-SMALL", checks={"fine": passing()}).run

    with house.house.engine.connect() as session, session.begin():
        session.execute(update(runs).where(runs.c.run == name).values(state="concluded", evidence_class="standard"))
    assert "validation_run" in house.house.compare().in_words()
    house.house.rebuild(keep=True)

    yes = Decision(True, "T-00", "a test", "service")
    bundle = export(house.desk, Wish(), tmp_path / "whole.zip", under=yes, on_behalf_of="tester-1").path
    with zipfile.ZipFile(bundle) as given, zipfile.ZipFile(tmp_path / "changed.zip", "w") as made:
        for item in given.infolist():
            data = given.read(item)
            if item.filename == "entries.jsonl":
                assert data.count(b'"evidence_class":"exploratory"') == 2
                data = data.replace(b'"evidence_class":"exploratory"', b'"evidence_class":"standard"')
            made.writestr(item, data)
    found = verifier.verify_bundle(tmp_path / "changed.zip", None)
    started = next(entry.seq for entry in house.entries() if entry.body["action"] == "validation.started")
    assert found.first_bad is not None
    assert found.first_bad.seq == started


@req("VAL-03")
def test_the_command_line_states_it(house: HouseUnderTest) -> None:
    Team.of(house)
    call(house, "draft", "iq-installation", user="author-1", meaning="authorship")

    done = call(house, "installation", "--protocols", "IQ-INSTALLATION", "--exploratory", "--unsigned", "--json",
                user="tester-1")

    (one,) = json.loads(done.output)
    assert one["evidence_class"] == "exploratory"
    assert call(house, "installation", "--protocols", "IQ-INSTALLATION", user="tester-1").exit_code == 1
