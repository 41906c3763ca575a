"""Pages of quality: deviations from report to closing by another person, corrective and preventive actions judged on
their effect, and changes with their class and the validation to be done again."""

from __future__ import annotations

import json
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

from fastapi import APIRouter, File, Query, Request, Response, UploadFile

from audit.vocabulary.registry import ObjectRef
from core import ledger_queries as record
from core.clock import in_words
from core.errors import CountersignError, NotFound
from core.ledger_queries import SessionReader
from core.policy.state import Actor
from countersign.web.accounts import Session
from countersign.web.acting import (
    Name,
    ThePerson,
    TheSite,
    Token,
    Words,
    kept_file,
    may,
    proposed,
    read_file,
    validation_scope,
)
from countersign.web.app import Site
from countersign.web.exports import same_session

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping

    from core.ledger_scope import Scope

router = APIRouter(include_in_schema=False)
Signed = Annotated[int | None, Query()]
CLASSES = ("critical", "major", "minor")
File_ = Annotated[UploadFile | None, File()]


@router.get("/quality", name="quality")
def quality_page(request: Request, site: TheSite, person: ThePerson, signed: Signed = None) -> Response:
    """Deviations, actions and changes, what is open first; and the forms that begin one."""
    return _list(request, site, person, signed=signed)


def _today(site: Site) -> date:
    return date.fromisoformat(in_words(site.house.desk.clock.now())[:10])


def _shown(session: Connection, scope: Scope) -> dict[str, RowMapping]:
    """Deviations of the house and of the trials that the person may see."""
    from validation import queries

    return {row["deviation"]: row for row in queries.deviation_lines(session)
            if row["trial"] is None or scope.covers(row["trial"])}


def _list(
    request: Request, site: Site, person: Session, problem: CountersignError | None = None, *, form: str = "",
    typed: dict[str, str] | None = None, signed: int | None = None,
) -> Response:
    from validation import queries
    from validation.rules import CHANGES

    with site.house.desk.reading() as session:
        scope = validation_scope(session, person)
        shown = _shown(session, scope)
        actions = [row for row in queries.capa_lines(session) if row["deviation"] in shown]
        return site.page(
            request, "quality.html", person, problem.http_status if problem else 200, scope=scope,
            deviations=sorted(shown.values(), key=lambda row: (row["state"] != "open", -row["entry"])),
            actions=sorted(actions, key=lambda row: (row["state"] != "open", row["due"])),
            changes=[dict(row) | {"runs": json.loads(row["runs"])} for row in queries.change_lines(session)][::-1],
            classes=CLASSES, kinds=CHANGES, today=_today(site).isoformat(), problem=problem, form=form,
            typed=typed or {}, trials=sorted(name for name in scope.trials if name),
            locks=queries.locks_known(session), signed=signed, opening=may(session, person, "deviation.open"),
            assessing=may(session, person, "change.assess"), note=record.newest_note(SessionReader(session)))


@router.post("/quality/deviations", name="open-deviation")
def open_deviation_page(
    request: Request, site: TheSite, person: ThePerson, token: Token, deviation: Name = "", klass: Name = "",
    source: Name = "operation", about: Words = "", says: Words = "", trial: Name = "", lock: Name = "",
) -> Response:
    """What was not as signed, by whoever saw it."""
    from validation.releases import OpenDeviation, open_deviation

    same_session(person, token)
    command = OpenDeviation(deviation.strip(), klass, source.strip(), about.strip(), says.strip(), trial or None,
                            lock or None)
    typed = {"deviation": deviation, "klass": klass, "source": source, "about": about, "says": says, "trial": trial,
             "lock": lock}
    return proposed(
        site, lambda: open_deviation(site.house.desk, Actor(person.user), command),
        partial(_list, request, site, person, form="deviation", typed=typed), back="/quality",
        then=f"/quality/deviations/{quote(command.deviation)}")


@router.get("/quality/deviations/{name:path}", name="deviation")
def deviation_page(request: Request, site: TheSite, person: ThePerson, name: str, signed: Signed = None) -> Response:
    return _deviation(request, site, person, name, signed=signed)


def _deviation(
    request: Request, site: Site, person: Session, name: str, problem: CountersignError | None = None, *,
    form: str = "", typed: dict[str, str] | None = None, signed: int | None = None,
) -> Response:
    from core.access.queries import everybody
    from validation import queries
    from validation.quality import KINDS

    with site.house.desk.reading() as session:
        row = _shown(session, validation_scope(session, person)).get(name)
        if row is None:
            raise NotFound(f"There is no deviation {name} among those that you may see.",
                           next_step="The page /quality lists them.")
        failed = queries.step_at(session, row["about"])
        linked = queries.capas_of(session, name)
        relations = {"tester"} if person.user in (row["opened_by"], failed and failed["observed_by"]) else set()
        if row["klass_name"] == "critical" and not linked:
            relations.add("without_capa")
        return site.page(
            request, "deviation.html", person, problem.http_status if problem else 200, row=row, linked=linked,
            failed=failed, closing=json.loads(row["closing"]) if row["closing"] else None,
            retests=queries.passed_after(session, failed) if failed and failed["verdict"] == "failed" else [],
            may_close=may(session, person, "deviation.close", row["trial"], *relations),
            may_plan=may(session, person, "capa.open"), problem=problem, form=form, typed=typed or {}, signed=signed,
            kinds=KINDS, people=[one.user for one in everybody(session)], today=_today(site).isoformat(),
            run=row["about"].partition("/")[0] if failed else None)


@router.post("/quality/deviations/{name:path}/close")
def close_deviation_page(
    request: Request, site: TheSite, person: ThePerson, name: str, token: Token, cause: Words = "", impact: Words = "",
    action: Words = "", conclusion: Words = "", retest: Words = "", no_retest: Words = "",
) -> Response:
    """Cause, impact, action, retest and conclusion; the person in whose work it arose is refused."""
    from validation.releases import CloseDeviation, close_deviation

    same_session(person, token)
    again = retest.strip() or (f"none: {no_retest.strip()}" if no_retest.strip() else None)
    command = CloseDeviation(name, cause.strip(), impact.strip(), action.strip(), conclusion.strip(), again)
    typed = {"cause": cause, "impact": impact, "action": action, "conclusion": conclusion, "retest": retest,
             "no_retest": no_retest}
    return proposed(
        site, lambda: close_deviation(site.house.desk, Actor(person.user), command),
        partial(_deviation, request, site, person, name, form="close", typed=typed),
        back=f"/quality/deviations/{quote(name)}")


# -- Actions -------------------------------------------------------------------------------------------------------


@router.post("/quality/deviations/{name:path}/actions")
def open_capa_page(
    request: Request, site: TheSite, person: ThePerson, name: str, token: Token, capa: Name = "", kind: Name = "",
    action: Words = "", owner: Name = "", due: Name = "", effect_check: Words = "",
) -> Response:
    """An action against the cause of a deviation, with owner, day and how its effect will be seen."""
    from validation.quality import OpenCapa, open_capa

    same_session(person, token)
    command = OpenCapa(capa.strip(), name, kind, action.strip(), owner.strip(), due.strip(), effect_check.strip())
    typed = {"capa": capa, "kind": kind, "plan": action, "owner": owner, "due": due, "effect_check": effect_check}
    return proposed(
        site, lambda: open_capa(site.house.desk, Actor(person.user), command),
        partial(_deviation, request, site, person, name, form="plan", typed=typed),
        back=f"/quality/deviations/{quote(name)}")


@router.get("/quality/actions/{capa:path}/evidence", name="capa-evidence")
def capa_evidence(site: TheSite, person: ThePerson, capa: str) -> Response:
    """The file that shows the effect of an action, its digest checked."""
    from validation import queries

    with site.house.desk.reading() as session:
        row = queries.capa_row(session, capa)
        shown = row["deviation"] in _shown(session, validation_scope(session, person))
    kept = json.loads(row["closing"] or "{}").get("evidence") if shown else None
    if kept is None:
        raise NotFound(f"Nothing is kept that shows an effect of {capa}.", next_step="The page /quality lists actions.")
    return kept_file(site, ObjectRef(**kept))


@router.get("/quality/actions/{capa:path}", name="capa")
def capa_page(request: Request, site: TheSite, person: ThePerson, capa: str, signed: Signed = None) -> Response:
    return _capa(request, site, person, capa, signed=signed)


def _capa(
    request: Request, site: Site, person: Session, capa: str, problem: CountersignError | None = None, *,
    typed: dict[str, str] | None = None, signed: int | None = None,
) -> Response:
    from validation import queries
    from validation.quality import EFFECTS

    with site.house.desk.reading() as session:
        row = queries.capa_row(session, capa)
        deviation = _shown(session, validation_scope(session, person)).get(row["deviation"])
        if deviation is None:
            raise NotFound(f"There is no action {capa} among those that you may see.",
                           next_step="The page /quality lists them.")
        own = ("owner",) if person.user == row["owner"] else ()
        return site.page(
            request, "capa.html", person, problem.http_status if problem else 200, row=row, deviation=deviation,
            ended=json.loads(row["closing"]) if row["closing"] else None, effects=EFFECTS, problem=problem,
            typed=typed or {},
            others=[one["capa"] for one in queries.capas_of(session, row["deviation"])
                    if one["state"] == "open" and one["capa"] != capa],
            may_close=may(session, person, "capa.close", None, *own), today=_today(site).isoformat(), signed=signed)


@router.post("/quality/actions/{capa:path}")
def close_capa_page(
    request: Request, site: TheSite, person: ThePerson, capa: str, token: Token, done: Words = "", effect: Name = "",
    checked: Words = "", followed_by: Name = "", evidence: File_ = None,
) -> Response:
    """Whether the action had its effect, judged by another person than its owner."""
    from validation.quality import CloseCapa, close_capa

    same_session(person, token)
    content, media = read_file(evidence)
    command = CloseCapa(capa, done.strip(), effect, checked.strip(), content, media, followed_by or None)
    typed = {"done": done, "effect": effect, "checked": checked, "followed_by": followed_by}
    return proposed(
        site, lambda: close_capa(site.house.desk, Actor(person.user), command),
        partial(_capa, request, site, person, capa, typed=typed), back=f"/quality/actions/{quote(capa)}")


# -- Changes -------------------------------------------------------------------------------------------------------


@router.post("/quality/changes")
def assess_change_page(
    request: Request, site: TheSite, person: ThePerson, token: Token, change: Name = "", klass: Name = "",
    says: Words = "", lock: Name = "", proof: File_ = None,
) -> Response:
    """The class of a change; the page that is signed names every run that becomes suspect by it."""
    from validation.quality import AssessChange, assess_change

    same_session(person, token)
    content, media = read_file(proof)
    command = AssessChange(change.strip(), klass, says.strip(), lock or None, content, media)
    typed = {"change": change, "klass": klass, "says": says, "lock": lock}
    return proposed(
        site, lambda: assess_change(site.house.desk, Actor(person.user), command),
        partial(_list, request, site, person, form="change", typed=typed), back="/quality", settles=True)
