"""A model server that attests, in a thread of the test, and that can be told to misbehave from some answer on."""

from __future__ import annotations

import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from models_registry.attestation import HEADER, NONCE_HEADER, Enrolled, Statement, tensor_digest
from models_registry.dialects import V2, Dialect, Floats
from models_registry.digest import environment, read_tree, tensors_digest, tree_digest
from models_registry.jobs import WEIGHTS
from models_registry.library import SHIPPED
from tests.builders.models import half_of_the_peak

Change = Callable[["Said"], None]


@dataclass(slots=True)
class Said:
    """One answer before it leaves: what is stated, what is sent, and how."""

    statement: dict[str, Any]
    key: Ed25519PrivateKey
    body: bytes
    status: int = 200
    header: str | None = None
    location: str = ""
    cut: bool = False
    wait_s: float = 0
    drip_s: float = 0


@dataclass(slots=True)
class ModelServer:
    """`change` is applied to every answer after the first `well` ones; `seen` keeps each request as it came."""

    dialect: Dialect = V2
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    boot: str = field(default_factory=lambda: secrets.token_hex(16))
    change: Change | None = None
    well: int = 0
    network: Callable[[Floats], Floats] = half_of_the_peak
    count: int = 0
    port: int = 0
    seen: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def public_key(self) -> bytes:
        return self.key.public_key().public_bytes_raw()

    @property
    def enrolled(self) -> Enrolled:
        return Enrolled("SRV-000000000001", self.url, self.public_key, self.dialect.name)

    def misbehave(self, change: Change | None, well: int = 0) -> None:
        self.change, self.well = change, well
        self.seen.clear()

    def said(self, nonce: str, given: Floats | None) -> Said:
        files = read_tree(SHIPPED)
        self.count += 1
        body, digests = b"", ("", "")
        if given is not None:
            found = self.network(given[0])[None]
            body, digests = self.dialect.answers(found), (tensor_digest(given), tensor_digest(found))
        said = Said({
            "nonce": nonce, "at": "2031-05-04T09:30:00.000+00:00", "tree_sha256": tree_digest(files),
            "tensors_sha256": tensors_digest(files[WEIGHTS]), "code_sha256": "c" * 64, "software": "0.1.0",
            "environment": environment({"threads": "2", "cuda": "none"}), "dialect": self.dialect.name,
            "serves": "a stand-in 1.0", "boot": self.boot, "count": self.count, "input_sha256": digests[0],
            "output_sha256": digests[1],
        }, self.key, body, 204 if given is None else 200)
        if self.change is not None and given is not None:
            if self.well:
                self.well -= 1
            else:
                self.change(said)
        return said


@contextmanager
def a_model_server(dialect: Dialect = V2, tls: tuple[Path, Path] | None = None) -> Iterator[ModelServer]:
    """Listening on loopback until the block ends; over TLS with a certificate and its key."""
    server = ModelServer(dialect)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(None)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            server.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            self._answer(dialect.asked(body))

        def _answer(self, given: Floats | None) -> None:
            said = server.said(self.headers.get(NONCE_HEADER, ""), given)
            text = Statement(**said.statement).signed(said.key) if said.header is None else said.header
            server.headers.append(text)
            time.sleep(said.wait_s)
            self.send_response(said.status)
            if text:
                self.send_header(HEADER, text)
            if said.location:
                self.send_header("Location", said.location)
            self.send_header("Content-Length", str(len(said.body) + (100 if said.cut else 0)))
            self.end_headers()
            try:
                if said.drip_s:
                    for place in range(len(said.body)):
                        self.wfile.write(said.body[place : place + 1])
                        self.wfile.flush()
                        time.sleep(said.drip_s)
                self.wfile.write(said.body)
            except OSError:
                return

        def log_message(self, *_: Any) -> None:
            return

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        listening.socket = context.wrap_socket(listening.socket, server_side=True)
    server.port = listening.server_address[1]
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()


def certificate(folder: Path, name: str = "server") -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that vouches for itself, and its private key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=2))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256()))
    chain, private = folder / f"{name}.pem", folder / f"{name}-key.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                          serialization.NoEncryption()))
    return chain, private


def other_tensor(said: Said) -> None:
    """Another tensor than the one that was attested."""
    said.body = V2.answers(np.zeros((1, 48, 48, 48), dtype=np.float32))
