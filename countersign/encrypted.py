"""A stream under a passphrase: Argon2id, then AES-256-GCM in chunks that cannot be changed, moved, dropped or cut.

The chunks are the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizar 2015) as age and Tink use it: the nonce is
a random prefix, the number of the chunk and whether it is the last; the header is authenticated with every chunk. One
chunk is in memory at a time, and nothing is given out that was not authenticated first.
"""

from __future__ import annotations

import io
import json
import secrets
from dataclasses import dataclass
from typing import IO, Any

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit.entry import MalformedEntry, base64_text, from_base64
from core.errors import UnusableInput
from countersign.signer.keyfiles import PasswordCost

MAGIC = b"countersign-encrypted/1\n"
CHUNK = 1 << 20
TAG = 16
SHORTEST = 12
# Bounds for what a foreign header may demand of this machine.
MOST_MEMORY_KIB, MOST_PASSES, MOST_LANES, LONGEST_HEADER = 2_097_152, 16, 64, 4096


@dataclass(frozen=True, slots=True)
class _Header:
    salt: bytes
    prefix: bytes
    cost: PasswordCost

    def line(self) -> bytes:
        return json.dumps({
            "salt": base64_text(self.salt), "prefix": base64_text(self.prefix), "memory_kib": self.cost.memory_kib,
            "passes": self.cost.passes, "lanes": self.cost.lanes,
        }, sort_keys=True).encode() + b"\n"

    def key(self, passphrase: str) -> AESGCM:
        return AESGCM(hash_secret_raw(passphrase.encode(), self.salt, self.cost.passes, self.cost.memory_kib,
                                      self.cost.lanes, 32, Type.ID))

    def nonce(self, number: int, last: bool) -> bytes:
        return self.prefix + number.to_bytes(4, "big") + bytes([last])


class Encrypting(io.RawIOBase):
    """Writes to `target` what is written to it; `close` writes the last chunk, without which nothing opens."""

    def __init__(self, target: IO[bytes], passphrase: str, cost: PasswordCost) -> None:
        super().__init__()
        if len(passphrase) < SHORTEST:
            raise UnusableInput(f"A passphrase has at least {SHORTEST} characters.", next_step="Nothing was written.")
        self._header = _Header(secrets.token_bytes(16), secrets.token_bytes(7), cost)
        self._key = self._header.key(passphrase)
        self._target, self._buffer, self._number = target, bytearray(), 0
        self._aad = MAGIC + self._header.line()
        target.write(self._aad)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._buffer += data
        # The last chunk is known only at the end, so one full chunk is always kept back.
        while len(self._buffer) > CHUNK:
            self._put(bytes(self._buffer[:CHUNK]), last=False)
            del self._buffer[:CHUNK]
        return len(data)

    def finish(self) -> None:
        """The last chunk; call it only where everything before went well."""
        self._put(bytes(self._buffer), last=True)
        self._buffer.clear()

    def _put(self, plain: bytes, *, last: bool) -> None:
        self._target.write(self._key.encrypt(self._header.nonce(self._number, last), plain, self._aad))
        self._number += 1


class Decrypting(io.RawIOBase):
    """Reads what Encrypting wrote. Raises UnusableInput where passphrase or bytes are not those it was made with."""

    def __init__(self, source: IO[bytes], passphrase: str) -> None:
        super().__init__()
        self._source, self._buffer, self._number, self._ended = source, b"", 0, False
        if source.read(len(MAGIC)) != MAGIC:
            raise UnusableInput("This is no encrypted backup of Countersign.", next_step="Nothing was written.")
        line = source.readline(LONGEST_HEADER)
        self._header = _read_header(line)
        self._aad = MAGIC + line
        self._key = self._header.key(passphrase)
        self._ahead = source.read(CHUNK + TAG)

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        while not self._buffer and not self._ended:
            self._next()
        piece, self._buffer = self._buffer[:len(target)], self._buffer[len(target):]
        target[:len(piece)] = piece
        return len(piece)

    def drain(self) -> None:
        """Read to the authenticated end: what follows the last file must be there, too."""
        while not self._ended:
            self._next()

    def _next(self) -> None:
        sealed, self._ahead = self._ahead, self._source.read(CHUNK + TAG)
        last = not self._ahead
        try:
            self._buffer = self._key.decrypt(self._header.nonce(self._number, last), sealed, self._aad)
        except InvalidTag as error:
            fact = ("The passphrase is wrong, or the file was altered." if self._number == 0 else
                    f"The file was altered or cut off within its part {self._number + 1}.")
            raise UnusableInput(fact, next_step="Nothing was restored. Try the passphrase again, then another copy."
                                ) from error
        self._number += 1
        self._ended = last


def _read_header(line: bytes) -> _Header:
    try:
        said = json.loads(line)
        cost = PasswordCost(int(said["memory_kib"]), int(said["passes"]), int(said["lanes"]))
        header = _Header(from_base64(said["salt"]), from_base64(said["prefix"]), cost)
        if len(header.salt) != 16 or len(header.prefix) != 7 or header.line() != line or not (
                8 <= cost.memory_kib <= MOST_MEMORY_KIB and 1 <= cost.passes <= MOST_PASSES
                and 1 <= cost.lanes <= MOST_LANES):
            raise ValueError
    except (ValueError, KeyError, TypeError, MalformedEntry) as error:
        raise UnusableInput("The head of the encrypted backup is damaged.",
                            next_step="Nothing was restored; take another copy.") from error
    return header
