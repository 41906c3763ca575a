"""The record against an unsigned audit table with the same columns and indexes, side by side in one run.

    python -m benchmarks.ledger [--quick]

Both append durably. Ours also signs each entry (Ed25519), hashes it into the tree, stores full tiles and signs one
checkpoint per batch through the signer. Ratios are ours over theirs; rounds alternate, the median counts.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import orjson
from sqlalchemy import MetaData, insert
from sqlalchemy.engine import Engine
from sqlalchemy.sql import quoted_name

import countersign.words  # noqa: F401
from audit import ledger, proofs, store
from audit.entry import Entry, SignedBody, base64_text, body_to_sign, canonical, from_base64, kid_of, payload_to_sign
from audit.signatures import signature_is_valid
from core.clock import in_words
from core.ids import uuid7
from countersign.house import House, found_house
from countersign.settings import Settings, sqlite_url

FIELDS = {
    "series": "2.25.329800735698586629295641978511506172918", "subject": "S-0007", "time_point": "W08",
    "disposition": "accepted", "study": "2.25.329800735698586629295641978511506172919", "files": 96,
}


def _bodies(count: int, origin: str) -> list[dict[str, object]]:
    now = time.time_ns() // 1000
    head = {"size": 0, "root": base64_text(proofs.EMPTY_ROOT)}
    return [
        {
            "action": "quality.disposed", "version": 1, "type": 1, "actor": "house", "at": in_words(now),
            "head": head, "id": uuid7(now), "log": origin, "role": "service", "rule": "P-30", "trial": "BENCH-1",
            "fields": FIELDS | {"case": f"case-{number}"},
        }
        for number in range(count)
    ]


def ours(house: House, count: int) -> None:
    """One batch into the record: sign, append, tiles, checkpoint, commit."""
    bodies = _bodies(count, house.settings.origin)
    with house.desk.writing() as session:
        signed = []
        for body in bodies:
            payload = canonical(body, "body")
            signature = house.signer.attest("house", payload_to_sign(payload))
            signed.append(SignedBody(body, signature.kid, base64_text(signature.sig), payload))
        _, made = ledger.append(session, signed, now=house.desk.clock.now)
        ledger.close(session, house.signer.sign_checkpoint, made)


def plain_table(engine: Engine) -> Callable[[int], None]:
    """An unsigned audit table by SQLAlchemy Core with the same columns and indexes."""
    metadata = MetaData()
    table = store.entries.to_metadata(metadata, name="plain_audit")
    for index in table.indexes:
        index.name = quoted_name(f"plain_{index.name}", quote=None)
    metadata.create_all(engine)
    written = 0

    def write(count: int) -> None:
        nonlocal written
        with engine.connect().execution_options(countersign_write=True) as session, session.begin():
            rows = []
            for body in _bodies(count, "plain"):
                fields = body["fields"]
                assert isinstance(fields, dict)
                rows.append({
                    "seq": written, "data": orjson.dumps(body), "leaf": bytes(32), "ts": time.time_ns() // 1000,
                    "eid": body["id"], "stream": "trial/BENCH-1", "stream_seq": written, "actor": body["actor"],
                    "action": body["action"], "trial": body["trial"], "subject": fields["subject"],
                    "study": fields["study"],
                })
                written += 1
            session.execute(insert(table), rows)

    return write


def measure(house: House, rounds: dict[int, int]) -> list[tuple[int, float, float]]:
    """Median entries a second of both, per batch size, in alternating rounds."""
    theirs = plain_table(house.engine)
    out = []
    for batch, count in rounds.items():
        speeds: dict[str, list[float]] = {"ours": [], "theirs": []}
        for number in range(count + 1):
            for name, write in (("ours", lambda n: ours(house, n)), ("theirs", theirs)):
                begun = time.perf_counter()
                write(batch)
                if number:  # the first round warms caches
                    speeds[name].append(batch / (time.perf_counter() - begun))
        out.append((batch, statistics.median(speeds["ours"]), statistics.median(speeds["theirs"])))
    return out


def verification(house: House) -> tuple[int, float, float]:
    """Entries; seconds of CPU to verify all of them fully; seconds for their bare Ed25519 checks."""
    keys = {kid_of(house.signer.public_key("house")): house.signer.public_key("house")}
    with house.desk.reading() as session:
        entries = [entry for entry in store.read_entries(session) if entry.kid in keys]
        raws = [entry.raw for entry in entries]
    begun = time.process_time()
    frontier = proofs.Frontier()
    for raw in raws:
        entry = Entry.parse(raw)
        assert signature_is_valid(keys[entry.kid], body_to_sign(entry.body), from_base64(entry.sig))
        frontier.add(entry.leaf)
    full = time.process_time() - begun
    prepared = [(keys[entry.kid], body_to_sign(entry.body), from_base64(entry.sig)) for entry in entries]
    begun = time.process_time()
    for key, message, signature in prepared:
        assert signature_is_valid(key, message, signature)
    return len(entries), full, time.process_time() - begun


def main() -> None:
    """Print the table for each store that can be started."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds, for a look")
    quick = parser.parse_args().quick
    rounds = {1: 30, 10: 15, 100: 8, 1000: 3} if quick else {1: 200, 10: 80, 100: 40, 1000: 12}
    urls: dict[str, str | None] = {"SQLite": None}
    try:
        from tests.postgres import fresh_database

        urls["PostgreSQL"] = fresh_database()
    except ImportError:
        print("PostgreSQL: not measured, no server can be started", file=sys.stderr)
    for name, url in urls.items():
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder) / "home"
            house = found_house(Settings(home=home, origin="bench.example/log", database_url=url or sqlite_url(home)))
            print(f"{name}: entries a second, median of alternating rounds")
            print(f"  {'batch':>6} {'record':>10} {'unsigned':>10} {'ratio':>7}")
            for batch, mine, plain in measure(house, rounds):
                print(f"  {batch:>6} {mine:>10.0f} {plain:>10.0f} {mine / plain:>7.2f}")
            count, full, bare = verification(house)
            print(f"  verifying {count} entries: {full:.2f} s CPU, bare Ed25519 {bare:.2f} s: ratio {bare / full:.2f}")
            house.close()


if __name__ == "__main__":
    main()
