"""Trial, site and time point as machines: whatever words are tried in whatever order, no state comes out of place."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from core.errors import Refused
from core.trials.rules import SITE, TIME_POINT, TRIAL, Lifecycle, follow, next_state
from tests.req import req

KINDS: dict[str, Lifecycle] = {"trial": TRIAL, "site": SITE, "time point": TIME_POINT}
WORDS = {kind: sorted({word for _, word in table}) for kind, table in KINDS.items()}


class Lives(RuleBasedStateMachine):
    """One trial, one site, one time point; every word may be tried at any time, and most are refused."""

    def __init__(self) -> None:
        super().__init__()
        self.state: dict[str, str | None] = dict.fromkeys(KINDS)
        self.said: dict[str, list[str]] = {kind: [] for kind in KINDS}

    @rule(kind=st.sampled_from(sorted(KINDS)), data=st.data())
    def tried(self, kind: str, data: st.DataObject) -> None:
        """A word that fits moves on; one that does not is refused in words, and nothing changes."""
        word = data.draw(st.sampled_from(WORDS[kind]))
        before = self.state[kind]
        expected = next_state(KINDS[kind], before, word)
        if expected is None:
            with pytest.raises(Refused) as refusal:
                follow(kind, "X", before, word)
            assert word in refusal.value.fact
            return
        self.state[kind] = follow(kind, "X", before, word)
        self.said[kind].append(word)

    @invariant()
    def a_trial_is_live_only_by_going_live_and_closed_only_from_the_lock(self) -> None:
        state, said = self.state["trial"], self.said["trial"]
        if state not in (None, "set_up"):
            assert "trial.activated" in said
        if state in ("locked", "closed"):
            locked = len(said) - 1 - said[::-1].index("database.locked")
            assert said[locked - 1] == "database.soft_locked"
            assert "database.unlocked" not in said[locked:]
        if state == "closed":
            assert said[-1] == "trial.closed"
            assert said.count("trial.closed") == 1

    @invariant()
    def a_site_is_active_only_trained_and_equipped_and_a_closed_one_stays_closed(self) -> None:
        state, said = self.state["site"], self.said["site"]
        if state == "activated":
            first = said.index("site.activated")
            assert said.index("site.trained") < said.index("scanner.qualified") < first
        if "site.closed" in said:
            assert (state, said[-1]) == ("closed", "site.closed")

    @invariant()
    def nothing_is_read_that_was_not_ready_since_its_images_last_changed(self) -> None:
        state, said = self.state["time point"], self.said["time point"]
        changed = max((number for number, word in enumerate(said) if word in (
            "time_point.corrected", "time_point.emptied", "time_point.superseded")), default=-1)
        since = said[changed + 1:]
        if state == "in_read":
            assert "time_point.ready" in since
            assert "time_point.read_opened" in since
        if state in ("read", "adjudicated"):
            # After a correction the earlier reads may be kept: that is a signed decision of its own.
            assert "time_point.read" in since or "time_point.kept" in since
        if state in ("expected", "missed", None):
            assert "time_point.received" not in since

    @invariant()
    def an_unscheduled_time_point_is_never_missed(self) -> None:
        said = self.said["time point"]
        if said and said[0] == "time_point.unscheduled" and "time_point.emptied" not in said:
            assert self.state["time point"] not in ("expected", "missed")


Lives.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLives = req("VAL-14", "RDG-11")(Lives.TestCase)


@req("VAL-14")
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_state_is_reached_and_the_last_ones_are_those_that_are_meant(kind: str) -> None:
    table = KINDS[kind]
    reached: set[str | None] = {None}
    while more := {after for (before, _), after in table.items() if before in reached} - reached:
        reached |= more
    assert reached - {None} == set(table.values())
    ends = {state for state in table.values() if not any(before == state for before, _ in table)}
    assert ends == {"trial": {"closed"}, "site": {"closed"}, "time point": set()}[kind]
