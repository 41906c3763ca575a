"""From a lock to bytes that may run: each check of DESIGN 5, and the refusal that is recorded where one fails.

1 the lock may run · 2 the bundle is there whole, read once into a private copy · 3 exact file set · 4 tree, tensor,
configuration and contract digests · 5 container here, environment and 6 sentinel in the worker process (isolation.py)
before its first job · 7 every study that reached the contract held finite numbers. Of a copy in a tracking store:
8 the marks that this house put on it stand as the lock states them; what others put there says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from audit.entry import canonical
from audit.vocabulary.models import ModelRefused
from core.errors import CountersignError, NotFound, RecordDamaged
from core.policy.decide import permit
from core.work import Actor, Desk
from models_registry import jobs, queries
from models_registry.answer import INPUT_NOT_FINITE
from models_registry.bundle import Bundle, opened, unpacked
from models_registry.digest import ModelFileUnusable, sha256
from models_registry.isolation import Expected, Session, WorkerDiffers
from models_registry.ports import Runner, Tracking, tracking_of
from models_registry.queries import LockRow, VersionRow
from models_registry.rules import CAUSES
from models_registry.servers import runner_of
from models_registry.software import container
from models_registry.tasks import Given, task_of

INFERENCE = Actor.of_service("inference")


class ModelDiffers(CountersignError):
    """What was found is not what was locked. Recorded as model.refused, with the run that it ended; nothing ran."""

    code, http_status = "model-differs", 409
    next_step = "The refusal is on record and suspends what rests on this lock. Find out who changed what, then " \
                "register and lock again."

    def __init__(self, fact: str, *, check: str, expected: str, found: str, path: str | None = None,
                 next_step: str | None = None) -> None:
        super().__init__(fact, next_step=next_step)
        self.check, self.expected, self.found, self.path = check, expected, found, path
        self.run: str | None = None


def verified(desk: Desk, lock: LockRow, version: VersionRow, *, run: str | None = None) -> Bundle:
    """The bundle of a lock, every byte checked. Raises ModelDiffers, after recording model.refused."""
    try:
        bundle = check_bundle(lock, version, _stored(desk, version))
        tracking = tracking_of(desk.objects)
        if tracking is not None:
            check_marks(tracking, lock)                                                                         # 8
        return bundle
    except ModelDiffers as refusal:
        refuse(desk, lock, refusal, run=run)
        raise


def _stored(desk: Desk, version: VersionRow) -> dict[str, bytes]:                                                # 2
    """The bundle's bytes in memory: from the house's objects, or where it says so from MLflow, by the hint."""
    tracking = tracking_of(desk.objects)
    if tracking is not None and version.store_hint is not None:
        return copy_in(tracking, version)
    return own_copy(desk, version)


def own_copy(desk: Desk, version: VersionRow) -> dict[str, bytes]:
    """The bundle among the house's own objects. Raises ModelDiffers."""
    return _read(version, f"The stored bundle of {version.model} {version.version}",
                 lambda: unpacked(desk.objects.get(version.artefact)))


def copy_in(tracking: Tracking, version: VersionRow) -> dict[str, bytes]:
    """The copy that a registration's hint names. Raises ModelDiffers, OutsideUnavailable where nobody answers."""
    hint = version.store_hint or ""
    return _read(version, f"The copy of {version.model} {version.version} under {hint}",
                 lambda: tracking.files_of(hint))


def check_marks(tracking: Tracking, lock: LockRow) -> None:
    """What the house put on its copy in the store is there as the lock states it. No mark makes anything run: asked are
    only those, and a difference says that somebody with write access edited the house's own copy.

    Raises ModelDiffers, OutsideUnavailable where nobody answers.
    """
    hint, fields = lock.fields.store_hint, lock.fields
    if hint is None or not fields.store_marks:  # on no shelf, on that of others, or locked before marks were stated
        return
    try:
        there = tracking.marks_of(hint)
    except NotFound:
        there = {}
    for one in fields.store_marks:
        found = there.get(one.name)
        if found != one.value:
            raise ModelDiffers(
                f"The {one.name} of {hint} in the tracking store is {'gone' if found is None else repr(found[:200])}; "
                f"this house put {one.value!r} there, as lock {lock.lock} states.",
                check="marks", expected=f"{one.name}: {one.value}",
                found="nothing" if found is None else f"{one.name}: {found[:200]}",
                next_step="The refusal is on record and suspends what rests on this lock. Find out who edited the "
                f"store, put the mark back as it was (`countersign model show {lock.lock}` lists all), and let the "
                "signers of the gate resume it.")


def _read(version: VersionRow, what: str, read: Callable[[], dict[str, bytes]]) -> dict[str, bytes]:
    expected = version.artefact.sha256
    try:
        return read()
    except NotFound:
        raise ModelDiffers(f"{what} is missing (object {expected}).", check="files", expected=expected,
                           found="nothing") from None
    except (RecordDamaged, ModelFileUnusable) as error:
        raise ModelDiffers(f"{what} was changed: {error.fact}", check="files", expected=expected,
                           found="other bytes") from None


def check_bundle(lock: LockRow, version: VersionRow, files: Mapping[str, bytes]) -> Bundle:
    """Steps 1, 3 and 4 on bytes from anywhere: store, library folder or registry. Raises ModelDiffers."""
    if not lock.runs:                                                                                           # 1
        raise ModelDiffers(f"Lock {lock.lock} is {lock.state}; it runs no more.", check="lock", expected="valid",
                           found=lock.state)
    return check_bytes(lock, version, files)


def check_bytes(lock: LockRow, version: VersionRow, files: Mapping[str, bytes]) -> Bundle:
    """Steps 3 and 4, whatever the state of the lock. Raises ModelDiffers."""
    check_tree(version, files)                                                                                  # 3
    fields = lock.fields                                                                                        # 4
    bundle = opened(files)
    for check, expected, found in (
        ("files", fields.tree_sha256, bundle.tree_sha256),
        ("tensors", fields.tensors_sha256, bundle.tensors_sha256),
        ("configuration", fields.configuration_sha256, bundle.digest_of(jobs.CONFIGURATION)),
        ("configuration", fields.contract_sha256, contract_digest(bundle.configuration)),
        ("sentinel", fields.sentinel_input_sha256, bundle.digest_of(jobs.SENTINEL)),
    ):
        if expected != found:
            raise ModelDiffers(f"The {check} digest of {fields.model} {fields.model_version} differs from lock "
                               f"{lock.lock}: expected {expected}, found {found}.",
                               check=check, expected=expected, found=found)
    return bundle


def check_tree(version: VersionRow, files: Mapping[str, bytes]) -> None:
    """The exact file set, each file's size and digest as registered. Raises ModelDiffers naming the first file."""
    name = f"{version.model} {version.version}"
    for path in sorted(set(version.tree) | set(files)):
        if path not in files:
            raise ModelDiffers(f"{path} of {name} is missing.", check="files", expected=version.tree[path][1],
                               found="nothing", path=path)
        found = sha256(files[path])
        if path not in version.tree:
            raise ModelDiffers(f"{path} of {name} was not there when it was registered.", check="files",
                               expected="nothing", found=found, path=path)
        if (len(files[path]), found) != version.tree[path]:
            raise ModelDiffers(f"{path} of {name} was changed: expected {version.tree[path][1]}, found {found}.",
                               check="files", expected=version.tree[path][1], found=found, path=path)


def contract_digest(configuration: Mapping[str, Any]) -> str:
    """Digest of what the model accepts and how it decides: the parts that its task names."""
    parts = {part: configuration[part] for part in task_of(configuration).contract_parts}
    return sha256(canonical(parts, "contract"))


def answers(desk: Desk, lock: LockRow, version: VersionRow, studies: Sequence[Given], *,
            runner: Runner | None = None, runs: Sequence[str] = ()) -> tuple[Session, Bundle]:
    """Run a verified lock on studies, as every inference does. `runs` names the run of each study.

    Raises ModelDiffers (recorded) where bytes, environment or sentinel differ, or where a study held numbers that are
    not finite: no image of a trial does (core/dicom/volume.py), so somebody gave this model something past the checks
    before it, and no answer of that session is used. WorkerFailed where no job was reached.
    """
    session, bundle = asked(desk, lock, version, studies, runner=runner, run=runs[0] if runs else None)
    for place, (answer, _) in enumerate(session.answers):
        if answer.cause in INPUT_NOT_FINITE:                                                                    # 7
            refusal = ModelDiffers(f"{lock.fields.model} was given {answer.found} ({answer.cause}).", check="contract",
                                   expected=answer.limit, found=answer.found)
            refuse(desk, lock, refusal, run=runs[place] if runs else None)
            raise refusal
    return session, bundle


def asked(desk: Desk, lock: LockRow, version: VersionRow, studies: Sequence[Given], *,
          runner: Runner | None = None, run: str | None = None) -> tuple[Session, Bundle]:
    """Run a verified lock on studies, whatever they hold: what OQ and PQ go through, which give a lock wrong input on
    purpose and judge its answers by their protocol. Without a runner it goes where the record says: to the model
    server enrolled for the lock, else to the worker process of the house.

    Raises ModelDiffers (recorded) where bytes, environment or sentinel differ; WorkerFailed where no job was reached.
    """
    bundle = verified(desk, lock, version, run=run)
    try:
        check_container(lock)
        chosen = runner or runner_of(desk, lock.lock)
        return chosen(bundle.files, studies, Expected(lock.environment, lock.fields.sentinel_output_sha256)), bundle
    except WorkerDiffers as differs:                                                                         # 5, 6
        refusal = ModelDiffers(differs.fact, check=differs.check, expected=differs.expected, found=differs.found)
        refuse(desk, lock, refusal, run=run)
        raise refusal from differs


def check_container(lock: LockRow) -> None:                                                                      # 5
    """The container image round this process is the locked one. Raises WorkerDiffers."""
    if container() != lock.fields.container:
        raise WorkerDiffers("environment", f"container {lock.fields.container}", f"container {container()}")


def refuse(desk: Desk, lock: LockRow, refusal: ModelDiffers, *, run: str | None = None) -> None:
    """Record model.refused; what rests on the lock is suspended by whoever projects it."""
    refusal.run = run
    with desk.open(INFERENCE, asked="model.refuse") as work:
        decision = permit(INFERENCE, "model.refuse", queries.house_facts(work.session, INFERENCE, "model.refuse"))
        work.record(ModelRefused(
            lock=lock.lock, model=lock.fields.model, check=refusal.check, cause=CAUSES.get(refusal.check, "none"),
            expected=refusal.expected, found=refusal.found, path=refusal.path, run=run,
        ), under=decision)
