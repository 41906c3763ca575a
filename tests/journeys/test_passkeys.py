"""Passkeys in a real browser, with an authenticator that the browser itself emulates: enrol, sign, revoke."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audit.verifier import verify_bundle
from core.access.passkeys import revoke_passkey
from core.ledger_exports import Wish, export
from core.passkeys import in_force
from core.policy.state import Actor, Decision
from tests.conftest import need
from tests.house import PASSWORD as SIGNING
from tests.house import HouseUnderTest, a_house
from tests.journeys.test_web import CHROMIUM, FLAGS, PASSWORD, log_in
from tests.req import req
from tests.served import free_port, pages_served

DEVICE = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
          "isUserVerified": True, "automaticPresenceSimulation": True}  # fmt: skip


# A refused signature answers 401, and the record takes no RS256 (design record 0101).
EXPECTED = "status of 401|default algorithm identifiers: ES256 and RS256"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, HouseUnderTest]]:
    """A house whose pages are on `localhost`, where browsers make passkeys without TLS."""
    need("chromium")
    listener = free_port()
    base = f"http://localhost:{listener.getsockname()[1]}"
    with a_house(tmp_path_factory.mktemp("passkeys"), pages=base) as house:
        house.person("qa-1", "qa_auditor")
        with pages_served(house, {"qa-1": PASSWORD}, at=listener):
            yield base, house


@pytest.fixture
def browser(site: tuple[str, HouseUnderTest]) -> Iterator[tuple[Any, Any, str]]:
    """A page that complains about anything the browser complains about, its DevTools, and its virtual device."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = chromium.new_context(viewport={"width": 1440, "height": 900}).new_page()
        page.set_default_timeout(15_000)
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(f"{message.text} {message.location}")
                if message.type in ("error", "warning") and not re.search(EXPECTED, message.text) else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        tools = page.context.new_cdp_session(page)
        tools.send("WebAuthn.enable")
        device = tools.send("WebAuthn.addVirtualAuthenticator", {"options": DEVICE})["authenticatorId"]
        log_in(page, site[0], "/keys")
        page.get_by_role("heading", name="Your keys").wait_for()
        yield page, tools, device
        chromium.close()
        assert complaints == []


def sign_by_passkey(page: Any, code: str | None = None) -> None:
    page.get_by_role("radio").check()
    page.get_by_label("Signing password").fill(SIGNING)
    if code is not None:
        page.get_by_label(re.compile("Code from your authenticator")).fill(code)
    page.get_by_role("button", name="Sign with passkey").click()


@pytest.mark.journey
@req("SIG-03", "SIG-07", "SIG-10", "ATR-04", "REC-08")
def test_a_person_enrols_a_passkey_signs_and_revokes_it_on_pages(
    browser: tuple[Any, Any, str], site: tuple[str, HouseUnderTest], tmp_path: Path
) -> None:
    """From an empty list to a review signed by finger alone; the auditor's program checks what the browser made."""
    (page, tools, device), (_, house) = browser, site
    page.get_by_text("None. You sign with password and one-time code.").wait_for()
    page.get_by_label("Name, so that you know it again").fill("Blue security key")
    page.get_by_role("button", name="Add a passkey").focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Review and sign").wait_for()
    page.get_by_text("The code once more, and the new passkey itself.").wait_for()
    page.screenshot(path=tmp_path / "enrol.png", full_page=True)
    sign_by_passkey(page, house.proof("qa-1").code)
    page.get_by_text("Blue security key is enrolled.").wait_for()
    page.screenshot(path=tmp_path / "keys.png", full_page=True)

    page.get_by_role("link", name="Reviews").click()
    page.get_by_role("button", name="Draw the samples").click()
    page.get_by_role("heading", name="Samples").wait_for()
    page.get_by_role("radio").first.check()
    page.get_by_label(re.compile("^Statement")).fill("Looked at every sample; all is in order.")
    page.get_by_role("button", name="Review and sign").click()
    page.get_by_text("Your passkey stands in for the code.").wait_for()
    page.screenshot(path=tmp_path / "sign.png", full_page=True)

    tools.send("WebAuthn.setUserVerified", {"authenticatorId": device, "isUserVerified": False})
    sign_by_passkey(page)
    page.get_by_text(re.compile("did not answer.*Nothing was signed")).wait_for()
    assert house.words()[-1] == "audit_trail.drawn", "the browser itself refused"
    tools.send("WebAuthn.setUserVerified", {"authenticatorId": device, "isUserVerified": True})
    page.get_by_label("Signing password").fill("another password than mine")
    page.get_by_role("button", name="Sign with passkey").click()
    page.get_by_text(re.compile("password is wrong")).wait_for()
    page.screenshot(path=tmp_path / "wrong.png", full_page=True)
    sign_by_passkey(page)
    page.get_by_text(re.compile("Signed as entry")).wait_for()
    page.get_by_role("link", name="Evidence of the signature").click()
    page.get_by_text("This entry is genuine.").wait_for()
    assert "Password and passkey" in page.content()
    page.screenshot(path=tmp_path / "entry.png", full_page=True)

    page.get_by_role("link", name="qa-1").click()
    page.get_by_label("Why; part of the record").fill("the device is given back")
    page.get_by_role("button", name="Review and sign").click()
    sign_by_passkey(page)
    page.get_by_text("Blue security key is revoked.").wait_for()

    out = tmp_path / "all.zip"
    export(house.desk, Wish(), out, under=Decision(True, "P-00", "for a test", "none"), on_behalf_of="qa-1")
    report = verify_bundle(out)
    assert report.ok, report.in_words()
    assert report.assertions == 3


@pytest.mark.journey
@req("SIG-10", "ATR-04")
def test_a_second_device_is_vouched_for_by_the_first_and_passkeys_alone_take_no_code(
    browser: tuple[Any, Any, str], site: tuple[str, HouseUnderTest], tmp_path: Path
) -> None:
    (page, tools, device), (base, house) = browser, site
    for label, alone in (("Laptop", False), ("Phone", True)):
        page.goto(f"{base}/keys")
        page.get_by_label("Name, so that you know it again").fill(label)
        if alone:
            page.get_by_role("checkbox").check()
            tools.send("WebAuthn.setAutomaticPresenceSimulation", {"authenticatorId": device, "enabled": False})
            other = tools.send("WebAuthn.addVirtualAuthenticator", {"options": DEVICE | {"transport": "usb"}})
        page.get_by_role("button", name="Add a passkey").click()
        page.get_by_role("heading", name="Review and sign").wait_for()
        if alone:
            assert page.get_by_label(re.compile("Code from your authenticator")).count() == 0
            tools.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": other["authenticatorId"]})
            tools.send("WebAuthn.setAutomaticPresenceSimulation", {"authenticatorId": device, "enabled": True})
        sign_by_passkey(page, None if alone else house.proof("qa-1").code)
        page.get_by_text(f"{label} is enrolled.").wait_for()
    page.screenshot(path=tmp_path / "two.png", full_page=True)
    page.set_viewport_size({"width": 320, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.screenshot(path=tmp_path / "narrow.png", full_page=True)
    with house.desk.reading() as session:
        own = in_force(session, "qa-1")
    for one in own[::-1]:
        house.person("owner-1", "system_owner")
        house.commit(revoke_passkey(house.desk, Actor("owner-1"), one.entry, "end of the test"))
