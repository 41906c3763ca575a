"""Words about models: what was registered and locked, what was refused, what ran on which images with what result.

A clear run carries its values; a sealed one (`sealed`: AI as blinded reader, or in shadow) carries none, only the
digest of its encrypted result, until the seals of the time point open.
"""

from __future__ import annotations

from audit.vocabulary.registry import ObjectRef, event, piece


@piece
class Named:
    """A name and its text: a threshold, a limit of use, a part of the environment."""

    name: str
    value: str


@piece
class TreeFile:
    """One file of a bundle; the sorted list of all is what the tree digest is over."""

    path: str
    bytes: int
    sha256: str


@piece
class Training:
    """The run that made the weights, as its maker states it: what was read, by which code, with which seeds."""

    statement_sha256: str
    data: tuple[Named, ...]
    code: str
    commit: str
    seeds: str
    made_on: str


@event(
    "model.registered", signed_by="person", clause="EU Annex 22 draft 2025, 6; FDA AI credibility draft 2025, step 4",
    sentence="{actor} registered {model} {model_version}, trained by {trained_by}; bundle {tree_sha256}",
)
class ModelRegistered:
    """A bundle was taken in: its exact files, and what its maker states about it. `store_hint` carries no authority.

    store_marks: tags, alias and stage that this house put on its copy there, by name; none on a copy of others.
    Without `training` the maker states nothing about the run that made the weights.
    `conversion_sha256`: the report of a converted model, a file of the bundle; `source_sha256`: what it was made from.
    """

    model: str
    model_version: str
    trained_by: str
    tree_sha256: str
    artefact: ObjectRef
    tree: tuple[TreeFile, ...]
    intended_use: str
    licence: str
    data_statement_sha256: str
    training: Training | None = None
    store_hint: str | None = None
    conversion_sha256: str | None = None
    source_sha256: str | None = None
    store_marks: tuple[Named, ...] | None = None


@event(
    "model.locked", signed_by="person", clause="EU Annex 22 draft 2025, 10.2; 21 CFR 11.10(a)",
    sentence="{actor} locked {model} {model_version} as {lock}; bundle {tree_sha256}, environment {environment_sha256}",
)
class ModelLocked:
    """Everything that a lock binds: bytes, tensors, contract, thresholds, environment, sentinel, use, limits and risk.

    tensors_listed: name, type, shape and digest of each tensor; `tensors_sha256` is over the digests.
    undecided: the thresholds below or above which the model gives no value (VAL-11).
    environment: compared at every load, part by part; `container` as well.
    software, code_sha256, commit: release, digest over the installed files of the house (a set-up from sources has no
    wheel) and commit. They say what locked; a gate's own criterion asks for a released software.
    requirements_sha256: over name and version of every installed package; `sbom` lists them (CycloneDX).
    protocols: validation protocols that were on file for it when it was locked; later ones name the lock themselves.
    store_hint: where MLflow has a copy; without authority. supersedes: the lock that this one follows.
    store_marks: what the house put on that copy (tags, alias, stage): make nothing run, and edited ones are refused.
    task: what the model does, lesion-at-seed where none is named; modality: that of the series it takes, if one.
    """

    lock: str
    model: str
    model_version: str
    trained_by: str
    registered: str
    artefact: ObjectRef
    tree_sha256: str
    tensors_sha256: str
    tensors: int
    tensors_listed: ObjectRef
    format: str
    configuration_sha256: str
    contract_sha256: str
    thresholds: tuple[Named, ...]
    undecided: tuple[Named, ...]
    environment_sha256: str
    environment: tuple[Named, ...]
    container: str
    requirements_sha256: str
    sbom: ObjectRef
    sentinel_input_sha256: str
    sentinel_output_sha256: str
    sentinel_tolerance: str
    resolution: str
    intended_use: str
    context_of_use: str
    limits: str
    influence: str
    consequence: str
    data_statement_sha256: str
    licence: str
    demonstration: bool
    software: str
    code_sha256: str
    commit: str
    protocols: tuple[str, ...] = ()
    training_sha256: str | None = None
    store_hint: str | None = None
    supersedes: str | None = None
    task: str | None = None
    modality: str | None = None
    store_marks: tuple[Named, ...] | None = None


@event(
    "model.refused", signed_by="service", clause="EU Annex 22 draft 2025, 10.2; 21 CFR 11.10(a)",
    sentence="{model} {lock} was refused at {check}: expected {expected}, found {found}",
)
class ModelRefused:
    """Something differed from the lock, or no number was given to it, so nothing was measured.

    `check` is one of files, tensors, configuration, environment, sentinel, attestation (of a model server), lock,
    output, contract (numbers of the input that are not finite), marks (what the house put on its copy in the tracking
    store was edited there); `cause` is what a gate suspends for: digest_mismatch, environment_mismatch, lock_revoked,
    input_not_finite, marks_edited, or none.
    """

    lock: str
    model: str
    check: str
    cause: str
    expected: str
    found: str
    path: str | None = None
    run: str | None = None


@event(
    "model.retired", signed_by="person", clause="21 CFR 11.10(c); EU Annex 22 draft 2025, 10",
    sentence="{actor} took {model} {lock} out of use ({how}): {reason}",
)
class ModelRetired:
    """`how` is retired (no more runs; what it measured stays) or recalled (what rests on it becomes suspect)."""

    lock: str
    model: str
    how: str


@piece
class RunAgain:
    """A run of the record computed once more: the digest of its output then is the one now."""

    run: str
    output_sha256: str


@event(
    "model.reproduced", signed_by="person", clause="21 CFR 11.10(c); EU Annex 22 draft 2025, 10",
    sentence="{actor} reproduced {model} {lock} ({state}): sentinel and {runs_said} as recorded; it counts for nothing",
)
class ModelReproduced:
    """A lock, whatever its state, gave the locked sentinel and the recorded outputs again in the locked environment.

    It is no run: no value, no endpoint, no gate. `state` is the lock's; `software_said` compares the software.
    """

    lock: str
    model: str
    state: str
    tree_sha256: str
    environment_sha256: str
    sentinel_output_sha256: str
    runs_said: str
    software: str
    code_sha256: str
    software_said: str
    runs: tuple[RunAgain, ...] = ()


@piece
class InputSeries:
    """A series given to the model: its manifest digest is the one of its arrival."""

    modality: str
    series: str
    manifest_sha256: str
    instances: int


@piece
class RunValue:
    """A measure of a run, decimal text with unit; `failed` says why there is none."""

    name: str
    value: str | None = None
    uncertainty: str | None = None
    failed: str | None = None


@event(
    "run.requested", signed_by="service", clause="EU Annex 22 draft 2025, 9",
    sentence="{on_behalf_of} asked {model} {lock} for {lesion} of {subject}, {time_point} ({standing})",
)
class RunRequested:
    """What is to be computed. `standing`: gated, shadow or exploratory (no gate open: barred from every endpoint).

    `lesion` is what is to be measured: one lesion, or "all structures" of a segmentation, which has no seed.
    `input_sha256` is over the manifests and the seed; that of the outcome is over the values as the model got them.
    """

    run: str
    lock: str
    model: str
    subject: str
    time_point: str
    study: str
    lesion: str
    tracking_uid: str
    seed: str
    seed_by: str
    inputs: tuple[InputSeries, ...]
    use: str
    standing: str
    sealed: bool
    input_sha256: str
    endpoint: str | None = None
    gate: str | None = None
    repeat_of: str | None = None


@event(
    "run.finished", signed_by="service", clause="EU Annex 22 draft 2025, 9-10; FDA AI credibility draft 2025, step 2",
    sentence="{model} {lock} measured {lesion} of {subject}, {time_point} ({standing}): {values_said}",
)
class RunFinished:
    """The inference made: input, lock, environment, output, confidence, gate state, and objects written.

    Of a sealed run `values` is empty and no object is named: `result` is one encrypted object; of a blinded read's run
    it is encrypted under the seal's key, and `run.opened` names what it held once the seal is open. `sample` is what
    drift monitors compare, encrypted likewise: features of the input, and under the seal those of the answer.
    `device` and `threads` computed; `network_wall` kept the worker off the network: a namespace, or what the named IQ
    states.
    """

    run: str
    lock: str
    model: str
    subject: str
    time_point: str
    study: str
    lesion: str
    use: str
    standing: str
    sealed: bool
    input_sha256: str
    environment_sha256: str
    output_sha256: str
    values_said: str
    took: str
    values: tuple[RunValue, ...] = ()
    confidence: str | None = None
    domain_distance: str | None = None
    segmentation: ObjectRef | None = None
    report: ObjectRef | None = None
    result: ObjectRef | None = None
    tracking_uid: str | None = None
    endpoint: str | None = None
    gate: str | None = None
    sample: ObjectRef | None = None
    device: str | None = None
    threads: str | None = None
    network_wall: str | None = None


@event(
    "run.opened", signed_by="service", clause="RECORD 5; EMA AI 2024",
    sentence="The masks and report of run {run} came out of the seal {sealed}",
)
class RunOpened:
    """What a blinded read's run had measured on, readable since its seal opened; each object again encrypted under
    the subject's key. `sealed` is the id of the seal's entry."""

    run: str
    sealed: str
    subject: str
    time_point: str
    segmentation: ObjectRef
    report: ObjectRef


@event(
    "run.undecided", signed_by="service", clause="EU Annex 22 draft 2025, 9.2",
    sentence="{model} {lock} left {lesion} of {subject}, {time_point} undecided: {cause}",
)
class RunUndecided:
    """The model gives no value: outside its contract or domain, or below its thresholds. A human decides."""

    run: str
    lock: str
    model: str
    subject: str
    time_point: str
    study: str
    lesion: str
    use: str
    standing: str
    sealed: bool
    input_sha256: str
    environment_sha256: str
    cause: str
    found: str
    limit: str
    took: str
    endpoint: str | None = None
    gate: str | None = None
    sample: ObjectRef | None = None


@event(
    "run.failed", signed_by="service", clause="EU Annex 22 draft 2025, 9; 21 CFR 11.10(a)",
    sentence="{model} {lock} failed on {lesion} of {subject}, {time_point}: {cause}",
)
class RunFailed:
    """No value came: time, memory, a crash or unusable input. Never a measurement, always an entry."""

    run: str
    lock: str
    model: str
    subject: str
    time_point: str
    study: str
    lesion: str
    use: str
    standing: str
    sealed: bool
    input_sha256: str
    cause: str
    detail: str
    took: str
    endpoint: str | None = None
    gate: str | None = None
