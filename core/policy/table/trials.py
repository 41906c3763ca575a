"""Rows about trials (F-2nn forbids, P-2nn permits)."""

from core.policy.state import Rule

ROWS: tuple[Rule, ...] = ()
