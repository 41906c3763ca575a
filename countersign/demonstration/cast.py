"""The people of the demonstration, named by their role, and the tokens they sign with."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyotp

from audit.signatures import NewKey, Proof
from core.policy.state import Actor
from countersign.signer.keyfiles import write_durably

# user id, printed name, roles; a role with @ is of the house, the others are granted for the trial.
CAST: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("system-owner", "System owner (demonstration)", ("@system_owner",)),
    ("qa-auditor", "QA auditor (demonstration)", ("@qa_auditor",)),
    ("validation-lead", "Validation lead (demonstration)", ("@validation_lead",)),
    ("model-custodian", "Model custodian (demonstration)", ("@model_custodian",)),
    ("model-trainer", "Model trainer (demonstration)", ("@model_custodian",)),
    ("trial-lead", "Trial lead (demonstration)", ("trial_lead",)),
    ("imaging-lead", "Imaging lead (demonstration)", ("imaging_lead",)),
    ("statistician", "Statistician (demonstration)", ("@statistician", "statistician")),
    ("medical-monitor", "Medical monitor (demonstration)", ("medical_monitor",)),
    ("regulatory", "Regulatory affairs (demonstration)", ("regulatory",)),
    ("data-manager", "Data manager (demonstration)", ("data_manager",)),
    ("technologist", "QC technologist (demonstration)", ("qc_technologist",)),
    ("coordinator", "Coordinator (demonstration)", ("coordinator",)),
    ("investigator-1", "Investigator (demonstration)", ("investigator",)),
    ("reader-1", "Reader 1 (demonstration)", ("reader",)),
    ("reader-2", "Reader 2 (demonstration)", ("reader",)),
    ("adjudicator", "Adjudicator (demonstration)", ("adjudicator",)),
)


@dataclass(slots=True)
class Token:
    """What a person of the demonstration keeps to themselves: password and counter-based code token (RFC 4226)."""

    password: str
    secret: str = ""
    counter: int = 0

    def proof(self) -> Proof:
        """Password and the next code."""
        code = pyotp.HOTP(self.secret).at(self.counter)
        self.counter += 1
        return Proof(self.password, code)


@dataclass(slots=True)
class Pockets:
    """The people's own passwords and tokens; the house never sees this file, a visitor may use it to log in."""

    path: Path
    tokens: dict[str, Token] = field(default_factory=dict)
    shares: dict[str, str] = field(default_factory=dict)

    def keep_share(self, user: str, share: str) -> None:
        """A share of the seals' recovery key goes into its holder's pocket."""
        self.shares[user] = share

    def new_password(self, user: str) -> str:
        """A fresh signing password for a person."""
        words = self.another_password()
        self.tokens[user] = Token(password=words)
        return words

    @staticmethod
    def another_password() -> str:
        """Four groups of random signs."""
        return "-".join(secrets.token_hex(3) for _ in range(4))

    def take(self, key: NewKey) -> None:
        """The token of a new key goes into its holder's pocket."""
        self.tokens[key.holder].secret = key.one_time_secret

    def proof(self, user: str) -> Proof:
        return self.tokens[user].proof()

    def keep(self) -> None:
        """Write the pockets beside the home, readable by the owner alone."""
        data: dict[str, dict[str, Any]] = {
            user: {"signing_password": token.password, "token_secret": token.secret, "next_code": token.counter}
            for user, token in self.tokens.items()
        }
        for user, share in self.shares.items():
            data[user]["share_of_recovery_key"] = share
        write_durably(self.path, json.dumps(data, indent=1).encode())


def actor(user: str) -> Actor:
    """A person as use cases want them."""
    return Actor(user)
