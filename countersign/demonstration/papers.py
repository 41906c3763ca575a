"""The appendix: drawn from the record, signed by two, issued with the record inside; a changed number is caught."""

from __future__ import annotations

import re
from pathlib import Path

from core.errors import Refused
from countersign.demonstration.cast import actor
from countersign.demonstration.stage import Stage
from countersign.demonstration.trial import LEAD, TRIAL
from reports import bundling, issuing, usecases
from reports.attached import CONTENT_NAME
from reports.recheck import check_pdf

QA = "qa-auditor"
APPENDIX, BUNDLE, TAMPERED = "csr-imaging-appendix.pdf", "inspection-bundle.zip", "csr-imaging-appendix-tampered.pdf"


def write_papers(stage: Stage) -> Path:
    """Issue the appendix and export the bundle; returns the appendix. One changed number must be found."""
    with stage.scene("Papers: the CSR imaging appendix and the inspection bundle"):
        drawn = usecases.draw_appendix(stage.desk, actor(LEAD), TRIAL)
        digest = drawn.content_digest
        stage.refused(
            "QA approving a paper that nobody prepared",
            lambda: usecases.sign_report(stage.desk, actor(QA), usecases.SignReport(TRIAL, digest, "approved")),
            expect=Refused,
        )
        for user, part in ((LEAD, "prepared"), (QA, "approved")):
            stage.signed(usecases.sign_report(stage.desk, actor(user), usecases.SignReport(TRIAL, digest, part)))
        stage.refused("the trial lead issuing what QA approved",
                      lambda: issuing.issue_report(stage.desk, actor(LEAD), TRIAL, digest), expect=Refused)
        stage.signed(issuing.issue_report(stage.desk, actor(QA), TRIAL, digest))
        issued = usecases.issued_paper(stage.desk, actor(QA), TRIAL, digest)
        appendix = stage.folder / APPENDIX
        appendix.write_bytes(stage.desk.objects.get(issued.pdf))
        bundle = stage.folder / BUNDLE
        bundle.write_bytes(bundling.trial_bundle(stage.desk, TRIAL, QA))
        check = check_pdf(appendix)
        stage.must(check.ok, f"the appendix agrees with its record: {check.in_words()}")
        stage.say(f"   {issued.pages} pages, {check.numbers} numbers made again from the attached record")
        stage.say(f"   the file: {check.steps[9]}")
        found = tampering_found(appendix, stage.folder / TAMPERED)
        stage.must(bool(found), "a changed number in the appendix is found")
        stage.say(f"   a changed number was found: {found}")
    stage.note("CSR imaging appendix", appendix)
    stage.note("Inspection bundle", bundle)
    stage.note("A tampered copy of the appendix", stage.folder / TAMPERED)
    return appendix


def tampering_found(appendix: Path, copy: Path) -> str:
    """Change one printed number in the data of a copy; what the check says of it, or nothing if it does not see it."""
    import pikepdf

    with pikepdf.open(appendix) as pdf:
        content = pdf.attachments[CONTENT_NAME].get_file().read_bytes()
        at = re.search(rb'"rule":"read\.sum","text":"(\d+)\.(\d)"', content)
        if at is None:
            return ""
        other = b'"rule":"read.sum","text":"%s.%d"' % (at[1], (int(at[2]) + 1) % 10)
        pdf.attachments[CONTENT_NAME].obj.EF.F.write(content[: at.start()] + other + content[at.end() :])
        pdf.save(copy)
    check = check_pdf(copy)
    numbers = [finding for finding in check.findings if finding.step == 5]
    return numbers[0].in_words() if numbers else ""
