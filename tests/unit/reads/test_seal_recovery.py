"""Seal secrets outlive the signer: their copies, the key split between owner and QA, and who may use it (RECORD 5)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from audit.entry import from_base64
from core.errors import NotAuthenticated, OutsideUnavailable, RecordDamaged, Refused, UnusableInput
from core.policy.state import Actor
from core.reads.opening import open_reads
from core.reads.ports import Recovered
from core.reads.seal_keys import recover_seals, renew_recovery_key
from countersign.signer import seal_backup
from tests.builders.reads import BOTH, SUBJECT, TRIAL, a_live_trial, assign, baseline_answer, begin, seal
from tests.house import HouseUnderTest
from tests.req import req

OWNER, QA = Actor("owner-0"), Actor("qa-0")


def two(house: HouseUnderTest) -> tuple[str, str]:
    """Owner and QA with their roles, and their shares."""
    house.grant("owner-0", "system_owner")
    house.grant("qa-0", "qa_auditor")
    assert house.shares is not None
    return house.shares


def both_sealed(house: HouseUnderTest) -> None:
    """Both reads of a time point are in, and nothing has opened yet."""
    a_live_trial(house)
    assign(house, BOTH)
    for reader in ("reader-1", "reader-2"):
        begin(house, reader)
        seal(house, reader, baseline_answer())


def secrets_of(house: HouseUnderTest) -> list[Path]:
    return sorted((house.home / "signer" / "seal").glob("*.json"))


def recovered(house: HouseUnderTest, first: str, second: str) -> object:
    """Owner, then QA, each with a share."""
    one = recover_seals(house.desk, OWNER, first, "the signer's disk was replaced")
    assert one.finish(house.commit(one.proposal)) is None
    other = recover_seals(house.desk, QA, second, "")
    return other.finish(house.commit(other.proposal))


@req("RDG-02")
def test_lost_and_damaged_secrets_are_restored_by_two_shares(house: HouseUnderTest) -> None:
    both_sealed(house)
    first, second = two(house)
    lost, damaged = secrets_of(house)
    lost.unlink()
    damaged.write_text(json.dumps({"secret": {"nonce": "AAAA", "ct": "AAAA"}}))
    with pytest.raises(RecordDamaged) as damage:
        open_reads(house.desk, TRIAL, SUBJECT, "BL")
    assert "seals recover" in damage.value.next_step

    found = recovered(house, first, second)

    assert found == Recovered(restored=2, sound=0, unreadable=0)
    assert house.words()[-3:] == ["seals.recovery_ordered", "seals.recovery_ordered", "seals.recovered"]
    house.work()
    assert house.words().count("read.opened") == 2


@req("RDG-02")
def test_one_person_with_one_share_recovers_nothing(house: HouseUnderTest) -> None:
    """Neither alone, nor twice, nor by a stranger's share; the signer asks for two committed signatures itself."""
    both_sealed(house)
    first, second = two(house)
    secrets_of(house)[0].unlink()

    with pytest.raises(Refused):
        recover_seals(house.desk, Actor("reader-1"), first, "curious")
    one = recover_seals(house.desk, OWNER, first, "the signer's disk was replaced")
    receipt = house.commit(one.proposal)
    again = recover_seals(house.desk, OWNER, first, "the signer's disk was replaced")
    assert again.finish(house.commit(again.proposal)) is None
    with pytest.raises(Refused) as refusal:
        house.house.signer.recover(second, receipt.id)
    assert refusal.value.rule == "F-535"
    with pytest.raises(UnusableInput, match="not the shares of one"):
        recover_seals(house.desk, QA, first, "")
    foreign, _ = seal_backup.split(X25519PrivateKey.generate())
    with pytest.raises(UnusableInput, match="not the shares of one"):
        recover_seals(house.desk, QA, foreign, "")
    assert len(secrets_of(house)) == 1


@req("RDG-02")
def test_a_first_share_is_forgotten_after_a_quarter_of_an_hour(house: HouseUnderTest) -> None:
    both_sealed(house)
    first, second = two(house)
    one = recover_seals(house.desk, OWNER, first, "the signer's disk was replaced")
    house.commit(one.proposal)
    house.clock.advance(seconds=16 * 60)
    with pytest.raises(UnusableInput, match="15 minutes"):
        house.house.signer.check_shares(second)


@req("RDG-02")
def test_a_new_recovery_key_counts_after_the_second_signature_and_wraps_old_secrets(house: HouseUnderTest) -> None:
    both_sealed(house)
    old = two(house)
    before = house.house.signer.state_of_seals()
    one = renew_recovery_key(house.desk, OWNER)
    house.commit(one.proposal)
    house.work()
    assert house.house.signer.state_of_seals() == before

    other = renew_recovery_key(house.desk, QA)
    house.commit(other.proposal)
    house.work()
    after = house.house.signer.state_of_seals()
    assert (after.secrets, after.without_copy) == (2, 0)
    assert after.recovery_key != before.recovery_key

    secrets_of(house)[0].unlink()
    with_old = recovered(house, *old)
    assert with_old == Recovered(restored=0, sound=1, unreadable=1)
    assert recovered(house, one.share, other.share) == Recovered(restored=1, sound=1, unreadable=0)


@req("RDG-02")
def test_nothing_is_sealed_without_a_recovery_key(house: HouseUnderTest) -> None:
    """A seal whose secret could be lost with one disk is not made (fail closed)."""
    a_live_trial(house)
    assign(house, BOTH)
    begin(house, "reader-1")
    (house.home / "signer" / "seal-recovery" / "current.json").unlink()
    with pytest.raises(OutsideUnavailable) as lacking:
        seal(house, "reader-1", baseline_answer())
    assert "seals renew" in lacking.value.next_step
    assert not secrets_of(house)
    assert "read.sealed" not in house.words()


@req("RDG-02")
def test_the_signer_takes_no_key_that_two_persons_did_not_sign(house: HouseUnderTest) -> None:
    """A taken-over house cannot put its own recovery key in force (RECORD 3: the signer reads committed rows)."""
    two(house)
    private = X25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    one = renew_recovery_key(house.desk, OWNER)
    receipt = house.commit(one.proposal)
    enrolled = next(entry for entry in house.entries() if entry.body["action"] == "seal_key.enrolled")
    for key, entry in ((public, receipt.id), (public, enrolled.body["id"]), (public, "no-such-entry"),
                       (from_base64(one.proposal.bodies[0]["fields"]["public_key"]), receipt.id)):
        with pytest.raises(Refused) as refusal:
            house.house.signer.put_in_force(key, entry)
        assert refusal.value.rule == "F-535"


@req("RDG-02")
def test_no_secret_lies_openly_among_the_copies(house: HouseUnderTest) -> None:
    """The copies are wrapped (RFC 9180): the signer's own pepper opens none of them."""
    both_sealed(house)
    box = house.house.signer._seals
    for commit in box.commits():
        secret = box.secret(commit)
        stored = (house.home / "seal-backup" / f"{commit}.json").read_bytes()
        assert secret.key not in from_base64(json.loads(stored)["wrapped"])
        with pytest.raises((NotAuthenticated, KeyError)):
            box._keys.unseal(f"seal/{commit}", json.loads(stored))


@given(st.binary(min_size=32, max_size=32), st.integers(0, 63), st.integers(1, 31))
@req("RDG-02")
def test_a_mistyped_share_is_seen_at_once(raw: bytes, place: int, shift: int) -> None:
    private = X25519PrivateKey.from_private_bytes(raw)
    first, second = seal_backup.split(private)
    assert seal_backup.join(second.lower().replace("-", " "), first).private_bytes_raw() == raw

    signs = list(first.replace("-", ""))
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    signs[place] = alphabet[(alphabet.index(signs[place]) + shift) % 32]
    with pytest.raises(UnusableInput):
        seal_backup.join("".join(signs), second)
