"""Keys over the years: a person replaces their own, owner and QA those of the house; a crash leaves one that works."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from audit import ledger, proofs, store
from audit.entry import SignedBody, base64_text, body_to_prove, body_to_sign, from_base64, kid_of
from audit.signatures import Proof
from audit.verifier import VERIFIED, verify_bundle
from audit.vocabulary.ledger import ClockStepped, KeyEnrolled, KeyRotated
from core.access import recovery, rotation, usecases
from core.errors import AlreadyDone, NotAuthenticated, NotFound, Refused, UnusableInput
from core.ledger_check import check_store
from core.ledger_evidence import examine
from core.ledger_exports import Wish, card, export
from core.ledger_queries import SessionReader, line_at
from core.persons import key_row
from core.policy.state import Actor, Decision
from core.work import Work
from countersign.doctor import examine as examine_house
from countersign.signer.local import SERVICES
from sops import usecases as sops
from tests.builders import people
from tests.builders.people import OWNER, QA
from tests.house import ORIGIN, PASSWORD, HouseUnderTest, a_house, checked
from tests.req import req

NEW_PASSWORD = "seven grey herons by the weir"
UNDER = Decision(True, "P-03", "for a test", "service")


@pytest.fixture(scope="module")
def founded_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HouseUnderTest]:
    """An installation founded and opened by the real acts of three people, and a fourth who signs."""
    with a_house(tmp_path_factory.mktemp("founded"), founding=True) as house:
        people.opened(house)
        people.active(house, "ann")
        yield house


@pytest.fixture
def opened(founded_once: HouseUnderTest, tmp_path: Path) -> Iterator[HouseUnderTest]:
    """A copy for each test; on its way out the whole store is checked as an outsider would."""
    with checked(founded_once.copied(tmp_path)) as house:
        yield house
        with house.desk.reading() as session:
            found = check_store(SessionReader(session), ORIGIN)
        assert found.ok, found.in_words()


ANN = Actor("ann")


def train(house: HouseUnderTest, proof: Proof) -> None:
    """Something that ann can sign at any time."""
    house.desk.commit(sops.complete_training(house.desk, ANN, sops.CompleteTraining("SOP-01")), proof)


def code(house: HouseUnderTest, user: str = "ann") -> str:
    return house.proof(user).code


def a_service_entry(house: HouseUnderTest, service: str = "house") -> Any:
    with house.desk.open(Actor.of_service(service)) as work:
        return work.record(ClockStepped(microseconds=1, because="for a test"), under=UNDER)


# -- a person's own key ----------------------------------------------------------------------------------------------


@req("SIG-04", "SIG-10", "REC-10")
def test_the_holder_replaces_their_key_and_only_the_new_one_signs_from_there_on(opened: HouseUnderTest) -> None:
    """One entry, signed by the old key, proved by the new one; password and certificate are new, the factor stays."""
    signer, old = opened.house.signer, opened.house.signer.kid_of_person("ann")
    certificate = signer.certificate_of("ann")

    made = rotation.rotate_key(opened.desk, ANN, rotation.RotateKey(NEW_PASSWORD))
    assert signer.kid_of_person("ann") == old, "before the entry the old key signs"
    opened.commit(made.proposal)

    entry = opened.entries()[-1]
    assert (entry.body["action"], entry.kid, entry.body["actor"]) == ("key.rotated", old, "ann")
    assert [proof["kid"] for proof in entry.body["proofs"]] == [made.key.kid]
    assert signer.kid_of_person("ann") == made.key.kid
    assert signer.certificate_of("ann") != certificate
    assert entry.body["fields"]["certificate_sha256"] == made.key.certificate_sha256
    assert made.key.one_time_secret == ""
    with pytest.raises(NotAuthenticated, match="password is wrong"):
        train(opened, Proof(PASSWORD, code(opened)))
    train(opened, Proof(NEW_PASSWORD, code(opened)))
    assert opened.entries()[-1].kid == made.key.kid
    assert opened.entries()[-1].body["manifest"]["printed_name"] == "Ann (test)"


@req("SIG-10")
def test_a_rotation_can_bring_a_new_second_factor_and_keep_the_password(opened: HouseUnderTest) -> None:
    made = rotation.rotate_key(opened.desk, ANN, rotation.RotateKey(PASSWORD, "counter"))
    opened.commit(made.proposal)

    with pytest.raises(NotAuthenticated, match="one-time code"):
        train(opened, opened.proof("ann"))
    opened.secrets["ann"], opened.counters["ann"] = made.key.one_time_secret, 0
    train(opened, opened.proof("ann"))

    assert opened.entries()[-1].kid == made.key.kid


@req("SIG-07", "SIG-11")
def test_a_wrong_proof_replaces_no_key(opened: HouseUnderTest) -> None:
    old = opened.house.signer.kid_of_person("ann")
    made = rotation.rotate_key(opened.desk, ANN, rotation.RotateKey(NEW_PASSWORD))

    with pytest.raises(NotAuthenticated):
        opened.desk.commit(made.proposal, Proof(NEW_PASSWORD, code(opened)))

    assert opened.words()[-1] == "action.refused"
    assert opened.house.signer.kid_of_person("ann") == old
    train(opened, opened.proof("ann"))


@req("SIG-10")
def test_a_weak_new_password_makes_no_key(opened: HouseUnderTest) -> None:
    with pytest.raises(UnusableInput, match="user id"):
        rotation.rotate_key(opened.desk, ANN, rotation.RotateKey("ann likes grey herons"))

    assert not list((opened.home / "signer" / "next").rglob("*.json"))


@req("SIG-10", "SIG-11")
def test_a_locked_or_recovering_account_replaces_no_key(opened: HouseUnderTest) -> None:
    for _ in range(5):
        with pytest.raises(NotAuthenticated):
            train(opened, Proof("not the password", "000000"))
    with pytest.raises(Refused) as locked:
        rotation.rotate_key(opened.desk, ANN, rotation.RotateKey(NEW_PASSWORD))
    opened.clock.advance(minutes=20)
    opened.commit(recovery.begin_recovery(opened.desk, OWNER, recovery.BeginRecovery("ann", "token lost", "passport")))
    with pytest.raises(Refused) as recovering:
        rotation.rotate_key(opened.desk, ANN, rotation.RotateKey(NEW_PASSWORD))

    assert (locked.value.rule, recovering.value.rule) == ("F-114", "F-01")
    assert opened.words()[-1] == "action.refused"


@req("SIG-10", "OPS-05")
def test_a_crash_before_the_entry_leaves_the_old_key_and_a_retry_goes_on(opened: HouseUnderTest) -> None:
    old = opened.house.signer.kid_of_person("ann")
    rotation.rotate_key(opened.desk, ANN, rotation.RotateKey(NEW_PASSWORD))  # the page is never signed

    twin = opened.copied(opened.home.parent / "after-crash")
    assert twin.house.signer.kid_of_person("ann") == old
    train(twin, twin.proof("ann"))
    again = rotation.rotate_key(twin.desk, ANN, rotation.RotateKey(NEW_PASSWORD))
    twin.commit(again.proposal)

    assert twin.house.signer.kid_of_person("ann") == again.key.kid
    twin.check()
    assert not list((twin.home / "signer" / "next").rglob("*.json")), "what was never enrolled is discarded"
    twin.house.close()


@req("SIG-10", "OPS-05")
def test_a_crash_after_the_commit_leaves_the_new_key(opened: HouseUnderTest) -> None:
    """The process ends with COMMIT, before it could discard the old key: the next one takes the new."""
    made = rotation.rotate_key(opened.desk, ANN, rotation.RotateKey(NEW_PASSWORD))
    before = json.loads((opened.home / "signer" / "person" / "ann.json").read_text())
    opened.commit(made.proposal)
    on_disk = json.loads((opened.home / "signer" / "person" / "ann.json").read_text())
    assert on_disk["public_key"] == before["public_key"], "nothing asked the signer since"

    twin = opened.copied(opened.home.parent / "after-crash")
    train(twin, Proof(NEW_PASSWORD, code(twin)))

    assert twin.entries()[-1].kid == made.key.kid
    kept = json.loads((twin.home / "signer" / "person" / "ann.json").read_text())
    assert kept["private"] != before["private"]
    assert kept["next_counter"] > before["next_counter"], "no one-time code counts twice"
    twin.check()
    twin.house.close()


@req("SIG-10", "OPS-05")
def test_a_crash_between_the_two_steps_of_the_exchange_repeats_no_code(opened: HouseUnderTest) -> None:
    """The new record is written, the candidate still lies there: it is not taken over a second time."""
    made = rotation.rotate_key(opened.desk, ANN, rotation.RotateKey(NEW_PASSWORD, "counter"))
    (candidate,) = (opened.home / "signer" / "next" / "person" / "ann").glob("*.json")
    kept = candidate.read_bytes()
    opened.commit(made.proposal)
    opened.secrets["ann"], opened.counters["ann"] = made.key.one_time_secret, 0
    first = code(opened)
    train(opened, Proof(NEW_PASSWORD, first))
    candidate.parent.mkdir()
    candidate.write_bytes(kept)

    with pytest.raises(NotAuthenticated, match="already used"):
        train(opened, Proof(NEW_PASSWORD, first))


@req("SIG-10")
def test_the_replaced_private_half_is_destroyed_by_the_worker(opened: HouseUnderTest) -> None:
    made = rotation.rotate_key(opened.desk, ANN, rotation.RotateKey(NEW_PASSWORD))
    opened.commit(made.proposal)

    opened.work()

    on_disk = json.loads((opened.home / "signer" / "person" / "ann.json").read_text())
    assert kid_of(from_base64(on_disk["public_key"])) == made.key.kid
    assert not list((opened.home / "signer" / "next").rglob("*.json"))


# -- keys of the house -----------------------------------------------------------------------------------------------


def both(house: HouseUnderTest, holder: str) -> None:
    house.commit(rotation.rotate_house_key(house.desk, OWNER, holder, "yearly exchange"))
    house.commit(rotation.rotate_house_key(house.desk, QA, holder, "yearly exchange"))


@req("SIG-09", "REC-10")
def test_a_service_key_is_replaced_by_owner_and_qa_together(opened: HouseUnderTest) -> None:
    signer, old = opened.house.signer, kid_of(opened.house.signer.public_key("intake"))
    opened.commit(rotation.rotate_house_key(opened.desk, QA, "intake", "yearly exchange"))
    assert kid_of(signer.public_key("intake")) == old
    with pytest.raises(Refused) as twice:
        rotation.rotate_house_key(opened.desk, QA, "intake", "yearly exchange")
    with pytest.raises(Refused):
        rotation.rotate_house_key(opened.desk, ANN, "intake", "yearly exchange")
    people.active(opened, "second-qa")
    people.granted(opened, "second-qa", "qa_auditor", by=OWNER)
    with pytest.raises(Refused) as same:
        rotation.rotate_house_key(opened.desk, Actor("second-qa"), "intake", "yearly exchange")
    opened.commit(rotation.rotate_house_key(opened.desk, OWNER, "intake", "I agree"))

    assert (twice.value.rule, same.value.rule) == ("F-115", "F-116")
    assert opened.words()[-2:] == ["key.rotation_signed", "key.rotated"]
    order, rotated = opened.entries()[-2:]
    assert (rotated.kid, rotated.body["actor"], rotated.body["caused_by"]) == (old, "intake", order.body["id"])
    assert order.body["fields"]["first"]
    new = kid_of(signer.public_key("intake"))
    assert new != old
    assert a_service_entry(opened, "intake").kid == new


@req("SIG-09")
def test_the_house_can_replace_the_key_with_which_it_attests(opened: HouseUnderTest) -> None:
    both(opened, "house")

    assert a_service_entry(opened).kid == kid_of(opened.house.signer.public_key("house"))
    assert opened.words()[-2] == "key.rotated"


@req("SIG-09", "REC-08", "REC-10")
def test_the_root_key_is_replaced_by_both_and_old_trust_cards_still_lead_to_the_record(
    opened: HouseUnderTest, tmp_path: Path
) -> None:
    """The card names the first root key; from it the record leads to the one in force."""
    with opened.desk.reading() as session:
        (tmp_path / "card.json").write_bytes(card(SessionReader(session), ORIGIN))
    old = kid_of(opened.house.signer.public_key("root"))
    both(opened, "root")
    new = kid_of(opened.house.signer.public_key("root"))

    rotated = opened.entries()[-1]
    assert (rotated.kid, rotated.body["actor"], rotated.body["fields"]["class"]) == (old, "installation", "root")
    assert new not in (old, rotated.kid)
    allowed = Decision(True, "P-01", "set up for a test", "service")
    export(opened.desk, Wish(), tmp_path / "b.zip", under=allowed, on_behalf_of=QA.user)
    report = verify_bundle(tmp_path / "b.zip", tmp_path / "card.json")
    assert report.verdict == VERIFIED, report.in_words()
    assert not any("without the signatures of two persons" in one for one in report.remarks)
    with opened.desk.reading() as session:
        assert card(SessionReader(session), ORIGIN) == (tmp_path / "card.json").read_bytes()
    assert not [one.what for one in examine_house(opened.house) if one.damaged]


@req("REC-03", "REC-10")
def test_checkpoints_that_cover_the_rotation_are_signed_by_the_new_log_key(opened: HouseUnderTest) -> None:
    """RECORD 3: of two notes in a row, the first is the old key's last and the second the new key's first."""
    old = opened.house.signer.public_key("log")
    opened.commit(rotation.rotate_house_key(opened.desk, OWNER, "log", "yearly exchange"))
    before = len(opened.words())
    opened.commit(rotation.rotate_house_key(opened.desk, QA, "log", "yearly exchange"))
    a_service_entry(opened)

    new = opened.house.signer.public_key("log")
    with opened.desk.reading() as session:
        notes = [row.note for row in session.execute(store.checkpoints.select().order_by(store.checkpoints.c.size))]
        at = {proofs.Checkpoint.parse(note).size: note for note in notes}
    last = max(size for size in at if size <= before)
    signed_by = {size: (proofs.note_signature(note, ORIGIN, old) is not None,
                        proofs.note_signature(note, ORIGIN, new) is not None) for size, note in at.items()}
    assert signed_by[last] == (True, False)
    assert {signed_by[size] for size in at if size > before} == {(False, True)}
    with opened.desk.reading() as session:
        reader = SessionReader(session)
        assert examine(reader, line_at(reader, before - 1)).good


@req("SIG-10", "OPS-01")
def test_doctor_names_a_signer_that_is_of_another_time_than_the_record(opened: HouseUnderTest, tmp_path: Path) -> None:
    """Half a restore: the database of today with key files of yesterday."""
    shutil.copytree(opened.home / "signer", tmp_path / "yesterday")
    both(opened, "log")
    opened.commit(rotation.rotate_key(opened.desk, ANN, rotation.RotateKey(NEW_PASSWORD)).proposal)
    opened.work()
    assert not any(one.damaged for one in examine_house(opened.house))
    twin = opened.copied(tmp_path / "restored")
    shutil.rmtree(twin.home / "signer")
    shutil.copytree(tmp_path / "yesterday", twin.home / "signer")

    said = [one.what for one in examine_house(twin.house) if one.damaged]

    assert said == ["The signer's key is not the one that the record has in force: log, log-ml-dsa-44, ann."]
    twin.house.close()


@req("REC-03", "OPS-05")
def test_another_process_of_the_house_takes_the_new_log_key_at_once(opened: HouseUnderTest) -> None:
    """A worker that holds the old log key in memory must not sign one note with it."""
    from countersign.house import open_house

    worker = open_house(opened.home, clock=opened.clock)
    with worker.desk.open(Actor.of_service("house")) as work:
        work.record(ClockStepped(microseconds=1, because="for a test"), under=UNDER)
    both(opened, "log")

    with worker.desk.open(Actor.of_service("house")) as work:
        work.record(ClockStepped(microseconds=2, because="for a test"), under=UNDER)
    worker.close()

    with opened.desk.reading() as session:
        newest = store.last_checkpoint(session)
    assert newest is not None
    assert proofs.note_signature(newest.note, ORIGIN, opened.house.signer.public_key("log"))


@req("REC-03", "OPS-05")
def test_a_log_key_staged_and_never_committed_signs_nothing(opened: HouseUnderTest) -> None:
    old = opened.house.signer.public_key("log")
    opened.house.signer.next_house_key("log")

    a_service_entry(opened)

    assert opened.house.signer.public_key("log") == old
    both(opened, "log")
    assert opened.house.signer.public_key("log") != old


@req("REC-03")
def test_a_note_by_the_wrong_log_key_in_the_store_is_found(opened: HouseUnderTest) -> None:
    """A note of the old key over a size past the rotation, put there by a writer of the database."""
    signer = opened.house.signer
    kept = (opened.home / "signer" / "house" / "log.json").read_bytes()
    both(opened, "log")
    a_service_entry(opened)
    with opened.desk.reading() as session:
        newest = store.last_checkpoint(session)
    assert newest is not None
    assert signer.public_key("log")
    twin = opened.copied(opened.home.parent / "forged")
    (twin.home / "signer" / "house" / "log.json").write_bytes(kept)
    said = proofs.signed_text(newest.note)
    signed = twin.house.signer.attest("log", said.encode())
    forged = proofs.signed_note(said, ORIGIN, twin.house.signer.public_key("log"), signed.sig)
    with twin.house.engine.begin() as session:
        for row in session.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
            session.execute(text(f"DROP TRIGGER {row.name}"))
        session.execute(text("UPDATE checkpoint SET note = :n WHERE size = :s"), {"n": forged, "s": newest.size})

    with twin.desk.reading() as session:
        found = check_store(SessionReader(session), ORIGIN)

    assert any("not signed by a log key in force" in fault.reason for fault in found.faults)
    twin.house.close()


# -- attacks on the live rules ---------------------------------------------------------------------------------------


def signed_with(house: HouseUnderTest, event: Any, holder: str, **envelope: Any) -> SignedBody:
    """A body with whatever envelope, really signed by a key of the house."""
    with house.desk.reading() as session:
        body = house.desk.body(session, event, role="service", rule="P-03", occasion=house.desk.occasion(), **envelope)
    signature = house.house.signer.attest(holder, body_to_sign(body))
    return SignedBody(body, signature.kid, base64_text(signature.sig))


def refusal_of(house: HouseUnderTest, signed: SignedBody) -> Refused:
    """Append it as whoever holds the database connection would."""
    before = house.words()
    with pytest.raises(Refused) as refused, house.desk.writing() as session:
        Work(house.desk, session, Actor.of_service("house")).append([signed])
    assert house.words() == before, "nothing is left of it"
    return refused.value


STEP = ClockStepped(microseconds=1, because="for a test")


@req("SIG-04", "SIG-09", "ACC-01")
def test_the_append_refuses_a_key_that_may_not_sign_this(opened: HouseUnderTest) -> None:
    from audit.vocabulary.access import AccountabilityStated
    from audit.vocabulary.validation import ValidationSuspect

    stated = AccountabilityStated(user="ann", statement="mine")
    mixed = ValidationSuspect(run="r", cause="c", scope="s")

    assert refusal_of(opened, signed_with(opened, stated, "house", actor="ann")).rule == "F-122"
    assert refusal_of(opened, signed_with(opened, mixed, "house", actor="ann")).rule == "F-123"
    assert refusal_of(opened, signed_with(opened, STEP, "intake", actor="house")).rule == "F-123"
    assert refusal_of(opened, signed_with(opened, STEP, "log", actor="installation")).rule == "F-122"
    stranger = signed_with(opened, STEP, "house", actor="house")
    assert refusal_of(opened, SignedBody(stranger.body, "0" * 64, stranger.sig)).rule == "F-120"
    other = opened.house.signer.kid_of_person("qa")
    assert refusal_of(opened, SignedBody(
        signed_with(opened, stated, "house", actor="ann").body, other, stranger.sig)).rule == "F-123"


@req("SIG-10", "SIG-04")
def test_the_append_refuses_a_replaced_and_a_revoked_key(opened: HouseUnderTest) -> None:
    late = signed_with(opened, STEP, "intake", actor="intake")
    both(opened, "intake")
    kid = opened.house.signer.kid_of_person("ann")
    opened.commit(usecases.revoke_key(opened.desk, OWNER, "ann", "token lost"))

    replaced = refusal_of(opened, late)
    assert (replaced.rule, "ended by entry" in replaced.fact) == ("F-121", True)
    revoked = SignedBody(signed_with(opened, STEP, "house", actor="ann").body, kid, late.sig)
    assert refusal_of(opened, revoked).rule == "F-121"


@req("SIG-05", "SIG-09")
def test_the_append_refuses_a_second_key_that_an_administrator_enrols(opened: HouseUnderTest) -> None:
    """Not with another's proof, not by the root key: while the holder's own key is in force it must prove it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    thief = Ed25519PrivateKey.generate()
    public = thief.public_key().public_bytes_raw()
    with opened.desk.reading() as session:
        body = opened.desk.body(
            session, KeyEnrolled(klass="person", holder="ann", public_key=base64_text(public), printed_name="Ann"),
            actor="installation", role="service", rule="founding", occasion=opened.desk.occasion())
    message = body_to_prove(body)
    given = [(opened.house.signer.kid_of_person("qa"), opened.house.signer.sign_page(
        "qa", opened.proof("qa"), [message])[0].sig), (kid_of(public), thief.sign(message))]
    body["proofs"] = [{"kid": kid, "sig": base64_text(sig)} for kid, sig in given]
    signature = opened.house.signer.attest("root", body_to_sign(body))

    refusal = refusal_of(opened, SignedBody(body, signature.kid, base64_text(signature.sig)))

    assert refusal.rule == "F-124"
    assert "in force" in refusal.fact


@req("SIG-04", "SIG-09")
def test_nobody_is_registered_under_the_name_of_a_service(opened: HouseUnderTest) -> None:
    for name in (*SERVICES, "installation", "log", "root"):
        with pytest.raises(UnusableInput, match="name of the system"):
            people.registered(opened, name)


@req("REC-03", "SIG-09")
def test_the_signer_makes_no_note_with_a_new_log_key_without_the_entry_that_names_it(opened: HouseUnderTest) -> None:
    from core.errors import RecordDamaged

    opened.house.signer.next_house_key("log")
    entry = a_service_entry(opened)
    with opened.desk.reading() as session:
        newest = store.last_checkpoint(session)
    assert newest is not None

    with pytest.raises(RecordDamaged, match="without the entry that rotates it"):
        opened.house.signer.sign_checkpoint(newest.size, [entry.leaf], entry.raw)


@req("SIG-04", "SIG-09", "REC-04")
def test_a_rotation_that_the_old_key_did_not_sign_moves_the_signer_to_no_other_key(opened: HouseUnderTest) -> None:
    """A captured server stages a key of its own for ann and writes the entry into the database, past every rule."""
    old = opened.house.signer.kid_of_person("ann")
    twin = opened.copied(opened.home.parent / "captured")
    signer = twin.house.signer
    stolen = signer.next_person("ann", "Ann (test)", "a password of the thief")
    event = KeyRotated(kid=old, klass="person", holder="ann", public_key=base64_text(stolen.public_key))
    forged = signed_with(twin, event, "house", actor="ann")
    with twin.house.engine.connect().execution_options(countersign_write=True) as session, session.begin():
        ledger.append(session, [SignedBody(forged.body, old, forged.sig)], now=twin.clock.now)
        ledger.close(session, signer.sign_checkpoint)

    assert signer.kid_of_person("ann") == old
    assert signer.sign_page("ann", twin.proof("ann"), [b"still hers"])[0].kid == old
    with twin.desk.reading() as session:
        assert not check_store(SessionReader(session), ORIGIN).ok
    twin.house.close()


# -- suspicion -------------------------------------------------------------------------------------------------------


@req("SIG-10")
def test_a_replaced_key_can_be_named_as_suspect_and_a_suspicion_is_never_taken_back(opened: HouseUnderTest) -> None:
    old = opened.house.signer.kid_of_person("ann")
    train(opened, opened.proof("ann"))
    seq = len(opened.words()) - 1
    opened.commit(rotation.rotate_key(opened.desk, ANN, rotation.RotateKey(PASSWORD)).proposal)
    with pytest.raises(AlreadyDone, match="was ended by entry"):
        usecases.revoke_key(opened.desk, OWNER, old[:16], "laptop stolen")

    opened.commit(usecases.revoke_key(opened.desk, OWNER, old[:16], "laptop stolen", suspect_from=seq))

    with opened.desk.reading() as session:
        row = key_row(session, old)
        reader = SessionReader(session)
        suspicion = examine(reader, line_at(reader, seq)).suspicion
        assert suspicion is not None
        assert (suspicion.since, suspicion.by) == (seq, len(opened.words()) - 1)
        assert examine(reader, line_at(reader, seq)).good, "suspect is not invalid"
        assert examine(reader, line_at(reader, seq - 1)).suspicion is None
    assert row is not None
    assert (row.suspect_from, row.suspect_by) == (seq, len(opened.words()) - 1)
    with pytest.raises(AlreadyDone, match="suspect from entry"):
        usecases.revoke_key(opened.desk, OWNER, old[:16], "a second thought", suspect_from=seq + 1)
    train(opened, opened.proof("ann"))


@req("SIG-10")
def test_a_key_of_the_house_in_force_is_not_revoked_and_a_wrong_entry_number_is_named(opened: HouseUnderTest) -> None:
    kid = kid_of(opened.house.signer.public_key("gates"))

    with pytest.raises(UnusableInput, match="is in force"):
        usecases.revoke_key(opened.desk, OWNER, kid[:12], "to be sure")
    with pytest.raises(UnusableInput, match="There is no entry 9999"):
        usecases.revoke_key(opened.desk, OWNER, "ann", "to be sure", suspect_from=9999)
    with pytest.raises(NotFound, match="too short"):
        usecases.revoke_key(opened.desk, OWNER, kid[:4], "to be sure")


@req("SIG-10", "REC-10")
def test_keys_are_replaced_and_doubted_on_postgresql_as_well(tmp_path: Path) -> None:
    """Personal key, service key and log key on the production store; the whole store is checked at the end."""
    from tests.conftest import need

    need("postgres")
    from core.ledger_rehash import rehash
    from tests.postgres import fresh_database

    with a_house(tmp_path, fresh_database(), founding=True) as house:
        people.opened(house)
        people.active(house, "ann")
        old = house.house.signer.kid_of_person("ann")
        house.commit(rotation.rotate_key(house.desk, ANN, rotation.RotateKey(NEW_PASSWORD)).proposal)
        train(house, Proof(NEW_PASSWORD, code(house)))
        both(house, "house")
        both(house, "log")
        house.commit(usecases.revoke_key(house.desk, OWNER, old[:20], "laptop stolen", suspect_from=40))
        rehash(house.desk, under=UNDER, on_behalf_of="console")
        house.work()

        with house.desk.reading() as session:
            found = check_store(SessionReader(session), ORIGIN)
        assert found.ok, found.in_words()
        assert house.words().count("key.rotated") == 4
