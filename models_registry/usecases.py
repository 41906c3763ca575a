"""Taking a model in, locking it, taking it out of use: what a person signs about a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from audit.vocabulary.models import ModelLocked, ModelRegistered, ModelRetired, Named, TreeFile
from core.errors import AlreadyDone, NotFound, OutsideUnavailable, Refused, UnusableInput
from core.objects import JSON
from core.policy.decide import decide, permit
from core.work import Actor, Desk, Draft, Occasion, Proposal, release
from models_registry import jobs, queries, views
from models_registry.bundle import ARCHIVE, Bundle, opened, packed, unpacked
from models_registry.digest import environment_digest, listed, listing, read_tree
from models_registry.isolation import Session
from models_registry.loading import (
    ModelDiffers,
    answers,
    check_bytes,
    check_marks,
    check_tree,
    contract_digest,
    copy_in,
    own_copy,
    refuse,
    verified,
)
from models_registry.ports import Runner, Shelved, Tracking
from models_registry.rules import LIFECYCLE, LOCK, RISK, after, lock_id
from models_registry.servers import worker_here
from models_registry.software import SBOM, code_digest, commit, container, packages, requirements_digest, sbom
from models_registry.tasks import FIRST

FORMAT = "safetensors"
RETIREMENTS = ("retired", "recalled")
# Reasons for taking a lock out of use: codes, since a reason travels in clear.
RETIRE_REASONS = ("superseded", "drift", "defect_found", "use_ended", "environment_changed", "licence",
                  "data_withdrawn")


@dataclass(frozen=True, slots=True)
class RegisterModel:
    """Take a bundle folder in, or where `from_store` is given (models:/NAME/N) the copy that lies in MLflow under it.

    `trained_by`: the person or group who trained it; they cannot lock it.
    """

    folder: Path | None
    trained_by: str
    from_store: str | None = None


@dataclass(frozen=True, slots=True)
class LockModel:
    """Lock a registered version as it runs here. Risk is influence x consequence (FDA AI draft, step 3).

    context_of_use: in the locker's words; what the bundle states where not given.
    protocols: the validation protocols that it is to be held to.
    supersedes: the lock of this model that it follows.
    """

    model: str
    version: str | None = None
    influence: str = "medium"
    consequence: str = "medium"
    demonstration: bool = False
    supersedes: str | None = None
    context_of_use: str = ""
    protocols: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RetireModel:
    """Take a lock out of use: retired, or recalled where what it measured is in doubt."""

    lock: str
    how: str
    reason: str


def register_model(desk: Desk, actor: Actor, command: RegisterModel, tracking: Tracking | None = None) -> Proposal:
    """Read a bundle once, check and store it, and let the custodian sign what it is.

    Raises:
        ModelFileUnusable: a file is missing, executable or not readable.
        AlreadyDone: this version is registered, with these bytes or others.
        OutsideUnavailable: MLflow does not answer.
    """
    bundle = opened(_given_files(command, tracking))
    model, version = str(bundle.metadata["name"]), str(bundle.metadata["version"])
    trained_by = command.trained_by.strip()
    if not trained_by:
        raise UnusableInput("Nobody is named as the one who trained the model.")
    with desk.reading() as session:
        known = _known(session, model, version)
        bound = [one for one in queries.locks_known(session, model=model) if one.fields.model_version == version]
    if known is not None and bound:
        # The folder claims to be a locked version: hold it against the lock, and record where it is not.
        verify_copy(desk, bound[-1], known, bundle.files)
    with desk.reading() as session:
        _not_yet(session, model, version, bundle)
    artefact = desk.objects.put(packed(bundle.files), ARCHIVE)
    shelved = Shelved(command.from_store, {}) if command.from_store is not None else None
    if tracking is not None and shelved is None:
        shelved = tracking.register(model, version, bundle.files)
    event = ModelRegistered(
        model=model, model_version=version, trained_by=trained_by, tree_sha256=bundle.tree_sha256, artefact=artefact,
        tree=tuple(TreeFile(path=one.path, bytes=one.bytes, sha256=one.sha256) for one in listed(bundle.files)),
        intended_use=bundle.intended_use, licence=str(bundle.metadata["license"]),
        data_statement_sha256=bundle.digest_of(jobs.DATA_STATEMENT), training=bundle.training,
        store_hint=shelved.hint if shelved else None,
        store_marks=_named(shelved.marks) if shelved and shelved.marks else None,
        conversion_sha256=bundle.digest_of(jobs.CONVERSION) if bundle.conversion else None,
        source_sha256=bundle.conversion["source"]["sha256"] if bundle.conversion else None,
    )

    def propose(session: Connection, occasion: Occasion) -> Draft:
        _not_yet(session, model, version, bundle)
        decision = permit(actor, "model.register", queries.house_facts(session, actor, "model.register"))
        return Draft(event, under=decision, meaning="responsibility", view=views.registration(event))

    return desk.prepare(actor, propose, asked="model.register")


def _given_files(command: RegisterModel, tracking: Tracking | None) -> dict[str, bytes]:
    """The bundle's bytes, read once: what is checked is what is stored."""
    if command.from_store is not None and tracking is not None:
        return tracking.files_of(command.from_store)
    if command.folder is None:
        raise UnusableInput("No bundle is named.", next_step="Give a folder, or models:/NAME/N and the MLflow store.")
    return read_tree(command.folder)


def _known(session: Connection, model: str, version: str) -> queries.VersionRow | None:
    try:
        return queries.version_of(session, model, version)
    except NotFound:
        return None


def _not_yet(session: Connection, model: str, version: str, bundle: Bundle) -> None:
    row = _known(session, model, version)
    if row is None:
        return
    if row.tree_sha256 != bundle.tree_sha256:
        raise AlreadyDone(
            f"{model} {version} is registered with other bytes: {row.tree_sha256}, not {bundle.tree_sha256}.",
            next_step="A changed model is a new version: give it one and register that.")
    raise AlreadyDone(f"{model} {version} is registered already, with these bytes.")


def lock_model(desk: Desk, actor: Actor, command: LockModel, *, runner: Runner | None = None) -> Proposal:
    """Run the sentinel here, and let somebody who did not train the model sign the lock.

    Raises:
        Refused: the actor trained it, or holds no role that locks.
        ModelDiffers: the stored bundle is not what was registered.
        WorkerFailed: the worker process does not run here.
    """
    if command.influence not in RISK or command.consequence not in RISK:
        raise UnusableInput(f"Influence and consequence are one of {', '.join(RISK)}.")
    with desk.reading() as session:
        version = queries.version_of(session, command.model, command.version)
        after(LIFECYCLE, version.state, "model.locked", f"{version.model} {version.version}")
        _may_follow(session, command)
    # Asked before the slow part as well, so that a trainer is told at once.
    _may_lock(desk, actor, version)
    files = unpacked(desk.objects.get(version.artefact))
    check_tree(version, files)
    bundle = opened(files)
    session_here = (runner or worker_here(desk))(bundle.files, [bundle.sentinel], None)
    if not _answered(bundle, session_here):
        raise UnusableInput(f"The sentinel of {version.model} {version.version} ends as "
                            f"{session_here.sentinel_status}; a lock needs one that is measured.")
    repeat = session_here.answers[0][0].output_sha256
    if repeat != session_here.sentinel_output_sha256:
        raise UnusableInput(f"{version.model} {version.version} is not deterministic here: the sentinel gave "
                            f"{session_here.sentinel_output_sha256}, then {repeat}.")
    event = _lock_event(desk, bundle, version, session_here.environment, session_here.sentinel_output_sha256, command)

    def propose(session: Connection, occasion: Occasion) -> Draft:
        now = queries.version_of(session, command.model, version.version)
        after(LIFECYCLE, now.state, "model.locked", f"{now.model} {now.version}")
        _may_follow(session, command)
        relations = set(_relations(actor, now))
        if any(one.lock == event.lock for one in queries.locks_known(session)):
            relations.add("locked")
        decision = permit(actor, "model.lock", queries.house_facts(session, actor, "model.lock", relations))
        return Draft(event, under=decision, meaning="approval", view=views.lock(event), scope=event.lock)

    return desk.prepare(actor, propose, asked="model.lock")


def _may_follow(session: Connection, command: LockModel) -> None:
    """The lock to be followed is of this model and has no follower yet."""
    if command.supersedes is None:
        return
    old = queries.lock_of(session, command.supersedes)
    if old.fields.model != command.model:
        raise UnusableInput(f"{old.lock} is a lock of {old.fields.model}, not of {command.model}.")
    if old.superseded_by is not None:
        raise AlreadyDone(f"{old.lock} is superseded by {old.superseded_by} already.",
                          next_step=f"Supersede {old.superseded_by}, or lock without --supersedes.")


def _answered(bundle: Bundle, session: Session) -> bool:
    """Whether the sentinel went through the network. Of a segmentation it may be a part of no plausible volume: what
    is compared at each load are the labels and probabilities, which are there."""
    if bundle.task.seeded:
        return session.sentinel_status == "finished"
    return session.sentinel_status in ("finished", "undecided") and bool(session.sentinel_output_sha256)


def _relations(actor: Actor, version: queries.VersionRow) -> frozenset[str]:
    return frozenset({"trainer"}) if actor.user == version.trained_by else frozenset()


def _may_lock(desk: Desk, actor: Actor, version: queries.VersionRow) -> None:
    with desk.reading() as session:
        decision = decide(actor, "model.lock",
                          queries.house_facts(session, actor, "model.lock", _relations(actor, version)))
    if not decision.allowed:
        refusal = Refused(decision.because, rule=decision.rule)
        desk.record_refusal(actor.user, "model.lock", refusal)
        raise refusal


def _lock_event(desk: Desk, bundle: Bundle, version: queries.VersionRow, environment: Mapping[str, str],
                sentinel: str, command: LockModel) -> ModelLocked:
    surroundings = environment_digest(environment)
    context = " ".join(command.context_of_use.split()) or bundle.context_of_use
    if not context:
        raise UnusableInput(f"{version.model} {version.version} states no context of use.",
                            next_step="Say in which decision its answer is used, and how: --context-of-use TEXT.")
    installed = packages()
    return ModelLocked(
        lock=lock_id(version.model, version.version, bundle.tree_sha256, surroundings, sentinel),
        model=version.model, model_version=version.version, trained_by=version.trained_by,
        registered=version.entry_id, artefact=version.artefact, tree_sha256=bundle.tree_sha256,
        tensors_sha256=bundle.tensors_sha256, tensors=len(bundle.tensors),
        tensors_listed=desk.objects.put(listing(bundle.tensors), JSON), format=FORMAT,
        configuration_sha256=bundle.digest_of(jobs.CONFIGURATION),
        contract_sha256=contract_digest(bundle.configuration),
        thresholds=_named(bundle.configuration["thresholds"]), undecided=bundle.undecided,
        environment_sha256=surroundings, environment=_named(environment), container=container(),
        requirements_sha256=requirements_digest(installed), sbom=desk.objects.put(sbom(installed, release()), SBOM),
        sentinel_input_sha256=bundle.digest_of(jobs.SENTINEL),
        sentinel_output_sha256=sentinel, sentinel_tolerance="none: bit-equal",
        resolution=f"{bundle.metadata['resolution_mm']} mm", intended_use=version.intended_use,
        context_of_use=context, limits=str(bundle.metadata["limits"]), influence=command.influence,
        consequence=command.consequence, data_statement_sha256=version.data_statement_sha256, licence=version.licence,
        demonstration=command.demonstration, software=release(), code_sha256=code_digest(), commit=commit(),
        protocols=command.protocols,
        training_sha256=version.training.statement_sha256 if version.training else None,
        store_hint=version.store_hint, store_marks=version.store_marks, supersedes=command.supersedes,
        # A lock of the first task says what locks said before there were others.
        task=None if bundle.task.name == FIRST else bundle.task.name,
        modality=bundle.configuration["contract"].get("modality"),
    )


def _named(values: Mapping[str, str]) -> tuple[Named, ...]:
    return tuple(Named(name=name, value=str(values[name])) for name in sorted(values))


def retire_model(desk: Desk, actor: Actor, command: RetireModel) -> Proposal:
    """Let a person take a lock out of use; from then on it refuses to run, but stays reproducible."""
    if command.how not in RETIREMENTS or command.reason not in RETIRE_REASONS:
        raise UnusableInput(f"How is one of {', '.join(RETIREMENTS)}; the reason one of {', '.join(RETIRE_REASONS)}.")

    def propose(session: Connection, occasion: Occasion) -> Draft:
        row = queries.lock_of(session, command.lock)
        after(LOCK, row.state, command.how, row.lock)
        decision = permit(actor, "model.retire", queries.house_facts(session, actor, "model.retire"))
        event = ModelRetired(lock=row.lock, model=row.fields.model, how=command.how)
        return Draft(event, under=decision, meaning="approval", view=views.end(row, command.how, command.reason),
                     reason=command.reason)

    return desk.prepare(actor, propose, asked="model.retire")


def verify_copy(desk: Desk, lock: queries.LockRow, version: queries.VersionRow, files: Mapping[str, bytes]) -> None:
    """Hold a copy from anywhere (library folder, registry, medium) against the lock; a difference is recorded.

    Raises ModelDiffers.
    """
    try:
        check_tree(version, files)
    except ModelDiffers as refusal:
        refuse(desk, lock, refusal)
        raise


def verify_lock(desk: Desk, lock: queries.LockRow, version: queries.VersionRow, *, run: bool,
                tracking: Tracking | None = None, copy: bool = False, runner: Runner | None = None) -> str:
    """Check a lock again, whatever its state; what was checked, in words. A difference is recorded.

    Args:
        run: environment and sentinel as well, of a lock that may run.
        tracking: the store, wherever models are loaded from: of a lock that may run the house's marks there are looked
            at. Of one that ended none: who tidies a shelf has attacked nothing.
        copy: hold the copy that lies there against the lock, too.

    Raises ModelDiffers; OutsideUnavailable where the store does not answer, after everything else was checked.
    """
    checked = f"{len(version.tree)} files, {lock.fields.tensors} tensors"
    if copy and tracking is not None and version.store_hint is not None:
        try:
            check_tree(version, copy_in(tracking, version))
        except ModelDiffers as refusal:
            refuse(desk, lock, refusal)
            raise
        checked += f", the copy under {version.store_hint}"
    if not lock.runs:
        try:
            check_bytes(lock, version, own_copy(desk, version))
        except ModelDiffers as refusal:
            refuse(desk, lock, refusal)
            raise
        return f"{checked} are as locked; it is {lock.state}"
    if run:
        answers(desk, lock, version, [], runner=runner)
        checked += ", environment and sentinel"
    else:
        verified(desk, lock, version)
    if tracking is None or not lock.fields.store_marks:
        return f"{checked} are as locked"
    try:
        check_marks(tracking, lock)
    except ModelDiffers as refusal:
        refuse(desk, lock, refusal)
        raise
    except OutsideUnavailable as error:
        raise OutsideUnavailable(f"{checked} are as locked. The marks of {lock.fields.store_hint} were not compared: "
                                 f"{error.fact}", next_step=error.next_step) from error
    return f"{checked}, marks of {lock.fields.store_hint} are as locked"
