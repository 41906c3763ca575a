"""The record that travels with a paper: the trial's stream, the house's and the keys, as a bundle (RECORD 7)."""

from __future__ import annotations

import tempfile
from pathlib import Path

from core.ledger_exports import Wish, export
from core.policy.decide import permit
from core.policy.state import Actor, Facts
from core.trials.queries import facts_for
from core.work import Desk

SERVICE = Actor.of_service("reports")


def trial_bundle(desk: Desk, trial: str, person: str) -> bytes:
    """Record `export.made` on behalf of a person and write the bundle that ends with it; its bytes.

    Whoever may draw or approve a paper may see every opened read; what is under seal says nothing to anybody.
    """
    with desk.reading() as session:
        decision = permit(SERVICE, "ledger.export", facts_for(session, SERVICE, "ledger.export", trial))
    with tempfile.TemporaryDirectory(prefix="countersign-bundle-") as folder:
        out = Path(folder) / "record.zip"
        export(desk, Wish(trial=trial, house=True), out, under=decision, on_behalf_of=person)
        return out.read_bytes()


def house_bundle(desk: Desk, person: str) -> bytes:
    """The same of the house alone: what a report of validation rests on. Nothing of any trial is in it but leaves."""
    decision = permit(SERVICE, "ledger.export", Facts())
    with tempfile.TemporaryDirectory(prefix="countersign-bundle-") as folder:
        out = Path(folder) / "record.zip"
        export(desk, Wish(house=True), out, under=decision, on_behalf_of=person)
        return out.read_bytes()
