"""The record against an unsigned audit table with the same columns and indexes, side by side in one run.

    python -m benchmarks.ledger [--quick]

Ours is what a service does (core/work.py): the lock, the clock, the key's right to sign this word, a body on top of
the last checkpoint, an Ed25519 signature each, the entries with their tiles, folds, and one checkpoint by the signer.
The other is an insert by SQLAlchemy Core of the same bodies, by the same engine and as durable, and nothing else.
Ratios are ours over theirs; rounds alternate, which of the two begins alternates, too; the median counts. Beside the
wall stands the CPU time of this process, which other work on the machine disturbs less. All of it twice: with the
signer in the process of the house, and as a process of its own behind its socket, which looks at the database itself
and checks what it is asked to sign (RECORD 3). Verification is audit/verifier.py over the same entries, against bare
Ed25519 checks by `cryptography`. Figures: benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import MetaData, insert
from sqlalchemy.engine import Engine
from sqlalchemy.sql import quoted_name

import countersign.words  # noqa: F401
from audit import proofs, store
from audit.entry import Entry, base64_text, body_to_sign, from_base64
from audit.verifier import Checker
from audit.vocabulary.ledger import QueryExported
from core.clock import in_words
from core.ids import uuid7
from core.policy.state import Actor, Decision
from countersign.house import House, found_house
from countersign.settings import Settings, sqlite_url
from tests.house import ORIGIN
from tests.signers import set_up

SAID: dict[str, str | int] = {
    "query": "action:read.* trial:BENCH-1 since:2026-11-01", "form": "csv", "through": "pages", "scope": "BENCH-1",
    "size": 100_000, "root": base64_text(proofs.EMPTY_ROOT), "entries": 1_042, "withheld": 3, "bytes": 240_113,
}
ALLOWED = Decision(True, "P-30", "for the benchmark", "service")


def ours(house: House, count: int) -> None:
    """One batch into the record, as a use case of a service records it."""
    with house.desk.open(Actor.of_service("house"), on_behalf_of="qa-1") as work:
        work.record_all(
            [QueryExported(**SAID, sha256=f"{number:064x}") for number in range(count)],  # type: ignore[arg-type]
            under=ALLOWED, trial="BENCH-1")


def plain_table(engine: Engine) -> Callable[[int], None]:
    """An unsigned audit table by SQLAlchemy Core with the same columns and indexes."""
    metadata = MetaData()
    table = store.entries.to_metadata(metadata, name="plain_audit")
    for index in table.indexes:
        index.name = quoted_name(f"plain_{index.name}", quote=None)
    if engine.dialect.name == "postgresql":
        from tests.postgres import owner_of

        # The house writes rows and makes no tables there.
        with owner_of(engine).begin() as session:
            metadata.create_all(session)
            session.exec_driver_sql(f"GRANT SELECT, INSERT ON {table.name} TO {engine.url.username}")
    else:
        metadata.create_all(engine)
    head = {"size": 0, "root": base64_text(proofs.EMPTY_ROOT)}
    written = 0

    def write(count: int) -> None:
        nonlocal written
        with engine.connect().execution_options(countersign_write=True) as session, session.begin():
            rows = []
            for number in range(count):
                now = time.time_ns() // 1000
                body = {
                    "action": "query.exported", "version": 1, "type": 1, "actor": "house", "at": in_words(now),
                    "head": head, "id": uuid7(now), "log": ORIGIN, "role": "service", "rule": "P-30",
                    "trial": "BENCH-1", "on_behalf_of": "qa-1", "fields": SAID | {"sha256": f"{number:064x}"},
                }
                rows.append({
                    "seq": written, "data": orjson.dumps(body), "leaf": bytes(32), "ts": now, "eid": body["id"],
                    "stream": "trial/BENCH-1", "stream_seq": written, "actor": "house", "on_behalf_of": "qa-1",
                    "action": "query.exported", "trial": "BENCH-1",
                })
                written += 1
            session.execute(insert(table), rows)

    return write


def measure(house: House, rounds: dict[int, int]) -> list[tuple[int, float, float, float, float]]:
    """Per batch size, in alternating rounds: entries a second of both (median), microseconds of CPU for one (mean)."""
    writers = {"ours": lambda n: ours(house, n), "theirs": plain_table(house.engine)}
    out = []
    for batch, count in rounds.items():
        speeds: dict[str, list[float]] = {name: [] for name in writers}
        used = dict.fromkeys(writers, 0.0)
        for number in range(count + 1):
            for name in sorted(writers, reverse=number % 2 == 1):
                begun, spent = time.perf_counter(), time.process_time()
                writers[name](batch)
                if number:  # the first round warms caches
                    used[name] += time.process_time() - spent
                    speeds[name].append(batch / (time.perf_counter() - begun))
        out.append((batch, *(statistics.median(speeds[name]) for name in writers),
                    *(used[name] / batch / count * 1e6 for name in writers)))
    return out


def verification(house: House) -> tuple[int, float, float]:
    """Entries; seconds of CPU to verify all of them fully; seconds for their bare Ed25519 checks. Of both the least of
    rounds that alternate, so that a slow moment of the machine meets both."""
    with house.desk.reading() as session:
        entries = list(store.read_entries(session))
    raws = [entry.raw for entry in entries]
    keys = {entry.kid: _key_of(entries, entry.kid) for entry in entries}
    prepared = [(keys[entry.kid], from_base64(entry.sig), body_to_sign(entry.body)) for entry in entries]

    def bare() -> float:
        begun = time.process_time()
        for key, signature, message in prepared:
            key.verify(signature, message)
        return time.process_time() - begun

    spent = [(_verified(raws, house.origin), bare()) for _ in range(5)]
    return len(entries), min(full for full, _ in spent), min(least for _, least in spent)


def _verified(raws: list[bytes], origin: str) -> float:
    begun = time.process_time()
    checker = Checker(origin)
    for raw in raws:
        checker.tree.append(checker.take(raw)[1])
    checker.finish()
    return time.process_time() - begun


def _key_of(entries: list[Entry], kid: str) -> Ed25519PublicKey:
    """The key that an entry of this record enrolled under this id."""
    from hashlib import sha256

    for entry in entries:
        public = entry.body["fields"].get("public_key")
        if isinstance(public, str) and sha256(from_base64(public)).hexdigest() == kid:
            return Ed25519PublicKey.from_public_bytes(from_base64(public))
    raise LookupError(kid)


def main() -> None:
    """Print the table for each store that can be started."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds, for a look")
    quick = parser.parse_args().quick
    rounds = {1: 30, 10: 15, 100: 8, 1000: 3} if quick else {1: 200, 10: 80, 100: 40, 1000: 12}
    databases: dict[str, Callable[[], str | None]] = {"SQLite": lambda: None}
    try:
        from tests.postgres import fresh_database

        databases["PostgreSQL"] = fresh_database
    except ImportError:
        print("PostgreSQL: not measured, no server can be started", file=sys.stderr)
    for name, database in databases.items():
        with tempfile.TemporaryDirectory() as folder:
            house = _house(Path(folder), database())
            _print(name, measure(house, rounds))
            count, full, bare = verification(house)
            print(f"  verifying {count} entries: {full:.2f} s CPU, bare Ed25519 {bare:.2f} s: ratio {bare / full:.2f}")
            house.close()
        with tempfile.TemporaryDirectory() as folder:
            url = database()
            signer = set_up(Path(folder), url, as_user=os.getuid())
            signer.start(as_user=os.getuid())
            try:
                house = _house(Path(folder), url, str(signer.socket))
                _print(f"{name}, the signer in a process of its own", measure(house, rounds))
                house.close()
            finally:
                signer.end()


def _house(folder: Path, url: str | None, socket: str | None = None) -> House:
    home = folder / "home"
    return found_house(Settings(home=home, origin=ORIGIN, database_url=url or sqlite_url(home), signer_socket=socket))


def _print(name: str, measured: list[tuple[int, float, float, float, float]]) -> None:
    print(f"{name}: entries a second, median of alternating rounds; CPU of this process for one entry")
    print(f"  {'batch':>6} {'record':>10} {'unsigned':>10} {'ratio':>7} {'CPU us':>8} {'unsigned':>9} {'ratio':>7}")
    for batch, mine, plain, my_cpu, plain_cpu in measured:
        print(f"  {batch:>6} {mine:>10.0f} {plain:>10.0f} {mine / plain:>7.2f}"
              f" {my_cpu:>8.0f} {plain_cpu:>9.0f} {plain_cpu / my_cpu:>7.2f}")


if __name__ == "__main__":
    main()
