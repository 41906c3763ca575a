"""The report of a validation run as a PDF in the house's print, with the report itself and both matrices attached.

What was judged and signed is the report's digest (`validation.concluded`, `validation.reviewed`); this file tells it.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.work import release
from reports.render import HERE, environment, run_press


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """What is printed.

    report: the runner's own, its bytes unchanged. run: state and review of the run as the record has them now.
    deviations: of this run. matrix: requirement rows; matrix_csv, policy_csv: as attached. tests_given: whether
    evidence of tests is counted in the matrix.
    """

    report: bytes
    run: Mapping[str, Any]
    deviations: Sequence[Mapping[str, Any]]
    matrix: Sequence[Any]
    matrix_csv: str
    policy_csv: str
    tests_given: bool


def write_validation(paper: ValidationReport, out: Path) -> None:
    """Write the PDF at `out`. Raises UnusableInput where the renderer fails; nothing is kept then."""
    attached = (
        ("validation-report.json", paper.report, "The report as the runner wrote it"),
        ("requirements.csv", paper.matrix_csv.encode(), "Requirement, tests, steps, evidence"),
        ("policy-matrix.csv", paper.policy_csv.encode(), "Who may act when, by which rows of the policy table"),
    )
    created = str(paper.run["concluded_at"])
    with tempfile.TemporaryDirectory(prefix="countersign-validation-") as name:
        folder = Path(name)
        (folder / "page.html").write_text(environment().get_template("validation.html").render(
            report=json.loads(paper.report), digest=hashlib.sha256(paper.report).hexdigest(), release=release(),
            created=created, state=paper.run["state"], reviewed_by=paper.run["reviewed_by"],
            reviewed_at=paper.run["reviewed_at"], reviewed_seq=paper.run["reviewed_seq"], deviations=paper.deviations,
            matrix=paper.matrix, tests_given=paper.tests_given,
            policy_digest=hashlib.sha256(paper.policy_csv.encode()).hexdigest(),
        ), encoding="utf-8")
        for source in (HERE / "report.css", HERE / "templates" / "query.css", HERE / "templates" / "mark-line.svg"):
            (folder / source.name).write_bytes(source.read_bytes())
        for file, data, _ in attached:
            (folder / file).write_bytes(data)
        (folder / "job.json").write_text(json.dumps({
            "created": created, "styles": ["report.css", "query.css"],
            "attachments": [{"file": file, "name": file, "description": what, "relationship": "Data"}
                            for file, _, what in attached]}))
        run_press(folder)
        out.write_bytes((folder / "paper.pdf").read_bytes())
