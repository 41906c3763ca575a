"""Rows about validation (F-7nn forbids, P-7nn permits)."""

from core.policy.state import Rule

ROWS: tuple[Rule, ...] = ()
