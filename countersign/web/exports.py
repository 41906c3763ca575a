"""Answers of the ledger taken away as files, from the page's buttons or by a machine; each is an entry."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field
from starlette.background import BackgroundTask

from audit import query as language
from core.errors import Refused, UnusableInput
from core.policy.state import Actor
from countersign.web.accounts import Session
from countersign.web.app import Site, same_token, the_person, the_site

router = APIRouter()
TheSite = Annotated[Site, Depends(the_site)]
ThePerson = Annotated[Session, Depends(the_person)]
FileForm = Literal["csv", "json", "pdf"]
MEDIA = {"csv": "text/csv; charset=utf-8", "json": "application/json", "pdf": "application/pdf"}


class ExportWish(BaseModel, extra="forbid"):
    """A question and the form in which its whole answer is wanted."""

    q: Annotated[str, Field(max_length=2000)] = ""
    form: FileForm


def asked(q: str) -> language.Query:
    """The question. Raises UnusableInput with its place."""
    try:
        return language.parse(q)
    except language.QueryError as error:
        raise UnusableInput(str(error), next_step="Correct the question.") from error


def same_session(person: Session, token: str) -> None:
    """Raises Refused for a form that does not belong to the session."""
    if not same_token(token, person.csrf):
        raise Refused("This form does not belong to your session.", rule="F-00", next_step="Load the page again.")


@router.post("/ledger/export", name="export", include_in_schema=False)
def export_page(
    site: TheSite, person: ThePerson, token: Annotated[str, Form(max_length=100)], form: Annotated[FileForm, Form()],
    q: Annotated[str, Form(max_length=2000)] = "",
) -> FileResponse:
    same_session(person, token)
    return _export(site, person, q, form)


@router.post("/api/v1/exports", name="api-export", response_class=FileResponse)
def export_api(site: TheSite, person: ThePerson, wish: ExportWish) -> FileResponse:
    """Everything that fits, as a file. The headers name the entry of this export and the digest that it holds."""
    return _export(site, person, wish.q, wish.form)


def _export(site: Site, person: Session, q: str, form: str) -> FileResponse:
    from reports.query_export import export_query

    query = asked(q)
    folder = Path(tempfile.mkdtemp(prefix="countersign-export-"))
    try:
        made = export_query(site.house.desk, query, folder / f"ledger.{form}", person=Actor(person.user),
                            through="session", origin=site.house.settings.origin)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return FileResponse(
        made.path, media_type=MEDIA[form], filename=f"ledger-{made.entry}.{form}",
        headers={"X-Countersign-Entry": str(made.entry), "X-Countersign-SHA256": made.sha256,
                 "X-Countersign-Withheld": str(made.withheld)},
        background=BackgroundTask(shutil.rmtree, folder, ignore_errors=True))
