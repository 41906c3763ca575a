"""How a model version and its lock live, and with what standing a run counts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from audit.entry import canonical
from core.errors import AlreadyDone, UnusableInput
from models_registry.digest import sha256

# (state, word) -> state. A pair that is missing is a word out of order.
LIFECYCLE: dict[tuple[str | None, str], str] = {
    (None, "model.registered"): "registered",
    ("registered", "model.locked"): "locked",
    # A further lock of the same bytes, for another environment; each lock has a life of its own.
    ("locked", "model.locked"): "locked",
}
LOCK: dict[tuple[str | None, str], str] = {
    (None, "locked"): "valid",
    # A follower was locked. The old lock goes on serving the gates and subjects that it began with; no gate is opened
    # for it any more (design record 0113).
    ("valid", "superseded"): "superseded",
    ("valid", "retired"): "retired",
    ("superseded", "retired"): "retired",
    ("valid", "recalled"): "recalled",
    ("superseded", "recalled"): "recalled",
    ("retired", "recalled"): "recalled",
}
RUNNING = ("valid", "superseded")

# What keeps the worker off the network where the kernel does; everything else is stated by the installation's IQ.
KERNEL_WALL = "namespace"
USES = ("qc", "cohort", "secondary", "primary", "none")
STANDINGS = ("gated", "shadow", "exploratory")
RISK = ("low", "medium", "high")
# What each kind of refusal suspends a gate for (TRIAL 2).
CAUSES = {
    "files": "digest_mismatch", "tensors": "digest_mismatch", "configuration": "digest_mismatch",
    "attestation": "digest_mismatch",
    "environment": "environment_mismatch", "sentinel": "environment_mismatch", "lock": "lock_revoked",
    "output": "environment_mismatch",
    # An input whose numbers are none: no chain that was validated gives one to a model.
    "contract": "input_not_finite",
    # The bytes are as locked, but somebody with write access edited what the house had put beside them.
    "marks": "marks_edited",
}


def after(table: Mapping[tuple[str | None, str], str], state: str | None, word: str, what: str) -> str:
    """The next state. Raises AlreadyDone where the table has no such step."""
    following = table.get((state, word))
    if following is None:
        raise AlreadyDone(f"{what} is {state or 'unknown'}; {word} does not follow.")
    return following


def lock_id(model: str, version: str, tree_sha256: str, environment_sha256: str, sentinel_sha256: str) -> str:
    """The id of a lock: a digest of what it binds, so that equal locks have equal ids."""
    bound = canonical({"model": model, "version": version, "tree": tree_sha256, "environment": environment_sha256,
                       "sentinel": sentinel_sha256}, "lock")
    return f"LCK-{sha256(bound)[:12]}"


@dataclass(frozen=True, slots=True)
class OpenGate:
    """An open use of AI as the gates room projects it."""

    gate: str
    use: str
    endpoint: str | None
    lock: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How a run counts: gated (with its gate), shadow or exploratory; `sealed` runs are shown to nobody yet.

    `other_lock`: a gate is open for this use, but not for this lock; the policy refuses that.
    """

    name: str
    sealed: bool
    gate: str | None = None
    other_lock: bool = False

    @property
    def relations(self) -> frozenset[str]:
        """As the policy table names it."""
        if self.other_lock:
            return frozenset({"other_lock"})
        return frozenset({self.name}) if self.name != "gated" else frozenset()


def standing_of(asked: str | None, use: str, endpoint: str | None, lock: str, gates: Iterable[OpenGate]) -> Standing:
    """The standing of a run. Asked for nothing in particular it is gated where a gate is open for exactly this use,
    endpoint and lock, else exploratory.

    Raises UnusableInput for an unknown use or standing, or an endpoint that does not fit the use.
    """
    if use not in USES or asked not in (None, *STANDINGS):
        raise UnusableInput(f"Use is one of {', '.join(USES)}; standing one of {', '.join(STANDINGS)}.")
    if (use in ("secondary", "primary")) != (endpoint is not None):
        raise UnusableInput("Uses secondary and primary name their endpoint; the others name none.")
    fitting = [gate for gate in gates if gate.use == use and gate.endpoint == endpoint]
    same = [gate for gate in fitting if gate.lock == lock]
    if asked in (None, "gated") and same:
        return Standing("gated", use == "primary", same[0].gate)
    if asked == "shadow":
        return Standing("shadow", True)
    if asked == "gated":
        return Standing("gated", use == "primary", other_lock=bool(fitting))
    return Standing("exploratory", False)
