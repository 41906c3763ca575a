"""`countersign report …` and `countersign verify FILE`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from countersign.cli.common import HomeOption, JsonOption, answer, house, told

report_app = typer.Typer(no_args_is_help=True, help="Issued papers: the CSR imaging appendix.")
verify_app = typer.Typer(help="Re-check a bundle or report offline; needs no home.")
APPS = {"report": report_app, "verify": verify_app}

TrialOption = Annotated[str, typer.Option("--trial", help="The trial.")]
DigestOption = Annotated[str, typer.Option("--content", help="Content digest of the paper, or its first eight signs.")]
AsOption = Annotated[str, typer.Option("--as", envvar="COUNTERSIGN_USER", help="Who acts (user id).")]
OutOption = Annotated[Path, typer.Option("--out", help="Where the PDF is written.")]
LinkOption = Annotated[str, typer.Option("--link", help="Address that stands before evidence codes in links.")]
TrustOption = Annotated[Path | None, typer.Option("--trust", help="Trust card of the log it was drawn from.")]
FileArgument = Annotated[Path, typer.Argument(help="bundle .zip, paper .pdf or DICOM object .dcm")]


@report_app.command("csr-appendix")
@told
def csr_appendix(
    trial: TrialOption, out: OutOption, user: AsOption, home: HomeOption = None, as_json: JsonOption = False,
    link: LinkOption = "",
) -> None:
    """Verify the record, draw the appendix from it and write it as a draft for its signers."""
    from core.policy.state import Actor
    from reports import bundling, usecases

    desk = house(home).desk
    report = usecases.draw_appendix(desk, Actor(user), trial)
    pdf, pages = usecases.printed(desk, report, bundling.trial_bundle(desk, trial, user), link)
    _write(out, pdf)
    data = {"report": report.report, "content_sha256": report.content_digest, "size": report.size, "root": report.root,
            "pages": pages, "file": str(out), "status": "unsigned draft"}
    answer(data, as_json=as_json, words=(
        f"{report.report}: {pages} pages, entries 0 to {report.size - 1}, content sha256:{report.content_digest}\n"
        f"Unsigned draft written to {out}.\n"
        f"Next: countersign report sign --trial {trial} --content {report.content_digest[:12]} --part prepared --as …"
    ))


@report_app.command("sign")
@told
def sign(
    trial: TrialOption, content: DigestOption, user: AsOption,
    part: Annotated[str, typer.Option("--part", help="prepared or approved")],
    home: HomeOption = None,
) -> None:
    """Put your name under a drawn paper, as prepared or as approved."""
    from core.errors import UnusableInput
    from core.policy.state import Actor
    from countersign.cli import signing
    from reports import usecases

    if part not in usecases.ACTION:
        raise UnusableInput(f"A paper is signed as prepared or approved, not as {part!r}.")
    desk = house(home).desk
    signing.sign(desk, usecases.sign_report(desk, Actor(user), usecases.SignReport(trial, content, part)))
    step = "sign --part approved --as …" if part == "prepared" else f"issue --as {user} --out FILE"
    typer.echo(f"Next: countersign report {step} --trial {trial} --content {content[:12]}")


@report_app.command("issue")
@told
def issue(
    trial: TrialOption, content: DigestOption, out: OutOption, user: AsOption, home: HomeOption = None,
    link: LinkOption = "",
) -> None:
    """Issue a paper that both have signed: whoever approved it signs its file (PAdES), which is written to FILE."""
    from core.policy.state import Actor
    from countersign.cli import signing
    from reports import issuing, queries

    desk = house(home).desk
    signing.sign(desk, issuing.issue_report(desk, Actor(user), trial, content, evidence_url=link))
    with desk.reading() as session:
        paper = queries.issued_report(session, queries.drawn_report(session, trial, content))
    assert paper is not None  # committed just now
    _write(out, desk.objects.get(paper.pdf))
    typer.echo(f"{paper.report} issued: {paper.pages} pages, sha256:{paper.pdf.sha256}\nWritten to {out}.\n"
               f"Check it anywhere: countersign verify {out}")


@report_app.command("fetch")
@told
def fetch(
    trial: TrialOption, content: DigestOption, out: OutOption, user: AsOption, home: HomeOption = None,
) -> None:
    """Write the file of an issued paper once more, with its time stamps."""
    from core.policy.state import Actor
    from reports import usecases

    desk = house(home).desk
    paper = usecases.issued_paper(desk, Actor(user), trial, content)
    _write(out, desk.objects.get(paper.newest))
    typer.echo(f"{paper.report}, issued {paper.at}, {len(paper.stamps)} time stamps, sha256:{paper.newest.sha256}\n"
               f"Written to {out}.")


@report_app.command("stamp")
@told
def stamp(
    trial: TrialOption, content: DigestOption, user: AsOption,
    url: Annotated[str, typer.Option(help="Address of an RFC 3161 time-stamp authority.")],
    root: Annotated[list[Path], typer.Option(help="Root certificate of the authority, PEM; may be repeated.")],
    home: HomeOption = None,
) -> None:
    """Have the file of an issued paper time-stamped: a revision and an entry of its own; the earlier file stays."""
    from core.errors import UnusableInput
    from core.policy.state import Actor
    from countersign.outside_proof import time_stamp_reply
    from reports.issuing import TimeStampAuthority, stamp_report

    missing = [str(path) for path in root if not path.is_file()]
    if missing:
        raise UnusableInput(f"There is no file {', '.join(missing)}.", next_step="Check the path.")
    authority = TimeStampAuthority(
        url, partial(time_stamp_reply, url), tuple(path.read_bytes() for path in root))
    receipt = stamp_report(house(home).desk, Actor(user), trial, content, authority)
    typer.echo(f"Time-stamped by {url}. Entry {receipt.seq}.\n"
               f"Next: countersign report fetch --trial {trial} --content {content[:12]} --as {user} --out FILE")


@report_app.command("list")
@told
def list_reports(trial: TrialOption, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Papers of a trial: drawn, signed, issued."""
    from reports import queries

    with house(home).desk.reading() as session:
        drawn, issued = queries.drawn_reports(session, trial), queries.issued_reports(session, trial)
    out = {one.content_digest: one for one in issued}
    rows = [{"report": one.report, "content_sha256": one.content_digest, "size": one.size, "drawn_at": one.at,
             "signed": sorted(one.signatures), "issued": one.content_digest in out,
             "time_stamps": list(out[one.content_digest].stamps) if one.content_digest in out else []}
            for one in drawn]
    words = "\n".join(
        f"{row['report']}  {str(row['content_sha256'])[:12]}  entries to {row['size']}  "
        f"{'issued' if row['issued'] else 'signed: ' + (', '.join(one.signatures) or 'nobody yet')}"
        for row, one in zip(rows, drawn, strict=True)
    )
    answer(rows, as_json=as_json, words=words or f"No paper was drawn in {trial} yet.")


@report_app.command("which")
@told
def which(file: FileArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Whether a file is byte for byte a paper that this house issued, and whether it was replaced; 2 where not."""
    import hashlib
    from dataclasses import asdict

    from core.errors import UnusableInput
    from reports import queries

    if not file.is_file():
        raise UnusableInput(f"There is no file {file}.", next_step="Check the path.")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    with house(home).desk.reading() as session:
        found = queries.issued_as(session, digest)
        later = [one for one in queries.issued_reports(session, found.trial) if one.supersedes == found.content_digest
                 ] if found else []
    if found is None:
        answer({"sha256": digest, "issued": None}, as_json=as_json, words=f"sha256:{digest} was never issued here.")
        raise typer.Exit(2)
    words = f"{found.report} of {found.trial}, issued {found.at}, entry {found.entry}, {found.pages} pages."
    if found.stamps:
        words += f" Time-stamped by entry {', '.join(map(str, found.stamps))}."
    words += "".join(f"\nReplaced by {one.report}, issued {one.at}, entry {one.entry}." for one in later)
    answer({"sha256": digest, "issued": asdict(found), "replaced_by": [one.entry for one in later]}, as_json=as_json,
           words=words)


def _write(path: Path, data: bytes) -> None:
    from core.errors import UnusableInput

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        words = f"{path} cannot be written: {error.strerror}."
        raise UnusableInput(words, next_step="Choose another place.") from error


@verify_app.command()
@told
def verify(
    file: FileArgument, trust: TrustOption = None, as_json: JsonOption = False,
    require_trust: Annotated[bool, typer.Option(help="Without a trust card that fits, end with 2.")] = False,
    jobs: Annotated[int, typer.Option(help="Processes that check signatures.")] = 1,
    home: Annotated[str | None, typer.Option(
        "--home", help="For a DICOM object: whether its certificates are of people of this record.")] = None,
) -> None:
    """Check a bundle, paper or signed DICOM object without the system that made it; ends with 2 where it differs."""
    from core.errors import UnusableInput

    if not file.is_file():
        raise UnusableInput(f"There is no file {file}.", next_step="Check the path.")
    with file.open("rb") as opened:
        start = opened.read(1024)
    if b"%PDF-" in start:
        from reports.recheck import check_pdf

        check = check_pdf(file, trust=trust, require_trust=require_trust, jobs=jobs)
        answer(check.as_json(), as_json=as_json, words=check.in_words())
        raise typer.Exit(0 if check.ok else 2)
    if start[128:132] == b"DICM":
        from reports.object_check import check_object

        made = check_object(file)
        if home is not None:
            with house(home).desk.reading() as session:
                made = made.against(session)
        answer(made.as_json(), as_json=as_json, words=made.in_words())
        raise typer.Exit(0 if made.ok else 2)
    if not start.startswith(b"PK"):
        raise UnusableInput(f"{file.name} is neither a bundle (.zip) nor a paper (.pdf) nor a DICOM object (.dcm).",
                            next_step="Give a file that Countersign exported or issued.")
    from audit.verifier import VERIFIED, WrongUse, verify_bundle

    try:
        found = verify_bundle(file, trust, jobs=jobs)
    except WrongUse as wrong:
        raise UnusableInput(str(wrong), next_step="Check path and trust card.") from wrong
    answer(found.as_json(), as_json=as_json, words=found.in_words())
    raise typer.Exit(0 if found.ok and (found.verdict == VERIFIED or not require_trust) else 2)
