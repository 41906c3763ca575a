"""The command line; every room's commands are loaded only when one of them is called."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import typer
from typer.core import TyperGroup

# Which module answers to which first word, with the line that `--help` shows.
GROUPS: dict[str, tuple[str, str]] = {
    "demo": ("demo", "A whole trial in a fresh home, to the CSR appendix; prints what to open next."),
    "init": ("people", "Found an installation: its keys, its first two people, its first entries."),
    "database": ("database", "A PostgreSQL for the record, prepared by its owner."),
    "doctor": ("house", "Say in words what is wrong or missing, and what to do."),
    "serve": ("serve", "The pages and the API, on loopback unless told otherwise."),
    "work": ("house", "Carry out what the outbox holds: inference, mail, push."),
    "backup": ("house", "A consistent copy of the home while it is in use."),
    "restore": ("house", "A backup becomes a home again, after it was checked."),
    "user": ("people", "People: register, enrol, list."),
    "role": ("people", "Roles: grant, revoke, list."),
    "key": ("people", "Personal and house keys."),
    "sop": ("people", "Controlled documents and training."),
    "trial": ("trial", "Trials: create, show, bring live."),
    "allocation": ("trial", "Sealed allocation: declare, import, unblind, show by arm."),
    "charter": ("trial", "Imaging charters: check, sign, export the schema."),
    "subject": ("trial", "Subjects and their time points."),
    "site": ("trial", "Sites: activate, list."),
    "gate": ("trial", "Phase gates: status, request, sign, suspend."),
    "cohort": ("trial", "Cohort candidates and selections."),
    "privacy": ("privacy", "Subjects' data: requests, restriction, erasure."),
    "intake": ("intake", "Take a folder of DICOM files in."),
    "qc": ("intake", "Quality control cases: list, show, AI, dispose."),
    "correct": ("correct", "Corrections: series in the wrong place, impact on reads, notes."),
    "incident": ("incident", "Identifiers left in images: open, search, order, certify, list."),
    "model": ("model", "Models: convert, register, lock, verify, run, compare."),
    "measure": ("measure", "Measure a segmentation with the house's operators."),
    "model-server": ("model_server", "Model servers that attest: attest one here, enrol, withdraw, list."),
    "bridge": ("bridge", "A model that changes mid-trial: plan, sign, compare both locks."),
    "drift": ("drift", "Drift of locked models in use: baseline, evaluation, daily sentinel set."),
    "read": ("read", "Blinded reads: list, seal, adjudicate."),
    "signer": ("signer", "The signer as a process of its own: set up, serve, lists of signatures."),
    "seals": ("seals", "Secrets of sealed reads: state, recovery key, recovery after a loss."),
    "validate": ("validate", "Validation of this installation and of model versions."),
    "quality": ("quality", "Corrective and preventive actions; classes of changes."),
    "report": ("report", "Issued papers: the CSR imaging appendix."),
    "ledger": ("ledger", "The record: query, verify, prove, export, rebuild."),
    "review-trail": ("reviews", "Audit-trail review: draw samples, sign what was found, list what is due."),
    "review": ("reviews", "Periodic reviews: what is due and overdue; the review of the validated state."),
    "verify": ("report", "Re-check a bundle or report offline; needs no home."),
}


class Rooms(TyperGroup):
    """Lists all commands without loading them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for name, (module, _) in GROUPS.items() if importlib.util.find_spec(f"{__name__}.{module}")]

    def get_command(self, ctx: Any, name: str) -> Any:
        if name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"{__name__}.{GROUPS[name][0]}")
        return typer.main.get_command(module.APPS[name])

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        rows = [(name, GROUPS[name][1]) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


app = typer.Typer(
    cls=Rooms, no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
    help="Countersign: the signed system of record for AI in imaging clinical trials.",
)


@app.callback()
def countersign() -> None:
    """Countersign: the signed system of record for AI in imaging clinical trials."""


def main() -> None:
    """The entry point."""
    app()
