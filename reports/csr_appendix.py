"""The CSR imaging appendix: from the record of one trial to its page model.

A pure function of the range: no clock, no settings, no tables. The same entries give the same content digest, in the
house and in the hands of whoever checks the paper (RPT-01, RPT-02).
"""

from __future__ import annotations

from core.errors import NotFound
from reports import recompute
from reports.book import Book, Line
from reports.model import Cover, Figure, Paper, Signing, Table
from reports.quoting import Quote
from reports.tables import agreement, changes, governance, images, models, people, reads, statement, subjects

KIND = "csr_appendix"
# Before the first release in use there is one edition. From then on a change of tables or rules is the next one, and
# the number it replaces joins EARLIER: such papers are checked cell by cell, but not built again.
EDITION, EARLIER = "1", frozenset[str]()
PARTS = (("prepared", "Prepared and complete", "trial_lead"), ("approved", "Approved for issue", "qa_auditor"))


def build(book: Book, trial: str, release: str) -> Paper:
    """The appendix without its signatures.

    Raises:
        NotFound: the range holds no such trial.
        CannotRecompute: an entry lacks what its word promises; the paper is refused rather than guessed.
    """
    created = governance.of_trial(book, trial, "trial.created")
    if not created:
        raise NotFound(f"Entries 0 to {book.range.size - 1} hold no trial {trial}.")
    book = book.of_trial(trial)
    quote = Quote(book)
    tables: list[Table] = [
        statement.statement(book, quote, trial),
        governance.charter(book, quote, trial), governance.limits(book, quote, trial),
        people.readers(book, quote, trial),
        images.acquisition(book, quote, trial), images.turned_away(book, quote, trial),
        models.models(book, quote, trial), models.runs(book, quote, trial),
        changes.model_changes(book, quote, trial), changes.locks_by_subject(book, quote, trial),
        changes.sensitivity(book, quote, trial),
        models.validation(book, quote, trial),
        governance.gates(book, quote, trial), governance.criteria(book, quote, trial),
        governance.evidence(book, quote, trial), governance.waivers(book, quote, trial),
        reads.reads(book, quote, trial), reads.lesions(book, quote, trial),
        reads.adjudications(book, quote, trial), reads.adjudication_rate(book, quote, trial),
        agreement.variability(book, quote, trial), reads.overrides(book, quote, trial),
        subjects.missing(book, quote, trial), models.deviations(book, quote, trial),
        statement.audit_trail(book, quote, trial), agreement.beside_final(book, quote, trial),
    ]
    figures: list[Figure] = [*agreement.waterfall(book, trial), *agreement.bland_altman(book, trial)]
    course = subjects.timelines(book, trial, agreement.accepted_responses(book, trial))
    if course is not None:
        figures.append(course)
    return Paper(_cover(book, trial, release, created[0]), tuple(tables), tuple(figures))


def document_id(trial: str) -> str:
    """The id of the trial's imaging appendix, the same for all versions."""
    return f"{trial}-CSR-imaging"


def version_in(book: Book, trial: str) -> str:
    """The version that a paper drawn from this range has: one more than was issued in it."""
    issued = [line for line in governance.of_trial(book, trial, "report.issued") if line.get("kind") == KIND]
    return f"{len(issued) + 1}.0"


def _cover(book: Book, trial: str, release: str, created: Line) -> Cover:
    charters = governance.of_trial(book, trial, "charter.signed")
    approved = governance.of_trial(book, trial, "charter.approved")
    locked = bool(governance.of_trial(book, trial, "database.locked"))
    unlocked = governance.of_trial(book, trial, "database.unlocked")
    final = locked and not (unlocked and unlocked[-1].seq > governance.of_trial(book, trial, "database.locked")[-1].seq)
    demonstration = bool(created.get("demonstration", False))
    evidence_class = "demonstration, not for clinical use" if demonstration else "clinical"
    if charters:
        evidence_class = f"{charters[-1].get('evidence_class')}{', not for clinical use' if demonstration else ''}"
    subjects_seen = {key[0] for key in subjects.lives(book, trial)}
    facts: list[tuple[str, str]] = []
    if approved:
        last = approved[-1]
        at = recompute.written(last.body["at"], "utc")
        version, code = last.get("charter_version"), book.codes.code(last.seq)
        facts.append(("Charter", f"version {version}, approved {at} UTC, {code}"))
    facts += [("AI", _use_of_ai(book, trial)), ("Subjects", f"{len(subjects_seen)} with expected time points")]
    return Cover(
        trial=trial, document=document_id(trial), version=version_in(book, trial),
        title="Imaging results by reader and time point",
        subtitle=f"Imaging appendix (16.2.6) to the clinical study report of {trial}, {created.get('title')}.",
        status="final" if final else "interim, draft", evidence_class=evidence_class, range=book.range,
        facts=tuple(facts), release=release, edition=EDITION,
    )


def _use_of_ai(book: Book, trial: str) -> str:
    opened = governance.of_trial(book, trial, "gate.opened")
    if not opened:
        return "no gate was opened in this range"
    words = dict.fromkeys(
        f"{str(line.get('use_name')).replace('_', ' ')}{' of ' + line.get('endpoint') if line.get('endpoint') else ''}"
        for line in opened
    )
    return f"gates opened for {', '.join(words)}; life of each in A6"


def signings(book: Book, trial: str, digest: str) -> tuple[Signing, ...]:
    """The signature blocks of the content with this digest: made ones from the record, dashed ones still needed."""
    blocks = []
    for part, meaning, role in PARTS:
        made = [line for line in governance.of_trial(book, trial, "report.signed")
                if line.get("content_digest") == digest and line.get("part") == part]
        blocks.append(_signing(book, made[0], meaning) if made else Signing("Not yet signed", meaning, _role(role)))
    return tuple(blocks)


def _signing(book: Book, line: Line, meaning: str) -> Signing:
    manifest = line.body.get("manifest", {})
    auth = manifest.get("auth", {})
    factors = ", ".join(str(factor).replace("_", " ") for factor in auth.get("factors", []))
    at = f"{str(line.body['at'])[:26].replace('T', ' ')} UTC"
    said = (at, f"By {factors}" if factors else "", f"Meaning: {manifest.get('meaning', '')}")
    return Signing(str(manifest.get("printed_name") or recompute.name_of(book, line.person)), meaning,
                   _role(str(line.body["role"])), tuple(filter(None, said)), line.seq, book.codes.code(line.seq))


def _role(role: str) -> str:
    return {"qa_auditor": "QA auditor"}.get(role, role.replace("_", " ").capitalize())
