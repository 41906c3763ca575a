"""Pages of validation and quality: a step by hand, its deviation, the action against its cause, the class of a change;
signed on the page of signatures like every other act, and by nobody whom the policy refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from countersign.web.accounts import set_password
from countersign.web.app import LARGEST_BODY
from tests.builders.validation import Team, approve, passing, run
from tests.house import PASSWORD as SIGNING_PASSWORD
from tests.house import HouseUnderTest
from tests.req import req
from tests.validation.test_by_hand import with_manual
from tests.web.test_pages import CHEAP, PASSWORD, enter, hidden, problems, visiting
from validation import queries

SHOWN = ("evidence", ("verapdf.xml", b"<report/>", "text/html"))


@pytest.fixture
def waiting(house: HouseUnderTest) -> HouseUnderTest:
    """A run with one step by hand that nobody carried out yet."""
    team = Team.of(house)
    approve(house, team, with_manual("fine"))
    run(house, team, "IQ-SMALL", checks={"fine": passing()})
    house.person("reader-1", "reader", trial="T1")
    house.person("lead-9", "trial_lead", trial="T9")
    for user in ("tester-1", "qa-1", "lead-1", "author-1", "reader-1", "lead-9"):
        set_password(house.desk, CHEAP, user, PASSWORD)
    return house


@pytest.fixture
def browser(waiting: HouseUnderTest) -> Iterator[TestClient]:
    with visiting(waiting) as client:
        yield client


RUN = "IQ-SMALL-v1-R1"
STEP = f"/validation/runs/{RUN}/steps/M-1"
DEVIATION = f"/quality/deviations/DEV-{RUN}-M-1"


def post(browser: TestClient, page: str, to: str, *, files: Any = None, **form: str) -> Any:
    """A form of a page sent as the page would send it."""
    return browser.post(to, data={"token": hidden(browser.get(page).text, "token"), **form}, files=files)


def signed(browser: TestClient, house: HouseUnderTest, user: str, answer: Any) -> Any:
    """The page of signatures that an answer led to, signed by the person's own key; the page that follows."""
    path = answer.url.path
    assert path.startswith("/sign/"), answer.text
    page = browser.get(path).text
    assert problems(page) == []
    meaning = hidden(page, "meaning")
    return browser.post(path, data={"token": hidden(page, "token"), "meaning": meaning, "password": SIGNING_PASSWORD,
                                    "code": house.proof(user).code})


def observe(browser: TestClient, **form: str) -> Any:
    return post(browser, STEP, STEP, files=[SHOWN], **{"found": "1 file, valid", "verdict": "passed"} | form)


@req("VAL-04")
def test_a_step_is_entered_with_its_file_and_signed_and_the_run_gets_its_verdict(
    browser: TestClient, waiting: HouseUnderTest
) -> None:
    enter(browser, "tester-1")
    listed, shown = browser.get("/validation").text, browser.get(f"/validation/runs/{RUN}").text
    assert problems(listed) == problems(shown) == []
    assert "Steps are waiting to be carried out by hand" in listed
    assert f'href="{STEP}"' in shown
    form = browser.get(STEP).text
    assert problems(form) == []
    assert "Open the paper in veraPDF." in form
    assert "checked" not in form  # no verdict is chosen beforehand

    done = signed(browser, waiting, "tester-1", observe(browser))

    assert done.url.path == f"/validation/runs/{RUN}"
    assert waiting.words()[-2:] == ["step.observed", "validation.concluded"]
    assert "Signed as entry" in done.text
    assert "by hand, tester-1" in done.text
    assert "machine" in done.text  # the environment
    assert problems(done.text) == []
    kept = browser.get(f"{STEP}/evidence")
    assert kept.content == b"<report/>"
    assert kept.headers["content-disposition"].startswith("attachment")
    assert browser.get(STEP).status_code == 404


@req("VAL-04")
@pytest.mark.parametrize(("form", "said"), [
    ({"found": " "}, "what was found"), ({"verdict": "fine"}, "one of passed"), ({"otherwise": "true"}, "otherwise"),
])
def test_what_shows_nothing_comes_back_with_what_was_typed(
    browser: TestClient, waiting: HouseUnderTest, form: dict[str, str], said: str
) -> None:
    enter(browser, "tester-1")

    answer = observe(browser, **form)

    assert answer.status_code == 422
    assert said in answer.text
    assert form.get("found", "1 file, valid") in answer.text
    assert problems(answer.text) == []
    assert "step.observed" not in waiting.words()


@req("VAL-05", "ACC-01")
def test_a_failed_step_opens_a_deviation_that_another_person_closes(
    browser: TestClient, waiting: HouseUnderTest
) -> None:
    """The tester is told why not; who closes it says cause, impact, action and why it is not tested again."""
    enter(browser, "tester-1")
    after = signed(browser, waiting, "tester-1", observe(browser, verdict="failed", found="2 errors"))
    assert "deviation.opened" in waiting.words()
    assert DEVIATION in after.text
    own = browser.get(DEVIATION).text
    assert "another person closes it" in own
    assert 'name="cause"' not in own
    refused = post(browser, DEVIATION, f"{DEVIATION}/close", cause="c", impact="i", action="a", conclusion="c",
                   no_retest="n")
    assert refused.status_code == 403
    assert waiting.words()[-1] == "action.refused"

    enter(browser, "qa-1")
    page = browser.get(DEVIATION).text
    assert problems(page) == []
    early = post(browser, DEVIATION, f"{DEVIATION}/close", cause="Fonts", impact="None", action="Embedded",
                 conclusion="Closed")
    assert early.status_code == 422
    assert "no later pass of this step" in early.text
    assert ">Fonts</textarea>" in early.text
    closed = signed(browser, waiting, "qa-1", post(
        browser, DEVIATION, f"{DEVIATION}/close", cause="Fonts", impact="None", action="Embedded", conclusion="Closed",
        no_retest="the paper was withdrawn"))

    assert waiting.words()[-1] == "deviation.closed"
    assert "none: the paper was withdrawn" in closed.text
    assert problems(closed.text) == []


@req("VAL-05")
def test_an_action_is_planned_for_a_deviation_and_judged_by_another_than_its_owner(
    browser: TestClient, waiting: HouseUnderTest
) -> None:
    enter(browser, "lead-1")
    opened = signed(browser, waiting, "lead-1", post(
        browser, "/quality", "/quality/deviations", deviation="DEV-1", klass="critical", about="the backup",
        says="It was a day late."))
    assert opened.url.path == "/quality/deviations/DEV-1"
    assert "closed with an action linked to it" in opened.text
    planned = signed(browser, waiting, "lead-1", post(
        browser, "/quality/deviations/DEV-1", "/quality/deviations/DEV-1/actions", capa="CAPA-1", kind="corrective",
        action="Two drills a year.", owner="qa-1", due="2020-01-31", effect_check="The next drill is in time."))
    assert "overdue" in planned.text
    assert "Actions are overdue" in browser.get("/quality").text

    enter(browser, "qa-1")
    assert "another person judges its effect" in browser.get("/quality/actions/CAPA-1").text
    enter(browser, "lead-1")
    form = {"done": "Held.", "effect": "effective", "checked": "Both in time."}
    without = post(browser, "/quality/actions/CAPA-1", "/quality/actions/CAPA-1", **form)
    assert (without.status_code, "shown by a file" in without.text) == (422, True)
    done = signed(browser, waiting, "lead-1", post(
        browser, "/quality/actions/CAPA-1", "/quality/actions/CAPA-1", files=[SHOWN], **form))

    assert waiting.words()[-1] == "capa.closed"
    assert "Both in time." in done.text
    assert browser.get("/quality/actions/CAPA-1/evidence").content == b"<report/>"
    assert all(problems(browser.get(path).text) == [] for path in ("/quality", "/quality/actions/CAPA-1"))


@req("VAL-13")
def test_a_change_names_what_becomes_suspect_before_it_is_signed(browser: TestClient, waiting: HouseUnderTest) -> None:
    enter(browser, "tester-1")
    signed(browser, waiting, "tester-1", observe(browser))
    enter(browser, "lead-1")
    unproved = post(browser, "/quality", "/quality/changes", change="CHG-1", klass="C1", says="A compiler.")
    assert (unproved.status_code, "bit by bit" in unproved.text) == (422, True)
    assert ">A compiler.</textarea>" in unproved.text

    answer = post(browser, "/quality", "/quality/changes", change="CHG-1", klass="C2", says="A library.")
    assert RUN in browser.get(answer.url.path).text
    signed(browser, waiting, "lead-1", answer)

    assert waiting.words()[-2:] == ["change.assessed", "validation.suspect"]
    assert "suspect and counts no more" in browser.get(f"/validation/runs/{RUN}").text
    with waiting.desk.reading() as session:
        assert queries.run_row(session, RUN)["state"] == "suspect"


@req("VAL-02")
def test_the_matrix_shows_each_requirement_with_its_recorded_steps(
    browser: TestClient, waiting: HouseUnderTest
) -> None:
    enter(browser, "tester-1")
    signed(browser, waiting, "tester-1", observe(browser))

    page = browser.get("/validation/requirements").text

    assert problems(page) == []
    row = page.split('id="RPT-02"')[1].split("</tr>")[0]
    assert f"{RUN}/M-1" in row
    assert "shown" in row


@req("VAL-03", "VAL-04")
def test_a_protocol_and_a_report_are_signed_on_their_pages(browser: TestClient, waiting: HouseUnderTest) -> None:
    """The next signature is the one that the protocol asks for; who ran it does not review the report."""
    from validation.usecases import DraftProtocol, draft_protocol

    waiting.commit(draft_protocol(waiting.desk, Team.of(waiting).author, DraftProtocol(with_manual("fine"))))
    path = "/validation/protocols/IQ-SMALL/2"
    enter(browser, "author-1")
    assert "No rule permits" in browser.get(path).text or "wrote this protocol" in post(browser, path, path).text
    enter(browser, "lead-1")
    page = browser.get(path).text
    assert problems(page) == []
    signed(browser, waiting, "lead-1", post(browser, path, path))
    assert waiting.words()[-1] == "protocol.reviewed"

    enter(browser, "tester-1")
    signed(browser, waiting, "tester-1", observe(browser))
    assert "another person reviews its report" in browser.get(f"/validation/runs/{RUN}").text
    enter(browser, "lead-1")
    run_path = f"/validation/runs/{RUN}"
    signed(browser, waiting, "lead-1", post(browser, run_path, f"{run_path}/review", conclusion="Complete."))
    assert waiting.words()[-1] == "validation.reviewed"


def looked_at(house: HouseUnderTest, browser: TestClient) -> tuple[Team, str]:
    """The run of the page concluded, its report signed as a file by who ran it; the reviewer at the browser."""
    from reports.validation_signing import sign_executed

    team = Team.of(house)
    enter(browser, "tester-1")
    signed(browser, house, "tester-1", observe(browser))
    house.commit(sign_executed(house.desk, team.tester, [RUN]))
    enter(browser, "lead-1")
    return team, f"/validation/runs/{RUN}"


@req("VAL-04", "SIG-03", "SIG-01")
def test_a_review_on_the_page_signs_the_reports_file_as_the_command_line_does(
    browser: TestClient, waiting: HouseUnderTest, tmp_path: Path
) -> None:
    """One unlock: the review and the second signature of the file, which anybody checks offline."""
    from reports.recheck import check_pdf

    _, path = looked_at(waiting, browser)
    page = browser.get(path)
    assert problems(page.text) == []
    assert "executed by tester-1" in page.text
    assert "signs the report&#39;s file as well" in page.text or "signs the report's file as well" in page.text

    signed(browser, waiting, "lead-1", post(browser, path, f"{path}/review", conclusion="Complete."))

    assert waiting.words()[-2:] == ["validation.reviewed", "validation.report_signed"]
    entry = waiting.entries()[-1].body
    assert (entry["actor"], entry["fields"]["part"], entry["fields"]["runs"]) == ("lead-1", "reviewed", [RUN])
    after = browser.get(path)
    assert "reviewed by lead-1" in after.text
    offered = browser.get(f"{path}/report.pdf")
    (tmp_path / "report.pdf").write_bytes(offered.content)
    check = check_pdf(tmp_path / "report.pdf")
    assert check.ok, check.in_words()
    assert check.pdf_sha256 == entry["fields"]["pdf"]["sha256"] == offered.headers["X-Countersign-SHA256"]
    assert "reviewed by Lead 1 (lead-1)" in check.steps[9]
    assert f"{RUN}-reviewed.pdf" in offered.headers["Content-Disposition"]


@req("VAL-04", "SIG-03")
def test_a_wrong_code_on_the_page_signs_neither_the_review_nor_the_file(
    browser: TestClient, waiting: HouseUnderTest
) -> None:
    _, path = looked_at(waiting, browser)
    page = post(browser, path, f"{path}/review", conclusion="Complete.")
    before = waiting.words()

    refused = browser.post(page.url.path, data={
        "token": hidden(page.text, "token"), "meaning": "review", "password": SIGNING_PASSWORD, "code": "000000"})

    assert refused.status_code == 401
    assert [word for word in waiting.words()[len(before):] if word.startswith("validation")] == []
    assert browser.get(f"{path}/report.pdf").headers["Content-Disposition"].endswith(f'{RUN}-executed.pdf"')


@req("ACC-01", "PRV-01")
def test_deviations_of_other_trials_are_not_there_and_a_reader_sees_no_validation(
    browser: TestClient, waiting: HouseUnderTest
) -> None:
    from validation.releases import OpenDeviation, open_deviation

    waiting.person("qa-1", "qa_auditor", trial="T1")
    waiting.commit(open_deviation(waiting.desk, Team.of(waiting).qa, OpenDeviation(
        "DEV-T1", "minor", "operation", "a visit", "Late.", trial="T1")))
    enter(browser, "lead-9")
    listed = browser.get("/quality")
    assert listed.status_code == 200
    assert "DEV-T1" not in listed.text
    assert browser.get("/quality/deviations/DEV-T1").status_code == 404
    enter(browser, "reader-1")
    assert [browser.get(path).status_code for path in ("/validation", "/quality", f"/validation/runs/{RUN}",
                                                       f"{STEP}/evidence")] == [403] * 4


@req("ACC-01")
def test_a_large_file_comes_with_a_form_of_somebody_who_is_logged_in_and_with_no_other(
    browser: TestClient, waiting: HouseUnderTest
) -> None:
    large = ("evidence", ("log.txt", b"x" * (3 * LARGEST_BODY), "text/plain"))
    nobody = browser.post(STEP, data={"token": "guessed"}, files=[large])
    assert nobody.status_code == 403
    enter(browser, "tester-1")
    token = hidden(browser.get(STEP).text, "token")
    elsewhere = browser.post("/reviews", data={"token": token}, files=[large])
    assert elsewhere.status_code == 403

    answer = post(browser, STEP, STEP, files=[large], found="A log.", verdict="passed")

    assert answer.url.path.startswith("/sign/")


@req("VAL-03")
def test_an_exploratory_run_is_shown_as_evidence_of_nothing(browser: TestClient, waiting: HouseUnderTest) -> None:
    from tests.builders.validation import installation
    from validation.runner import Bench, RunProtocol, run_protocol
    from validation.usecases import DraftProtocol, draft_protocol

    team = Team.of(waiting)
    waiting.commit(draft_protocol(waiting.desk, team.author, DraftProtocol(installation("fine", kind="OQ"))))
    tried = run_protocol(waiting.desk, team.tester, RunProtocol("OQ-SMALL", exploratory=True),
                         Bench({"machine": "test"}, checks={"fine": passing()}))
    enter(browser, "lead-1")

    listed, shown = browser.get("/validation").text, browser.get(f"/validation/runs/{tried.run}").text

    assert "counts for nothing" in listed
    assert "This run is exploratory and is evidence of nothing, for ever." in shown
    assert "Review the report" not in shown
    assert problems(shown) == []


@req("VAL-10")
def test_a_criterion_that_could_not_be_judged_stands_on_the_page_of_its_run(
    browser: TestClient, waiting: HouseUnderTest
) -> None:
    """Cases that are not here leave no estimate and no interval; the page says so and does not fail."""
    from tests.builders.validation import FakeModel, locked, ready_pq, small_pq

    team = Team.of(waiting)
    locked(waiting)
    ready_pq(waiting, team, small_pq())
    name = run(waiting, team, "PQ-SMALL", model=FakeModel()).run
    enter(browser, "lead-1")

    page = browser.get(f"/validation/runs/{name}")

    assert page.status_code == 200
    assert problems(page.text) == []
    (row,) = [part for part in page.text.split("<tr") if ">C1<" in part]
    assert "nothing" in row
    assert "not executed" in row
