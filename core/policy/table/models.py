"""Rows about models (F-4nn forbids, P-4nn permits)."""

from core.policy.state import Rule

ROWS: tuple[Rule, ...] = ()
