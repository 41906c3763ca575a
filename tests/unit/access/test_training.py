"""Training lapses nobody too early and nobody too late."""

from hypothesis import given
from hypothesis import strategies as st

from core.access import training
from core.access.training import Binding
from tests.req import req

bindings = st.lists(
    st.builds(
        Binding, sop=st.just("SOP-07"), version=st.integers(1, 5), title=st.just("Reads"),
        governs=st.sampled_from([("read.*",), ("quality.dispose",), ("gate.open", "read.seal")]),
        applies_to=st.sampled_from([(), ("reader",), ("qc_technologist",)]), effective=st.booleans(),
    ),
    max_size=5, unique_by=lambda each: each.version,
)


@req("SOP-03")
@given(bindings, st.sets(st.integers(1, 5)), st.sampled_from(["read.seal", "quality.dispose", "gate.open"]))
def test_only_effective_versions_that_govern_the_act_can_be_missing(versions, trained, action):
    """TRIAL 1: a new version lapses nobody until its effective date, then only the acts it governs."""
    missing = training.missing_training(
        versions, {("SOP-07", number) for number in trained}, role="reader", action=action)

    for version in versions:
        binds = version.effective and training.governs(version.governs, action)
        binds = binds and "qc_technologist" not in version.applies_to
        assert (version in missing) == (binds and version.version not in trained)


@req("SOP-03")
def test_training_on_the_approved_version_counts_from_its_effective_day():
    def at(old: bool, new: bool) -> list[Binding]:
        return [Binding("SOP-07", number, "Reads", ("read.*",), (), effective)
                for number, effective in ((1, old), (2, new))]

    before = training.missing_training(at(True, False), {("SOP-07", 1)}, role="reader", action="read.seal")
    after = training.missing_training(at(False, True), {("SOP-07", 1)}, role="reader", action="read.seal")
    read_early = training.missing_training(
        at(False, True), {("SOP-07", 1), ("SOP-07", 2)}, role="reader", action="read.seal")

    assert before == ()
    assert [each.version for each in after] == [2]
    assert read_early == ()


@req("SOP-03")
@given(bindings)
def test_reading_a_document_is_never_itself_forbidden_by_a_document(versions):
    everything = [Binding("SOP-01", 1, "All", ("training.*", "accountability.*"), (), True), *versions]

    for action in training.NEVER_GOVERNED:
        assert training.missing_training(everything, (), role="reader", action=action) == ()
