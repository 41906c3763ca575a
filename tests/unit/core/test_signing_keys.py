"""Keys of the house: Ed25519 by libsodium gives the bytes of RFC 8032, one message or many at once."""

from __future__ import annotations

import os
from threading import Thread

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from countersign.signer import ed25519
from countersign.signer.ed25519 import SigningKey
from tests.req import req

# RFC 8032, 7.1, TEST 2.
SEED = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
PUBLIC = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
SIGNATURE = ("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
             "387b2eaeb4302aeeb00d291612bb0c00")


@req("REC-05")
def test_it_signs_as_the_standard_says() -> None:
    key = SigningKey(SEED)
    assert key.public.hex() == PUBLIC
    assert key.seed == SEED
    assert key.sign(b"\x72").hex() == SIGNATURE
    assert SIGNATURE[:8] not in repr(key)
    assert SEED.hex()[:8] not in repr(key)


@req("REC-05")
@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("many", [0, 1, ed25519.WORTH_A_THREAD - 1, ed25519.WORTH_A_THREAD, 257])
def test_many_messages_have_the_signatures_that_each_has_alone(
    monkeypatch: pytest.MonkeyPatch, cores: int, many: int
) -> None:
    """In order, whoever of two threads signed them; another library gives the same bytes."""
    monkeypatch.setattr(ed25519, "CORES", cores)
    key, other = SigningKey(SEED), Ed25519PrivateKey.from_private_bytes(SEED)
    messages = [b"entry %d" % number for number in range(many)]
    assert key.sign_all(messages) == [other.sign(message) for message in messages]


@req("REC-05")
def test_threads_that_sign_at_once_get_their_own_signatures() -> None:
    key, wrong = SigningKey(SEED), list[int]()

    def sign(of: int) -> None:
        messages = [b"%d of %d" % (number, of) for number in range(100)]
        if key.sign_all(messages) != [key.sign(message) for message in messages]:
            wrong.append(of)

    threads = [Thread(target=sign, args=(of,)) for of in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert wrong == []


@req("REC-05")
def test_a_forked_process_signs_though_its_second_thread_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ed25519, "CORES", 2)
    key = SigningKey(SEED)
    messages = [b"entry %d" % number for number in range(100)]
    expected = key.sign_all(messages)  # the second thread runs now
    child = os.fork()
    if child == 0:
        os._exit(0 if key.sign_all(messages) == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@req("REC-05")
def test_what_cannot_be_signed_is_told_from_either_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ed25519, "CORES", 2)
    key = SigningKey(SEED)
    for place in (0, 50, 99):
        messages: list[object] = [b"entry"] * 100
        messages[place] = None
        with pytest.raises((TypeError, ValueError)):
            key.sign_all(messages)  # type: ignore[arg-type]
