"""Rows about arrival (F-3nn forbids, P-3nn permits)."""

from core.policy.state import Rule

ROWS: tuple[Rule, ...] = ()
