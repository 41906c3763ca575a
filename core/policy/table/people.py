"""Rows about people (F-1nn forbids, P-1nn permits)."""

from core.policy.state import Rule

ROWS: tuple[Rule, ...] = ()
