"""A model server is believed for as long as it proves, answer by answer, that the locked network answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sqlalchemy import Connection

from audit.entry import base64_text
from audit.vocabulary import gates as gate_words
from core.errors import AlreadyDone, Refused, UnusableInput
from core.phantoms import SCANNERS, lesion_at, make_volume
from core.policy.state import Actor
from core.trials.queries import open_uses
from countersign.adapters.http import Endpoint, NoAnswer, ask
from countersign.adapters.model_server import AttestedServer, statement_of
from models_registry import queries, server_queries
from models_registry.asking import RequestRun, request_run
from models_registry.attestation import Attested, Enrolled, Statement, read, tensor_digest
from models_registry.attested import run_attested
from models_registry.contract import Study
from models_registry.dialects import DIALECTS, MLFLOW, V2, Dialect, Floats, NotThisDialect
from models_registry.inputs import Given, SeriesReader
from models_registry.isolation import WorkerDiffers
from models_registry.library import SHIPPED
from models_registry.queries import RunRow
from models_registry.running import run_waiting
from models_registry.servers import EnrolServer, WithdrawServer, enrol_server, withdraw_server
from models_registry.usecases import LockModel, RegisterModel, lock_model, register_model
from tests.builders import reads as trial
from tests.builders.model_server import Change, ModelServer, Said, a_model_server, certificate, other_tensor
from tests.builders.models import MadeImages
from tests.builders.reads import SUBJECT, TRIAL
from tests.house import HouseUnderTest, a_house
from tests.req import req

LESION = lesion_at("liver", "T01", (46, 38, 42), suv=11.0)
NONCE = "5" * 64
CUSTODIAN = Actor("custodian")


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with a_model_server() as one:
        yield one


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> MadeImages:
    made = MadeImages()
    volume = make_volume(replace(SCANNERS["C"], pixel_mm=3.5, matrix=104), (LESION,), 91)
    made.add(tmp_path_factory.mktemp("studies"), volume, SUBJECT, "BL", trial=TRIAL)
    return made


@pytest.fixture(scope="module")
def told(server: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HouseUnderTest]:
    """A live trial; the shipped model is locked as it runs at the server, which is enrolled for it. Each test adds."""
    with a_house(tmp_path_factory.mktemp("served")) as house:
        trial.a_live_trial(house)
        house.person("custodian", "model_custodian")
        house.commit(register_model(house.desk, CUSTODIAN, RegisterModel(SHIPPED, "trainer")))
        there = partial(run_attested, enrolled=server.enrolled, transport=AttestedServer(server.enrolled))
        house.commit(lock_model(house.desk, CUSTODIAN, LockModel("lesion-at-seed"), runner=there))
        house.commit(enrol_server(house.desk, CUSTODIAN, enrolment(house, server)))
        yield house


@pytest.fixture(autouse=True)
def well_behaved(server: ModelServer) -> Iterator[None]:
    """Each test begins with a server that does its work."""
    server.misbehave(None)
    yield
    server.misbehave(None)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that does not come is given up after a second and a half."""
    monkeypatch.setattr("models_registry.servers._carriers", [partial(AttestedServer, answer_s=1.5)])


def lock_in(house: HouseUnderTest) -> str:
    with house.desk.reading() as session:
        return queries.locks_known(session)[-1].lock


def enrolment(house: HouseUnderTest, server: ModelServer) -> EnrolServer:
    statement = statement_of(server.url, server.public_key, NONCE)
    return EnrolServer(lock_in(house), server.url, server.public_key, statement, NONCE)


def run_one(house: HouseUnderTest, images: MadeImages, many: int = 1) -> RunRow:
    """Ask for so many runs, carry them out together, and give the last."""
    x, y, z = (f"{value:.1f}" for value in LESION.centre_mm)
    command = RequestRun(trial=TRIAL, subject=SUBJECT, time_point="BL", lesion=LESION.label, tracking_uid="2.25.1",
                         seed_mm=(x, y, z), seed_by="reader-1", lock=lock_in(house))
    for _ in range(many):
        entry = request_run(house.desk, Actor("technologist"), command, images).seq
    run_waiting(house.desk, images)
    with house.desk.reading() as session:
        return next(row for row in queries.runs_of(session) if row.entry == entry)


@req("MLK-01", "REC-14")
def test_a_remote_run_names_server_key_and_statements(
    told: HouseUnderTest, images: MadeImages, server: ModelServer
) -> None:
    """The network answers at the server, everything else is done here; the statements are kept and can be checked."""
    row = run_one(told, images)

    assert row.state == "finished"
    assert row.values["volume"].endswith(" mm3")
    with told.desk.reading() as session:
        served = server_queries.served_of(session, row.run)
    assert (served.serves, served.threads, served.device) == ("a stand-in 1.0", "2", "cpu")
    assert told.words()[-2:] == ["run.served", "run.finished"]
    (text,) = told.desk.objects.get(served.attestation).decode("ascii").splitlines()
    statement = read(text, server.public_key)
    sent = V2.asked(server.seen[-1][2])
    assert statement.input_sha256 == tensor_digest(sent)
    assert statement.environment["torch_threads"] == "2"


@req("MLK-01", "MLK-03", "GAT-04")
def test_no_server_is_sent_what_is_no_number(
    told: HouseUnderTest, images: MadeImages, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The contract is asked here: the sentinel was sent, the image never, and the model is refused."""
    class FedPast(SeriesReader):
        def again(self, session: Connection, row: RunRow) -> Given:
            given = super().again(session, row)
            assert isinstance(given.study, Study)
            values = np.full_like(given.study.pet.values, np.nan)
            return replace(given, study=replace(given.study, pet=replace(given.study.pet, values=values)))

    monkeypatch.setattr("models_registry.running.SeriesReader", FedPast)

    row = run_one(told, images)

    assert (row.state, row.cause, row.values) == ("refused", "contract", {})
    assert len(server.seen) == 1
    with told.desk.reading() as session:
        assert queries.refusals_known(session)[-1].cause == "input_not_finite"


@req("PRV-01")
def test_only_the_prepared_tensor_leaves_the_house(
    told: HouseUnderTest, images: MadeImages, server: ModelServer
) -> None:
    """Neither body nor headers hold a code of subject, trial, study or run, a date or the place of the seed."""
    row = run_one(told, images)

    assert len(server.seen) == 2  # the sentinel, once per session, and the lesion
    for path, headers, body in server.seen:
        assert path == V2.path
        assert set(headers) == {"host", "accept-encoding", "content-length", "content-type", "connection",
                                "countersign-nonce"}
        assert V2.asks(V2.asked(body)) == body  # numbers and shape, nothing else
        for secret in (SUBJECT, TRIAL, row.study, row.run, row.lesion):
            assert secret.encode() not in body + str(headers).encode()


def changed(**fields: object) -> Change:
    return lambda said: said.statement.update(fields)


def unsigned(said: Said) -> None:
    said.header = ""


def another_key(said: Said) -> None:
    said.key = Ed25519PrivateKey.generate()


def refuses(said: Said) -> None:
    said.status, said.body = 503, b"{}"
    said.statement.update(refused="The private copy was changed.", input_sha256="", output_sha256="")


def another_environment(said: Said) -> None:
    said.statement["environment"] = {**said.statement["environment"], "torch_threads": "8"}


@req("MLK-01", "GAT-04")
@pytest.mark.parametrize(("change", "well", "check", "found"), [
    (unsigned, 0, "attestation", "cannot attest"), (unsigned, 1, "attestation", "cannot attest"),
    (another_key, 1, "attestation", "a signature of another key"),
    (changed(nonce="0" * 64), 1, "attestation", "made for another request"),
    (changed(tree_sha256="d" * 64), 1, "files", "d" * 64),
    (changed(tensors_sha256="d" * 64), 1, "tensors", "d" * 64),
    (another_environment, 1, "environment", "torch_threads 8"),
    (changed(input_sha256="d" * 64), 1, "attestation", "d" * 64),
    (other_tensor, 1, "attestation", ""),
    (changed(boot="restarted"), 1, "attestation", "start restarted"),
    (changed(count=0), 1, "attestation", "answer 0"),
    (refuses, 1, "attestation", "The private copy was changed."),
], ids=["plain server", "unsigned later", "other key", "old nonce", "other lock", "other tensors", "other environment",
        "other input", "other output", "restarted", "counted back", "refuses"])
def test_whatever_is_not_proven_is_refused_recorded_and_closes_the_gate(
    told: HouseUnderTest, images: MadeImages, server: ModelServer, change: Change, well: int, check: str, found: str
) -> None:
    """The sentinel may have been answered well: each single answer is held to the lock."""
    lock = lock_in(told)
    trial.recorded(told, gate_words.GateOpened(
        gate=f"G-{len(told.entries())}", use=1, use_name="qc", scope="all", lock=lock, criteria=(), signed=()), "gates")
    with told.desk.reading() as session:
        assert any(use.lock == lock for use in open_uses(session, TRIAL))
    server.misbehave(change, well)

    row = run_one(told, images)

    assert (row.state, row.values) == ("refused", {})
    with told.desk.reading() as session:
        refused = queries.refusals_known(session, lock=lock)[-1]
        assert not any(use.lock == lock for use in open_uses(session, TRIAL))
    assert (refused.checked, refused.run) == (check, row.run)
    assert refused.cause in ("digest_mismatch", "environment_mismatch")
    assert found in refused.found
    assert "run.served" not in told.words()[-3:]


@req("MLK-01")
def test_an_old_statement_does_not_serve_for_a_new_answer(
    told: HouseUnderTest, images: MadeImages, server: ModelServer
) -> None:
    """Recorded and played back with the very tensor that it was made for."""
    run_one(told, images)
    kept = server.headers[-1]

    def replay(said: Said) -> None:
        said.header = kept

    server.misbehave(replay, 1)

    assert run_one(told, images).state == "refused"


@req("MLK-01", "MLK-02")
def test_other_weights_behind_an_honest_face_fail_the_sentinel(
    told: HouseUnderTest, images: MadeImages, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every statement holds, and yet the locked sentinel answer does not come: refused before any job."""
    def slightly(channels: Floats) -> Floats:
        return np.asarray(np.clip(channels[2] * np.float32(0.9499), 0, 1), dtype=np.float32)

    monkeypatch.setattr(server, "network", slightly)

    row = run_one(told, images)

    assert row.state == "refused"
    assert len(server.seen) == 1
    with told.desk.reading() as session:
        assert queries.refusals_known(session)[-1].checked == "sentinel"


def shape(said: Said) -> None:
    found = np.zeros((1, 24, 24, 24), dtype=np.float32)
    said.body = V2.answers(found)
    said.statement["output_sha256"] = tensor_digest(found)


def not_finite(said: Said) -> None:
    said.body = said.body.replace(b'"data":[', b'"data":[NaN,', 1)


def two_at_once(said: Said) -> None:
    found = np.zeros((2, 48, 48, 48), dtype=np.float32)
    said.body = V2.answers(found)
    said.statement["output_sha256"] = tensor_digest(found)


def elsewhere(said: Said) -> None:
    said.status, said.location, said.header = 307, "http://127.0.0.1:1/", ""


def is_too_large(said: Said) -> None:
    said.body += b" " * 20_000_000


@req("MLK-01")
@pytest.mark.parametrize(("change", "cause"), [
    (shape, "output-shape"), (not_finite, "server-output"), (two_at_once, "server-output"),
    (lambda said: setattr(said, "cut", True), "server-broken"),
    (lambda said: setattr(said, "wait_s", 3), "server-time-limit"),
    (lambda said: setattr(said, "drip_s", 0.3), "server-time-limit"),
    (elsewhere, "server-redirect"), (is_too_large, "server-too-large"),
    (lambda said: setattr(said, "status", 500), "server-status"),
], ids=["shape", "NaN", "two answers", "dies mid-answer", "slow", "drips", "redirect", "too large", "error"])
def test_no_whole_answer_is_a_failed_run_and_no_value(
    told: HouseUnderTest, images: MadeImages, server: ModelServer, change: Change, cause: str,
    request: pytest.FixtureRequest,
) -> None:
    """Not a digest matter: the run fails, on record, with its cause; nothing is refused."""
    if cause == "server-time-limit":
        request.getfixturevalue("hasty")
    refusals = told.words().count("model.refused")
    server.misbehave(change, 1)

    row = run_one(told, images)

    assert (row.state, row.cause, row.values) == ("failed", cause, {})
    assert told.words().count("model.refused") == refusals


def test_a_broken_connection_is_tried_again_with_another_nonce(
    told: HouseUnderTest, images: MadeImages, server: ModelServer
) -> None:
    """A forward pass leaves nothing behind at the server, so it may be repeated; the run ends once."""
    def once(said: Said) -> None:
        said.cut = True
        server.change = None

    server.misbehave(once, 1)

    row = run_one(told, images)

    assert row.state == "finished"
    nonces = [headers["countersign-nonce"] for _, headers, _ in server.seen]
    assert len(nonces) == len(set(nonces)) == 3


def test_a_server_that_is_gone_fails_all_runs_without_waiting_for_each(
    told: HouseUnderTest, images: MadeImages, server: ModelServer, hasty: None
) -> None:
    server.misbehave(lambda said: setattr(said, "wait_s", 3), 1)

    row = run_one(told, images, many=3)

    with told.desk.reading() as session:
        last = [one for one in queries.runs_of(session) if one.cause == "server-time-limit"][-3:]
    assert row in last
    assert len(server.seen) == 2


@req("ACC-03")
def test_only_who_keeps_the_models_enrols_and_withdraws(told: HouseUnderTest, server: ModelServer) -> None:
    command = enrolment(told, server)

    for actor in (Actor("technologist"), Actor.of_service("inference")):
        with pytest.raises(Refused):
            enrol_server(told.desk, actor, command)
    with pytest.raises(AlreadyDone):
        enrol_server(told.desk, CUSTODIAN, command)


@req("MLK-01")
def test_a_server_that_cannot_attest_is_not_enrolled(told: HouseUnderTest) -> None:
    """Another key, another nonce, another bundle, another environment: nothing is signed."""
    with a_model_server() as other:
        with pytest.raises(UnusableInput, match="a signature of another key"):
            statement_of(other.url, Ed25519PrivateKey.generate().public_key().public_bytes_raw(), NONCE)
        good = enrolment(told, other)
        with pytest.raises(UnusableInput, match="nonce"):
            enrol_server(told.desk, CUSTODIAN, replace(good, nonce="6" * 64))
        for fields, words in (({"tree_sha256": "d" * 64}, "its bundle is d"),
                              ({"environment": {"python": "2.7"}}, "its environment"),
                              ({"refused": "changed"}, "its refusal is changed")):
            stated = Statement(**(other.said(NONCE, None).statement | fields)).signed(other.key)
            with pytest.raises(UnusableInput, match=words):
                enrol_server(told.desk, CUSTODIAN, replace(good, statement=stated))


@req("MLK-01")
def test_after_withdrawal_the_lock_runs_in_the_house_again(told: HouseUnderTest, tmp_path: Path) -> None:
    from models_registry.isolation import run_isolated
    from models_registry.servers import runner_of
    from tests.house import checked

    with checked(told.copied(tmp_path)) as house:
        lock = lock_in(house)
        with house.desk.reading() as session:
            used = server_queries.server_in_use(session, lock)
        assert cast(Any, runner_of(house.desk, lock)).func is not run_isolated

        house.commit(withdraw_server(house.desk, CUSTODIAN, WithdrawServer(used.server, "use_ended")))

        assert cast(Any, runner_of(house.desk, lock)).func is run_isolated
        with pytest.raises(AlreadyDone):
            withdraw_server(house.desk, CUSTODIAN, WithdrawServer(used.server, "use_ended"))


def test_at_the_command_line_servers_and_statements_are_shown(
    told: HouseUnderTest, images: MadeImages, server: ModelServer
) -> None:
    from typer.testing import CliRunner

    from countersign.cli import app

    row, home = run_one(told, images), ["--home", str(told.home)]

    listed = CliRunner().invoke(app, ["model-server", "list", *home])
    shown = CliRunner().invoke(app, ["model-server", "show", row.run, *home])
    unknown = CliRunner().invoke(app, ["model-server", "show", "no-run", *home])

    assert (listed.exit_code, shown.exit_code, unknown.exit_code) == (0, 0, 1)
    assert f"{lock_in(told)}  {server.url}" in listed.output
    assert "signature holds" in shown.output


@req("MLK-01", "SIG-01")
def test_at_the_command_line_a_server_is_enrolled_and_withdrawn(
    told: HouseUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the server serves is shown before it is signed; a wrong key is wrong use, and nothing is signed."""
    from typer.testing import CliRunner

    from countersign.cli import app
    from tests.house import checked

    def typed(house: HouseUnderTest, *arguments: str) -> tuple[int, str]:
        proof = house.proof("custodian")
        for name, value in (("MEANING", "approval"), ("PASSWORD", proof.password), ("CODE", proof.code)):
            monkeypatch.setenv(f"COUNTERSIGN_{name}", value)
        said = CliRunner().invoke(app, ["model-server", *arguments, "--as", "custodian", "--home", str(house.home)])
        return said.exit_code, said.output

    with checked(told.copied(tmp_path)) as house, a_model_server() as other:
        lock, key = lock_in(house), base64_text(other.public_key)

        wrong = typed(house, "enrol", lock, "--url", other.url, "--server-key", base64_text(b"7" * 32))
        short = typed(house, "enrol", lock, "--url", other.url, "--server-key", "c2hvcnQ=")
        enrolled = typed(house, "enrol", lock, "--url", other.url, "--server-key", key)
        with house.desk.reading() as session:
            used = server_queries.server_in_use(session, lock)
        withdrawn = typed(house, "withdraw", used.server, "--reason", "host_ended")

        assert (wrong[0], short[0], enrolled[0], withdrawn[0]) == (1, 1, 0, 0), enrolled[1] + withdrawn[1]
        assert "a signature of another key" in wrong[1]
        assert "a stand-in 1.0, dialect v2" in enrolled[1]
        assert used.url == other.url
        assert [word for word in house.words() if word.startswith("server.")][-2:] == [
            "server.enrolled", "server.withdrawn"]
        with house.desk.reading() as session:
            assert server_queries.server_in_use(session, lock) is None
            assert [one.state for one in server_queries.servers_known(session, lock)] == ["replaced", "withdrawn"]


# The pure parts.

FLOATS = arrays(np.float32, st.tuples(st.just(1), *[st.integers(1, 3)] * 3),
                elements=st.floats(width=32, allow_nan=False, allow_infinity=False))


@req("MLK-02")
@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=list(DIALECTS))
@settings(max_examples=25)
@given(tensor=FLOATS)
def test_the_bits_of_a_tensor_cross_both_dialects(dialect: Dialect, tensor: Floats) -> None:
    for there, back in ((dialect.asks, dialect.asked), (dialect.answers, dialect.answered)):
        assert back(there(tensor)).tobytes() == np.ascontiguousarray(tensor).tobytes()


@pytest.mark.parametrize(("dialect", "body"), [
    (MLFLOW, b"{}"), (MLFLOW, b"[1]"), (MLFLOW, b"no json"), (MLFLOW, b'{"predictions": [[1, null]]}'),
    (MLFLOW, b'{"predictions": [[1], [1, 2]]}'), (MLFLOW, b'{"predictions": [1e39]}'),
    (MLFLOW, b'{"predictions": "x"}'), (MLFLOW, b'{"predictions": [NaN]}'), (MLFLOW, b'{"predictions": 1}'),
    (V2, b'{"outputs": []}'), (V2, b'{"outputs": [{"name": "probability", "datatype": "FP64"}]}'),
    (V2, b'{"outputs": [{"name": "probability", "datatype": "FP32", "shape": [2], "data": [1]}]}'),
    (V2, b'{"outputs": [{"name": "probability", "datatype": "FP32", "shape": [-1], "data": [1]}]}'),
    (V2, b'{"outputs": [{"name": "probability", "datatype": "FP32", "shape": [true], "data": [1]}]}'),
])
def test_what_is_no_tensor_of_finite_numbers_is_none(dialect: Dialect, body: bytes) -> None:
    with pytest.raises(NotThisDialect):
        dialect.answered(body)


@req("MLK-01")
@settings(max_examples=60)
@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_one_changed_bit_anywhere_in_a_statement_is_found(place: int, bit: int) -> None:
    key = Ed25519PrivateKey.from_private_bytes(b"7" * 32)
    stated = Statement(NONCE, "2031", "a", "b", "c", "d", {"python": "3"}, "v2", "s", "x", 1, "in", "out")
    text = bytearray(stated.signed(key), "ascii")
    text[place % len(text)] ^= 1 << bit
    public = key.public_key().public_bytes_raw()
    attested = Attested(Enrolled("SRV", "", public, "v2"), "a", "b", {"python": "3"})

    assert read(stated.signed(key), public) == stated
    with pytest.raises(WorkerDiffers):
        attested.check(text.decode("latin-1"), NONCE, "in", "out")


@pytest.mark.parametrize("url", [
    "http://models.example:80", "http://localhost:80", "ftp://127.0.0.1", "https://user:word@models.example",
    "https://models.example/path", "https://models.example?x=1", "models.example:443", "http://127.0.0.1:port",
])
def test_addresses_that_are_none_or_plain_to_another_machine_are_refused(url: str) -> None:
    with pytest.raises(UnusableInput):
        Endpoint.read(url)


def test_proxies_of_the_environment_are_not_used(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)

    assert statement_of(server.url, server.public_key, NONCE)


@req("PRV-04")
def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    """The pinned one is trusted, and it alone: not that of the system, not another, not for another name."""
    mine, other = certificate(tmp_path), certificate(tmp_path, "other")
    with a_model_server(tls=mine) as one:
        url = f"https://127.0.0.1:{one.port}"
        assert statement_of(url, one.public_key, NONCE, mine[0].read_text())
        for address, authority in ((url, None), (url, other[0].read_text()),
                                   (url.replace("127.0.0.1", "localhost"), mine[0].read_text())):
            with pytest.raises(NoAnswer) as none:
                statement_of(address, one.public_key, NONCE, authority)
            assert none.value.cause == "certificate"
    with pytest.raises(UnusableInput, match="not readable"):
        statement_of("https://127.0.0.1:1", b"", NONCE, "no certificate")


def test_nobody_there_is_said_so() -> None:
    with pytest.raises(NoAnswer) as none:
        ask(Endpoint("127.0.0.1", 1, secure=False), "GET", "/", most=10, deadline_s=2)

    assert none.value.cause == "unreachable"
