"""`countersign model-server`: attest a model server here, let a lock's network answer at one, or withdraw it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from countersign.cli.common import HomeOption, JsonOption, answer, house, told
from countersign.cli.signing import AsOption

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

app = typer.Typer(no_args_is_help=True, help="Model servers that attest: attest, enrol, withdraw, list.")
APPS = {"model-server": app}


@app.command()
@told
def attest(
    bundle: Annotated[str, typer.Option(help="Bundle folder; `shipped` is lesion-at-seed of this release.")],
    dialect: Annotated[str, typer.Option(help="mlflow (models serve) or v2 (MLServer, Open Inference Protocol).")],
    python: Annotated[str, typer.Option(help="Interpreter of the environment that holds that server.")],
    key: Annotated[str, typer.Option(help="File of the key that signs answers (PEM); made where there is none.")],
    host: Annotated[str, typer.Option(help="Address to listen at; another than loopback needs a certificate.")]
    = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at.")] = 8441,
    certificate: Annotated[str, typer.Option(help="TLS certificate chain (PEM).")] = "",
    certificate_key: Annotated[str, typer.Option(help="Its private key (PEM).")] = "",
) -> None:
    """Copy a bundle, hash it, start the server from that copy, and sign each of its answers. Needs no home."""
    import signal
    from pathlib import Path

    import uvicorn

    from core.errors import UnusableInput
    from countersign.adapters.http import is_loopback
    from countersign.attesting.server import Attesting, application
    from countersign.attesting.upstream import Upstream
    from models_registry.dialects import DIALECTS
    from models_registry.library import SHIPPED

    if dialect not in DIALECTS:
        raise UnusableInput(f"{dialect!r} is no dialect; known are {', '.join(DIALECTS)}.")
    if bool(certificate) != bool(certificate_key):
        raise UnusableInput("A certificate comes with its private key, both or neither.")
    if not certificate and not is_loopback(host):
        raise UnusableInput(f"{host} is reached by other machines; plain HTTP does not go there.",
                            next_step="Give --certificate and --certificate-key, or listen at 127.0.0.1.")
    signing = _key(Path(key))

    def end(*_: object) -> None:
        # Python's own way of dying leaves the server behind and its copy on the disk.
        raise typer.Exit(0)

    signal.signal(signal.SIGTERM, end)
    upstream = Upstream(SHIPPED if bundle == "shipped" else Path(bundle), DIALECTS[dialect],
                        Path(python).absolute())
    try:
        scheme = "https" if certificate else "http"
        typer.echo(f"{upstream.serves} serves bundle {upstream.copy.tree_sha256}, started from a private copy.\n"
                   f"Attesting at {scheme}://{host}:{port}; public key, for `model-server enrol`:\n"
                   f"    {_public(signing)}")
        uvicorn.run(application(Attesting(upstream, signing), upstream.dialect.path), host=host, port=port,
                    log_level="warning", access_log=False, ssl_certfile=certificate or None,
                    ssl_keyfile=certificate_key or None)
    finally:
        upstream.stop()


def _key(path: Path) -> Ed25519PrivateKey:
    """The signing key of a file that its owner alone can read; a new one where there is no file."""
    import os

    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from core.errors import UnusableInput

    if not path.exists():
        made = Ed25519PrivateKey.generate()
        text = made.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                  serialization.NoEncryption())
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123  mode at birth
            file.write(text)
        return made
    if path.stat().st_mode & 0o077:
        raise UnusableInput(f"{path} can be read by others.", next_step=f"Type `chmod 600 {path}`, or make a new key.")
    try:
        read = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise UnusableInput(f"{path} is no private key (PEM) without password: {error}.") from None
    if not isinstance(read, Ed25519PrivateKey):
        raise UnusableInput(f"{path} holds another kind of key; Ed25519 is needed.")
    return read


def _public(key: Ed25519PrivateKey) -> str:
    from audit.entry import base64_text

    return base64_text(key.public_key().public_bytes_raw())


@app.command()
@told
def enrol(
    lock: Annotated[str, typer.Argument(metavar="LOCK", help="Lock whose network is to answer there.")],
    url: Annotated[str, typer.Option(help="https://HOST:PORT, or http://127.0.0.1:PORT on this machine.")],
    server_key: Annotated[str, typer.Option(help="The public key that `model-server attest` printed, given by whoever "
                                            "runs the server.")],
    person: AsOption,
    authority: Annotated[str, typer.Option(help="Certificates (PEM) that alone vouch for the host.")] = "",
    home: HomeOption = None,
) -> None:
    """Ask a server what it serves, hold that against the lock, and sign that the lock's network answers there."""
    import secrets
    from pathlib import Path

    from audit.entry import MalformedEntry, from_base64
    from core.errors import UnusableInput
    from core.policy.state import Actor
    from countersign.adapters.http import Endpoint
    from countersign.adapters.model_server import statement_of
    from countersign.cli.signing import sign
    from models_registry.servers import EnrolServer, enrol_server

    opened = house(home)
    try:
        key = from_base64(server_key)
    except MalformedEntry:
        key = b""
    if len(key) != 32:
        raise UnusableInput("The server's key is 32 bytes in base64, as `model-server attest` prints it.")
    vouch = Path(authority).read_text(encoding="ascii") if authority else None
    address, nonce = Endpoint.read(url).url, secrets.token_hex(32)
    statement = statement_of(address, key, nonce, vouch)
    command = EnrolServer(lock, address, key, statement, nonce, vouch)
    sign(opened.desk, enrol_server(opened.desk, Actor(person), command))


@app.command()
@told
def withdraw(
    server: Annotated[str, typer.Argument(metavar="SERVER", help="Server id, such as SRV-1a2b3c4d5e6f.")],
    person: AsOption,
    reason: Annotated[str, typer.Option(help="Reason code.")] = "use_ended",
    home: HomeOption = None,
) -> None:
    """Let a lock's network run in the house again."""
    from core.policy.state import Actor
    from countersign.cli.signing import sign
    from models_registry.servers import WithdrawServer, withdraw_server

    opened = house(home)
    sign(opened.desk, withdraw_server(opened.desk, Actor(person), WithdrawServer(server, reason)))


@app.command("list")
@told
def list_servers(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Enrolled servers, each with its lock and state."""
    from models_registry import server_queries

    with house(home).desk.reading() as session:
        rows = server_queries.servers_known(session)
    data = [{"server": one.server, "lock": one.lock, "state": one.state, "url": one.url, "public_key": one.public_key,
             "serves": one.serves, "dialect": one.dialect, "entry": one.entry} for one in rows]
    lines = [f"{one.server}  {one.state}  {one.lock}  {one.url}  {one.serves}  entry {one.entry}" for one in rows]
    answer(data, as_json=as_json, words="\n".join(lines) or "No model server is enrolled.")


@app.command()
@told
def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run id.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """The signed statements of a run whose network answered at a server, each checked anew."""
    from core.errors import NotFound
    from models_registry import server_queries
    from models_registry.attestation import read

    opened = house(home)
    with opened.desk.reading() as session:
        served = server_queries.served_of(session, run)
        if served is None:
            raise NotFound(f"No model server answered for run {run}.")
        enrolled = server_queries.server_of(session, served.server).enrolled
    texts = opened.desk.objects.get(served.attestation).decode("ascii").splitlines()
    statements = [read(text, enrolled.public_key) for text in texts]
    data = {"run": run, "server": served.server, "key": served.key, "entry": served.entry, "serves": served.serves,
            "threads": served.threads, "device": served.device, "statements": texts}
    lines = [f"{run} was answered by {served.server} ({served.serves}, {served.threads} threads, {served.device}); "
             f"key {served.key}, entry {served.entry}"]
    lines += [f"{one.at}  answer {one.count} of start {one.boot[:8]}  bundle {one.tree_sha256[:12]}…  "
              f"in {one.input_sha256[:12]}…  out {one.output_sha256[:12]}…  signature holds" for one in statements]
    answer(data, as_json=as_json, words="\n".join(lines))
