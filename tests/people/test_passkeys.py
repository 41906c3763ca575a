"""Passkeys: who enrols and ends them, and that one answers for the words that its holder saw and for no others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from audit import ledger, verifier
from audit.entry import SignedBody, base64_text, body_to_prove, body_to_sign
from audit.signatures import Proof
from core.access import rotation, usecases
from core.access.passkeys import EnrolPasskey, enrol_passkey, revoke_passkey
from core.errors import AlreadyDone, NotAuthenticated, NotFound, Refused, Stale, UnusableInput
from core.ledger_evidence import examine as examine_entry
from core.ledger_exports import Wish, export
from core.ledger_queries import SessionReader
from core.ledger_words import find_line
from core.passkeys import in_force, passkeys_of
from core.policy.state import Actor, Decision
from core.proposal import Document, Draft, Proposal
from countersign.cli import app
from countersign.doctor import examine
from countersign.settings import relying_party_of
from countersign.signer.local import LocalSigner
from countersign.signer.passkeys import Answered, Passkeys
from tests.builders import people
from tests.builders.people import QA, answered, new_passkey, signed_by_passkey, with_passkey
from tests.house import PASSWORD, HouseUnderTest, a_house, checked
from tests.passkeys import Authenticator
from tests.req import req

LEAD = Actor("lead")


@pytest.fixture(scope="module")
def opened_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HouseUnderTest]:
    with a_house(tmp_path_factory.mktemp("opened"), founding=True) as house:
        people.opened(house)
        yield house


@pytest.fixture
def opened(opened_once: HouseUnderTest, tmp_path: Path) -> Iterator[HouseUnderTest]:
    with checked(opened_once.copied(tmp_path)) as house:
        yield house
        report = verdict(house, tmp_path)
        assert report.ok, report.in_words()


def verdict(house: HouseUnderTest, folder: Path) -> verifier.Report:
    """The auditor's own program on an export of everything."""
    out = folder / f"bundle-{len(house.words())}.zip"
    export(house.desk, Wish(), out, under=Decision(True, "P-00", "for a test", "none"), on_behalf_of="qa")
    return verifier.verify_bundle(out)


def a_grant(house: HouseUnderTest, role: str = "model_custodian") -> Proposal:
    """A page that QA may sign."""
    return usecases.grant_role(house.desk, QA, usecases.GrantRole("lead", role, "needed for the work"))


def refused(house: HouseUnderTest, proposal: Proposal, proof: Proof | None = None) -> NotAuthenticated:
    """Nothing of the page is recorded, and the attempt is."""
    before = house.words()
    with pytest.raises(NotAuthenticated) as refusal:
        house.desk.commit(proposal, proof or Proof(PASSWORD))
    assert [word for word in house.words()[len(before):] if word not in ("action.refused", "person.locked_out")] == []
    return refusal.value


@req("SIG-03", "SIG-04", "SIG-07", "ACC-04")
@pytest.mark.parametrize("algorithm", ["es256", "ed25519"])
@pytest.mark.parametrize("counting", [True, False])
def test_a_person_enrols_a_passkey_and_signs_with_it(opened: HouseUnderTest, algorithm: str, counting: bool) -> None:
    """Password and code and the new passkey once; then password and passkey. The assertion is part of the entry."""
    device = with_passkey(opened, "qa", Authenticator.of("qa", algorithm, counting=counting))
    receipt = signed_by_passkey(opened, a_grant(opened), device)

    with opened.desk.reading() as session:
        reader = SessionReader(session)
        looked = examine_entry(reader, find_line(reader, str(receipt.seq)))
    assert looked.good
    assert "answered for exactly these words" in next(one.what for one in looked.steps if one.name == "Passkey")
    enrolment, deed = (opened.entries()[seq].body for seq in (receipt.seq - 1, receipt.seq))
    assert enrolment["manifest"]["auth"]["factors"] == ["password", "hotp", "passkey"]
    assert deed["manifest"]["auth"]["factors"] == ["password", "passkey"]
    assert deed["assertion"]["credential"] == base64_text(device.credential)
    opened.commit(a_grant(opened, "statistician"))  # the one-time code is there as ever
    with opened.desk.reading() as session:
        (known,) = in_force(session, "qa")
    assert (known.algorithm, known.rp, known.synced, known.alone) == (algorithm, "localhost", False, False)


@req("SIG-10", "ACC-04")
def test_a_further_passkey_is_answered_for_by_one_in_force(opened: HouseUnderTest) -> None:
    """Password and one-time code, which a captured page can collect, enrol no second one."""
    first, second = with_passkey(opened, "qa"), Authenticator.of("a second device")
    page = new_passkey(opened, "qa", second)

    refused(opened, answered(page, second), opened.proof("qa"))
    refused(opened, page, opened.proof("qa"))
    signed_by_passkey(opened, page, first)
    signed_by_passkey(opened, a_grant(opened), second)
    assert opened.words()[-1] == "role.granted"


@req("SIG-10")
def test_a_first_passkey_needs_the_one_time_code_and_its_own_answer(opened: HouseUnderTest) -> None:
    device, other = Authenticator.of("qa"), Authenticator.of("another device")
    page = new_passkey(opened, "qa", device)

    assert "one-time code" in refused(opened, answered(page, device)).fact
    assert "none" not in refused(opened, answered(page, other), opened.proof("qa")).fact
    refused(opened, page, opened.proof("qa"))
    opened.desk.commit(answered(page, device), opened.proof("qa"))


@req("SIG-10", "ACC-04")
def test_registrations_that_no_browser_of_ours_made_are_refused(opened: HouseUnderTest) -> None:
    signer, device = opened.desk.signer, Authenticator.of("qa")
    for wrong in ({"flags": 1}, {"type": "webauthn.get"}, {"origin": "https://localhost.example.org"},
                  {"challenge": "AAAA"}):  # fmt: skip
        with pytest.raises(UnusableInput, match="passkey was not made"):
            signer.read_passkey(people.CHALLENGE, *device.register(people.CHALLENGE, **wrong))
    with pytest.raises(UnusableInput, match="passkey was not made"):
        signer.read_passkey(people.CHALLENGE, b"no client data", b"\xff")
    for label in ("", "x" * 61, "a\u202eb"):
        with pytest.raises(UnusableInput, match="name of 1 to 60"):
            new_passkey(opened, "qa", device, label=label)
    with_passkey(opened, "qa", device)
    with pytest.raises(Refused) as twice:
        signed_by_passkey(opened, new_passkey(opened, "qa", device), device)
    assert twice.value.rule == "F-126"


WRONG_ANSWERS: dict[str, dict[str, Any]] = {
    "another challenge": {"challenge": "A" * 43}, "another site": {"origin": "https://localhost.example.org"},
    "another port of this host": {"origin": "http://localhost:9999"}, "a frame elsewhere": {"crossOrigin": True},
    "a registration": {"type": "webauthn.create"}, "another relying party": {"rp": "example.org"},
    "no user verification": {"flags": 1}, "no user presence": {"flags": 4}, "the counter fell": {"count": 1},
    "no counter any more": {"count": 0},
}  # fmt: skip


@req("SIG-03", "SIG-04", "SIG-11", "SIG-15")
@pytest.mark.parametrize("what", WRONG_ANSWERS)
def test_the_signer_refuses_an_answer_that_says_otherwise(opened: HouseUnderTest, what: str) -> None:
    device = with_passkey(opened, "qa")
    page = a_grant(opened)
    refusal = refused(opened, answered(page, device, **WRONG_ANSWERS[what]))
    assert "4 attempts left" in refusal.fact
    assert opened.words()[-1] == "action.refused"
    signed_by_passkey(opened, page, device)


@req("SIG-03", "SIG-09")
def test_a_captured_house_that_swaps_the_words_after_the_gesture_gets_no_signature(opened: HouseUnderTest) -> None:
    """It has the password, the answer and the page; the passkey answered for one body, and only that is signed."""
    device = with_passkey(opened, "qa")
    page = answered(a_grant(opened), device)
    (body,) = page.bodies
    swaps: tuple[dict[str, Any], ...] = (
        {"fields": body["fields"] | {"role": "system_owner"}}, {"trial": "T1"},
        {"manifest": body["manifest"] | {"view_digest": "0" * 64}}, {"id": body["id"][:-1] + "0"},
    )
    for swap in swaps:
        with pytest.raises(NotAuthenticated, match="not for these words"):
            signed_body(opened, body | swap)
    opened.desk.commit(page, Proof(PASSWORD))


@req("REC-03", "SIG-03", "SIG-09")
def test_what_slips_past_the_signer_is_found_in_the_record(
    opened_once: HouseUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same swap with the signer's check switched off: the verifier names the entry."""
    house = opened_once.copied(tmp_path)
    device = with_passkey(house, "qa")
    page = answered(a_grant(house), device)
    monkeypatch.setattr(Passkeys, "check", lambda *_: Answered({}, {}, code_due=False))
    (body,) = page.bodies
    swapped = body | {"fields": body["fields"] | {"because": "something else"}}
    bad = written(house, signed_body(house, swapped))

    first = verdict(house, tmp_path).first_bad
    with house.desk.reading() as session:
        reader = SessionReader(session)
        looked = examine_entry(reader, find_line(reader, str(bad)))

    assert first is not None
    assert (first.step, first.seq) == (7, bad)
    assert "another body" in first.reason
    assert [step.name for step in looked.steps if step.good is False] == ["Passkey"]
    house.house.close()


def signed_body(house: HouseUnderTest, body: dict[str, Any]) -> SignedBody:
    """Signed by QA's key; its passkey answered."""
    signature = house.desk.signer.sign_page("qa", Proof(PASSWORD), [body_to_sign(body)])[0]
    return SignedBody(body, signature.kid, base64_text(signature.sig))


def written(house: HouseUnderTest, signed: SignedBody) -> int:
    """Into the database as one does who has its connection, past every rule of ours; the signer notes it."""
    with house.desk.writing() as session:
        ((entry,), made) = ledger.append(session, [signed], now=house.clock.now)
        ledger.close(session, lambda size, leaves: house.desk.signer.sign_checkpoint(size, leaves), made)
    return entry.seq


@req("REC-05", "SIG-09")
def test_an_enrolment_that_was_only_written_into_the_database_counts_nowhere(
    opened_once: HouseUnderTest, tmp_path: Path
) -> None:
    """The signer knows the enrolments that it signed itself; a row with another's credential is not among them."""
    house = opened_once.copied(tmp_path)
    theirs = Authenticator.of("of the captured house")
    page = answered(new_passkey(house, "qa", theirs), theirs)
    bad = written(house, SignedBody(page.bodies[0], house.desk.signer.kid_of_person("qa"), base64_text(bytes(64))))

    with pytest.raises(NotAuthenticated, match="not one of yours"):
        house.desk.signer.sign_page("qa", Proof(PASSWORD), [
            body_to_sign(answered(a_grant(house), theirs).bodies[0])])

    first = verdict(house, tmp_path).first_bad
    assert first is not None
    assert (first.step, first.seq) == (7, bad)
    house.house.close()


@req("SIG-03", "SIG-11")
def test_an_answer_counts_once_and_not_for_an_old_page(opened: HouseUnderTest) -> None:
    """Also where the passkey keeps no counter."""
    device = with_passkey(opened, "qa", Authenticator.of("qa", counting=False))
    page = answered(a_grant(opened), device)
    opened.desk.commit(page, Proof(PASSWORD))
    assert "before" in refused(opened, page).fact
    old = answered(a_grant(opened, "statistician"), device)
    opened.clock.at_us += 15 * 60 * 1_000_000 + 1
    with pytest.raises(NotAuthenticated, match="older than 15 minutes"):
        opened.desk.signer.sign_page("qa", Proof(PASSWORD), [body_to_sign(body) for body in old.bodies])


@req("SIG-04", "SIG-09")
def test_a_passkey_of_somebody_else_answers_for_nobody(opened: HouseUnderTest) -> None:
    """Nor one that QA enrols: an enrolment names no holder but the one who signs it."""
    mine, theirs = with_passkey(opened, "qa"), with_passkey(opened, "lead")
    page = a_grant(opened)
    assert "not one of yours" in refused(opened, answered(page, theirs)).fact
    assert "not one of yours" in refused(opened, answered(page, Authenticator.of("never enrolled"))).fact
    event = new_passkey(opened, "qa", Authenticator.of("for the lead")).drafts[0].event
    assert not hasattr(event, "holder")
    signed_by_passkey(opened, page, mine)


@req("SIG-10", "SIG-09", "ACC-04")
def test_a_revoked_passkey_answers_no_more(opened: HouseUnderTest) -> None:
    """By its holder, or by owner or QA when it was lost; by nobody else, and once."""
    mine, theirs = with_passkey(opened, "qa"), with_passkey(opened, "lead")
    with opened.desk.reading() as session:
        (own,), (lost,) = passkeys_of(session, "qa"), passkeys_of(session, "lead")
    with pytest.raises(Refused):
        revoke_passkey(opened.desk, LEAD, own.entry, "a whim")
    page = usecases.grant_role(opened.desk, QA, usecases.GrantRole("lead", "statistician", "needed for the work"))

    signed_by_passkey(opened, revoke_passkey(opened.desk, QA, lost.entry, "lost on a train"), mine)
    signed_by_passkey(opened, revoke_passkey(opened.desk, QA, own.entry, "a new one comes"), mine)

    refused(opened, answered(page, mine))
    for entry, error in ((lost.entry, AlreadyDone), (1, NotFound)):
        with pytest.raises(error):
            revoke_passkey(opened.desk, QA, entry, "again")
    with pytest.raises(Refused):  # the same credential is never enrolled again
        opened.desk.commit(answered(new_passkey(opened, "lead", theirs), theirs), opened.proof("lead"))
    with_passkey(opened, "lead", Authenticator.of("a new device"))


@req("SIG-10")
def test_passkeys_outlive_a_rotation_and_end_with_a_revoked_key(opened: HouseUnderTest) -> None:
    device = with_passkey(opened, "qa")
    page = rotation.rotate_key(opened.desk, QA, rotation.RotateKey(PASSWORD)).proposal
    with pytest.raises(UnusableInput, match="another key has signed"):
        page.with_passkey()  # the new key's proof names the factors, too
    opened.commit(page)
    signed_by_passkey(opened, a_grant(opened), device)
    lead = with_passkey(opened, "lead")

    signed_by_passkey(opened, usecases.revoke_key(opened.desk, QA, "lead", "stolen"), device)

    with opened.desk.reading() as session:
        assert in_force(session, "lead") == ()
        assert len(in_force(session, "qa")) == 1
    assert lead.count


@req("SIG-09", "SIG-10")
def test_who_signs_with_passkeys_alone_signs_nothing_by_code(opened: HouseUnderTest) -> None:
    """Not even a further passkey, a revocation, or the proof on somebody else's enrolment."""
    device = with_passkey(opened, "qa", alone=True)
    page = a_grant(opened)
    with opened.desk.reading() as session:
        (own,) = in_force(session, "qa")
    assert "passkeys alone" in refused(opened, page, opened.proof("qa")).fact
    refused(opened, revoke_passkey(opened.desk, QA, own.entry, "lost"), opened.proof("qa"))
    signer = opened.desk.signer
    with pytest.raises(NotAuthenticated, match="passkeys alone"):
        signer.sign_page("qa", opened.proof("qa"), [body_to_prove(page.bodies[0])])
    with pytest.raises(NotAuthenticated, match="passkeys alone"):
        signer.open_page("qa", opened.proof("qa"), [b"a document"])
    signed_by_passkey(opened, page, device)
    signed_by_passkey(opened, rotation.rotate_key(opened.desk, QA, rotation.RotateKey(PASSWORD)).proposal, device)
    opened.commit(revoke_passkey(opened.desk, people.OWNER, own.entry, "lost"))
    opened.commit(a_grant(opened, "statistician"))


@req("SIG-11")
def test_wrong_answers_close_the_account_as_wrong_codes_do(opened: HouseUnderTest) -> None:
    device = with_passkey(opened, "qa")
    for _ in range(5):
        refused(opened, answered(a_grant(opened), device, flags=1))
    assert opened.words()[-1] == "person.locked_out"
    assert "locked" in refused(opened, answered(a_grant(opened), device)).fact


@req("SIG-03")
def test_a_passkey_answers_for_every_part_of_a_page_or_for_none(opened: HouseUnderTest) -> None:
    """One assertion a body: a page of several asks as many times, and two answers never stand for three."""
    device = with_passkey(opened, "qa")
    page = usecases.close_account(opened.desk, QA, "lead", "left the trial").with_passkey()
    assert len(page.bodies) == 2
    given = [device.answer(body) for body in page.bodies]
    with pytest.raises(UnusableInput, match="1 times for 2 records"):
        page.answered(given[:1])
    with pytest.raises(UnusableInput, match="another form"):
        page.answered([given[0], {"credential": "AAAA"}])
    mixed = [body_to_sign(page.bodies[0] | {"assertion": given[0]}), body_to_sign(page.bodies[1])]
    with pytest.raises(UnusableInput, match="every part of a page"):
        opened.desk.signer.sign_page("qa", opened.proof("qa"), mixed)
    refused(opened, page.answered(given[::-1]))
    signed_by_passkey(opened, page, device)
    assert opened.words()[-2:] == ["person.closed", "key.revoked"]


@req("SIG-03")
def test_of_two_answers_only_the_later_can_still_be_recorded(opened: HouseUnderTest) -> None:
    """The record's counts rise from entry to entry, in whatever order two pages reach it."""
    device = with_passkey(opened, "qa")
    first, second = (answered(a_grant(opened, role), device) for role in ("model_custodian", "statistician"))
    earlier, later = (signed_body(opened, page.bodies[0]) for page in (first, second))
    with opened.desk.open(Actor.of_service("house")) as work:
        work.append([later])
    with pytest.raises(Stale, match="another page"), opened.desk.open(Actor.of_service("house")) as work:
        work.append([earlier])


@req("SIG-03")
def test_documents_are_signed_with_the_code(opened: HouseUnderTest) -> None:
    """Their bodies are complete only after the unlock, so nothing could be answered for before it."""
    page = a_grant(opened)
    with_document = Proposal(page.actor, page.occasion, tuple(
        Draft(one.event, one.under, one.meaning, one.view, document=cast(Document, object()))
        for one in page.drafts), page.bodies, page.propose)
    with pytest.raises(UnusableInput, match="signs a document first"):
        with_document.with_passkey()
    device = with_passkey(opened, "qa")
    ticket = opened.desk.signer.open_page("qa", opened.proof("qa"), [b"a document"]).ticket
    with pytest.raises(UnusableInput, match="takes no passkey"):
        opened.desk.signer.close_page("qa", ticket, [
            body_to_sign(body) for body in answered(a_grant(opened), device).bodies])


@req("SIG-10")
def test_passkeys_are_listed_and_revoked_at_the_command_line(opened: HouseUnderTest) -> None:
    with_passkey(opened, "lead", label="Blue key")
    with opened.desk.reading() as session:
        (known,) = in_force(session, "lead")
    run: Callable[..., Any] = lambda *words, lines=(): CliRunner(env={"COUNTERSIGN_HOME": str(opened.home)}).invoke(  # noqa: E731
        app, list(words), input="".join(f"{line}\n" for line in lines))
    assert f"entry {known.entry}" in run("key", "passkeys").output
    assert "Blue key, for localhost" in run("key", "passkeys").output
    done = run("key", "revoke-passkey", str(known.entry), "--as", "qa", "--because", "lost",
               lines=("approval", PASSWORD, opened.proof("qa").code))
    assert done.exit_code == 0, done.output
    assert "ended by entry" in run("key", "passkeys").output


@req("SIG-10")
def test_a_house_without_an_address_for_its_pages_takes_no_passkeys(opened: HouseUnderTest) -> None:
    for wrong in ("http://trial.example.org", "localhost", "https://trial.example.org/pages", "https://127.0.0.1"):
        with pytest.raises(UnusableInput, match="no address"):
            relying_party_of(wrong)
    assert relying_party_of("https://trial.example.org:8443").id == "trial.example.org"
    signer = opened.desk.signer
    assert isinstance(signer, LocalSigner)
    device = with_passkey(opened, "qa")
    made = signer.read_passkey(people.CHALLENGE, *Authenticator.of("x").register(people.CHALLENGE))
    assert [one.fine for one in examine(opened.house) if "Passkeys are taken" in one.what] == [True]
    party, signer._passkeys.party = signer._passkeys.party, None
    (said,) = [one for one in examine(opened.house) if "Passkeys in force for the pages of localhost: 1" in one.what]
    assert not said.fine
    with pytest.raises(NotAuthenticated, match="takes no passkeys"):
        signer.read_passkey(people.CHALLENGE, *device.register(people.CHALLENGE))
    refused(opened, answered(enrol_passkey(opened.desk, LEAD, EnrolPasskey(made, "x")), Authenticator.of("x")),
            opened.proof("lead"))
    signer._passkeys.party = party
