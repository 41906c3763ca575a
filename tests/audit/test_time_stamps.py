"""Time stamps of an outside authority (RFC 3161), made by openssl, judged by the verifier with its own reader."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from audit.verifier import VERIFIED, WRONG, der_items, time_stamped, verify_bundle
from tests.bundles import LOG, Ledger, a_ledger, note, tree_root, write
from tests.conftest import need
from tests.req import req

CONFIGURATION = """
[tsa]
default_tsa=t
[t]
serial=serial
signer_digest=sha256
default_policy=1.2.3.4.1
digests=sha256,sha512
accuracy=secs:1
ess_cert_id_alg=sha256
[ext]
extendedKeyUsage=critical,timeStamping
keyUsage=critical,digitalSignature
basicConstraints=CA:FALSE
[plain]
keyUsage=critical,digitalSignature
basicConstraints=CA:FALSE
[root]
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign
subjectKeyIdentifier=hash
[req]
distinguished_name=dn
[dn]
"""


class Authority:
    """A root, an intermediate and a time-stamping certificate, on elliptic curves or RSA."""

    def __init__(self, folder: Path, key: list[str]) -> None:
        need("openssl")
        folder.mkdir()
        self.folder, self.key = folder, key
        (folder / "c").write_text(CONFIGURATION)
        (folder / "serial").write_text("01")
        self.run("req", "-new", "-x509", *key, "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "30",
                 "-subj", "/CN=root", "-config", "c", "-extensions", "root")
        self.issue("middle", "ca", "root")
        self.issue("tsa", "middle", "ext")

    def run(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)

    def issue(self, name: str, by: str, extensions: str) -> None:
        self.run("req", "-new", *self.key, "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr",
                 "-subj", f"/CN={name}", "-config", "c")
        self.run("x509", "-req", "-in", f"{name}.csr", "-CA", f"{by}.pem", "-CAkey", f"{by}.key", "-CAcreateserial",
                 "-out", f"{name}.pem", "-days", "20", "-extfile", "c", "-extensions", extensions)

    def stamp(self, message: bytes, digest: str = "sha256") -> bytes:
        (self.folder / "m").write_bytes(message)
        self.run("ts", "-query", "-data", "m", f"-{digest}", "-cert", "-out", "q")
        self.run("ts", "-reply", "-config", "c", "-queryfile", "q", "-signer", "tsa.pem", "-inkey", "tsa.key",
                 "-chain", "middle.pem", "-out", "r")
        return (self.folder / "r").read_bytes()

    @property
    def pem(self) -> str:
        return (self.folder / "ca.pem").read_text()

    @property
    def roots(self) -> list[x509.Certificate]:
        return x509.load_pem_x509_certificates(self.pem.encode())


KEYS = {"rsa": ["-newkey", "rsa:2048"], "p256": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]}


@pytest.fixture(scope="module", params=KEYS)
def authority(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tsa") / "a", KEYS[request.param])


def stamped(ledger: Ledger, authority: Authority, size: int) -> dict[str, bytes]:
    """A bundle with a token over an earlier checkpoint."""
    earlier = note(ledger.origin, size, tree_root(ledger.leaves[:size]), LOG).encode()
    return ledger.whole() | {f"anchors/{size}.note": earlier, f"anchors/{size}-0.tsr": authority.stamp(earlier)}


@req("REC-04")
@pytest.mark.parametrize("digest", ["sha256", "sha512"])
def test_a_token_of_openssl_is_read_and_tells_its_time(authority: Authority, digest: str) -> None:
    at = time_stamped(authority.stamp(b"a note", digest), b"a note", authority.roots)

    assert abs(datetime.now(UTC) - at) < timedelta(minutes=2)


@req("REC-04")
def test_a_token_of_another_message_or_another_root_proves_nothing(authority: Authority, tmp_path: Path) -> None:
    token = authority.stamp(b"a note")
    other = Authority(tmp_path / "b", KEYS["p256"])

    with pytest.raises(ValueError, match="another message"):
        time_stamped(token, b"another note", authority.roots)
    with pytest.raises(ValueError, match="does not lead to the time-stamp root"):
        time_stamped(token, b"a note", other.roots)
    with pytest.raises(ValueError, match="does not lead"):
        time_stamped(token, b"a note", [])


@req("REC-04")
def test_a_certificate_that_is_not_for_time_stamping_stamps_nothing(tmp_path: Path) -> None:
    """The purpose is part of the certificate: one for signing code is not good for this."""
    authority = Authority(tmp_path / "a", KEYS["p256"])
    token = authority.stamp(b"a note")
    purpose = bytes.fromhex("2b06010505070308")
    assert purpose in token

    with pytest.raises(ValueError, match=r"is not signed by|certificate"):
        time_stamped(token.replace(purpose, bytes.fromhex("2b06010505070303")), b"a note", authority.roots)


_TOKENS: dict[str, bytes] = {}


@given(st.data())
@req("REC-04")
def test_no_changed_byte_of_a_token_gives_another_time(authority: Authority, data: st.DataObject) -> None:
    """A changed token is refused, or says the very same: some bytes nobody signs, as the list of other certificates."""
    token = _TOKENS.setdefault(str(authority.folder), authority.stamp(b"a note"))
    true = time_stamped(token, b"a note", authority.roots)
    changed = bytearray(token)
    changed[data.draw(st.integers(0, len(token) - 1))] ^= data.draw(st.integers(1, 255))

    try:
        said = time_stamped(bytes(changed), b"a note", authority.roots)
    except (ValueError, IndexError, StopIteration, x509.DuplicateExtension):
        return
    assert said == true


@req("REC-04", "REC-08")
def test_a_bundle_is_held_by_the_time_stamp_of_an_earlier_checkpoint(authority: Authority, tmp_path: Path) -> None:
    ledger = a_ledger()
    members = stamped(ledger, authority, 15)
    card = ledger.card() | {"timestamp_root": authority.pem}
    path = tmp_path / "b.zip"

    good = verify_bundle(write(path, members), card)
    unread = verify_bundle(path, ledger.card())
    forked = verify_bundle(write(path, members | {
        name: raw for name, raw in stamped(a_ledger(8), authority, 15).items() if name.startswith("anchors/")}), card)
    moved = verify_bundle(write(path, members | {"anchors/15-0.tsr": authority.stamp(b"another note")}), card)

    assert good.verdict == VERIFIED, good.in_words()
    assert good.witnessed_size == 15
    assert "time stamp of" in good.cosignatures[0]
    assert unread.verdict == VERIFIED
    assert any("no trust card names a time-stamp root" in text for text in unread.not_checked)
    assert forked.verdict == moved.verdict == WRONG


@req("REC-04")
@pytest.mark.parametrize("raw", [b"", b"\x30", b"\x30\x80", b"\x30\x05abc", b"\x1f\x01\x00", b"\x30\x85" + b"\x01" * 5])
def test_bytes_that_are_no_der_are_refused(raw: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        time_stamped(raw, b"", [])
    if raw:
        with pytest.raises(ValueError, match=r"cut off|DER"):
            der_items(raw)
