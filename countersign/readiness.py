"""What is missing for which act: founding, release, training, delegation, roles nobody holds, documents due."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date

from sqlalchemy import Connection, or_, select

from audit import store
from core.access import queries
from core.access.roles import ROLES
from core.access.rules import Account, Installation
from core.clock import in_words
from core.drift.queries import alarms
from core.errors import ClockUntrusted, NotFound
from core.gates.sentinels import watches
from core.policy.table import TABLE
from core.reviews.periodic_projections import periodic_due
from core.reviews.queries import all_due
from core.work import release
from countersign.acts import ACTS, LEAVES, needed
from countersign.doctor import Finding
from countersign.house import House
from sops.queries import due, overdue_reviews
from validation.queries import capa_lines, installation_is_released


def people_findings(house: House) -> list[Finding]:
    """What is missing, of which act, and who can supply it (TRIAL 1)."""
    try:
        day = in_words(house.desk.clock.now())[:10]
    except ClockUntrusted:
        with house.desk.reading() as session:
            day = in_words(store.head(session)[1])[:10]
    with house.desk.reading() as session:
        return [
            *_founding(session), *_released(session), *_gaps(session, day), *_unheld(session),
            *_documents(session, day), *_actions(session, day), *_reviews(session, day),
            *_drift(session), *_sentinels(session, day),
        ]


def act_findings(house: House, action: str, trial: str | None) -> list[Finding]:
    """What an act still waits for in a trial (or in the house), step by step, and who can supply each of them.

    Raises NotFound for an act that the policy table does not know.
    """
    if action not in ACTS:
        fitting = [one for one in ACTS if one.startswith(action.partition(".")[0])]
        raise NotFound(f"There is no act {action}.",
                       next_step=f"Acts: {', '.join(fitting or ACTS)}.")
    with house.desk.reading() as session:
        on_record = _on_record(session, trial)
        missing = needed(ACTS[action].after, on_record)
        held = _held(session, trial)
        place = f" in {trial}" if trial else ""
        found = [Finding(f"{action}{place} waits for {word}, which is not on record.", fine=False,
                         remedy=_supplier(LEAVES[word], held) if word in LEAVES
                         else "The house records it by itself: keep `countersign work` running.")
                 for word in missing]
    return [*found, Finding(
        f"{action}{place} waits for nothing on record." if not missing else f"Then {action}{place} can be done.",
        fine=not missing and bool(_doers(action, held)), remedy=_supplier(action, held))]


def _on_record(session: Connection, trial: str | None) -> frozenset[str]:
    """The words that the record shows for a trial and for the house."""
    entry = store.entries.c
    of_trial = entry.trial.is_(None) if trial is None else or_(entry.trial.is_(None), entry.trial == trial)
    words = set(session.execute(select(entry.action).where(of_trial).distinct()).scalars())
    if "report.issued" in words:
        words.add("report.signed as approved")
    return frozenset(words)


def _held(session: Connection, trial: str | None) -> dict[str, list[str]]:
    """Role -> the active people who hold it there."""
    held: dict[str, list[str]] = defaultdict(list)
    for person in queries.everybody(session):
        if person.account is Account.ACTIVE:
            for grant in queries.grants_of(session, person.user):
                if grant.trial in ("", trial or ""):
                    held[grant.role].append(person.user)
    return held


def _permitted(action: str) -> list[str]:
    """The roles that a row of the policy table lets do an act; "*" is everybody."""
    found = {role for rule in TABLE if rule.effect == "permit" and rule.names(action) for role in rule.roles}
    return list(ACTS[action].signers) or sorted(found - {"service"})


def _doers(action: str, held: Mapping[str, list[str]]) -> list[str]:
    return [f"{role} ({', '.join(held[role])})" if role != "*" else "everybody for themself"
            for role in dict.fromkeys(_permitted(action)) if role == "*" or role in held]


def _supplier(action: str, held: Mapping[str, list[str]]) -> str:
    """Who does an act and with which command; where nobody holds its role, who grants it."""
    roles = list(dict.fromkeys(_permitted(action)))
    done = f": countersign {ACTS[action].command}" if ACTS[action].command else ""
    if not roles:
        return "The house does it by itself: keep `countersign work` running."
    doers = _doers(action, held)
    lacking = [role for role in roles if role != "*" and role not in held]
    if doers and not (ACTS[action].signers and lacking):
        return f"{' and '.join(doers) if ACTS[action].signers else ' or '.join(doers)}{done}"
    givers = sorted({giver for role in lacking for giver in ROLES[role].granted_by})
    return (f"Nobody holds {' or '.join(lacking)}. {', '.join(givers)}: countersign role grant USER "
            f"{lacking[0]}, then{done or ' it is done'}")


def _founding(session: Connection) -> Iterator[Finding]:
    if queries.installation_state(session) is Installation.OPEN:
        yield Finding("The installation is open.")
        return
    for gap in queries.what_opening_lacks(session):
        yield Finding(f"Before the opening: {gap.what}", fine=False, remedy=gap.supplied_by)


def _released(session: Connection) -> Iterator[Finding]:
    """The software that runs, and QA's release of it (VAL-06)."""
    fine = installation_is_released(session, release())
    yield Finding(
        f"This installation ({release()}) is released by QA." if fine
        else f"This installation ({release()}) is not released, or a run that its release rests on is suspect: no gate "
        "opens, open ones are suspended.",
        fine=fine, remedy="Run IQ and OQ (`countersign validate installation`), then QA: countersign validate release "
        "(--tests FILE, or --demonstration)",
    )


def _gaps(session: Connection, day: str) -> Iterator[Finding]:
    """Training and delegation that people lack in the roles they hold."""
    for person in queries.everybody(session):
        if person.account is Account.CLOSED:
            continue
        if person.account is not Account.ACTIVE:
            yield Finding(f"{person.user} is {person.account.value} and can sign nothing yet.", fine=False,
                          remedy=f"`countersign user show {person.user}` says which step is next.")
        if queries.password_age_exceeded(session, person):
            yield Finding(f"The signing password of {person.user} is older than allowed.", fine=False,
                          remedy=f"{person.user}: countersign key password --as {person.user}")
        gaps = {
            gap: None
            for grant in queries.grants_of(session, person.user)
            for gap in (*queries.training_gaps(session, person.user, grant.role),
                        queries.delegation_gap(session, person.user, grant.role, grant.trial or None, day))
            if gap is not None
        }
        for gap in gaps:
            yield Finding(gap.what, fine=False, remedy=gap.supplied_by)


def _unheld(session: Connection) -> Iterator[Finding]:
    """Acts for which a trial has nobody, grouped by the role that would do; nobody's absence is noticed too late."""
    everyone = [
        grant for person in queries.everybody(session) if person.account is Account.ACTIVE
        for grant in queries.grants_of(session, person.user)
    ]
    for trial in sorted({grant.trial for grant in everyone if grant.trial}):
        held = {grant.role for grant in everyone if grant.trial in ("", trial)}
        waiting: dict[frozenset[str], list[str]] = defaultdict(list)
        for rule in TABLE:
            roles = rule.roles - {"service", "*"}
            if rule.effect == "permit" and roles == rule.roles and not roles & held:
                waiting[roles].extend(rule.actions)
        for roles, actions in sorted(waiting.items(), key=lambda each: sorted(each[0])):
            givers = sorted({giver for role in roles for giver in ROLES[role].granted_by})
            acts = ", ".join(dict.fromkeys(actions))
            yield Finding(
                f"{trial}: nobody holds {' or '.join(sorted(roles))}, so nobody can: {acts}.", fine=False,
                remedy=f"{', '.join(givers)}: countersign role grant USER ROLE --trial {trial}",
            )


def _documents(session: Connection, day: str) -> Iterator[Finding]:
    for version in due(session, day):
        yield Finding(f"{version.name} was to become effective on {version.effective_on}.", fine=False,
                      remedy="Run `countersign work`; it makes what fell due effective.")
    for version in overdue_reviews(session, day):
        yield Finding(f"The periodic review of {version.name} was due by {version.review_by}.", fine=False,
                      remedy=f"Its owner, {version.owner}, reviews it: a new version, or retirement.")


def _actions(session: Connection, day: str) -> Iterator[Finding]:
    """Corrective and preventive actions past their date; a critical one is an alarm (EU Annex 11, 13)."""
    for row in capa_lines(session, state="open"):
        if row["due"] < day:
            alarm = "ALARM: critical action" if row["klass_name"] == "critical" else "Action"
            yield Finding(
                f"{alarm} {row['capa']} for deviation {row['deviation']} was due on {row['due']}.", fine=False,
                remedy=f"{row['owner']} carries it out; QA then: countersign quality check {row['capa']}",
            )


def _reviews(session: Connection, day: str) -> Iterator[Finding]:
    today = date.fromisoformat(day)
    for one in all_due(session):
        yield Finding(
            one.in_words(today), fine=not one.overdue_days(today),
            remedy=f"QA of the trial: countersign review-trail open --trial {one.trial} --as USER, then sign it.")
    for other in periodic_due(session):
        # Procedures are told with their version, where they are told with documents.
        if other.kind != "document":
            yield Finding(other.in_words(today), fine=not other.overdue_days(today) and not other.suspends(today),
                          remedy=other.remedy)


def _drift(session: Connection) -> Iterator[Finding]:
    """Locks in use that drifted, or are watched by nothing."""
    for one in alarms(session):
        yield Finding(one.says, fine=False, remedy=one.remedy)


def _sentinels(session: Connection, day: str) -> Iterator[Finding]:
    """Locks in use whose daily set nobody declared, that missed a day, or whose last answer differed."""
    for one in watches(session):
        missed = one.missed_days(date.fromisoformat(day), 1)
        declare = f"Validation lead or custodian: countersign drift sentinel {one.lock} --declare --as USER"
        if one.declared is None:
            yield Finding(f"{one.lock} is in use without a sentinel set, {missed} days missed.", fine=False,
                          remedy=declare)
        elif one.same is False:
            yield Finding(f"{one.lock} did not answer its sentinel set as declared.", fine=False,
                          remedy="Find what changed on this machine; the model runs again where it answers bit-equal: "
                          f"countersign drift sentinel {one.lock}")
        elif missed:
            yield Finding(f"The sentinel set of {one.lock} was missed on {missed} days.", fine=False,
                          remedy="Keep `countersign work` running; it asks the set once a day.")
