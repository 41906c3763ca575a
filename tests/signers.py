"""A signer in its own process, as a home is given one: `countersign signer serve`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import OutsideUnavailable
from countersign.signer.keyfiles import PasswordCost
from countersign.signer.remote import RemoteSigner
from countersign.signer.setup import SignerSettings, write_setup
from tests.house import ORIGIN
from tests.postgres import signer_of

OTHER_USER = 65534 if os.getuid() == 0 else os.getuid()
COST = PasswordCost(64, 1, 1)


@dataclass
class SignerProcess:
    """A running `countersign signer serve`, which can be ended and started again."""

    folder: Path
    socket: Path
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def log(self) -> Path:
        return self.folder.parent / "signer.log"

    def start(self, as_user: int = OTHER_USER) -> None:
        """Start it as this user of the machine where root asks, and wait until it listens."""
        command = [sys.executable, "-m", "countersign", "signer", "serve", "--folder", str(self.folder)]
        if os.getuid() == 0:
            command += ["--user", str(as_user)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=self.log.open("ab"))
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                RemoteSigner(self.socket, ORIGIN).kid_of_person("nobody")
            except OutsideUnavailable:
                time.sleep(0.05)
            except Exception:
                return
        raise AssertionError(f"The signer did not come up: {self.log.read_text()[-2000:]}")

    def end(self, how: int = signal.SIGTERM) -> None:
        self.process.send_signal(how)
        self.process.wait(30)


def set_up(
    room: Path, url: str | None, allow: tuple[int, ...] = (os.getuid(),), pages: str | None = None,
    as_user: int = OTHER_USER,
) -> SignerProcess:
    """A signer's folder of its own user (`as_user`); `pages`: the address from which it takes passkeys."""
    folder = room / "signer"
    database = signer_of(url) if url else f"sqlite:///{room / 'home' / 'ledger.db'}"
    folder.mkdir()
    write_setup(SignerSettings(folder, ORIGIN, database, folder / "socket", allow, cost=COST, passkey_origin=pages))
    if os.getuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, as_user, as_user)
    folder.chmod(0o711)
    return SignerProcess(folder, folder / "socket")
