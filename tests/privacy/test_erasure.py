"""After an erasure every file of the house is searched for what must be gone, and the record still verifies."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import text

from audit import verifier
from core import ledger_exports, outbox
from core.arrival import queries as arrival
from core.errors import NotFound, Refused, SubjectErased
from core.ledger_queries import SessionReader
from core.objects import ERASED, owner
from core.policy.state import Actor, Decision
from core.privacy import effects, queries
from core.trials.subjects import RecordConsent, record_consent
from countersign.adapters.subject_keys import FileSubjectKeys, name_of
from countersign.backup import make_backup
from countersign.doctor import examine
from countersign.house import open_house
from countersign.restore import restore
from countersign.standstill import lift
from tests.builders import privacy as build
from tests.builders.arrival import SUBJECT, a_subject, a_trial_that_receives, take_in, write_series
from tests.builders.reads import TRIAL
from tests.conftest import need
from tests.house import HouseUnderTest, a_house
from tests.postgres import owner_of
from tests.req import req

WHOSE = owner(TRIAL, SUBJECT)
EXPORT = Decision(True, "P-01", "for a test", "service")
PLAIN = tuple(part.encode() for part in (
    build.COMMENT, build.REQUEST, "Quetzalli", "Wunderlich", "WUNDERLICH", "Xochipilli", build.NAME, build.NUMBER,
))  # fmt: skip


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HouseUnderTest]:
    url = None
    if request.param == "postgresql":
        need("postgres")
        from tests.postgres import fresh_database

        url = fresh_database()
    with a_house(tmp_path / "house", url) as house:
        a_trial_that_receives(house)
        build.people(house)
        yield house


def key_needles(key: bytes) -> tuple[bytes, ...]:
    """A key as somebody might have written it down."""
    return (key, base64.b64encode(key).rstrip(b"=")[:42], key.hex().encode(), base64.urlsafe_b64encode(key)[:42])


def found_in(folder: Path, needles: tuple[bytes, ...]) -> list[tuple[str, bytes]]:
    """Every file below a folder that holds one of them.

    A server that runs replaces files of its own while they are read (a cache is written beside and renamed): a search
    during which a listed file went away is made again, so that no content slips through under its other name.
    """
    for _ in range(20):
        with suppress(FileNotFoundError):
            return _found_in(folder, needles)
    raise AssertionError(f"the files below {folder.name} do not come to rest")


def _found_in(folder: Path, needles: tuple[bytes, ...]) -> list[tuple[str, bytes]]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    assert files
    return [
        (str(path.relative_to(folder)), needle) for path in files for content in [path.read_bytes()]
        for needle in needles if needle in content
    ]


def data_folder(house: HouseUnderTest) -> Path | None:
    """Where the PostgreSQL server of this house keeps its files, flushed."""
    if house.desk.engine.dialect.name != "postgresql":
        return None
    with owner_of(house.desk.engine).connect().execution_options(isolation_level="AUTOCOMMIT") as session:
        session.exec_driver_sql("CHECKPOINT")
        return Path(str(session.execute(text("SHOW data_directory")).scalar()))


def key_of(house: HouseUnderTest) -> bytes:
    keys = house.desk.objects.keys
    assert isinstance(keys, FileSubjectKeys)
    return keys.key(WHOSE, make=False)


@req("PRV-02", "PRV-03", "PRV-04")
def test_nothing_of_an_erased_subject_is_found_in_any_file(either: HouseUnderTest, tmp_path: Path) -> None:
    """Database, journal, objects, key folders, jobs, exports, temporary files, and the server's own folder.

    Text and name are nowhere in clear even before; the key lies in its file wrapped, and after it nowhere.
    """
    planted = build.plant(either, tmp_path / "in")
    build.decide(either, "restrict", text=build.REQUEST)
    key = key_of(either)
    before = found_in(either.home, (*PLAIN, planted.pixels, *key_needles(key)))
    ledger_exports.export(either.desk, ledger_exports.Wish(trial=TRIAL), either.home / "export.zip", under=EXPORT,
                          on_behalf_of="qa-2")

    build.erase(either)

    assert before == []
    needles = (*PLAIN, planted.pixels, *key_needles(key))
    assert found_in(either.home, needles) == []
    server = data_folder(either)
    if server is not None:
        assert found_in(server, needles) == []
    else:
        assert not (either.home / "ledger.db-wal").exists() or (either.home / "ledger.db-wal").stat().st_size < 65_536
    assert [path.name for path in either.home.rglob("*") if name_of(WHOSE) in path.name and "destroyed" not in
            path.parts] == []
    with either.desk.reading() as session:
        row = arrival.case_of(session, TRIAL, planted.case)
        with pytest.raises(SubjectErased):
            arrival.load_series(session, either.desk.objects, TRIAL, row.series)
        assert queries.text_of(session, either.desk.objects.keys, planted.disposed.id) == ERASED
        rows = session.execute(text("SELECT ct, iv, erased FROM subject_text")).all()
    assert rows
    assert all((ct, iv, bool(erased)) == ("", "", True) for ct, iv, erased in rows)


@req("PRV-03")
def test_the_search_would_find_what_it_looks_for(clinic: HouseUnderTest, tmp_path: Path) -> None:
    """The same search on a copy in which somebody keeps a note, the pixels or the key finds each."""
    planted = build.plant(clinic, tmp_path / "in")
    key = key_of(clinic)
    for number, leaked in enumerate((build.COMMENT.encode(), planted.pixels, key, base64.b64encode(key))):
        (clinic.home / f"note-{number}").write_bytes(b"kept: " + leaked)

    assert len(found_in(clinic.home, (*PLAIN, planted.pixels, *key_needles(key)))) >= 4


@req("PRV-03", "REC-05")
def test_tables_equal_their_rebuild_with_the_key_without_it_and_in_between(
    clinic: HouseUnderTest, tmp_path: Path
) -> None:
    """Order signed but not carried out, key gone before the entry, and both: every fold gives the live rows."""
    build.plant(clinic, tmp_path / "in")
    assert clinic.house.compare().none
    erased = build.erase(clinic, work=False)
    assert clinic.house.compare().none
    clinic.desk.objects.keys.destroy(WHOSE, {"trial": TRIAL, "subject": SUBJECT, "erased": erased.id})
    assert clinic.house.compare().none

    clinic.work()

    assert clinic.house.rebuild().none
    assert clinic.words().count("privacy.destroyed") == 1


@req("PRV-03", "REC-08")
def test_the_record_of_an_erased_subject_verifies(clinic: HouseUnderTest, tmp_path: Path) -> None:
    """Ciphertexts and digests stay: a bundle made afterwards is accepted by the verifier alone."""
    build.plant(clinic, tmp_path / "in")
    build.erase(clinic)
    written = ledger_exports.export(clinic.desk, ledger_exports.Wish(), tmp_path / "all.zip", under=EXPORT,
                                    on_behalf_of="qa-2")
    with clinic.desk.reading() as session:
        card = ledger_exports.card(SessionReader(session), clinic.house.settings.origin)

    report = verifier.verify_bundle(written.path, json.loads(card))

    assert report.verdict == verifier.VERIFIED, report.in_words()
    assert b"Quetzalli" not in written.path.read_bytes()


@req("PRV-03")
def test_holders_of_copies_get_one_signed_notice_each(clinic: HouseUnderTest, tmp_path: Path) -> None:
    """Exports that cover the subject, by trial, whole or chosen entry; not one made before, nor of another."""
    def export(name: str, holder: str, **wish: object) -> None:
        ledger_exports.export(clinic.desk, ledger_exports.Wish(**wish), tmp_path / name, under=EXPORT,  # type: ignore[arg-type]
                              on_behalf_of=holder)

    a_subject(clinic, "101-009")
    other = next(one.seq for one in clinic.entries() if one.body["fields"].get("subject") == "101-009")
    planted = build.plant(clinic, tmp_path / "in")
    export("trial.zip", "monitor-1", trial=TRIAL)
    export("whole.zip", "inspector-1")
    export("one.zip", "sponsor-1", seqs=(planted.disposed.seq,))
    export("other.zip", "sponsor-2", seqs=(other,))

    build.erase(clinic)
    effects.reapply(clinic.desk)
    with clinic.desk.reading() as session:
        order = queries.the_subject(session, TRIAL, SUBJECT).erased
    effects.carry_out(clinic.desk, TRIAL, SUBJECT, str(order))

    notices = [one.body["fields"] for one in clinic.entries() if one.body["action"] == "privacy.notified"]
    assert [one["holder"] for one in notices] == ["monitor-1", "inspector-1", "sponsor-1"]
    assert {one["erased"] for one in notices} == {order}


@req("PRV-03", "OPS-01")
def test_a_backup_made_before_and_restored_afterwards_opens_nothing(clinic: HouseUnderTest, tmp_path: Path) -> None:
    """Neither the copy at rest nor the restored home holds a key; the old record learns of the erasure."""
    planted = build.plant(clinic, tmp_path / "in")
    build.decide(clinic, "refuse", text=build.REQUEST)
    key = key_of(clinic)
    make_backup(clinic.house, tmp_path / "backup")
    build.erase(clinic)
    needles = (*PLAIN, planted.pixels, *key_needles(key))

    assert found_in(tmp_path / "backup", needles) == []
    assert not list((tmp_path / "backup").rglob(f"*{name_of(WHOSE)}*"))
    restored = tmp_path / "restored"
    done = restore(tmp_path / "backup", restored, subject_keys=clinic.home / "subject-key-copies",
                   now_us=clinic.clock.now())
    assert "stays erased" in done.in_words()
    house = open_house(restored, clock=clinic.clock)
    try:
        assert any("unknown to this record" in finding.what for finding in examine(house) if not finding.fine)
        with pytest.raises(SubjectErased):
            house.desk.objects.keys.key(WHOSE, make=False)  # type: ignore[attr-defined]
        lift(house, "Nothing outside knows more.", Decision(True, "P-07", "set up for a test", "service"))
        assert effects.reapply(house.desk) == 0
        with house.desk.reading() as session:
            assert queries.the_subject(session, TRIAL, SUBJECT).state == "erased"
            assert queries.text_of(session, house.desk.objects.keys, planted.disposed.id) == ERASED
        assert house.compare().none
    finally:
        house.close()
    assert found_in(restored, needles) == []


@req("PRV-03", "OPS-01")
def test_a_key_that_comes_back_with_an_old_folder_is_destroyed_again(clinic: HouseUnderTest, tmp_path: Path) -> None:
    """Somebody restores the key folders of last week: doctor says so, and the next work ends it, on record."""
    build.plant(clinic, tmp_path / "in")
    key = key_of(clinic)
    folders = clinic.house.settings.subject_key_folders
    old = [shutil.copytree(folder, tmp_path / "old" / folder.name) for folder in folders]
    build.erase(clinic)
    for folder, copy in zip(folders, old, strict=True):
        shutil.rmtree(folder)
        shutil.copytree(copy, folder)
    assert key_of(clinic) == key
    assert any(finding.damaged and "come back" in finding.what for finding in examine(clinic.house))

    assert effects.reapply(clinic.desk) == 1

    with pytest.raises(SubjectErased):
        key_of(clinic)
    last = [one.body["fields"] for one in clinic.entries() if one.body["action"] == "privacy.destroyed"]
    assert [one.get("again", False) for one in last] == [False, True]
    assert not any(finding.damaged for finding in examine(clinic.house))


@req("PRV-03")
def test_doctor_names_an_erasure_that_is_signed_and_not_carried_out(clinic: HouseUnderTest, tmp_path: Path) -> None:
    build.plant(clinic, tmp_path / "in")
    build.erase(clinic, work=False)

    assert any("1 erasures are committed and not carried out" in one.what for one in examine(clinic.house))
    clinic.work()
    assert not any("not carried out" in one.what for one in examine(clinic.house))


@req("PRV-03", "REC-11")
def test_an_erased_subject_cannot_be_filled_again(clinic: HouseUnderTest, tmp_path: Path) -> None:
    """Images that come late are refused and recorded; consent and decisions are no longer taken."""
    build.plant(clinic, tmp_path / "in")
    build.erase(clinic)
    write_series(tmp_path / "late", time_point="W08", day="20260504")

    account = take_in(clinic, tmp_path / "late")

    assert {(one.outcome, one.code) for one in account.outcomes} == {("refused", "subject-erased")}
    with pytest.raises(Refused) as refusal:
        record_consent(clinic.desk, Actor("coordinator"), RecordConsent(TRIAL, SUBJECT, "2", "2026-05-01", ("images",)))
    assert refusal.value.rule == "F-902"
    with pytest.raises(Refused) as refusal:
        build.decide(clinic, "restrict")
    assert refusal.value.rule == "F-907"
    assert not clinic.desk.objects.keys.is_there(WHOSE)


@req("PRV-02", "PRV-03")
def test_names_on_signatures_stay(clinic: HouseUnderTest, tmp_path: Path) -> None:
    """Who signed about the subject is no secret of the subject."""
    planted = build.plant(clinic, tmp_path / "in")
    build.erase(clinic)

    signed = next(one for one in clinic.entries() if one.seq == planted.disposed.seq)
    assert signed.body["manifest"]["printed_name"] == "Technologist"


@req("PRV-02", "PRV-04")
def test_what_a_person_was_shown_about_a_subject_lies_under_the_subjects_key(
    clinic: HouseUnderTest, tmp_path: Path
) -> None:
    """The signature keeps the digest of the plain view and names where its ciphertext lies."""
    import hashlib

    from audit.vocabulary.registry import ObjectRef

    planted = build.plant(clinic, tmp_path / "in")
    manifest = next(one for one in clinic.entries() if one.seq == planted.disposed.seq).body["manifest"]
    ref = ObjectRef(**manifest["view"])

    shown = clinic.desk.objects.get(ref, subject=WHOSE)
    assert build.COMMENT.encode() in shown
    assert hashlib.sha256(shown).hexdigest() == manifest["view_digest"]
    with pytest.raises(NotFound):
        clinic.desk.objects.stored_bytes(ObjectRef(sha256=manifest["view_digest"], bytes=len(shown), media="x"))


@req("PRV-02")
def test_an_effect_that_breaks_leaves_no_words_of_its_error(clinic: HouseUnderTest, monkeypatch) -> None:
    """A library's error may quote a header or a text; the row of the job says kind and place alone."""
    from audit.vocabulary.privacy import PrivacyErased

    def broken(desk, entry, event):
        raise ValueError(f"cannot parse {build.NAME} {build.NUMBER} {build.COMMENT}")

    monkeypatch.setitem(outbox._EFFECTS[PrivacyErased], "destroy-key", broken)
    build.erase(clinic)

    with clinic.desk.reading() as session:
        problems = [row.problem for row in session.execute(outbox.jobs.select()) if row.problem]
    assert len(problems) == 1
    assert problems[0].startswith("ValueError at ")
    assert not any(needle in problems[0].encode() for needle in PLAIN)
    assert found_in(clinic.home, PLAIN) == []


@req("PRV-03")
def test_an_erasure_waits_for_every_folder_and_is_recorded_only_then(clinic: HouseUnderTest, tmp_path: Path) -> None:
    """The disk of the copies is away: the job is tried again, doctor says what is due, nothing claims to be done."""
    build.plant(clinic, tmp_path / "in")
    copies = clinic.house.settings.subject_key_folders[1]
    copies.rename(tmp_path / "away")
    copies.write_text("no folder")

    build.erase(clinic)
    assert "privacy.destroyed" not in clinic.words()
    assert any("not carried out" in one.what for one in examine(clinic.house))
    copies.unlink()
    (tmp_path / "away").rename(copies)
    clinic.clock.at_us += 60_000_000
    clinic.work()

    assert clinic.words().count("privacy.destroyed") == 1
    assert not clinic.desk.objects.keys.is_there(WHOSE)


@req("PRV-02", "PRV-03")
def test_a_page_shows_a_text_where_the_key_lives_and_the_tombstone_afterwards(
    clinic: HouseUnderTest, tmp_path: Path
) -> None:
    """And the words of a request to those alone who may see decisions."""
    from countersign.web.accounts import set_password
    from tests.web.test_pages import CHEAP, PASSWORD, enter, visiting

    def page(user: str, seq: int) -> str:
        with visiting(clinic) as client:
            enter(client, user)
            return str(client.get(f"/ledger/{seq}").text)

    planted = build.plant(clinic, tmp_path / "in")
    clinic.person("watcher", "data_manager", trial=TRIAL)
    for user in (build.QA.user, "watcher"):
        set_password(clinic.desk, CHEAP, user, PASSWORD)
    request = build.decide(clinic, "refuse", text=build.REQUEST)

    assert build.COMMENT in page("watcher", planted.disposed.seq)
    assert build.REQUEST in page(build.QA.user, request.seq)
    told = page("watcher", request.seq)
    assert build.REQUEST not in told
    assert "text under the subject" in told
    build.erase(clinic)
    assert build.COMMENT not in page("watcher", planted.disposed.seq)
    assert ERASED in page("watcher", planted.disposed.seq)
    assert ERASED in page(build.QA.user, request.seq)
