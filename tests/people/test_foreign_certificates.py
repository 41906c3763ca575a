"""A document's signature counts for a person only by the certificate with which the record enrolled their key."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_der_private_key
from typer.testing import CliRunner

from core.access import rotation
from core.dicom.reading import read_object
from core.dicom.result import as_bytes
from core.policy.state import Actor
from countersign.cli import app
from countersign.signer.certificates import Authority
from reports.object_check import ObjectCheck, check_object
from tests.house import PASSWORD, HouseUnderTest, a_house
from tests.req import req
from tests.unit.dicom.samples import ct_slice
from tests.unit.dicom.test_signature import key_and_certificate, sign_object, signer


def signed(path: Path, key: Any, certificate: x509.Certificate) -> Path:
    made = read_object(as_bytes(ct_slice(1)))
    sign_object(made, signer(key), certificate, datetime(2026, 11, 24, 10, 0, tzinfo=UTC))
    path.write_bytes(as_bytes(made))
    return path


def of_person(house: HouseUnderTest, user: str) -> tuple[Any, x509.Certificate]:
    """Certificate and private half as the signer unlocks them for their holder."""
    local = house.house.signer
    _, record = local.prove_person(user, house.proof(user))
    raw = local._keys.unseal(f"certificate/{user}", record["certificate_key"], record["stretched"])
    return load_der_private_key(raw, None), x509.load_pem_x509_certificate(record["certificate"].encode())


def against(house: HouseUnderTest, path: Path) -> ObjectCheck:
    with house.desk.reading() as session:
        return check_object(path).against(session)


@req("SIG-03", "SIG-04")
def test_the_holders_own_certificate_is_known_and_stays_known_after_a_rotation(
    house: HouseUnderTest, tmp_path: Path
) -> None:
    house.person("reader-1", "reader", trial="T1")
    path = signed(tmp_path / "a.dcm", *of_person(house, "reader-1"))
    house.commit(rotation.rotate_key(house.desk, Actor("reader-1"), rotation.RotateKey(PASSWORD)).proposal)

    found = against(house, path)

    assert found.ok
    assert "certificate of reader-1, enrolled by entry" in found.in_words()
    assert "the key was ended by entry" in found.in_words()
    assert against(house, signed(tmp_path / "b.dcm", *of_person(house, "reader-1"))).ok
    home = str(house.home)
    assert CliRunner().invoke(app, ["verify", str(path), "--home", home]).exit_code == 0


@req("SIG-03", "SIG-04", "SIG-09")
@pytest.mark.parametrize("name", ["self-made", "of another installation", "issued here and enrolled by nobody"])
def test_a_foreign_certificate_is_refused_for_a_persons_signature(
    house: HouseUnderTest, tmp_path: Path, name: str
) -> None:
    """The signature fits its bytes, and the certificate bears the right name; it still is not the person's."""
    house.person("reader-1", "reader", trial="T1")
    if name == "self-made":
        key, certificate = key_and_certificate("ec")
    elif name == "of another installation":
        with a_house(tmp_path / "other") as other:
            other.person("reader-1", "reader", trial="T1")
            key, certificate = of_person(other, "reader-1")
    else:
        local = house.house.signer
        pem, raw = Authority(local._keys, house.clock).issue("reader-1", "Reader 1")
        key, certificate = load_der_private_key(raw, None), x509.load_pem_x509_certificate(pem.encode())
    path = signed(tmp_path / "a.dcm", key, certificate)

    found = against(house, path)

    assert check_object(path).ok, "from its bytes alone it is sound"
    assert not found.ok
    assert "FOREIGN CERTIFICATE" in found.in_words()
    said = CliRunner().invoke(app, ["verify", str(path), "--home", str(house.home)])
    assert (said.exit_code, "FOREIGN CERTIFICATE" in said.output) == (2, True)
