"""Accounts, passwords, lock-out and founding as pure rules.

Source: TRIAL 1 (founding), RECORD 4 (keys and persons); 21 CFR 11.10(j), 11.100(b), 11.300.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from core.access.roles import Grant

# -- accounts ----------------------------------------------------------------------------------------------------


class Account(StrEnum):
    """How far a person has come; only an active account acts."""

    REGISTERED = "registered"  # named, nothing proved
    CHECKED = "checked"  # identity seen by somebody, on record
    ENROLLED = "enrolled"  # holds a key, has not yet stated accountability
    ACTIVE = "active"
    RECOVERING = "recovering"  # the key was lost and revoked; a new one waits for two persons and the delay
    CLOSED = "closed"


ACCOUNTS: Mapping[tuple[Account | None, str], Account] = {
    (None, "person.registered"): Account.REGISTERED,
    (Account.REGISTERED, "identity.checked"): Account.CHECKED,
    (Account.CHECKED, "identity.checked"): Account.CHECKED,  # a new one-time code after the first ran out
    (Account.CHECKED, "key.enrolled"): Account.ENROLLED,
    (Account.ENROLLED, "accountability.stated"): Account.ACTIVE,
    (Account.ENROLLED, "recovery.begun"): Account.RECOVERING,
    (Account.ACTIVE, "recovery.begun"): Account.RECOVERING,
    (Account.RECOVERING, "recovery.begun"): Account.RECOVERING,  # a new one-time code, and the delay anew
    (Account.RECOVERING, "key.enrolled"): Account.ENROLLED,
    (Account.RECOVERING, "person.closed"): Account.CLOSED,
    (Account.REGISTERED, "person.closed"): Account.CLOSED,
    (Account.CHECKED, "person.closed"): Account.CLOSED,
    (Account.ENROLLED, "person.closed"): Account.CLOSED,
    (Account.ACTIVE, "person.closed"): Account.CLOSED,
}

STATEMENT = (
    "I am accountable for everything done under my electronic signature. It is the legally binding equivalent of my "
    "handwritten signature. I keep my signing password and my second factor to myself and report their loss at once."
)
IDENTITY_CHECKS = ("passport", "identity_card", "staff_badge", "in_person", "video_call", "employer_record")

USER_ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
# Names of the system and of its services: a service signs as its holder, and no person is to be taken for one.
RESERVED = frozenset({
    "root", "log", "service", "system", "witness", "nobody", "countersign", "installation", "console",
    "house", "intake", "inference", "gates", "reads", "validation", "reports",
})


def user_id_refusal(user: str) -> str | None:
    """Why this cannot be a user id; None when it can. Ids are never used again (21 CFR 11.100(a))."""
    if not USER_ID.fullmatch(user) or not 2 <= len(user) <= 40:
        return f"`{user}` is no user id: 2 to 40 small letters, digits and single hyphens, a letter first."
    if user in RESERVED:
        return f"`{user}` is a name of the system itself; choose another."
    return None


# -- passwords ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PasswordRules:
    """Length and age limits of signing passwords; an SOP of the organisation sets them."""

    min_length: int = 12
    max_length: int = 128
    min_different: int = 6
    max_age_days: int = 365


_COMMON = ("password", "passwort", "countersign", "qwerty", "letmein", "welcome", "iloveyou", "admin", "123456")


def password_refusals(password: str, user: str, printed_name: str, rules: PasswordRules | None = None) -> list[str]:
    """Every reason against a signing password; empty when it may be used. The password itself is never in a reason.

    Length counts more than kinds of characters: no mixture is demanded, guessable parts are refused.
    """
    rules = rules or PasswordRules()
    reasons: list[str] = []
    text = unicodedata.normalize("NFC", password)
    if len(text) < rules.min_length:
        reasons.append(f"A signing password has at least {rules.min_length} characters.")
    if len(text) > rules.max_length:
        reasons.append(f"A signing password has at most {rules.max_length} characters.")
    if len(set(text)) < rules.min_different:
        reasons.append(f"A signing password has at least {rules.min_different} different characters.")
    if any(unicodedata.category(each) == "Cc" for each in text):
        reasons.append("A signing password holds no control characters.")
    folded = text.casefold()
    parts = [part for part in re.split(r"[^\w]+", printed_name.casefold()) if len(part) >= 4]
    if user.casefold() in folded or any(part in folded for part in parts):
        reasons.append("A signing password does not contain your user id or a part of your name.")
    stripped = re.sub(r"[\W\d_]+", "", folded)
    if any(stripped == word or folded.strip("!.0123456789") == word for word in _COMMON) or _runs(folded):
        reasons.append("This password is among the first that are guessed; choose another.")
    return reasons


def _runs(text: str) -> bool:
    """Whether the text is one ascending or descending run such as 123456789012 or abcdefghijkl."""
    steps = {ord(after) - ord(before) for before, after in itertools.pairwise(text)}
    return len(text) > 2 and (steps <= {1, -9} or steps <= {-1, 9})


def password_is_old(set_at: datetime, now: datetime, rules: PasswordRules | None = None) -> bool:
    """Whether the password must be renewed before the next signature (21 CFR 11.300(b))."""
    return now - set_at > timedelta(days=(rules or PasswordRules()).max_age_days)


# -- lock-out ----------------------------------------------------------------------------------------------------

FAILURES_ALLOWED = 5
LOCK_US = 15 * 60 * 1_000_000


@dataclass(frozen=True)
class Attempts:
    """Failed proofs of a person in a row, and until when (microseconds since 1970) that closes signing."""

    failures: int = 0
    locked_until_us: int = 0

    def locked(self, now_us: int) -> bool:
        """Whether even the right proof is refused now."""
        return now_us < self.locked_until_us

    def left(self) -> int:
        """How many more failures are possible before lock-out."""
        return FAILURES_ALLOWED - self.failures


def after_failure(attempts: Attempts, now_us: int) -> Attempts:
    """One more failure; the last one allowed closes signing for a while and starts the count anew."""
    if attempts.failures + 1 >= FAILURES_ALLOWED:
        return Attempts(0, now_us + LOCK_US)
    return Attempts(attempts.failures + 1, attempts.locked_until_us)


# -- founding ----------------------------------------------------------------------------------------------------


class Installation(StrEnum):
    """The life of an installation; there is no way back into founding."""

    FOUNDING = "founding"
    OPEN = "open"



MINIMUM_PEOPLE = 3


@dataclass(frozen=True)
class Founder:
    """What opening needs to know of one person."""

    user: str
    account: Account
    grants: tuple[Grant, ...] = ()
    untrained_in: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gap:
    """A missing precondition, and who can supply it."""

    what: str
    supplied_by: str


def opening_gaps(
    installation: Installation | None, people: tuple[Founder, ...], effective_sops: tuple[str, ...], document_sop: bool
) -> tuple[Gap, ...]:
    """What is still missing before `installation.opened`; empty when QA may sign it.

    Args:
        people: everyone registered and not closed.
        effective_sops: numbers of documents that are effective now.
        document_sop: whether one of them governs the approval of documents themselves.
    """
    if installation is None:
        return (Gap("The installation is not founded.", "owner and QA: countersign init"),)
    if installation is Installation.OPEN:
        return (Gap("The installation was opened already; founding never returns.", "nobody"),)
    gaps: list[Gap] = []
    missing = MINIMUM_PEOPLE - sum(each.account is Account.ACTIVE for each in people)
    if missing > 0:
        gaps.append(Gap(f"At least {MINIMUM_PEOPLE} people with keys are needed; {missing} missing.",
                        "system_owner: countersign user add"))
    for person in people:
        if person.account is not Account.ACTIVE:
            gaps.append(Gap(f"{person.user} is {person.account.value}, not active.", _next_account_step(person)))
        elif not person.grants:
            gaps.append(Gap(f"{person.user} holds no role.", "qa_auditor: countersign role grant"))
    for role in ("system_owner", "qa_auditor"):
        if not any(grant.role == role for person in people for grant in person.grants):
            gaps.append(Gap(f"Nobody holds the role {role}.", "system_owner or qa_auditor: countersign role grant"))
    if not effective_sops:
        gaps.append(Gap("No SOP is effective.", "an author, a reviewer and qa_auditor: countersign sop draft"))
    elif not document_sop:
        gaps.append(Gap("No effective SOP governs the approval of documents (sop.approve).",
                        "an author, a reviewer and qa_auditor: countersign sop draft SOP-01"))
    gaps.extend(
        Gap(f"{person.user} has not signed read-and-understood on {sop}.",
            f"{person.user}: countersign sop train {sop}")
        for person in people for sop in person.untrained_in
    )
    return tuple(gaps)


def _next_account_step(person: Founder) -> str:
    return {
        Account.REGISTERED: "system_owner or qa_auditor: countersign user check",
        Account.CHECKED: f"{person.user}: countersign user enrol",
        Account.ENROLLED: f"{person.user}: countersign user state",
        Account.RECOVERING: f"two other persons, after the delay: countersign user enrol {person.user}",
    }.get(person.account, "nobody")
