"""A trial with two arms and its mirror image: nothing that a reader meets, and no entry, tells which is which."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.data_lock import unblinding, usecases
from core.data_lock.rules import digest_of, sealed_allocation
from core.policy.state import Actor
from countersign.cli import app
from tests.builders.reads import BOTH, TRIAL, a_live_trial, assign
from tests.house import HouseUnderTest
from tests.req import req

KEEPER, MANAGER = Actor("keeper"), Actor("manager")
SUBJECTS = ("101-001", "101-002")
ARMS = (("A", "B"), ("B", "A"))
#: Made anew in each installation, whatever the arms: ids of entries, digests under a fresh key, heads that were seen.
RANDOM = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b[0-9a-f]{64}\b|EV-[0-9A-Z]{4}-[0-9A-Z]{4}|[A-Za-z0-9+/]{43}=")
ASKED = (
    ("read", "list", "--trial", TRIAL), ("read", "list", "--trial", TRIAL, "--json"),
    ("read", "begin", "101-001", "BL", "--trial", TRIAL), ("read", "begin", "101-002", "BL", "--trial", TRIAL),
    ("read", "list", "--trial", TRIAL), ("allocation", "show", TRIAL), ("allocation", "show", TRIAL, "--json"),
)
OPEN = (("trial", "show", TRIAL), ("trial", "cuts", TRIAL), ("subject", "list", TRIAL), ("gate", "status", TRIAL))


def lived(house: HouseUnderTest, arms: tuple[str, str]) -> None:
    """An interim analysis: the allocation declared, a cut frozen, the closed report shown to who may see it."""
    rows = "".join(f"{subject},{arm}\n" for subject, arm in zip(SUBJECTS, arms, strict=True))
    text = sealed_allocation(TRIAL, rows, "ab" * 32)
    house.commit(unblinding.declare_randomisation(house.desk, KEEPER, TRIAL, digest_of(text)))
    house.commit(usecases.freeze_cut(house.desk, MANAGER, usecases.FreezeCut(TRIAL, "i-1", "interim", "2026-06-30")))
    house.commit(unblinding.import_allocation(house.desk, KEEPER, TRIAL, text))
    shown = unblinding.show_by_arm(house.desk, KEEPER, TRIAL)
    assert {one.arm for one in shown.rows} == {"A", "B"}


def met_by_reader(house: HouseUnderTest, patch: pytest.MonkeyPatch) -> list[str]:
    """Every answer that a reader gets, refusals with them, as printed."""
    for name in ("read", "read_show", "trial", "data_lock", "gate"):
        patch.setattr(f"countersign.cli.{name}.house", lambda home: house.house)
    said = []
    for words in (*ASKED, *OPEN):
        extra = () if words in OPEN else ("--as", "reader-1")
        done = CliRunner().invoke(app, [*words, *extra])
        said.append(f"{' '.join(words)} -> {done.exit_code}\n{done.output}")
    return said


@req("RDG-02", "GAT-03")
def test_a_mirrored_allocation_changes_nothing_that_a_reader_meets(
    house: HouseUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two copies of one house go on alike, with the arms exchanged: same answers, counts, times and entries."""
    a_live_trial(house, subjects=SUBJECTS)
    house.person(MANAGER.user, "data_manager", trial=TRIAL)
    house.person(KEEPER.user, "unblinded_statistician", trial=TRIAL)
    assign(house, BOTH, *SUBJECTS)
    before = len(house.entries())
    met, entries = [], []
    for number, arms in enumerate(ARMS):
        twin = house.copied(tmp_path / str(number))
        try:
            lived(twin, arms)
            met.append(met_by_reader(twin, monkeypatch))
            entries.append([json.dumps(one.body, sort_keys=True) for one in twin.entries()[before:]])
        finally:
            twin.house.close()

    for one, other in zip(*met, strict=True):
        assert RANDOM.sub("*", one) == RANDOM.sub("*", other)
    assert sum("-> 0" in one for one in met[0]) >= 8, [one for one in met[0] if "-> 0" not in one]
    assert any("allocation show" in one and "-> 1" in one for one in met[0])
    # The record: the same entries of the same length at the same times, apart from what is random in each.
    assert len(entries[0]) == len(entries[1]) > 6
    for one, other in zip(*entries, strict=True):
        assert len(one) == len(other)
        assert RANDOM.sub("*", _unsigned(one)) == RANDOM.sub("*", _unsigned(other))


def _unsigned(body: str) -> str:
    """Without the proofs, which are signatures over all of the rest."""
    found = json.loads(body)
    for name in ("proofs", "manifest", "seen"):
        found.pop(name, None)
    return json.dumps(found, sort_keys=True)
