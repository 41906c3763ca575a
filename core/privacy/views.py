"""What is shown before a decision about a subject's data, its lifting or an erasure is signed."""

from __future__ import annotations

from collections.abc import Sequence

from core.privacy.queries import CopyRow, DecisionRow
from core.privacy.rules import Duty
from core.work import View


def decision(
    trial: str, subject: str, request: str, basis: str, verdict: str, duty: Duty, replaces: DecisionRow | None,
    text: str | None,
) -> View:
    follows = {
        "restrict": "From now on the data are kept and not used, until the restriction is lifted.",
        "erase": "Nothing yet: QA signs the erasure.",
        "refuse": "Nothing changes.",
    }
    lines = [
        ("Trial", trial), ("Subject", subject), ("Request", request.replace("_", " ")), ("Legal basis", basis),
        ("Retention duty", duty.in_words()), ("Decision", verdict), ("What follows", follows[verdict]),
    ]
    if replaces is not None:
        lines.append(("Replaces", f"decision of {replaces.decider}, {replaces.at[:10]}: {replaces.duty.in_words()}"))
    if text:
        lines.append(("Words of the request", text))
    return View("Decide about a subject's data", "privacy/decide", tuple(lines))


def lifting(trial: str, subject: str, decided: DecisionRow, reason: str) -> View:
    return View("Lift a restriction", "privacy/lift", (
        ("Trial", trial), ("Subject", subject), ("Restricted by", f"{decided.decider}, {decided.at[:10]}"),
        ("Reason", reason.replace("_", " ")), ("What follows", "The data may be used again."),
    ))


def erasure(trial: str, subject: str, decided: DecisionRow, duties: Sequence[Duty], copies: Sequence[CopyRow]) -> View:
    kept = "; ".join(one.in_words() for one in duties if one.retention != "none") or "none on record"
    return View("Erase a subject", "privacy/erase", (
        ("Trial", trial), ("Subject", subject), ("Decided by", f"{decided.decider}, {decided.at[:10]}"),
        ("Request", decided.request.replace("_", " ")), ("Legal basis", decided.basis), ("Retention duties", kept),
        ("What follows", "The subject's key is destroyed: images, results and texts can never be read again."),
        ("What stays", "Entries with coded values, digests and ciphertext; names on signatures."),
        ("Holders of copies", "; ".join(f"{one.holder} ({one.kind}, entry {one.entry})" for one in copies) or "none"),
    ))
