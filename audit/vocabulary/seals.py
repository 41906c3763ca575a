"""Words about the seals' own keys: who could recover a lost secret, who did, and who let seals open early."""

from __future__ import annotations

from audit.vocabulary.registry import event


@event(
    "seal_key.enrolled", signed_by=("person", "root"), clause="RECORD 5; 21 CFR 11.10(c)",
    sentence="{actor} signed the recovery key {public_key} of the seals, of which two persons hold one share each",
)
class SealKeyEnrolled:
    """Public half (X25519, base64) under which every seal secret is copied. Signed twice, by owner and QA; the second
    names the first and takes effect. `at_init`: by the root key alone, with the holders of both shares."""

    public_key: str
    first: str | None = None
    holders: tuple[str, ...] = ()
    at_init: bool | None = None


@event(
    "seals.recovery_ordered", signed_by="person", clause="RECORD 5; 21 CFR 11.10(c)",
    sentence="{actor} brought a share of the recovery key to restore lost seal secrets: {because}",
)
class SealsRecoveryOrdered:
    """Signed twice, by owner and QA; the second names the first, and the recovery follows it."""

    because: str
    first: str | None = None


@event(
    "seals.recovered", signed_by="service", clause="RECORD 5; 21 CFR 11.10(c)",
    sentence="{restored} seal secrets were restored from their copies, {sound} were sound, {unreadable} stay lost",
)
class SealsRecovered:
    """What the recovery found; no secret leaves the signer by it."""

    restored: int
    sound: int
    unreadable: int


@event(
    "opening.ordered", signed_by="person", clause="RECORD 5; FDA imaging 2018",
    sentence="{actor} signed that seals of {subject}, {time_point} open before all are in: {reason}",
)
class OpeningOrdered:
    """Signed by QA and by the imaging lead, two persons; the second names the first, and exactly these seals open."""

    subject: str
    time_point: str
    seals: tuple[str, ...]
    first: str | None = None
