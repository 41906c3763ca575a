"""Rows about reads (F-5nn forbids, P-5nn permits)."""

from core.policy.state import Rule

ROWS: tuple[Rule, ...] = ()
