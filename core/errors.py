"""The families of errors a person may meet: what happened, and what to do next."""

from __future__ import annotations


class CountersignError(Exception):
    """Base of everything a person may meet. The text is the fact; `next_step` says what to do."""

    code = "error"
    http_status = 400
    next_step = "Quote the reference on this page to the study helpdesk."

    def __init__(self, fact: str, *, next_step: str | None = None) -> None:
        super().__init__(fact)
        self.fact = fact
        if next_step is not None:
            self.next_step = next_step

    def in_words(self) -> str:
        """Fact, then next step, as shown at the command line and on pages."""
        return f"{self.fact} {self.next_step}"


class Refused(CountersignError):
    """Policy said no; `rule` names the row of the table, and the attempt becomes an entry."""

    code, http_status = "refused", 403
    next_step = "The attempt is on record. Ask the trial lead if you think you should be allowed."

    def __init__(self, fact: str, *, rule: str = "default-deny", next_step: str | None = None) -> None:
        super().__init__(fact, next_step=next_step)
        self.rule = rule


class AlreadyDone(CountersignError):
    """The same deed a second time."""

    code, http_status = "already-done", 409
    next_step = "Open the existing record; nothing was changed."


class Stale(CountersignError):
    """What was shown is no longer what would be recorded (RECORD 2, step 3)."""

    code, http_status = "stale", 409
    next_step = "Nothing was signed. Look at the present state and sign again."


class UnusableInput(CountersignError):
    """Input that cannot be used; names the series, tag, field or line."""

    code, http_status = "unusable-input", 422
    next_step = "Correct the input and send it again; nothing was kept."


class NotFound(CountersignError):
    """A thing that was asked for by name does not exist for this person."""

    code, http_status = "not-found", 404
    next_step = "Check the spelling; list what exists first."


class SubjectErased(NotFound):
    """The key of a subject was destroyed: what it opened is gone, and nothing of the subject is stored anew."""

    code, http_status = "erased", 410
    next_step = "`countersign privacy list` shows the decision; the record keeps ciphertext and digests."


class NotAuthenticated(CountersignError):
    """Password or one-time code did not prove the person. Counted, and recorded.

    `locked_until_us` is given by the failure that closed signing for a while; `failures` came in a row before it.
    """

    code, http_status = "not-authenticated", 401
    locked_until_us: int | None = None
    failures: int = 0
    next_step = "Nothing was signed. Try again with a fresh code; after repeated failures the account is locked."


class OutsideUnavailable(CountersignError):
    """A system outside did not answer; said by adapters."""

    code, http_status = "outside-unavailable", 503
    next_step = "Nothing was lost; the work is repeated when the other system answers."


class RecordDamaged(CountersignError):
    """The record disagrees with itself. Fatal: signing closes, nobody catches it."""

    code, http_status = "record-damaged", 500
    next_step = "Stop. Run `countersign ledger verify`, keep the disk as it is and call QA."


class ClockUntrusted(CountersignError):
    """The clock went back or leapt ahead (RECORD 2); appending is closed until an operator confirms."""

    code, http_status = "clock-untrusted", 503
    next_step = "Set the clock right, then confirm it with `countersign doctor --confirm-clock REASON --as USER`."


class AppendingStopped(RecordDamaged):
    """What is known outside goes beyond this record, or nobody has compared them after a restore (RECORD 3, 8)."""

    code, http_status = "appending-stopped", 503
    next_step = "Reading goes on. `countersign doctor` says what was seen and which command goes on from here."

    def __init__(self, because: str, *, next_step: str | None = None) -> None:
        super().__init__(f"Appending is stopped: {because}", next_step=next_step)
        self.because = because


class DiskFull(CountersignError):
    """The disk or a quota refused a write; what was begun was taken back."""

    code, http_status = "disk-full", 507
    next_step = "Nothing was recorded. Make room where the home lies (`countersign doctor` says how much), then repeat."


class DiskReadOnly(CountersignError):
    """Nothing can be written where the home lies; reading may go on."""

    code, http_status = "disk-read-only", 503
    next_step = ("Nothing was recorded. Make the home writable again for the account that runs Countersign, find out "
                 "why it was not (a failing disk is mounted read-only), then repeat.")
