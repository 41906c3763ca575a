"""Words about validation: protocols signed before their run, what the run found, deviations, releases."""

from __future__ import annotations

from audit.vocabulary.registry import ObjectRef, SubjectText, event, piece


@event(
    "protocol.drafted", signed_by="person", clause="draft Annex 22, 4; FDA AI draft 2025, steps 1-4",
    sentence="{actor} wrote protocol {protocol} version {version} for {target}: {title}",
)
class ProtocolDrafted:
    """The complete protocol as a document; nothing runs from anything else.

    `lock`, `use` and `endpoint` are there for a model; `digest` is the SHA-256 of the document's bytes.
    """

    protocol: str
    version: int
    title: str
    kind: str
    target: str
    document: ObjectRef
    digest: str
    evidence_class: str
    signers: tuple[str, ...]
    lock: str | None = None
    use: int | None = None
    use_name: str | None = None
    endpoint: str | None = None


@event(
    "protocol.reviewed", signed_by="person", clause="draft Annex 22, 4",
    sentence="{actor} reviewed protocol {protocol} version {version} as {signed_as}",
)
class ProtocolReviewed:
    """A review by somebody who did not write it."""

    protocol: str
    version: int
    digest: str
    signed_as: str


@event(
    "protocol.approved", signed_by="person", clause="draft Annex 22, 4; EMA computerised systems 2023, A2.5",
    sentence="{actor} approved protocol {protocol} version {version} as {signed_as}",
)
class ProtocolApproved:
    """An approval by somebody who neither wrote nor reviewed it; QA's is the last, and from it the protocol may run."""

    protocol: str
    version: int
    digest: str
    signed_as: str


@piece
class TestStratum:
    """A part of a test set: how many subjects, and the digest of their list with its content digests."""

    stratum: str
    subjects: int
    digest: str


@event(
    "test_set.sealed", signed_by="person", clause="draft Annex 22, 5 and 6.5",
    sentence="{actor} sealed test set {test_set} with digest {digest}",
)
class TestSetSealed:
    """Which cases will judge a model, fixed before the run, and why they are independent of its training."""

    test_set: str
    digest: str
    manifest: ObjectRef
    strata: tuple[TestStratum, ...]
    independence: str


@event(
    "test_set.unsealed", signed_by="person", clause="draft Annex 22, 6.5",
    sentence="{actor} opened test set {test_set} for protocol {protocol} version {version}",
)
class TestSetUnsealed:
    """Two persons: the second names the first, and takes effect. `prior` counts earlier openings."""

    test_set: str
    protocol: str
    version: int
    prior: int
    first: str | None = None


@event(
    "validation.started", signed_by="service", clause="EMA computerised systems 2023, A2.6; FDA CSA 2025",
    sentence="{on_behalf_of} started run {run} of protocol {protocol} version {version}",
)
class ValidationStarted:
    """The runner began, in the environment whose description is kept.

    `evidence_class` is the protocol's (standard, demonstration), and `protocol_seq` the entry of its last signature;
    or exploratory, the protocol lacking signatures, and `protocol_seq` that of its draft: such a run never counts.
    """

    run: str
    protocol: str
    version: int
    digest: str
    kind: str
    target: str
    protocol_seq: int
    environment: ObjectRef
    evidence_class: str
    lock: str | None = None


@piece
class Stated:
    """A fact about this installation that other rooms rest on: `network_wall` is what keeps a model's worker process
    off the network (namespace, given by the kernel; container_without_network or firewall, stated with evidence)."""

    name: str
    value: str


@event(
    "step.recorded", signed_by="service", clause="EMA computerised systems 2023, A2.6; FDA CSA 2025",
    sentence="Step {step} of run {run} {verdict}: {found}",
)
class StepRecorded:
    """One step: what was expected, what was found, and the digest of the evidence. Verdicts: passed, failed,
    not_executed. `states` holds what a step that passed says of the installation."""

    run: str
    step: str
    requirements: tuple[str, ...]
    title: str
    expected: str
    found: str
    verdict: str
    evidence: ObjectRef
    states: tuple[Stated, ...] = ()


@event(
    "step.observed", signed_by="person", clause="EMA computerised systems 2023, A2.6; FDA CSA 2025",
    sentence="{actor} carried out step {step} of run {run}, {verdict}: {found}",
)
class StepObserved:
    """A manual step: what the protocol instructs, what the person found, and the file that shows it.

    Verdicts: passed (never without evidence), failed, not_executed. `altered` says why and how it was carried out
    otherwise than signed; that alone is a deviation.
    """

    run: str
    step: str
    requirements: tuple[str, ...]
    title: str
    instruction: str
    expected: str
    found: str
    verdict: str
    evidence: ObjectRef | None = None
    altered: str | None = None


@event(
    "deviation.opened", signed_by=("service", "person"), clause="draft Annex 22, 7.3; ICH E6(R3) 4.3.7",
    sentence="Deviation {deviation} ({klass_name}) was opened about {about}: {says}",
)
class DeviationOpened:
    """Something was not as signed. `source` is validation, quality, gate, read or system; `about` names the thing.

    Where it concerns a subject, that one is named and what says more of it stands in `comment` alone.
    """

    deviation: str
    klass_name: str
    source: str
    about: str
    says: str
    lock: str | None = None
    subject: str | None = None
    comment: SubjectText | None = None


@event(
    "deviation.closed", signed_by="person", clause="draft Annex 22, 7.3; ICH E6(R3) 4.3.7",
    sentence="{actor} closed deviation {deviation}: {conclusion}",
)
class DeviationClosed:
    """By another person than the one in whose run it arose; criteria never change by it.

    `retest`: for a step that failed, the run and step that passed after it ("RUN/STEP"), or "none: " and why not.
    """

    deviation: str
    cause: str
    impact: str
    action: str
    conclusion: str
    retest: str | None = None


@event(
    "capa.opened", signed_by="person", clause="EU Annex 11, 13; ICH E6(R3) 4.3.7",
    sentence="{actor} opened {action_kind} action {capa} for deviation {deviation}, due {due}: {action}",
)
class CapaOpened:
    """A corrective or preventive action linked to a deviation, whose class it carries.

    `due` is a date by which it is done and its effect checked; `effect_check` says how the effect will be seen.
    """

    capa: str
    deviation: str
    klass_name: str
    action_kind: str
    action: str
    owner: str
    due: str
    effect_check: str


@event(
    "capa.closed", signed_by="person", clause="EU Annex 11, 13; ICH E6(R3) 4.3.7",
    sentence="{actor} closed action {capa} as {effect}: {checked}",
)
class CapaClosed:
    """What was done and whether it had its effect (effective, not_effective), judged by another than its owner.

    An action without effect is followed by another one, named here.
    """

    capa: str
    deviation: str
    done: str
    effect: str
    checked: str
    evidence: ObjectRef | None = None
    followed_by: str | None = None


@event(
    "change.assessed", signed_by="person", clause="EU Annex 11, 10; draft Annex 22, 10.1",
    sentence="{actor} assessed change {change} as {klass_name}: {says}",
)
class ChangeAssessed:
    """A change of this software, its environment or a lock, with its class and the validation to be done again.

    C0 text alone; C1 no effect on output, proved by the sentinel set (`proof`); C2 environment; C3 weights, processing,
    threshold or intended use. `runs` become suspect by it, `scope` says what follows.
    """

    change: str
    klass_name: str
    target: str
    says: str
    scope: str
    runs: tuple[str, ...]
    proof: ObjectRef | None = None
    lock: str | None = None


@piece
class CriterionVerdict:
    """One criterion as judged: on the bound, never on the point. Numbers are decimal text with unit.

    verdict: met, not_met, insufficient_evidence (too few subjects for the planned bound), too_coarse (the lock cannot
    resolve the criterion's absolute limit), not_executed. Of a sub-group that has no planned bound: for_information, or
    too_small where it has fewer cases than the protocol says a sub-group needs.
    """

    criterion: str
    requirement: str
    stratum: str
    measure: str
    metric: str
    judged_on: str
    limit: str
    subjects: int
    method: str
    verdict: str
    says: str
    estimate: str | None = None
    low: str | None = None
    high: str | None = None


@piece
class StratumVerdict:
    """What holds for one kind of cases (generated, clinical, installation) and one measure."""

    stratum: str
    measure: str
    subjects: int
    verdict: str
    says: str


@event(
    "validation.concluded", signed_by="service", clause="EMA computerised systems 2023, A2.6; draft Annex 22, 7",
    sentence="Run {run} of protocol {protocol} version {version} concluded: {verdict}",
)
class ValidationConcluded:
    """The verdict of a run. `verdict` is passed only if every stratum and measure passed, else failed,
    insufficient_evidence or not_executed; a gate reads the stratum and measure that it needs from `strata`.
    `distribution` holds what monitors of drift compare of each case that a locked model was asked, `cases` how many.
    `evidence_class` is that of the run's start; of an exploratory one no gate reads anything.
    """

    run: str
    protocol: str
    version: int
    digest: str
    protocol_seq: int
    kind: str
    target: str
    verdict: str
    strata: tuple[StratumVerdict, ...]
    criteria: tuple[CriterionVerdict, ...]
    steps: int
    steps_failed: int
    deviations: tuple[str, ...]
    evidence_class: str
    report: ObjectRef
    lock: str | None = None
    use: int | None = None
    use_name: str | None = None
    endpoint: str | None = None
    test_set: str | None = None
    distribution: ObjectRef | None = None
    cases: int | None = None


@event(
    "validation.reviewed", signed_by="person", clause="EMA computerised systems 2023, A2.6; FDA CSA 2025",
    sentence="{actor} reviewed the report of run {run} ({verdict}): {conclusion}",
)
class ValidationReviewed:
    """The report signed by somebody who did not run it; `report_digest` is the one in validation.concluded.

    By exception: `steps` are those shown one by one, `sampled` those among them that only the draw chose.
    """

    run: str
    report_digest: str
    verdict: str
    steps: tuple[str, ...]
    conclusion: str
    sampled: tuple[str, ...] = ()


@event(
    "validation.report_signed", signed_by="person", clause="21 CFR 11.50, 11.70; EMA computerised systems 2023, A2.6",
    sentence="{actor} signed the report of {runs} as {part}: content {content_digest}, {pages} pages",
)
class ValidationReportSigned:
    """The report of these runs as a file that bears the signer's PAdES signature; no file holds its own digest.

    `part`: executed, by who ran them; reviewed, by another person, on the file `before`. `size` and `root` name the
    range of the record that the report was drawn from.
    """

    runs: tuple[str, ...]
    part: str
    content_digest: str
    pdf: ObjectRef
    pages: int
    size: int
    root: str
    bundle_sha256: str
    before: ObjectRef | None = None


@event(
    "validation.suspect", signed_by=("service", "person"), clause="EU Annex 11, 10; draft Annex 22, 10.1",
    sentence="What run {run} showed is suspect: {cause}",
)
class ValidationSuspect:
    """A change, drift or incident touches what was shown; it counts no more until a new run has passed.

    `scope` says what is to be done again: IQ, OQ, PQ or a part of them.
    """

    run: str
    cause: str
    scope: str
    lock: str | None = None


@event(
    "release.signed", signed_by="person", clause="ICH E6(R3) 4.3.5; EMA computerised systems 2023, A2.7",
    sentence="{actor} released {target} {what}, resting on {runs}",
)
class ReleaseSigned:
    """QA's release of this software (target installation, `what` its version) or of a model lock (target model).

    An installation's rests on the evidence of its software's tests (`tests`) and on the matrix made of them and of the
    recorded steps (`matrix`, CSV), in which every requirement of high risk is shown. One of class demonstration needs
    no such matrix and opens no gate of a clinical trial.
    """

    target: str
    what: str
    runs: tuple[str, ...]
    conclusion: str
    evidence_class: str
    lock: str | None = None
    tests: ObjectRef | None = None
    matrix: ObjectRef | None = None


@piece
class CountedWord:
    """How often a word stands in the range of a review."""

    word: str
    count: int


@event(
    "validation.periodically_reviewed", signed_by="person", clause="EU Annex 11:2011, 11; draft Annex 11 2025, 14",
    sentence="{actor} reviewed the validated state of {target} {what}: {conclusion}; the next is due by {next_by}",
)
class ValidationPeriodicallyReviewed:
    """Whether what was released is still fit, on what entries `first` to `last` hold.

    `conclusion`: fit, fit_with_actions or not_fit, which suspends uses 3 and 4. `what`: the software's version or the
    lock.
    """

    target: str
    what: str
    first: int
    last: int
    counts: tuple[CountedWord, ...]
    conclusion: str
    statement: str
    next_by: str
    lock: str | None = None
