"""Rows about reports (F-8nn forbids, P-8nn permits)."""

from core.policy.state import Rule

ROWS: tuple[Rule, ...] = ()
