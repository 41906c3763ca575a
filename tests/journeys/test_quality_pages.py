"""Validation and quality at a real browser: a step by hand that failed, its deviation closed by another person, who
reads the procedure first, with an action linked, and a change assessed; then each page at two widths and on paper."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sops import texts
from sops import usecases as sops
from tests.builders.validation import Team, approve, passing, run
from tests.conftest import need
from tests.house import PASSWORD as SIGNING
from tests.house import HouseUnderTest, a_house
from tests.journeys.test_web import PASSWORD, chromium  # noqa: F401  a fixture
from tests.req import req
from tests.served import pages_served
from tests.validation.test_by_hand import with_manual
from tests.web.test_procedure_pages import ASKING

RUN, WIDTHS = "IQ-SMALL-v1-R1", (1280, 900)
DEVIATION = f"DEV-{RUN}-M-1"
PAGES = (
    "/validation", f"/validation/runs/{RUN}", "/validation/protocols/IQ-SMALL/1", "/validation/requirements",
    "/quality", f"/quality/deviations/{DEVIATION}", "/quality/actions/CAPA-1", "/procedures", "/procedures/SOP-91/1",
    "/training", "/reviews", "/reviews/periodic/access",
)
# What axe calls label, heading-order, landmark-one-main, scope-attr-valid and scrollable-region-focusable.
BASICS = """() => {
  const found = [];
  const named = e => (e.labels && e.labels.length) || e.getAttribute('aria-label') || e.textContent.trim();
  for (const e of document.querySelectorAll('input:not([type=hidden]), select, textarea, button, a'))
    if (!e.hidden && !named(e) && e.offsetParent) found.push('no name: ' + e.outerHTML);
  let last = 0;
  for (const e of document.querySelectorAll('h1, h2, h3, h4')) {
    const level = Number(e.tagName[1]);
    if (level > last + 1) found.push('heading skipped: ' + e.outerHTML);
    last = level;
  }
  if (document.querySelectorAll('h1').length !== 1 || document.querySelectorAll('main').length !== 1)
    found.push('not one h1 and one main');
  for (const e of document.querySelectorAll('th:not([scope])')) found.push('no scope: ' + e.outerHTML);
  for (const e of document.querySelectorAll('fieldset')) if (!e.querySelector('legend')) found.push('no legend');
  for (const e of document.querySelectorAll('[aria-labelledby], [aria-describedby]'))
    for (const name of ['aria-labelledby', 'aria-describedby'])
      for (const id of (e.getAttribute(name) || '').split(' ').filter(Boolean))
        if (!document.getElementById(id)) found.push('names nothing: ' + id);
  for (const e of document.querySelectorAll('.scroll'))
    if (e.tabIndex !== 0 || !e.getAttribute('aria-label')) found.push('region without a name: ' + e.outerHTML);
  const wide = document.documentElement.scrollWidth - innerWidth;
  if (wide > 0) found.push('scrolls sideways by ' + wide);
  return found;
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, HouseUnderTest]]:
    """A house with a run whose step by hand waits, and a procedure with a question, served on loopback."""
    need("chromium")
    with a_house(tmp_path_factory.mktemp("quality")) as house:
        team = Team.of(house)
        approve(house, team, with_manual("fine"))
        run(house, team, "IQ-SMALL", checks={"fine": passing()})
        document = texts.read_document(ASKING, "SOP-91")
        house.commit(sops.draft_sop(house.desk, team.author, sops.DraftSop(document)))
        house.commit(sops.review_sop(house.desk, team.statistician, "SOP-91"))
        house.commit(sops.approve_sop(house.desk, team.qa, "SOP-91"))
        with pages_served(house, dict.fromkeys(("tester-1", "qa-1", "lead-1"), PASSWORD)) as base:
            yield base, house


def opened(browser: Any, base: str, user: str, target: str, width: int = 1280) -> Any:
    """A page of a person who has logged in."""
    page = browser.new_context(viewport={"width": width, "height": 900}).new_page()
    page.set_default_timeout(20_000)
    page.goto(base + target)
    page.get_by_label("User id").fill(user)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.locator(".bar .me").wait_for()
    return page


def sign(page: Any, house: HouseUnderTest, user: str) -> None:
    page.get_by_role("heading", name="Review and sign").wait_for()
    page.get_by_role("radio").check()
    page.get_by_label("Signing password").fill(SIGNING)
    page.get_by_label("Code from your authenticator, 6 digits").fill(house.proof(user).code)
    page.get_by_role("button", name="Sign", exact=True).click()
    page.get_by_text("Signed as entry").wait_for()


@pytest.mark.journey
@req("VAL-04", "VAL-05", "VAL-13", "SIG-03")
def test_from_a_step_by_hand_to_a_change_on_pages_alone(
    chromium: Any, site: tuple[str, HouseUnderTest], tmp_path: Path  # noqa: F811
) -> None:
    base, house = site
    shown = tmp_path / "verapdf.xml"
    shown.write_text("<report/>")
    tester = opened(chromium, base, "tester-1", "/ledger")
    tester.get_by_role("link", name="Validation", exact=True).click()
    tester.get_by_role("link", name=RUN).first.click()
    tester.get_by_role("link", name="Enter what you found").click()
    tester.get_by_label("Observation, in your words").fill("2 errors in the file.")
    tester.get_by_label("Failed").check()
    tester.get_by_label("File that shows it").set_input_files(shown)
    tester.screenshot(path=tmp_path / "step.png", full_page=True)
    tester.get_by_role("button", name="Review and sign", exact=True).click()
    sign(tester, house, "tester-1")
    tester.get_by_role("link", name=DEVIATION).click()
    tester.get_by_text("another person closes it").wait_for()
    assert tester.get_by_label("Cause: why it happened").count() == 0

    qa = opened(chromium, base, "qa-1", "/quality")
    qa.get_by_role("link", name=DEVIATION).click()
    qa.get_by_text("qa-1: countersign sop train SOP-91 --as qa-1").wait_for()
    qa.get_by_role("link", name="Procedures", exact=True).click()
    qa.get_by_role("link", name="SOP-91 version 1, Closing deviations").click()
    qa.get_by_label("Who closes a deviation of their own run?").fill("the tester")
    qa.get_by_role("button", name="Review and sign", exact=True).click()
    qa.get_by_text("1 of 1 questions are not answered rightly").wait_for()
    qa.get_by_label("Who closes a deviation of their own run?").fill("nobody")
    qa.get_by_role("button", name="Review and sign", exact=True).click()
    sign(qa, house, "qa-1")
    qa.goto(f"{base}/quality/deviations/{DEVIATION}")
    qa.get_by_label("Id of the action").fill("CAPA-1")
    qa.get_by_label("Corrective").check()
    qa.get_by_label("What is done").fill("Fonts are embedded.")
    qa.get_by_label("Who answers for it").select_option("tester-1")
    qa.get_by_label("Day by which it is done and its effect checked").fill("2099-01-31")
    qa.get_by_label("How its effect will be seen").fill("The next paper is valid.")
    qa.get_by_role("button", name="Review and sign", exact=True).last.click()
    sign(qa, house, "qa-1")
    for label, words in (("Cause: why", "Fonts"), ("Impact: what", "None"), ("Action: what", "Embedded"),
                         ("Conclusion: what", "Closed")):
        qa.get_by_label(label).fill(words)
    qa.get_by_role("button", name="Review and sign", exact=True).first.click()
    qa.get_by_text("no later pass of this step").wait_for()
    assert qa.get_by_label("Cause: why").input_value() == "Fonts"
    qa.get_by_label("Or: why it is not tested again").fill("The paper was withdrawn.")
    qa.get_by_role("button", name="Review and sign", exact=True).first.click()
    sign(qa, house, "qa-1")
    qa.get_by_role("link", name="CAPA-1").click()
    qa.get_by_label("What was done").fill("Embedded.")
    qa.get_by_role("radio", name="Effective The file below shows it.").check()
    qa.get_by_label("How it was checked, and what was seen").fill("Valid.")
    qa.get_by_label("File that shows the effect").set_input_files(shown)
    qa.get_by_role("button", name="Review and sign", exact=True).click()
    sign(qa, house, "qa-1")

    qa.get_by_role("link", name="Quality", exact=True).first.click()
    qa.get_by_label("Id of the change").fill("CHG-1")
    qa.get_by_label("C2").check()
    qa.get_by_label("What is changed").fill("A library.")
    qa.get_by_role("button", name="Review and sign", exact=True).last.click()
    qa.get_by_text(RUN).first.wait_for()
    sign(qa, house, "qa-1")

    mine = ("step", "deviation", "capa", "change")
    assert [word for word in house.words() if word.partition(".")[0] in mine][-6:] == [
        "step.observed", "deviation.opened", "capa.opened", "deviation.closed", "capa.closed", "change.assessed"]
    assert house.words()[-1] == "validation.suspect"
    tester.context.close()
    qa.context.close()


@pytest.mark.journey
@req("ATR-04")
@pytest.mark.parametrize("width", WIDTHS)
def test_pages_of_validation_quality_and_procedures_are_sound(
    chromium: Any, site: tuple[str, HouseUnderTest], tmp_path: Path, width: int,  # noqa: F811
) -> None:
    """After the journey above: names, headings, widths; the first thing that Tab reaches skips to the content, and
    what it reaches next is seen to be reached; printing hides what is of no use on paper."""
    base, _ = site
    page = opened(chromium, base, "qa-1", "/validation", width)
    for path in PAGES:
        page.goto(base + path)
        page.screenshot(path=tmp_path / f"{path.strip('/').replace('/', '-')}-{width}.png", full_page=True)
        assert page.evaluate(BASICS) == [], path
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip", path
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        seen = page.evaluate("""() => { const e = document.activeElement, s = getComputedStyle(e);
            return !!e.closest('main') && (s.outlineStyle !== 'none' || s.boxShadow !== 'none'); }""")
        assert seen, f"{path}: focus is not to be seen"
        page.emulate_media(media="print")
        assert not page.locator(".tabs").is_visible()
        assert page.locator("main .btn:visible, main form.fields:visible").count() == 0, path
        assert page.get_by_role("heading", level=1).is_visible()
        if path == "/quality":
            page.pdf(path=tmp_path / "quality.pdf", prefer_css_page_size=True)
        page.emulate_media(media="screen")
    page.context.close()
