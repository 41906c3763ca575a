"""A signer of its own process set up, served and founded upon as an operator types it; what is typed wrong is told and
leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.people.test_cli import WORDS, Terminal
from tests.req import req

ROOT = Path(__file__).resolve().parents[2]
ORIGIN = "countersign.example/typed"


class Served:
    """`countersign signer serve` as it is typed, in a process of its own."""

    def __init__(self, folder: Path, socket: Path) -> None:
        self.folder, self.socket = folder, socket
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> str:
        """What it says first."""
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "countersign", "signer", "serve", "--folder", str(self.folder)], cwd=ROOT,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        for _ in range(200):
            if self.socket.exists():
                break
            time.sleep(0.05)
        return said

    def end(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.communicate(timeout=30)


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path / "home")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path / "signer", tmp_path / "signer.sock")
    yield made
    made.end()


def set_up(terminal: Terminal, served: Served, *, database: Path | None = None) -> str:
    done = terminal.run(
        "signer", "init", "--folder", str(served.folder), "--origin", ORIGIN, "--socket", str(served.socket),
        "--database", f"sqlite:///{database or terminal.home / 'ledger.db'}", "--allow", str(os.getuid()))
    assert done.exit_code == 0, done.output
    return done.output


def found(terminal: Terminal, served: Served, origin: str = ORIGIN) -> tuple[int, str]:
    done = terminal.run("init", "--one-time", "counter", "--origin", origin, "--signer-socket", str(served.socket),
                        lines=(WORDS, WORDS))
    return done.exit_code, done.output


@req("REC-05", "ACC-04", "SIG-07")
def test_a_house_is_founded_and_signed_over_a_signer_that_was_set_up_by_commands(
    terminal: Terminal, served: Served
) -> None:
    said = set_up(terminal, served)
    assert f"countersign signer serve --folder {served.folder}" in said
    assert f"--signer-socket {served.socket}" in said
    assert f"The signer of {ORIGIN} listens on {served.socket}" in served.start()

    code, said = found(terminal, served)
    assert code == 0, said
    for founder in ("owner", "qa"):
        terminal.signed("init", "--sign", founder, by=founder, meaning="responsibility")
    assert terminal.words().count("installation.founded") == 2
    assert not (terminal.home / "signer").exists(), "no key lies in the home"
    listed = terminal.run("signer", "signatures", "--folder", str(served.folder))
    assert listed.exit_code == 0, listed.output
    assert "owner" in listed.output

    served.end()
    late = terminal.run("init", "--sign", "owner", lines=("responsibility", WORDS, terminal.code("owner")))
    assert late.exit_code == 1
    assert "does not answer" in late.output
    assert "countersign signer serve" in late.output
    code, said = found(Terminal(terminal.home.parent / "second"), served)
    assert code == 1


@req("OPS-05")
def test_what_is_typed_wrong_is_told_and_can_be_typed_again(terminal: Terminal, served: Served) -> None:
    """No signer, a signer of another record, one that reads another database, no address: the home stays empty."""
    for database in ("/var/lib/ledger.db", "mysql://x/y"):
        wrong = terminal.run("signer", "init", "--folder", str(served.folder), "--origin", ORIGIN, "--socket",
                             str(served.socket), "--database", database)
        assert wrong.exit_code == 1
        assert "no address of a database" in wrong.output
    code, said = found(terminal, served)
    assert (code, "does not answer" in said, terminal.home.exists()) == (1, True, False), said

    set_up(terminal, served, database=terminal.home.parent / "elsewhere.db")
    served.start()
    code, said = found(terminal, served)
    assert code == 1
    assert "cannot read the database of this home" in said
    assert not terminal.home.exists()

    served.end()
    (served.folder / "signer.toml").unlink()
    set_up(terminal, served)
    served.start()
    code, said = found(terminal, served, "countersign.example/other")
    assert code == 1
    assert f"is set up for {ORIGIN}, not for countersign.example/other" in said
    assert not terminal.home.exists()

    code, said = found(terminal, served)
    assert code == 0, said
    again = Terminal(terminal.home.parent / "second")
    code, said = found(again, served)
    assert code == 1
    assert "holds the keys of an installation already" in said
    assert not again.home.exists()
