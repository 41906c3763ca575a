"""A signed DICOM object is checked from its own bytes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.dicom.reading import read_object
from core.dicom.result import as_bytes
from countersign.cli import app
from reports.object_check import check_object
from tests.req import req
from tests.unit.dicom.samples import ct_series, ct_slice
from tests.unit.dicom.test_results import proposal, segmentation
from tests.unit.dicom.test_signature import key_and_certificate, sign_object, signer


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    key, certificate = key_and_certificate("ec")
    made = read_object(as_bytes(ct_slice(1)))
    sign_object(made, signer(key), certificate, datetime(2026, 11, 24, 10, 0, tzinfo=UTC))
    path = tmp_path / "object.dcm"
    path.write_bytes(as_bytes(made))
    return path


@req("SIG-03")
def test_a_sound_signature_over_the_whole_object_is_told_with_its_certificate(signed: Path) -> None:
    check = check_object(signed)
    assert check.ok
    assert check.signatures[0].purpose == "Verification Signature"
    assert "fits the bytes; covers the whole object" in check.in_words()
    assert CliRunner().invoke(app, ["verify", str(signed)]).exit_code == 0


@req("SIG-03")
def test_a_changed_value_and_an_unsigned_object_are_not_sound(signed: Path, tmp_path: Path) -> None:
    changed = read_object(signed)
    changed.KVP = "121"
    other = tmp_path / "changed.dcm"
    other.write_bytes(as_bytes(changed))
    assert not check_object(other).ok
    assert "DOES NOT FIT" in check_object(other).in_words()
    assert CliRunner().invoke(app, ["verify", str(other)]).exit_code == 2
    other.write_bytes(as_bytes(ct_slice(2)))
    assert "no digital signature" in check_object(other).in_words()
    other.write_bytes(signed.read_bytes()[:400])
    assert CliRunner().invoke(app, ["verify", str(other)]).exit_code == 1


@req("SIG-02", "REC-15")
def test_the_numbers_of_a_report_are_told_with_their_lesion_and_unit(tmp_path: Path) -> None:
    images = ct_series(8)
    path = tmp_path / "report.dcm"
    path.write_bytes(as_bytes(proposal(images, segmentation(images))))

    check = check_object(path)

    assert [(one["lesion"], one["concept"]) for one in check.as_json()["measurements"]]
    for one in check.measurements:
        said = "no value" if one.value is None else f"{one.value:f} {one.unit}"
        assert f"{one.tracking_id}, " in check.in_words()
        assert said in check.in_words()
    assert "volume: " in check.in_words()
