"""Model servers: a person enrols one for a lock or withdraws it; runs go where the record says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from audit.entry import base64_text, kid_of
from audit.vocabulary.servers import RunServed, ServerEnrolled, ServerWithdrawn
from core.errors import AlreadyDone, UnusableInput
from core.policy.decide import permit
from core.policy.state import Actor
from core.work import Desk, Draft, Occasion, Proposal, View
from models_registry import queries, server_queries
from models_registry.attestation import Enrolled, Statement, read, server_id
from models_registry.attested import Transport, run_attested
from models_registry.dialects import DIALECTS
from models_registry.digest import environment_digest
from models_registry.isolation import ORDINARY, Limits, Served, Session, run_isolated
from models_registry.ports import Runner
from models_registry.queries import RunRow

STATEMENTS = "text/plain; charset=us-ascii"
# Reasons for withdrawing a server: codes, since a reason travels in clear.
WITHDRAW_REASONS = ("replaced", "key_compromised", "host_ended", "environment_changed", "use_ended")

_carriers: list[Callable[[Enrolled], Transport]] = []


def carries(carrier: Callable[[Enrolled], Transport]) -> Callable[[Enrolled], Transport]:
    """Declare how tensors get to a server; the face does so once, for HTTP."""
    _carriers.append(carrier)
    return carrier


@dataclass(frozen=True, slots=True)
class EnrolServer:
    """Let the network of a lock answer at a server. The public key comes from whoever runs the server, by another way
    than this address; `statement` is what the server said of itself over `nonce`, which was drawn for this."""

    lock: str
    url: str
    public_key: bytes
    statement: str
    nonce: str
    authority: str | None = None


@dataclass(frozen=True, slots=True)
class WithdrawServer:
    """A server answers no more for its lock."""

    server: str
    reason: str


def worker_here(desk: Desk, *, limits: Limits = ORDINARY, device: str | None = None) -> Runner:
    """The worker process of this machine; where its kernel gives no network namespace, behind the wall that the
    installation's IQ states, or not at all."""
    with desk.reading() as session:
        return partial(run_isolated, limits=limits, wall_stated=queries.wall_stated(session), device=device)


def runner_of(desk: Desk, lock: str) -> Runner:
    """Where a lock runs: its server where one is enrolled, else the worker process of the house."""
    with desk.reading() as session:
        row = server_queries.server_in_use(session, lock)
    if row is None:
        return worker_here(desk)
    return partial(run_attested, enrolled=row.enrolled, transport=_carriers[-1](row.enrolled))


def enrol_server(desk: Desk, actor: Actor, command: EnrolServer) -> Proposal:
    """Let a person sign that a lock's network answers at a server, after the server has said what it serves.

    Raises:
        Refused: the actor may not, or the lock runs no more.
        WorkerDiffers: the statement is not signed by the key, or not over the nonce, or of another bundle or
            environment than the lock's.
        AlreadyDone: it is enrolled.
    """
    statement = _of_this_lock(desk, command)

    def propose(session: Connection, occasion: Occasion) -> Draft:
        lock = queries.lock_of(session, command.lock)
        relations = set() if lock.runs else {"lock_not_valid"}
        decision = permit(actor, "server.enrol", queries.house_facts(session, actor, "server.enrol", relations))
        server, used = server_id(command.public_key, command.url, command.lock), server_queries.server_in_use(
            session, lock.lock)
        if used is not None and used.server == server:
            raise AlreadyDone(f"{server} is enrolled for {lock.lock}.")
        event = ServerEnrolled(
            server=server, lock=lock.lock, model=lock.fields.model, url=command.url,
            public_key=base64_text(command.public_key), key=kid_of(command.public_key), dialect=statement.dialect,
            serves=statement.serves, software=statement.software, code_sha256=statement.code_sha256,
            environment_sha256=environment_digest(statement.environment), statement=command.statement,
            authority=command.authority)
        return Draft(event, under=decision, meaning="approval", view=_enrolment(event), scope=server)

    return desk.prepare(actor, propose, asked="server.enrol")


def _of_this_lock(desk: Desk, command: EnrolServer) -> Statement:
    with desk.reading() as session:
        lock = queries.lock_of(session, command.lock)
    statement = read(command.statement, command.public_key)
    step = "Nothing was enrolled. See which bundle the server was started with, and in which environment."
    stated = dict(statement.environment)
    for what, expected, found in (
        ("nonce", command.nonce, statement.nonce), ("refusal", "", statement.refused),
        ("bundle", lock.fields.tree_sha256, statement.tree_sha256),
        ("tensors", lock.fields.tensors_sha256, statement.tensors_sha256),
        *((f"environment {name}", lock.environment.get(name, "absent"), stated.get(name, "absent"))
          for name in sorted(set(lock.environment) | set(stated))),
    ):
        if expected != found:
            raise UnusableInput(f"The server at {command.url} does not serve {lock.lock}: its {what} is "
                                f"{found or 'none'}, the lock's is {expected or 'none'}.", next_step=step)
    if statement.dialect not in DIALECTS:
        raise UnusableInput(f"The server speaks {statement.dialect!r}; known are {', '.join(DIALECTS)}.")
    return statement


def withdraw_server(desk: Desk, actor: Actor, command: WithdrawServer) -> Proposal:
    """Let a person sign that a server answers no more for its lock."""
    if command.reason not in WITHDRAW_REASONS:
        raise UnusableInput(f"The reason is one of {', '.join(WITHDRAW_REASONS)}.")

    def propose(session: Connection, occasion: Occasion) -> Draft:
        decision = permit(actor, "server.withdraw", queries.house_facts(session, actor, "server.withdraw"))
        row = server_queries.server_of(session, command.server)
        if row.state != "enrolled":
            raise AlreadyDone(f"{row.server} is {row.state}.")
        model = queries.lock_of(session, row.lock).fields.model
        view = View(f"Withdraw the model server {row.server}", "models/server-withdraw",
                    (("Server", row.server), ("Address", row.url), ("Lock", row.lock), ("Reason", command.reason),
                     ("Means", "The lock's network runs in the house again; what the server answered stays.")))
        return Draft(ServerWithdrawn(server=row.server, lock=row.lock, model=model), under=decision,
                     meaning="approval", view=view, reason=command.reason)

    return desk.prepare(actor, propose, asked="server.withdraw")


def record_served(desk: Desk, rows: Sequence[RunRow], session_here: Session) -> None:
    """Keep the statements of every run whose network answered elsewhere, before its outcome is recorded."""
    for row, served in zip(rows, session_here.served, strict=bool(session_here.served)):
        if served is not None:
            _record(desk, row, served, session_here.environment)


def _record(desk: Desk, row: RunRow, served: Served, environment: Mapping[str, str]) -> None:
    kept = desk.objects.put("".join(f"{text}\n" for text in served.statements).encode("ascii"), STATEMENTS)
    last = read(served.statements[-1], served.public_key)
    inference = Actor.of_service("inference")
    with desk.open(inference, on_behalf_of=row.asked_by, asked="run.serve") as work:
        decision = permit(inference, "run.serve", queries.house_facts(work.session, inference, "run.serve"))
        work.record(RunServed(
            run=row.run, lock=row.lock, model=row.model, server=served.server, key=kid_of(served.public_key),
            attestation=kept, answers=len(served.statements), environment_sha256=environment_digest(environment),
            serves=last.serves, threads=environment.get("torch_threads", "not stated"),
            device="cpu" if environment.get("torch_cuda", "none") == "none" else f"cuda {environment['torch_cuda']}",
        ), under=decision, trial=row.trial, caused_by=row.entry_id)


def _enrolment(event: ServerEnrolled) -> View:
    return View(
        f"Enrol the model server {event.server}", "models/server-enrol",
        (
            ("Server", event.server), ("Address", event.url), ("Lock", event.lock), ("Model", event.model),
            ("Key", event.key), ("Serves", f"{event.serves}, dialect {event.dialect}"),
            ("Software", event.software), ("Its reading code", event.code_sha256),
            ("Environment digest", event.environment_sha256),
            ("Certificate authority", "pinned" if event.authority else "those of the system"),
            ("Means", "The network of this lock answers there. Prepared tensors leave the house: no name, number, date "
             "or header. Every answer is checked; who controls that host is trusted to run what it states."),
        ),
    )
