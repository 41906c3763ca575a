"""A paper is drawn, signed by two and issued once on PostgreSQL, too; of two approvals at once one wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import Refused, Stale
from core.policy.state import Actor
from reports import issuing, queries, usecases
from reports.recheck import check_pdf
from tests.builders.papers import TRIAL, a_small_trial
from tests.conftest import need
from tests.house import a_house
from tests.req import req


@req("RPT-01", "RPT-02", "REC-14")
def test_a_paper_is_issued_once_on_postgresql(tmp_path: Path) -> None:
    need("postgres")
    from tests.postgres import fresh_database

    lead, qa = Actor("trial-lead"), Actor("qa")
    with a_house(tmp_path / "house", fresh_database()) as house:
        a_small_trial(house)
        house.person("qa-2", "qa_auditor", trial=TRIAL)
        drawn = usecases.draw_appendix(house.desk, lead, TRIAL)
        house.commit(usecases.sign_report(
            house.desk, lead, usecases.SignReport(TRIAL, drawn.content_digest, "prepared")))
        approve = usecases.SignReport(TRIAL, drawn.content_digest, "approved")
        both = [usecases.sign_report(house.desk, actor, approve) for actor in (qa, Actor("qa-2"))]
        house.commit(both[0])
        with pytest.raises((Refused, Stale)):
            house.commit(both[1])
        pages = [issuing.issue_report(house.desk, qa, TRIAL, drawn.content_digest) for _ in range(2)]
        house.commit(pages[0])
        with pytest.raises((Refused, Stale)):
            house.commit(pages[1])
        with house.desk.reading() as session:
            (issued,) = queries.issued_reports(session, TRIAL)
        path = tmp_path / "paper.pdf"
        path.write_bytes(house.desk.objects.get(issued.pdf))
        check = check_pdf(path)
        assert check.ok, check.in_words()
        assert check.signatures == 2
        assert [one["kind"] for one in check.file_signatures] == ["signature"]
        assert house.words().count("report.issued") == 1
