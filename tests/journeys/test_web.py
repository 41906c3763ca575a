"""An auditor at a real browser: log in, ask, open the evidence, take the proof away; with and without script."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audit import verifier
from tests.conftest import need
from tests.house import HouseUnderTest, a_house
from tests.req import req
from tests.served import pages_served

PASSWORD = "a login password of its own"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]
CHROMIUM = "/usr/bin/chromium"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, HouseUnderTest]]:
    """A house served on a free port of loopback."""
    need("chromium")
    with a_house(tmp_path_factory.mktemp("web")) as house:
        house.person("reader-1", "reader", trial="T1")
        house.person("qa-1", "qa_auditor")
        with pages_served(house, {"qa-1": PASSWORD}, watching=True) as base:
            yield base, house


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    need("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(params=[True, False], ids=["script", "no-script"])
def page(request: pytest.FixtureRequest, chromium: Any) -> Iterator[Any]:
    """A page that complains about anything the browser complains about."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, java_script_enabled=request.param,
                                   accept_downloads=True)
    page = context.new_page()
    complaints: list[str] = []
    page.set_default_timeout(10_000)
    page.on("console", lambda message: complaints.append(f"{message.text} {message.location}")
            if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert complaints == []


def log_in(page: Any, base: str, target: str = "/ledger") -> None:
    page.goto(base + target)
    page.get_by_label("User id").fill("qa-1")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


@pytest.mark.journey
@req("ATR-04", "REC-03", "ACC-01")
def test_an_auditor_goes_from_login_to_a_proven_entry(
    page: Any, site: tuple[str, HouseUnderTest], tmp_path: Path
) -> None:
    base, house = site
    log_in(page, base)
    page.get_by_role("heading", name="Ledger").wait_for()
    assert page.locator("table.t tbody tr").count() == min(50, len(house.words()))

    page.get_by_label("Filter").fill("action:role.granted")
    page.get_by_role("button", name="Apply").click()
    page.get_by_role("link", name="Remove action:role.granted").wait_for()
    rows = page.locator("table.t tbody tr").count()
    assert rows == house.words().count("role.granted")
    page.get_by_label("Filter").fill("trial:T1")
    page.get_by_role("button", name="Apply").click()
    assert page.locator(".tok").count() == 2
    page.get_by_role("link", name="Remove trial:T1").click()
    assert page.locator("table.t tbody tr").count() == rows

    page.locator("table.t a.ev").first.click()
    page.get_by_text("This entry is genuine.").wait_for()
    code = page.locator(".ev.strong").inner_text()
    with page.expect_download() as proof:
        page.get_by_role("link", name="Proof file").click()
    with page.expect_download() as stored:
        page.get_by_role("link", name="Exact bytes").click()
    proof.value.save_as(tmp_path / "proof")
    stored.value.save_as(tmp_path / "bytes")
    index, path, note = verifier.parse_proof((tmp_path / "proof").read_bytes())
    leaf = verifier.leaf_hash((tmp_path / "bytes").read_bytes())
    assert verifier.root_of_path(index, note.size, leaf, path) == note.root

    page.get_by_label("Go to").fill(code.lower())
    page.get_by_label("Go to").press("Enter")
    page.wait_for_url(re.compile("/ledger/ev-"))
    assert page.locator(".ev.strong").inner_text() == code
    page.get_by_role("button", name="Log out").click()
    page.goto(f"{base}/ledger")
    page.get_by_role("button", name="Log in").wait_for()


@pytest.mark.journey
@req("ATR-04")
def test_the_keys_work_and_can_be_turned_off(chromium: Any, site: tuple[str, HouseUnderTest]) -> None:
    base, _ = site
    page = chromium.new_page()
    page.set_default_timeout(10_000)
    log_in(page, base)
    page.get_by_role("heading", name="Ledger").wait_for()
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.locator("tr.is-sel").count() == 1
    wanted = page.locator("tr.is-sel a.ev").inner_text()
    page.keyboard.press("Enter")
    page.get_by_text("This entry is genuine.").wait_for()
    assert page.locator(".ev.strong").inner_text() == wanted
    page.keyboard.press("g")
    page.keyboard.press("l")
    page.get_by_role("heading", name="Ledger").wait_for()
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "q"
    page.get_by_role("button", name="turn off").click()
    page.get_by_role("button", name="turn on").focus()
    page.keyboard.press("j")
    assert page.locator("tr.is-sel").count() == 0
    page.close()


@pytest.mark.journey
@req("ATR-04")
@pytest.mark.parametrize("width", [320, 1440])
def test_pages_fit_their_width_and_every_control_has_a_name(
    chromium: Any, site: tuple[str, HouseUnderTest], width: int, tmp_path: Path
) -> None:
    """Tables scroll in their own region; the page itself never scrolls sideways."""
    base, _ = site
    context = chromium.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    for name, path in (("login", "/login"), ("ledger", "/ledger"), ("entry", "/ledger/12"), ("error", "/ledger/99999")):
        if name == "ledger":
            log_in(page, base)
            page.locator(".bar .me").wait_for()
        page.goto(base + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        unnamed = page.evaluate("""() => [...document.querySelectorAll('input:not([type=hidden]), button, a')].filter(
            e => !e.hidden && !(e.labels && e.labels.length) && !e.getAttribute('aria-label')
                 && !e.textContent.trim()).map(e => e.outerHTML)""")
        assert unnamed == []
        assert page.locator("h1").count() == 1
        page.screenshot(path=tmp_path / f"{name}-{width}.png", full_page=False)
        assert (tmp_path / f"{name}-{width}.png").stat().st_size > 5_000
    context.close()
