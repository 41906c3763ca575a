"""What people are shown before they sign an act about people; every value, nothing else."""

from __future__ import annotations

from audit.vocabulary.ledger import KeyPasskeyEnrolled
from core.access.roles import ROLES, Grant
from core.work import View


def where(grant: Grant) -> str:
    """The place of a grant in words."""
    if not grant.trial:
        return "the whole installation"
    return f"trial {grant.trial}" + (f", site {grant.site}" if grant.site else "")


def registration(user: str, printed_name: str, local_offset: str) -> View:
    return View("Register a person", "person-registered", (
        ("User id, never given to anybody else", user), ("Printed name on signatures", printed_name),
        ("Local time", f"UTC{local_offset}"),
    ))


def identity(user: str, printed_name: str, how: str, until: str) -> View:
    return View("Identity checked", "identity-checked", (
        ("Person", f"{printed_name} ({user})"), ("Checked by", how.replace("_", " ")),
        ("I saw this person and am satisfied that they are who they say", "yes"), ("One-time code valid until", until),
    ))


def enrolment(user: str, printed_name: str, identity_how: str, kid: str, witness: str) -> View:
    return View("Enrol a personal key", "key-enrolled", (
        ("Person", f"{printed_name} ({user})"), ("Identity was checked by", identity_how.replace("_", " ")),
        ("Key", kid), ("Second person who proves this enrolment", witness),
        ("Password and key were made by their holder", "yes"),
    ))


def rotation(user: str, printed_name: str, old: str, new: str, *, new_factor: bool) -> View:
    return View("Replace your own key", "key-rotated", (
        ("Person", f"{printed_name} ({user})"), ("Key that signs this and nothing after it", old), ("New key", new),
        ("Second factor", "a new one is made" if new_factor else "stays as it is"),
        ("What you signed before", "stays yours and stays valid"),
    ))


def house_rotation(klass: str, holder: str, kid: str, because: str, first: str | None) -> View:
    return View("Replace a key of the house", "key-rotation-signed", (
        ("Key", f"{klass} key of {holder}"), ("Key id", kid), ("Why", because),
        ("First signature", first or "this one; owner and QA both sign"),
        ("When the key is replaced", "with this signature" if first else "with the second signature"),
    ))


def recovery(user: str, printed_name: str, how: str, because: str, not_before: str, kids: list[str]) -> View:
    return View("Recover an account", "recovery-begun", (
        ("Person", f"{printed_name} ({user})"), ("Identity checked by", how.replace("_", " ")), ("Why", because),
        ("Keys revoked now", ", ".join(kids) or "none in force"), ("A new key not before", not_before),
        ("The person was told by another way than this system", "yes"),
    ))


def accountability(printed_name: str, user: str, statement: str) -> View:
    return View("Accountability statement", "accountability-stated", (
        ("Person", f"{printed_name} ({user})"), ("Statement", statement),
    ))


def grant(subject: str, printed_name: str, given: Grant, because: str, delegates: bool) -> View:
    return View("Grant a role", "role-granted", (
        ("Person", f"{printed_name} ({subject})"), ("Role", f"{ROLES[given.role].title} ({given.role})"),
        ("What the role does", ROLES[given.role].description), ("For", where(given)), ("Why", because),
        ("This signature also delegates the tasks", "yes" if delegates else "no"),
    ))


def revocation(subject: str, printed_name: str, taken: Grant, because: str) -> View:
    return View("Take a role", "role-revoked", (
        ("Person", f"{printed_name} ({subject})"), ("Role", f"{ROLES[taken.role].title} ({taken.role})"),
        ("For", where(taken)), ("Why", because),
    ))


def delegation(subject: str, printed_name: str, given: Grant, from_on: str, until_on: str | None) -> View:
    return View("Delegate tasks", "delegation-signed", (
        ("Person", f"{printed_name} ({subject})"), ("Role", f"{ROLES[given.role].title} ({given.role})"),
        ("For", where(given)), ("From", from_on), ("Until", until_on or "it is ended"),
    ))


def ending(title: str, template: str, subject: str, printed_name: str, what: str, because: str) -> View:
    return View(title, template, (
        ("Person", f"{printed_name} ({subject})"), ("What ends", what), ("Why", because),
    ))


def review(scope: str, lines: list[tuple[str, str]], conclusion: str, next_by: str) -> View:
    return View("Review of access", "access-reviewed", (
        ("Scope", scope), *lines, ("Conclusion", conclusion), ("Next review by", next_by),
    ))


def founding(owner: str, qa: str, origin: str) -> View:
    return View("Found this installation", "installation-founded", (
        ("Name of the record", origin), ("System owner", owner), ("Quality assurance", qa),
        ("Until it is opened", "only the founding acts are possible, and no trial can exist"),
    ))


def opening(people: list[tuple[str, str]], documents: list[tuple[str, str]]) -> View:
    return View("Open this installation", "installation-opened", (
        *people, *documents, ("Founding ends", "for ever"),
    ))


def passkey(user: str, printed_name: str, event: KeyPasskeyEnrolled, own: int) -> View:
    return View("Enrol a passkey", "passkey-enrolled", (
        ("Person", f"{printed_name} ({user})"), ("Name of the passkey", event.label), ("For the pages of", event.rp),
        ("Algorithm", event.algorithm.upper()), ("Credential", event.credential),
        ("Copied to other devices", "possible: it is synced" if event.synced else "no, it stays on its device"),
        ("Sign with passkeys alone from now on", "yes: no one-time code signs for you while it is in force"
         if event.alone else "no: a one-time code still signs"),
        ("Answered for by", "one of your passkeys in force" if own else
         "this passkey itself, beside the one-time code"),
    ))
