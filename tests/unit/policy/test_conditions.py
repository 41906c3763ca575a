"""The conditions that are written out beside the table: in which facts each of them holds, and how it is printed."""

from __future__ import annotations

import pytest

from core.policy.state import Actor, Facts
from core.policy.table import TABLE, gates, reads
from tests.req import req

PERSON, SERVICE = Actor("somebody"), Actor.of_service("inference")
ALL_OPEN = frozenset({"qc", "cohort", "secondary:E", "primary:E"})


def facts(*relations: str, uses: frozenset[str] = frozenset()) -> Facts:
    return Facts(relations=frozenset(relations), uses_open=uses)


@req("GAT-03", "ACC-01")
@pytest.mark.parametrize(("row", "relation", "use"), [
    ("F-610", "for_qc", "qc"), ("F-611", "for_cohort", "cohort"), ("F-612", "for_secondary", "secondary"),
    ("F-613", "for_primary", "primary"),
])
def test_a_run_for_a_use_needs_its_gate_unless_it_counts_nowhere(row: str, relation: str, use: str) -> None:
    when = next(one.when for one in TABLE if one.id == row)
    others = ALL_OPEN - {one for one in ALL_OPEN if one.split(":")[0] == use}

    assert when(PERSON, facts(relation)) is True
    assert when(PERSON, facts(relation, uses=others)) is True
    assert when(PERSON, facts(relation, uses=ALL_OPEN)) is False
    assert when(PERSON, facts()) is False
    assert when(PERSON, facts("for_something")) is False
    for alone in ("shadow", "exploratory"):
        assert when(PERSON, facts(relation, alone)) is False
    assert when.__doc__ == f"{relation}, neither shadow nor exploratory, and AI use not open: {use}"


@req("RDG-02", "GAT-03")
def test_an_ai_read_of_a_primary_endpoint_is_sealed_until_both_reads_are_locked() -> None:
    for relations, holds in ((("for_primary",), True), (("for_primary", "reads_locked"), False), ((), False),
                             (("reads_locked",), False)):
        assert gates._sealed(PERSON, facts(*relations)) is holds


@req("GAT-03", "MLK-06")
def test_what_runs_in_shadow_or_explores_never_counts() -> None:
    for relations, holds in ((("shadow",), True), (("exploratory",), True), (("shadow", "exploratory"), True),
                             ((), False), (("for_qc",), False)):
        assert gates._never_counts(PERSON, facts(*relations)) is holds


@req("GAT-03", "RDG-02")
def test_a_reader_sees_ai_with_its_gate_open_or_after_both_reads() -> None:
    for relations, uses, holds in (
        ((), frozenset[str](), True), ((), ALL_OPEN, False), ((), frozenset({"primary:E"}), True),
        (("reads_locked",), frozenset[str](), False), (("reads_locked",), ALL_OPEN, False),
    ):
        assert gates._closed_secondary(PERSON, facts(*relations, uses=uses)) is holds


@req("RDG-02", "GAT-03")
def test_an_ai_read_is_sealed_for_an_open_primary_use_or_in_shadow() -> None:
    for relations, uses, holds in (
        ((), frozenset[str](), True), ((), ALL_OPEN, False), ((), frozenset({"secondary:E"}), True),
        (("shadow",), frozenset[str](), False), (("shadow",), ALL_OPEN, False),
    ):
        assert reads._primary_closed(PERSON, facts(*relations, uses=uses)) is holds


@req("SIG-04", "RDG-09")
def test_what_a_person_signs_no_service_signs() -> None:
    assert (reads._by_a_service(SERVICE, facts()), reads._by_a_service(PERSON, facts())) == (True, False)


@req("RDG-02", "MLK-08")
def test_an_ai_read_comes_too_late_once_opened_unless_it_measures_again() -> None:
    for relations, holds in (((), False), (("opened",), True), (("opened", "measures_again"), False),
                             (("measures_again",), False)):
        assert reads._too_late(PERSON, facts(*relations)) is holds
