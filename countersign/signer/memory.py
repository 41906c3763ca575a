"""The newest committed head that this signer saw, on its own disk: a record that lost entries is not built upon."""

from __future__ import annotations

import os
from pathlib import Path

from audit import proofs
from core.errors import RecordDamaged

NEXT = (
    "Stop. Restore the newest backup; where entries stay lost, the record goes on under a new origin "
    "(`countersign ledger continue`), after the signer's operator ran `countersign signer forget-head`."
)


class HeadMemory:
    """Size and root in one small file, rewritten in place; written without waiting for the disk, since a head that is
    a moment old still shows every loss before it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, bytes] | None = None

    def advance(self, nodes: proofs.Nodes, size: int, root: bytes) -> None:
        """Check that the committed tree extends what was seen, then remember it.

        Raises RecordDamaged for a record that is shorter, or that has other entries than before.
        """
        if self._seen == (size, root):
            return
        if self._seen is None:
            self._seen = self._read()
            if self._seen is not None:
                self._compare(nodes, size, *self._seen)
        elif size < self._seen[0]:
            raise RecordDamaged(f"This signer saw {self._seen[0]} entries, {size} are there now.", next_step=NEXT)
        self._seen = (size, root)
        data = f"{size:020d} {root.hex()}\n".encode()
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(descriptor, data, 0)
        finally:
            os.close(descriptor)

    def forget(self) -> tuple[int, bytes] | None:
        """Throw the memory away, because the operator knows why the record is shorter. Returns what it held."""
        held = self._read()
        self._path.unlink(missing_ok=True)
        self._seen = None
        return held

    @staticmethod
    def _compare(nodes: proofs.Nodes, size: int, seen_size: int, seen_root: bytes) -> None:
        if size < seen_size:
            raise RecordDamaged(f"This signer saw {seen_size} entries, {size} are there now.", next_step=NEXT)
        if proofs.root_at(nodes, seen_size) != seen_root:
            raise RecordDamaged(
                f"The first {seen_size} entries are not those that this signer saw.", next_step=NEXT
            )

    def _read(self) -> tuple[int, bytes] | None:
        try:
            size, root = self._path.read_text().split()
            return int(size), bytes.fromhex(root)
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise RecordDamaged(f"The signer's memory {self._path.name} is damaged.", next_step=NEXT) from error
