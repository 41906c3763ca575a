"""What a person is shown before signing something about reads: lines of label and value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from core.reads.answer import Answer, lines_of
from core.reads.sealing import Sealed
from core.reads.state import Comparison, Impact, SeedRow, Task
from core.work import View


def qualification(user: str, role_read: str, reference_set: str, cases: int, score: str, limit: str) -> View:
    return View(
        "Qualify a reader",
        "reads/qualify",
        (
            ("Person", user),
            ("As", role_read),
            ("Reference set", reference_set),
            ("Cases", str(cases)),
            ("Score", score),
            ("Limit", limit),
        ),
    )


def assignment(subject: str, slot: str, reader: str, replaces: str | None, reason: str | None) -> View:
    lines = [("Subject", subject), ("Slot", slot), ("Reader", reader)]
    if replaces:
        lines += [("Replaces assignment", replaces), ("Reason", reason or "")]
    return View("Give a slot of a subject to a reader", "reads/assign", tuple(lines))


def reread(subject: str, time_point: str, slot: str, scope: str, reason: str, comment: str | None = None) -> View:
    lines = (
        ("Subject", subject),
        ("Time point", time_point),
        ("Slot", slot),
        ("Read again", "this time point alone" if scope == "this" else "from this time point on"),
        ("Reason", reason),
        ("What follows", "The earlier reads are kept, and excluded; responses are derived from the new ones."),
        *((("Comment", comment),) if comment else ()),
    )
    return View("Order reads to be read again", "reads/reread", lines)


IMPACT = {
    "none": "The locked reads stand as they are.",
    "this": "Each named slot reads this time point again; both reads are kept.",
    "from_here": "Each named slot reads again from this time point on; the earlier reads are kept.",
}


def impact(
    subject: str, time_point: str, waiting: Sequence[Impact], decision: str, slots: Sequence[str], comment: str | None
) -> View:
    """What was corrected and what the decision does; no value and no response stands in it."""
    lines = (
        ("Subject", subject),
        ("Time point", time_point),
        *(("Correction", f"{each.kind.replace('_', ' ')} by {each.corrected_by}, entry {each.entry}")
          for each in waiting),
        ("Slots with a locked read", ", ".join(slots) or "none"),
        ("Decision", decision.replace("_", " ")),
        ("What follows", IMPACT[decision]),
        *((("Comment", comment),) if comment else ()),
    )  # fmt: skip
    return View("What a correction means for locked reads", "reads/impact", lines)


def answer(stated: Answer, units: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """What the reader is shown of the answer itself. It goes under the seal, never into a stored view: the digest of
    so few values could be guessed."""
    return lines_of(stated, units)


def seal(task: Task, sealed: Sealed, *, marks: bool) -> View:
    """What the signature of a sealed read covers openly: the commitment holds the answer and its view."""
    return View(
        "Lock your own marks under seal" if marks else "Lock your read under seal",
        "reads/seal",
        (
            ("Subject", task.subject),
            ("Time point", task.time_point),
            ("Charter", task.charter_version),
            ("Commitment to answer and view", sealed.commit),
            ("What follows", "Nothing can be changed afterwards; the answer opens when every required seal is in."),
        ),
    )


def seeds(subject: str, time_point: str, placed: Sequence[SeedRow]) -> View:
    return View(
        "Place seeds for the model",
        "reads/seeds",
        (
            ("Subject", subject),
            ("Time point", time_point),
            *((f"Lesion {each.lesion}", f"{each.x}, {each.y}, {each.z} mm") for each in placed),
        ),
    )


def adjudication(
    found: Comparison, letter: str, shown: Iterable[tuple[str, str]], reason: str, comment: str | None = None
) -> View:  # fmt: skip
    """The reads side by side under their letters, without who read them, and the choice."""
    fired = ", ".join(f"{each.trigger} ({each.kind.replace('_', ' ')})" for each in found.fired)
    return View(
        "Choose one whole read",
        "reads/adjudicate",
        (
            ("Subject", found.subject),
            ("Time point", found.time_point or "whole course"),
            ("Triggers", fired),
            *shown,
            ("Chosen read", letter),
            ("Reason", reason),
            *((("Comment", comment),) if comment else ()),
        ),
    )


def final(task: Task, stated: Answer, units: Mapping[str, str], report_sha256: str) -> View:
    return View(
        "Sign the final read",
        "reads/final",
        (
            *lines_of(stated, units),
            ("Charter", task.charter_version),
            ("Structured report before its signature (SHA-256)", report_sha256),
        ),
    )


def early_opening(
    subject: str, time_point: str, seals: int, lacking: Sequence[str], reason: str, first: str | None
) -> View:
    return View(
        "Open seals before all are in",
        "reads/early-opening",
        (
            ("Subject", subject),
            ("Time point", time_point),
            ("Seals that open", str(seals)),
            ("Seals that are not in", ", ".join(lacking) or "none"),
            ("Reason", reason),
            ("Signed before by", first or "nobody; the seals open after the second signature"),
            ("What follows", "Readers of this trial go on blind; nothing is compared before every read is in."),
        ),
    )


def seal_key(public_key: str, first: str | None) -> View:
    return View(
        "Recovery key of the seals",
        "reads/seal-key",
        (
            ("Public key (X25519)", public_key),
            ("Signed before by", first or "nobody; the key counts after the second signature"),
            ("Your share", "It is shown to you once, after you have signed. Keep it on paper, apart from the other."),
            ("What follows", "Every seal's secret is copied under this key; both shares together restore lost ones."),
        ),
    )


def seal_recovery(because: str, first: str | None) -> View:
    return View(
        "Restore lost secrets of seals",
        "reads/seal-recovery",
        (
            ("Reason", because),
            ("Signed before by", first or "nobody; the recovery follows the second signature"),
            ("What follows", "Lost secrets are written back to the signer; no seal opens by it."),
        ),
    )
