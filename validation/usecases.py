"""What people do before a run: write, review and approve protocols, seal and open test sets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from sqlalchemy import Connection

from audit.vocabulary.registry import ObjectRef
from audit.vocabulary.validation import (
    ProtocolApproved,
    ProtocolDrafted,
    ProtocolReviewed,
    TestSetSealed,
    TestSetUnsealed,
    TestStratum,
)
from core.access.queries import basis
from core.errors import AlreadyDone, UnusableInput
from core.objects import JSON
from core.policy.decide import permit
from core.policy.state import Actor, Decision, Facts
from core.projection import from_reference
from core.two_persons import permit_signature
from core.work import Desk, Draft, Occasion, Proposal, View
from validation import cases, groups, protocol, queries
from validation.protocol import Protocol

YAML = "application/yaml"
TEMPLATE = "validation"


def resting_draft(
    session: Connection, actor: Actor, action: str, event: object, decision: Decision, meaning: str, view: View,
    trial: str | None = None,
) -> Draft:
    """A draft resting on the trainings that govern the act."""
    rests_on = basis(session, actor.user, decision.role, action, trial)
    return Draft(
        event, under=decision, meaning=meaning, view=view, trial=trial, trainings=rests_on.trainings,
        delegation=rests_on.delegation,
    )


# -- Protocols -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DraftProtocol:
    """The complete text, every place named."""

    text: str


def draft_protocol(desk: Desk, actor: Actor, command: DraftProtocol) -> Proposal:
    """Sign a protocol as its author; a protocol with the same id becomes its next version.

    Raises:
        UnusableInput: the text is no protocol, a place is still open, or its test set is not the sealed one.
    """
    read = protocol.read(command.text)
    if protocol.UNNAMED in command.text:
        raise UnusableInput(
            f"A place of the protocol still says {protocol.UNNAMED}.",
            next_step="Name lock, endpoint and test set; `countersign validate draft --lock` fills them.",
        )
    document = desk.objects.put(command.text.encode("utf-8"), YAML)
    return desk.prepare(actor, partial(_propose_draft, actor, read, command.text, document), asked="protocol.draft")


def _propose_draft(
    actor: Actor, read: Protocol, text: str, document: ObjectRef, session: Connection, _occasion: Occasion
) -> Draft:
    decision = permit(actor, "protocol.draft", queries.facts(session, actor, "protocol.draft"))
    if read.test_set is not None:
        sealed = queries.test_set_row(session, read.test_set.id)
        if sealed["digest"] != read.test_set.digest:
            raise UnusableInput(
                f"The protocol names digest {read.test_set.digest[:12]}… for {read.test_set.id}; "
                f"sealed is {sealed['digest'][:12]}….",
            )
    version = queries.latest_version(session, read.protocol.id) + 1
    supports = read.supports
    if supports is not None and not queries.known_lock(session, supports.lock):
        raise UnusableInput(f"No model is locked as {supports.lock}.", next_step="Lock the model first, then draft.")
    event = ProtocolDrafted(
        protocol=read.protocol.id, version=version, title=read.protocol.title, kind=read.protocol.kind,
        target=read.protocol.target, document=document, digest=protocol.digest(text),
        evidence_class=read.protocol.evidence_class, signers=tuple(signer.text for signer in read.signatures),
        lock=supports.lock if supports else None, use=supports.use if supports else None,
        use_name=supports.use_name if supports else None, endpoint=supports.endpoint if supports else None,
    )
    return resting_draft(session, actor, "protocol.draft", event, decision, "authorship", _protocol_view(event, read))


def _protocol_view(event: ProtocolDrafted, read: Protocol) -> View:
    lines = [
        ("Protocol", f"{event.protocol} version {event.version}: {event.title}"),
        ("Kind, for", f"{event.kind}, {event.target}" + (f" {event.lock}" if event.lock else "")),
        ("Context of use", read.context_of_use),
        ("Class of evidence", event.evidence_class),
        *((f"Step {step.id}", f"{step.title}: {step.expected}"
           + (f" (for a lock that names {step.only_for})" if step.only_for else "")) for step in read.steps),
        *((f"Criterion {one.id}", f"{one.stratum}, {one.metric} {one.statistic}: {one.limit_in_words}")
          for one in read.criteria),
        *((f"Stratum {part.stratum}", f"{len(part.cases())} cases, {part.planned} planned")
          for part in (read.test_set.strata if read.test_set else [])),
        ("Signatures asked for", ", ".join(event.signers)),
        ("Digest of the document", event.digest),
    ]
    return View("Validation protocol", TEMPLATE, tuple(lines))


@dataclass(frozen=True, slots=True)
class SignProtocol:
    """The next signature under a protocol."""

    protocol: str
    version: int


def sign_protocol(desk: Desk, actor: Actor, command: SignProtocol) -> Proposal:
    """Review or approve, whichever is next; author, reviewers and approvers are different people, QA last."""
    return desk.prepare(actor, partial(_propose_signature, desk, actor, command), asked="protocol.sign")


def _propose_signature(
    desk: Desk, actor: Actor, command: SignProtocol, session: Connection, _occasion: Occasion
) -> Draft:
    row = queries.protocol_row(session, command.protocol, command.version)
    if row["state"] != "draft":
        raise AlreadyDone(f"{command.protocol} version {command.version} is {row['state']}; it has all its signatures.")
    waits_for = queries.next_of(session, row)
    assert waits_for is not None  # a draft waits for one
    role, _, meaning = waits_for.partition(":")
    action = "protocol.review" if meaning == "review" else "protocol.approve"
    known = queries.facts(session, actor, action)
    relations = set(known.relations)
    if row["author"] == actor.user:
        relations.add("author")
    if any(one["person"] == actor.user for one in queries.signed(session, row["protocol"], row["version"])):
        relations.add("signed_already")
    if role not in known.roles:
        relations.add("out_of_turn")
    # Signed in this role and in no other that the person may hold besides.
    decision = permit(actor, action, replace(known, relations=frozenset(relations), roles=known.roles & {role}))
    word = ProtocolReviewed if meaning == "review" else ProtocolApproved
    event = word(protocol=row["protocol"], version=row["version"], digest=row["digest"], signed_as=role)
    text = desk.objects.get(from_reference(row["document"])).decode("utf-8")
    drafted = ProtocolDrafted(
        protocol=row["protocol"], version=row["version"], title=row["title"], kind=row["kind"], target=row["target"],
        document=from_reference(row["document"]), digest=row["digest"], evidence_class=row["evidence_class"],
        signers=tuple(signer.text for signer in protocol.read(text).signatures), lock=row["lock"],
    )
    view = _protocol_view(drafted, protocol.read(text))
    return resting_draft(session, actor, action, event, decision, meaning, view)


# -- Test sets -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SealTestSet:
    """The test set of a protocol's text; its digest place may still be open. `data` is the folder of clinical cases."""

    text: str
    data: Path | None = None


def seal_test_set(desk: Desk, actor: Actor, command: SealTestSet) -> Proposal:
    """Fix which cases will judge, with their content digests; the one who trained the model cannot.

    Raises:
        UnusableInput: the text has no test set. AlreadyDone: the set is sealed.
    """
    read = protocol.read(command.text)
    if read.test_set is None:
        raise UnusableInput(f"Protocol {read.protocol.id} has no test set.")
    document, digest, parts = cases.sealed_manifest(read.test_set.id, list(read.test_set.strata), command.data)
    manifest = desk.objects.put(document, JSON)
    stated = {name: groups.in_words(cases.stated_groups(document, name)) for name in parts}
    return desk.prepare(
        actor, partial(_propose_seal, actor, read, digest, manifest, parts, stated), asked="test_set.seal")


def _propose_seal(
    actor: Actor, read: Protocol, digest: str, manifest: ObjectRef, parts: dict[str, tuple[int, str]],
    stated: dict[str, str], session: Connection, _occasion: Occasion,
) -> Draft:
    assert read.test_set is not None
    if queries.is_sealed(session, read.test_set.id):
        raise AlreadyDone(f"Test set {read.test_set.id} is sealed already.")
    known = queries.facts(session, actor, "test_set.seal", *_trainer(session, actor, read))
    decision = permit(actor, "test_set.seal", known)
    strata = tuple(TestStratum(stratum=name, subjects=count, digest=each) for name, (count, each) in parts.items())
    event = TestSetSealed(
        test_set=read.test_set.id, digest=digest, manifest=manifest, strata=strata,
        independence=read.test_set.independence,
    )
    lines = [("Test set", event.test_set), ("Independence from training", event.independence),
             *((f"Stratum {part.stratum}", f"{part.subjects} cases, digest {part.digest}") for part in strata),
             *((f"Sub-groups of {name}", said) for name, said in stated.items() if said), ("Digest", digest)]
    return resting_draft(session, actor, "test_set.seal", event, decision, "responsibility",
                  View("Seal a test set", TEMPLATE, tuple(lines)))


def _trainer(session: Connection, actor: Actor, read: Protocol) -> tuple[str, ...]:
    if read.supports is None or read.supports.lock == protocol.UNNAMED:
        return ()
    return ("trainer",) if queries.trained_the_lock(session, read.supports.lock, actor.user) else ()


@dataclass(frozen=True, slots=True)
class OpenTestSet:
    """Open a test set for one version of a protocol: two persons, one after the other."""

    test_set: str
    protocol: str
    version: int


def open_test_set(desk: Desk, actor: Actor, command: OpenTestSet) -> Proposal:
    """First or second signature, whichever is missing; the second takes effect and is counted."""
    return desk.prepare(actor, partial(_propose_opening, desk, actor, command), asked="test_set.open")


def _propose_opening(
    desk: Desk, actor: Actor, command: OpenTestSet, session: Connection, _occasion: Occasion
) -> Draft:
    sealed = queries.test_set_row(session, command.test_set)
    row = queries.protocol_row(session, command.protocol, command.version)
    if queries.is_open_for(session, command.test_set, command.protocol, command.version):
        raise AlreadyDone(f"Test set {command.test_set} is open for {command.protocol} version {command.version}.")
    read = protocol.read(desk.objects.get(from_reference(row["document"])).decode("utf-8"))
    first = queries.first_opening(session, command.test_set, command.protocol, command.version)
    relations = list(_trainer(session, actor, read))
    if row["state"] != "approved" or read.test_set is None or read.test_set.id != command.test_set:
        relations.append("unapproved")

    def facts(known: frozenset[str]) -> Facts:
        return queries.facts(session, actor, "test_set.open", *known)

    decision = permit_signature(actor, "test_set.open", facts, first, also=frozenset(relations))
    event = TestSetUnsealed(
        test_set=command.test_set, protocol=command.protocol, version=command.version, prior=sealed["unseals"],
        first=first.id if first is not None else None,
    )
    lines = (("Test set", event.test_set), ("For protocol", f"{event.protocol} version {event.version}"),
             ("Opened before", f"{event.prior} times"),
             ("First signature", first.person if first is not None else "this one"))
    return resting_draft(session, actor, "test_set.open", event, decision, "approval",
                  View("Open a test set", TEMPLATE, lines))
