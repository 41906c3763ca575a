"""The only wiring: settings, database, signer, objects and desk of one home."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Engine

import countersign.words  # noqa: F401  every word, fold and effect is declared by importing them
from audit import store
from audit.entry import base64_text
from audit.signatures import LOG_BESIDE
from audit.vocabulary import registry
from audit.vocabulary.ledger import DeclaredWord, KeyEnrolled, LedgerFounded, PolicyAdopted, VocabularyAdopted
from core import projection
from core.clock import Clock, SystemClock, remembering
from core.errors import AlreadyDone, RecordDamaged, UnusableInput
from core.persons import ML_DSA_44
from core.policy import table
from core.projection import Difference
from core.work import Desk, release
from countersign import database, schema
from countersign.adapters.files import FileObjects
from countersign.adapters.mlflow import FOLDER, MlflowTracking
from countersign.adapters.subject_keys import FileSubjectKeys
from countersign.leftovers import Leftover, left_in, remove, scratch
from countersign.settings import Settings, read_settings, sqlite_url, write_settings
from countersign.signer.keyfiles import PasswordCost
from countersign.signer.local import SERVICES, LocalSigner
from countersign.signer.remote import RemoteSigner
from countersign.standstill import Standstill, follow_origin

CLOCK = "clock.json"
HouseSigner = LocalSigner | RemoteSigner


@dataclass(slots=True)
class House:
    """One installation, opened."""

    settings: Settings
    engine: Engine
    signer: HouseSigner
    desk: Desk

    @property
    def home(self) -> Path:
        return self.settings.home

    def close(self) -> None:
        self.engine.dispose()

    @property
    def origin(self) -> str:
        """The name that the record bears now; another process may have continued it since this one began."""
        return self.signer.origin

    def leftovers(self) -> list[Leftover]:
        """What commands that were killed left in the home and the folders of keys beside it."""
        return left_in(self.home, *self._beside())

    def remove_leftovers(self) -> list[Leftover]:
        """Remove what nobody works on; returns what was removed."""
        return remove(self.home, *self._beside())

    def _beside(self) -> list[Path]:
        folders = (*self.settings.subject_key_folders, self.settings.seal_backup_folder)
        return [folder for folder in folders if not folder.is_relative_to(self.home)]

    @property
    def standstill(self) -> Standstill:
        """Why nothing is appended, where that is so."""
        return Standstill(self.home)

    def compare(self) -> Difference:
        """Fold the whole ledger into fresh tables and compare them with the live ones, in one view of both."""
        level = {"isolation_level": "REPEATABLE READ"} if self.engine.dialect.name == "postgresql" else {}
        with self.engine.connect().execution_options(**level) as session, session.begin():
            return projection.compare(session, store.read_entries(session))

    def rebuild(self, *, keep: bool = True) -> Difference:
        """Fold the ledger into fresh tables beside the live ones, compare, and where `keep` says so swap those that
        differ in, in one transaction: whatever ends it before leaves the live tables as they were.

        The record goes on meanwhile; only what came after the fold, the comparison and the swap are done under the
        lock. Also possible while appending is stopped, as it appends nothing.
        """
        if not keep:
            return self.compare()
        if self.engine.dialect.name == "postgresql":
            self._check_shapes()
        with scratch(self.home, "rebuild") as folder, projection.Fresh(folder / "fresh.db") as fresh:
            with self.desk.reading() as session:
                fresh.fold(store.read_entries(session))
            with self.desk.working_tables() as session:
                fresh.fold(store.read_entries(session, fresh.entries))
                difference = fresh.difference(session)
                fresh.swap(session, difference)
        if self.engine.dialect.name == "postgresql" and not difference.none:
            schema.grant_roles(self.engine)
        return difference


    def _check_shapes(self) -> None:
        """A writer fills tables and does not make them (RECORD 8). Raises UnusableInput where one is to be made."""
        with self.desk.reading() as session:
            other = sorted(table.name for table in projection.misshapen(session))
            if other and not schema.standing(session).could_weaken:
                raise UnusableInput(
                    f"Tables of another release: {', '.join(other)}; the house's role may not make them.",
                    next_step="The database's owner: countersign database prepare --house ROLE; it folds them anew.")


def open_house(home: Path, *, clock: Clock | None = None) -> House:
    """Open an existing home. Raises UnusableInput where there is none."""
    house = _wire(read_settings(home), clock or remembering(SystemClock(), home / CLOCK))
    if database.is_founded(house.engine):
        follow_origin(house)
    return house


def open_copy(home: Path) -> House:
    """A copied home with the SQLite file in it, whatever database the environment or the copied settings name."""
    return _wire(replace(read_settings(home), database_url=sqlite_url(home)), SystemClock())


def _wire(settings: Settings, clock: Clock) -> House:
    engine = database.connect(settings.database_url)
    cost = PasswordCost(settings.password_memory_kib, settings.password_passes, settings.password_lanes)
    signer = _signer(settings, engine, clock, cost)
    keys = FileSubjectKeys(*settings.subject_key_folders)
    objects = FileObjects(settings.home / "objects", keys)
    if settings.models_from == "tracking":
        from countersign.adapters.fetched_models import ObjectsWithFetchedModels

        objects = ObjectsWithFetchedModels(settings.home / "objects", keys, tracking_store(settings))
    return House(
        settings, engine, signer, Desk(engine, signer, clock, objects, stopped=Standstill(settings.home).because)
    )


def tracking_store(settings: Settings) -> MlflowTracking:
    """The MLflow server that the settings name, else the store below the home."""
    return MlflowTracking(settings.home / FOLDER, settings.tracking_url)


def _signer(settings: Settings, engine: Engine, clock: Clock, cost: PasswordCost) -> HouseSigner:
    """The signer behind its socket where the settings name one, else inside this process (RECORD 3)."""
    if settings.signer_socket:
        return RemoteSigner(Path(settings.signer_socket), settings.origin)
    return LocalSigner(
        settings.home / "signer", engine, settings.origin, clock, cost, seal_backup=settings.seal_backup_folder,
        party=settings.relying_party,
    )


def found_house(settings: Settings, *, clock: Clock | None = None) -> House:
    """Make a new home: schema, keys of the house, and the first entries, signed by the root key.

    Where that cannot be done nothing is left in the home, so that it can be tried again.

    Raises:
        AlreadyDone: home, database or signer belong to an installation.
        OutsideUnavailable, UnusableInput: a signer of its own process does not answer, or is set up for another record
            or database.
    """
    if settings.config_file.exists():
        raise AlreadyDone(f"{settings.home} is already a home of Countersign.")
    before = set(settings.home.iterdir()) if settings.home.is_dir() else None
    write_settings(settings)
    house = _wire(settings, clock or remembering(SystemClock(), settings.home / CLOCK))
    try:
        if database.holds_record(house.engine):
            raise AlreadyDone("This database already holds a record.", next_step="Give another database or home.")
        database.bring_up(house.engine)
        if isinstance(house.signer, RemoteSigner):
            house.signer.check_ready(settings.database_url)
        house.signer.found()
        house.desk.record_as_root(_founding_entries(house.signer))
    except BaseException:
        house.close()
        _take_back(settings.home, before)
        raise
    return house


def _take_back(home: Path, before: set[Path] | None) -> None:
    """Remove what an attempt made in a home; `before` is what was there, None where the folder was not."""
    for path in list(home.iterdir()):
        # Beside a database that was there lie its own working files.
        own = path.with_name(path.name.removesuffix("-wal").removesuffix("-shm"))
        if not {path, own} & (before or set()):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    if before is None:
        home.rmdir()


def _founding_entries(signer: HouseSigner) -> list[tuple[object, tuple[str, ...]]]:
    def public(holder: str) -> str:
        return base64_text(signer.public_key(holder))

    entries: list[tuple[object, tuple[str, ...]]] = [
        (LedgerFounded(holder="installation", public_key=public("root")), ()),
        (KeyEnrolled(klass="log", holder="installation", public_key=public("log"), at_init=True), ("log",)),
        (_vocabulary(), ()),
        (PolicyAdopted(digest=table.digest(), rules=len(table.TABLE), release=release()), ()),
    ]
    for service in SERVICES:
        enrolled = KeyEnrolled(klass="service", holder=service, public_key=public(service), at_init=True)
        entries.append((enrolled, (service,)))
    if signer.has_house_key(LOG_BESIDE):
        beside = KeyEnrolled(
            klass="log", holder="installation", public_key=public(LOG_BESIDE), at_init=True, algorithm=ML_DSA_44)
        entries.append((beside, (LOG_BESIDE,)))
    return entries


def _vocabulary() -> VocabularyAdopted:
    words = tuple(
        DeclaredWord(
            name=word["name"], version=word["version"], signed_by=tuple(word["signed_by"]), sentence=word["sentence"]
        )
        for word in registry.catalogue()
    )
    return VocabularyAdopted(digest=registry.catalogue_digest(), words=words)


def check_vocabulary(house: House) -> None:
    """Raises RecordDamaged where this release declares other words than the record adopted."""
    with house.desk.reading() as session:
        adopted = [
            entry.body["fields"]["digest"] for entry in store.read_entries(session, 0, 64)
            if entry.body["action"] == "vocabulary.adopted"
        ]
    if not adopted or adopted[-1] != registry.catalogue_digest():
        raise RecordDamaged(
            "This release declares other words than the record has adopted.",
            next_step="Use the release that founded this home.",
        )
