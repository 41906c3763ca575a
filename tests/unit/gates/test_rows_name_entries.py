"""Every row of gates names the entry that made it: nothing that a database would number by itself."""

from __future__ import annotations

from typing import Any

import pytest

from audit.vocabulary import gates as words
from core.gates import projections as tables
from tests.builders.folded import Folded
from tests.builders.locks import lock_word
from tests.req import req
from tests.unit.gates.test_gate_tables import OBJECT, finished


@req("REC-03", "GAT-02")
@pytest.mark.parametrize(("table", "event"), [
    (tables.stops, words.GateSuspended(gate="G-1", use=3, cause="lock_revoked", says="recalled")),
    (tables.stops, words.GateHalted(gate="G-1", use=3, halt_rule="HALT-1", says="too many")),
    (tables.filings, words.EvidenceFiled(kind="privacy_assessment", title="A", document=OBJECT,
                                         document_date="2026-01-01", evidence_class="study")),
    (tables.run_locks, finished("r1")),
    (tables.looks, words.HaltEvaluated(halt_rule="HALT-5", look=8, metric="undecided_rate", found="0.1", limit="> 0.2",
                                       fired=False)),
], ids=["suspended", "halted", "filed", "ran", "looked"])
def test_a_row_carries_the_number_of_its_entry(table: Any, event: Any) -> None:
    record = Folded()
    for number in range(7):
        record.say(lock_word(f"LCK-{number}", "older"))

    entry = record.say(event)

    assert [row["entry"] for row in record.rows(table)] == [entry.seq]
