"""A person's own keys on pages: a passkey enrolled, used and revoked; what a browser sends wrongly enrols nothing."""

from __future__ import annotations

import html
import json
import re
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from core.passkeys import in_force
from countersign.web.accounts import set_password
from tests.house import PASSWORD as SIGNING_PASSWORD
from tests.house import HouseUnderTest
from tests.passkeys import Authenticator, b64, url64
from tests.req import req
from tests.web.test_pages import CHEAP, PASSWORD, enter, hidden, problems, visiting


@pytest.fixture
def browser(house: HouseUnderTest) -> Iterator[TestClient]:
    house.person("qa-2", "qa_auditor")
    set_password(house.desk, CHEAP, "qa-2", PASSWORD)
    with visiting(house) as client:
        enter(client, "qa-2")
        yield client


def told(page: str, name: str) -> Any:
    """What the page tells its script under data-NAME."""
    found = re.search(rf'data-{name}="([^"]*)"', page)
    assert found, page
    return json.loads(html.unescape(found.group(1)))


def made(page: str, device: Authenticator, **client: Any) -> dict[str, str]:
    """The form as the script fills it, the browser having made a passkey."""
    client_data, attestation = device.register(b64decode(told(page, "ask")["challenge"]), **client)
    return {"token": hidden(page, "token"), "label": "Blue security key", "client_data": b64(client_data),
            "attestation_object": b64(attestation)}


def answer(device: Authenticator, challenge: str) -> dict[str, str]:
    """What the script sends for one challenge of the page."""
    return device.answer({}, challenge=url64(b64decode(challenge)))


def signed(browser: TestClient, house: HouseUnderTest, path: str, device: Authenticator | None, **more: str) -> Any:
    page = browser.get(path).text
    assert problems(page) == []
    wish = {"token": hidden(page, "token"), "password": SIGNING_PASSWORD,
            "meaning": re.findall(r'name="meaning" value="([a-z]+)"', page)[0]}
    if device is not None:
        wish["assertions"] = json.dumps([answer(device, one) for one in told(page, "challenges")])
    return browser.post(path, data=wish | more)


@req("SIG-03", "SIG-07", "SIG-10", "ATR-04")
def test_a_passkey_is_enrolled_used_and_revoked_on_pages(browser: TestClient, house: HouseUnderTest) -> None:
    device = Authenticator.of("qa-2")
    page = browser.get("/keys").text
    assert problems(page) == []
    assert "You sign with password and one-time code" in page
    asked = told(page, "ask")
    assert asked["rp"]["id"] == "localhost"
    assert asked["authenticatorSelection"]["userVerification"] == "required"
    assert "qa-2" not in b64decode(asked["user"]["id"]).decode("latin-1")
    path = browser.post("/keys", data=made(page, device)).url.path
    assert 'data-code="due"' in browser.get(path).text
    without = signed(browser, house, path, device)
    assert (without.status_code, "one-time code" in without.text) == (401, True)
    done = signed(browser, house, path, device, code=house.proof("qa-2").code)
    assert "Blue security key is enrolled" in done.text
    assert problems(done.text) == []

    entry = re.findall(r'<option value="(\d+)">Blue security key', done.text)[0]
    wish = {"token": hidden(done.text, "token"), "entry": entry}
    assert browser.post("/keys/revoke", data=wish | {"because": " "}).status_code == 422
    assert browser.post("/keys/revoke", data=wish | {"because": "lost", "entry": "1"}).status_code == 404
    path = browser.post("/keys/revoke", data=wish | {"because": "lost"}).url.path
    assert 'data-code="either"' in browser.get(path).text
    ended = signed(browser, house, path, device)
    assert "Blue security key is revoked" in ended.text
    assert house.entries()[-1].body["manifest"]["auth"]["factors"] == ["password", "passkey"]


@req("SIG-03", "SIG-10", "SIG-11")
def test_what_a_browser_sends_wrongly_enrols_and_signs_nothing(browser: TestClient, house: HouseUnderTest) -> None:
    device = Authenticator.of("qa-2")
    before = len(house.words())
    for client in ({"origin": "https://localhost.example.org"}, {"type": "webauthn.get"}):
        refused = browser.post("/keys", data=made(browser.get("/keys").text, device, **client))
        assert (refused.status_code, "nothing was enrolled" in refused.text) == (422, True)
    used = made(browser.get("/keys").text, device)
    path = browser.post("/keys", data=used).url.path
    for wish in (used, used | {"client_data": "no base64"}, used | {"token": "guessed"}):
        assert browser.post("/keys", data=wish).status_code in (403, 422)
    for assertions in ("{", "[]", "[7]", json.dumps([{"credential": "AAAA"}])):
        wrong = signed(browser, house, path, None, assertions=assertions, code=house.proof("qa-2").code)
        assert (wrong.status_code, "Nothing was signed" in wrong.text) == (422, True)
    assert signed(browser, house, path, None).status_code == 422
    other = signed(browser, house, path, None, code=house.proof("qa-2").code, assertions=json.dumps(
        [device.answer({"another": "page"})]))
    assert (other.status_code, "not for these words" in other.text) == (401, True)
    assert set(house.words()[before:]) == {"action.refused"}
    with house.desk.reading() as session:
        assert in_force(session, "qa-2") == ()
