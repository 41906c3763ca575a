"""A witness: its own process, key and folder; it cosigns only what extends what it saw (C2SP tlog-witness).

POST /add-checkpoint with `old N`, the consistency hashes, a blank line and the note answers 200 with the cosignature
line, 409 with the size it knows when `old` is another, 422 for a fork or a proof that fails, 403 for a foreign log.
"""

from __future__ import annotations

import base64
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from audit import proofs
from core.errors import CountersignError, UnusableInput
from countersign.signer.keyfiles import write_durably

LARGEST_REQUEST = 64 * 1024


class NotAnExtension(CountersignError):
    """The log shows two histories; both notes are kept."""

    code, http_status = "fork", 422
    next_step = "Both notes are kept in the witness's folder. Stop the house and call QA."

    def __init__(self, fact: str, known_note: str) -> None:
        super().__init__(fact)
        self.known_note = known_note


class OtherSize(CountersignError):
    """The log started from another size than the witness knows."""

    code, http_status = "other-size", 409

    def __init__(self, known: int) -> None:
        super().__init__(f"This witness knows {known} entries.")
        self.known = known


class Witness:
    """Remembers the last checkpoint of one log, durably, before it cosigns it."""

    def __init__(self, folder: Path, origin: str, *log_keys: bytes) -> None:
        """`log_keys` of the log in the order in which one replaced the other, the newest last."""
        self._folder, self._origin, self._log_keys = folder, origin, log_keys
        self._guard = Lock()
        key_file = folder / "witness.key"
        if not key_file.exists():
            write_durably(key_file, Ed25519PrivateKey.generate().private_bytes_raw())
        self._key = Ed25519PrivateKey.from_private_bytes(key_file.read_bytes())
        self.name = f"{origin}/witness"

    def follow(self, former: Path, restored: str) -> None:
        """Begin the log of a new origin where a continued record was restored: its first checkpoint must be consistent
        with this note under the old origin. What the former witness had seen is kept beside it.

        Raises UnusableInput where this witness has begun already, or the note is not of the log that `former` watched.
        """
        if self.known()["size"]:
            raise UnusableInput("This witness has begun already.", next_step="Give a new folder for the new origin.")
        path = former / "seen.json"
        seen: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"size": 0, "note": ""}
        try:
            old = proofs.Checkpoint.parse(seen["note"])
            checkpoint = self._signed_by_log(restored, old.origin)
        except ValueError as error:
            raise UnusableInput(f"{former} is no folder of a witness that has seen a log.") from error
        statement = {"old_origin": old.origin, "origin": self._origin, "known": seen["note"], "restored": restored}
        write_durably(self._folder / "continues.json", json.dumps(statement).encode())
        write_durably(self._folder / "seen.json", json.dumps({"size": checkpoint.size, "note": restored}).encode())

    @property
    def public_key(self) -> bytes:
        return self._key.public_key().public_bytes_raw()

    def known(self) -> dict[str, Any]:
        """The last checkpoint seen: size, note."""
        path = self._folder / "seen.json"
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"size": 0, "note": ""}
        return found

    def add_checkpoint(self, old: int, path: list[bytes], note: str) -> str:
        """Check signature and extension, remember, cosign. Raises OtherSize, NotAnExtension or UnusableInput."""
        with self._guard:
            checkpoint = self._signed_by_log(note)
            known = self.known()
            if checkpoint.size < known["size"]:
                self._keep_both(known["note"], note)
                raise NotAnExtension(
                    f"The log shows {checkpoint.size} entries; this witness has cosigned {known['size']}: a rollback.",
                    known["note"],
                )
            if old != known["size"]:
                raise OtherSize(known["size"])
            if known["size"]:
                seen = proofs.Checkpoint.parse(known["note"])
                try:
                    proofs.check_consistency(seen.size, checkpoint.size, seen.root, checkpoint.root, path)
                except ValueError as error:
                    self._keep_both(known["note"], note)
                    fact = f"The log shows another history than before: {error}"
                    raise NotAnExtension(fact, known["note"]) from error
            write_durably(
                self._folder / "seen.json", json.dumps({"size": checkpoint.size, "note": note}).encode()
            )
            at_s = int(time.time())
            signature = self._key.sign(proofs.cosigned_message(note, at_s))
            return proofs.cosignature_line(self.name, self.public_key, at_s, signature)

    def _signed_by_log(self, note: str, origin: str | None = None) -> proofs.Checkpoint:
        origin = origin or self._origin
        try:
            checkpoint = proofs.Checkpoint.parse(note)
            position = self._key_of(note, origin)
            if checkpoint.origin != origin or position is None:
                raise UnusableInput("The note is not of the log this witness watches.")
            key = self._log_keys[position]
            signature = proofs.note_signature(note, origin, key)
            Ed25519PublicKey.from_public_bytes(key).verify(signature or b"", proofs.signed_text(note).encode())
        except (ValueError, InvalidSignature) as error:
            raise UnusableInput("The note is damaged or not signed by the log.") from error
        # Once the log signs with its new key the old one counts for nothing, whoever still holds it.
        if position < (self._key_of(self.known()["note"], self._origin) or 0):
            raise UnusableInput("The note is signed by a log key that another has replaced before.")
        return checkpoint

    def _key_of(self, note: str, origin: str) -> int | None:
        """Which of the log's keys a note names; None where it names none of them. Raises ValueError."""
        named = [place for place, key in enumerate(self._log_keys)
                 if proofs.note_signature(note, origin, key) is not None]
        return named[-1] if named else None

    def _keep_both(self, seen: str, shown: str) -> None:
        kept = json.dumps({"seen": seen, "shown": shown, "at": time.time()})
        write_durably(self._folder / f"disagreement-{time.time_ns()}.json", kept.encode())


def read_request(text: str) -> tuple[int, list[bytes], str]:
    """Old size, hashes and note of a request. Raises UnusableInput."""
    first, _, rest = text.partition("\n")
    hashes_text, blank, note = rest.partition("\n\n") if not rest.startswith("\n") else ("", "\n", rest[1:])
    try:
        if not first.startswith("old ") or not blank:
            raise ValueError
        return int(first[4:]), [base64.b64decode(line, validate=True) for line in hashes_text.split("\n") if line], note
    except ValueError as error:
        raise UnusableInput("The request is not `old N`, hashes, a blank line and a note.") from error


def written_request(old: int, path: list[bytes], note: str) -> str:
    """The same, as the house sends it."""
    hashes = "".join(base64.b64encode(item).decode() + "\n" for item in path)
    return f"old {old}\n{hashes}\n{note}"


def serve(witness: Witness, port: int) -> ThreadingHTTPServer:
    """A server on loopback; a disagreement ends the process with 2 after it was answered."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            if self.path != "/add-checkpoint" or not 0 < length <= LARGEST_REQUEST:
                self._answer(404, "Only POST /add-checkpoint.\n")
                return
            try:
                line = witness.add_checkpoint(*read_request(self.rfile.read(length).decode()))
                self._answer(200, line + "\n")
            except OtherSize as error:
                self._answer(409, f"{error.known}\n", "text/x.tlog.size")
            except NotAnExtension as error:
                # The house is shown what it must lead to: its own note, which it can check.
                self._answer(422, f"{error.fact}\n\n{error.known_note}")
                print(error.in_words(), file=sys.stderr, flush=True)  # noqa: T201
                server.disagreed = True  # type: ignore[attr-defined]
                # From this thread: shutdown() waits for the serving loop, which is another one.
                server.shutdown()
            except UnusableInput as error:
                self._answer(403, error.fact + "\n")

        def _answer(self, status: int, text: str, media: str = "text/plain; charset=utf-8") -> None:
            data = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", media)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
            """Nothing is logged: the cosignatures are the trace."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.disagreed = False  # type: ignore[attr-defined]
    return server
