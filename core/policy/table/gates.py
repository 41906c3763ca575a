"""Rows about gates (F-6nn forbids, P-6nn permits)."""

from core.policy.state import Rule

ROWS: tuple[Rule, ...] = ()
