"""The mark that ties a test to the requirements it gives evidence for.

    @req("GAT-02", "SIG-05")
    def test_a_gate_with_one_signature_missing_stays_shut(house): ...

The identifiers are those of validation/requirements.yaml; collection fails on any other.
"""

import re

import pytest

_FORM = re.compile(r"^[A-Z]{3}-\d{2}$")


def req(*ids: str) -> pytest.MarkDecorator:
    """Marks a test (or class) as evidence for these requirements; at least one, each of the form `GAT-02`."""
    if not ids:
        raise ValueError("req() names no requirement: give at least one identifier of validation/requirements.yaml.")
    for identifier in ids:
        if not _FORM.match(identifier):
            raise ValueError(f"{identifier!r} is no requirement identifier (three capitals, hyphen, two digits).")
    return pytest.mark.req(*ids)
