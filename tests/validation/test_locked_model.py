"""The shipped model under its lock, as validation asks it: real worker, real weights, the load of a trial."""

from __future__ import annotations

import pytest

from countersign.adapters.locked_model import RegistryModel
from models_registry.queries import version_of
from models_registry.training.samples import generated_seeds, split
from tests.builders import models
from tests.house import HouseUnderTest
from tests.req import req
from validation import cases, protocol
from validation.model_checks import checks_of
from validation.ports import ModelRefusedToLoad


@req("MLK-01", "MLK-02", "MLK-03", "MLK-07", "VAL-11")
def test_the_shipped_model_passes_its_own_iq_and_oq(house: HouseUnderTest) -> None:
    """Every check that the two protocols name, on the locked bundle; then one bit is turned in the store."""
    models.cast(house)
    model = RegistryModel(house.desk, models.locked(house))
    named = {step.check or "" for name in ("iq-model", "oq-model") for step in protocol.read(
        protocol.filled(protocol.template(name), lock=model.lock, use=1)).steps}
    checks = {**checks_of(model), **model.checks()}

    found = {name: checks[name]() for name in sorted(named)}

    # No lock names a GPU here, and none is there: that step alone was not executed, and says so.
    assert {name: one.executed for name, one in found.items() if not one.passed} == {"gpu_equals_processor": False}

    with house.desk.reading() as session:
        version = version_of(session, "lesion-at-seed")
    digest = version.artefact.sha256
    stored = house.home / "objects" / digest[:2] / digest[2:]
    damaged = bytearray(stored.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    stored.chmod(0o600)
    stored.write_bytes(bytes(damaged))

    with pytest.raises(ModelRefusedToLoad):
        model.ask([cases.generated_case(40_000).question])
    assert house.words()[-1] == "model.refused"


@req("MLK-05", "VAL-08")
def test_training_and_test_cases_of_the_shipped_protocol_share_nothing() -> None:
    """The committed split against the sealed strata, and the seeds of demonstrations against both."""
    plan = protocol.read(protocol.filled(protocol.template("pq-lesion-at-seed"), lock="L", use=3, endpoint="E",
                                         test_set_digest="0" * 64))
    assert plan.test_set is not None
    parts = split()
    seen = {s for part in ("train", "tune") for s in parts[part]}
    seen |= {str(s) for part in ("train", "tune", "demonstrated") for s in generated_seeds(part)}
    judged = {case for stratum in plan.test_set.strata for case in stratum.cases()}

    assert judged & seen == set()
    assert set(parts["sealed"]) <= judged
    assert {str(s) for s in generated_seeds("sealed")} >= {case for case in judged if case.isdigit()}
    assert len([case for case in judged if case.isdigit()]) >= 60
