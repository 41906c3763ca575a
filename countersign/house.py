"""The only wiring: settings, database, signer, objects and desk of one home."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

import countersign.words  # noqa: F401  every word, fold and effect is declared by importing them
from audit import store
from audit.entry import base64_text
from audit.vocabulary import registry
from audit.vocabulary.ledger import DeclaredWord, KeyEnrolled, LedgerFounded, PolicyAdopted, VocabularyAdopted
from core import projection
from core.clock import Clock, SystemClock
from core.errors import AlreadyDone, RecordDamaged
from core.policy import table
from core.projection import Difference
from core.work import Desk, release
from countersign import database
from countersign.adapters.files import FileObjects
from countersign.adapters.subject_keys import FileSubjectKeys
from countersign.settings import Settings, read_settings, write_settings
from countersign.signer.keyfiles import PasswordCost, write_durably
from countersign.signer.local import SERVICES, LocalSigner

STOPPED = "STOPPED"


@dataclass(slots=True)
class House:
    """One installation, opened."""

    settings: Settings
    engine: Engine
    signer: LocalSigner
    desk: Desk

    @property
    def home(self) -> Path:
        return self.settings.home

    def close(self) -> None:
        self.engine.dispose()

    def stop(self, because: str) -> None:
        """Stop appending until QA removes the file `STOPPED`: a witness saw a fork or a rollback (RECORD 3)."""
        write_durably(self.home / STOPPED, because.encode())

    def compare(self) -> Difference:
        """Fold the whole ledger into fresh tables and compare them with the live ones."""
        with self.desk.reading() as session:
            return projection.compare(session, store.read_entries(session))

    def rebuild(self, *, keep: bool = True) -> Difference:
        """Compare, and where `keep` says so replace the live read-models by the fold of the ledger."""
        difference = self.compare()
        if keep:
            with self.desk.writing() as session:
                projection.rebuild(session, store.read_entries(session))
        return difference


def open_house(home: Path, *, clock: Clock | None = None) -> House:
    """Open an existing home. Raises UnusableInput where there is none."""
    return _wire(read_settings(home), clock or SystemClock())


def _wire(settings: Settings, clock: Clock) -> House:
    engine = database.connect(settings.database_url)
    cost = PasswordCost(settings.password_memory_kib, settings.password_passes, settings.password_lanes)
    signer = LocalSigner(
        settings.home / "signer", engine, settings.origin, clock, cost, seal_backup=settings.seal_backup_folder
    )
    objects = FileObjects(settings.home / "objects", FileSubjectKeys(*settings.subject_key_folders))
    return House(settings, engine, signer, Desk(engine, signer, clock, objects, stopped=_reader_of_stop(settings.home)))


def _reader_of_stop(home: Path) -> Callable[[], str | None]:
    path = home / STOPPED
    return lambda: path.read_text() if path.exists() else None


def found_house(settings: Settings, *, clock: Clock | None = None) -> House:
    """Make a new home: schema, keys of the house, and the first entries, signed by the root key."""
    if settings.config_file.exists():
        raise AlreadyDone(f"{settings.home} is already a home of Countersign.")
    write_settings(settings)
    house = _wire(settings, clock or SystemClock())
    if database.is_founded(house.engine):
        raise AlreadyDone("This database already holds a record.", next_step="Give another database or home.")
    database.migrate(house.engine)
    house.signer.found()
    house.desk.record_as_root(_founding_entries(house.signer))
    return house


def _founding_entries(signer: LocalSigner) -> list[tuple[object, tuple[str, ...]]]:
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
