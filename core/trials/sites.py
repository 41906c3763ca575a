"""Sites: trained, their scanners qualified, activated for a charter version from a day on, closed (TRIAL 3)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection

from audit.vocabulary import trials as words
from core.access.drafts import draft
from core.errors import NotFound, Refused, UnusableInput
from core.policy.decide import permit
from core.policy.state import Actor
from core.trials import queries, views
from core.trials.rules import follow
from core.work import Desk, Draft, Occasion, Proposal


def _site(session: Connection, trial: str, site: str) -> queries.SiteRow:
    row = queries.site_of(session, trial, site)
    if row is None:
        known = ", ".join(one.site for one in queries.sites_of(session, trial)) or "none"
        raise NotFound(f"Trial {trial} has no site {site}; its charter names: {known}.")
    return row


def a_day(text: str, what: str) -> str:
    """An ISO day, checked. Raises UnusableInput."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise UnusableInput(f"{what} {text!r} is no day; write YYYY-MM-DD.") from error


def train_site(desk: Desk, actor: Actor, trial: str, site: str) -> Proposal:
    """The people of a site know the imaging manual of the charter in force."""

    def propose(session: Connection, occasion: Occasion) -> Draft:
        row = _site(session, trial, site)
        charter = queries.charter_of(session, trial)
        decision = permit(actor, "site.train", queries.facts_for(session, actor, "site.train", trial))
        follow("site", site, row.state, "site.trained")
        event = words.SiteTrained(site=site, charter_version=charter.version)
        view = views.site("Confirm a site's training", trial, (("Site", site), ("Charter", charter.version)))
        return draft(session, actor, event, decision, "review", view, "site.train", trial=trial)

    return desk.prepare(actor, propose, asked="site.train")


@dataclass(frozen=True, slots=True)
class QualifyScanner:
    """A scanner whose phantom scan passed; `scanner` is the device serial number that its images carry."""

    trial: str
    site: str
    scanner: str
    modality: str
    manufacturer: str
    valid_until: str
    evidence: str


def qualify_scanner(desk: Desk, actor: Actor, command: QualifyScanner) -> Proposal:
    """The imaging lead signs that a scanner's phantom scan passes this trial's rules, until a day."""
    until = a_day(command.valid_until, "The end of the qualification")

    def propose(session: Connection, occasion: Occasion) -> Draft:
        row = _site(session, command.trial, command.site)
        decision = permit(actor, "scanner.qualify", queries.facts_for(
            session, actor, "scanner.qualify", command.trial))
        follow("site", command.site, row.state, "scanner.qualified")
        if until <= occasion.at[:10]:
            raise UnusableInput(f"A qualification until {until} is over already.")
        event = words.ScannerQualified(
            site=command.site, scanner=command.scanner, modality=command.modality, manufacturer=command.manufacturer,
            valid_until=until, evidence=command.evidence,
        )
        view = views.site("Qualify a scanner", command.trial, (
            ("Site", command.site), ("Scanner", command.scanner), ("Modality", command.modality),
            ("Manufacturer", command.manufacturer), ("Valid until", until), ("Evidence", command.evidence),
        ))
        return draft(session, actor, event, decision, "review", view, "scanner.qualify", trial=command.trial)

    return desk.prepare(actor, propose, asked="scanner.qualify")


def activate_site(desk: Desk, actor: Actor, trial: str, site: str, effective_on: str) -> Proposal:
    """Images acquired at the site from a day on count, under the charter in force."""
    day = a_day(effective_on, "The effective date")

    def propose(session: Connection, occasion: Occasion) -> Draft:
        row = _site(session, trial, site)
        signed = queries.signed_charter(session, trial)
        relations = frozenset() if signed else frozenset({"no_charter"})
        decision = permit(actor, "site.activate", queries.facts_for(
            session, actor, "site.activate", trial, relations=relations))
        follow("site", site, row.state, "site.activated")
        if signed is None:
            raise Refused("No approved charter is in force in this trial.", rule="F-207")
        lacking = sorted(
            {one for point in signed.charter.schedule for one in point.modalities}
            - {one.modality for one in queries.scanners_of(session, trial, site) if one.valid_until >= occasion.at[:10]}
        )
        if lacking:
            raise Refused(f"Site {site} has no qualified scanner for {', '.join(lacking)}.", rule="F-210")
        event = words.SiteActivated(site=site, charter_version=signed.version, effective_on=day)
        scanners = ", ".join(f"{one.scanner} ({one.modality})" for one in queries.scanners_of(session, trial, site))
        view = views.site("Activate a site", trial, (
            ("Site", site), ("Charter", signed.version), ("From", day), ("Qualified scanners", scanners or "none"),
        ))
        return draft(session, actor, event, decision, "approval", view, "site.activate", trial=trial)

    return desk.prepare(actor, propose, asked="site.activate")


def close_site(desk: Desk, actor: Actor, trial: str, site: str) -> Proposal:
    """Images that come later are held."""

    def propose(session: Connection, occasion: Occasion) -> Draft:
        row = _site(session, trial, site)
        decision = permit(actor, "site.close", queries.facts_for(session, actor, "site.close", trial))
        follow("site", site, row.state, "site.closed")
        view = views.site("Close a site", trial, (("Site", site),))
        return draft(session, actor, words.SiteClosed(site=site), decision, "approval", view, "site.close", trial=trial)

    return desk.prepare(actor, propose, asked="site.close")
