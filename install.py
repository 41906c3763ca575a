"""Sets Countersign up in its own environment, `.venv` beside this file. Standard library only.

    python3 install.py            to run it
    python3 install.py --tests    to run its tests as well: other system packages are looked for
    python3 install.py --beside outside
                                  an environment of its own, `.venv-outside`, from requirements/outside.lock: programs
                                  of others that tests run as counterparts, and that clash with what we install
    python3 install.py --beside mutants
                                  no environment but a folder, `.venv-mutants`, with what a tool needs beyond ours

1. System packages (packages/*.txt) are looked for in under a second; missing ones are named with the line to type,
   or installed where this runs as root with apt.
2. Every Python package is installed from a hash lock: only the very files that were tested are accepted.
3. Torch comes first from torch-cpu.lock; only where no index offers that version, torch-any.lock is taken.
4. `pip check` and `import torch` must pass. A stamp makes the next call quick.
"""

import argparse
import ctypes
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
LOCKS = ROOT / "requirements"
# What a lock leaves out on purpose (requirements/make_lock.py, ALONE), as `pip check` says it.
NOT_TAKEN = {"thirdparty": tuple(f"requires {name}, which is not installed." for name in ("timm", "customtkinter"))}
# Locks of only what ours lacks, for a tool that runs on our own packages (requirements/make_lock.py, ONTO).
ONTO = ("mutants",)
OURS = ("build.lock", "common.lock", "torch-cpu.lock", "torch-any.lock")
LOCKED_FOR = (3, 11)


def there(proof: str) -> bool:
    """Whether `program:x`, `library:x`, `module:x` or `file:x` is on this machine."""
    kind, _, name = proof.partition(":")
    if kind == "program":
        return shutil.which(name) is not None
    if kind == "file":
        return Path(name).exists()
    if kind == "module":
        return importlib.util.find_spec(name) is not None
    if kind == "library":
        try:
            ctypes.CDLL(name)
        except OSError:
            return False
        return True
    raise SystemExit(f"packages/*.txt: {proof!r} is no proof; write program:, library:, module: or file:.")


def missing_packages(lists: list[str]) -> list[str]:
    """Debian names from packages/<list> whose proof is not found, in the order of the lists."""
    missing = []
    for name in lists:
        for line in (ROOT / "packages" / name).read_text(encoding="utf-8").splitlines():
            if line.strip() and not line.startswith("#"):
                package, proof = line.split()
                if not there(proof):
                    missing.append(package)
    return missing


def system_packages(lists: list[str]) -> None:
    """Installs missing system packages as root with apt; else names the line to type and stops."""
    missing = missing_packages(lists)
    if not missing:
        return
    line = f"apt-get install -y --no-install-recommends {' '.join(missing)}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise SystemExit(f"These system packages are missing: {' '.join(missing)}.\nAs root, type:\n\n    {line}\n")
    print(f"Installing system packages: {' '.join(missing)}", flush=True)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], env=quiet, check=False, stdin=subprocess.DEVNULL)
    if subprocess.run(line.split(), env=quiet, check=False, stdin=subprocess.DEVNULL).returncode:
        raise SystemExit(f"apt could not install them. Try by hand:\n\n    {line}\n")
    still = missing_packages(lists)
    if still:
        raise SystemExit(f"Installed, yet not found: {' '.join(still)}. See packages/ for what is looked for.")


def right_python() -> str:
    """The interpreter for which the locks were made: this one, or `python3.11` on the path.

    Raises:
        SystemExit: another version, or another kind of machine; the locks would refuse its files anyway.
    """
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise SystemExit(
            f"The hash locks are made for Linux on x86-64; this is {platform.system()} on {platform.machine()}.\n"
            "Use the Containerfile, or make locks for this machine with requirements/make_lock.py."
        )
    if sys.version_info[:2] == LOCKED_FOR:
        return sys.executable
    other = shutil.which("python3.11")
    if other:
        return other
    raise SystemExit(
        f"The hash locks are made for Python 3.11; this is {platform.python_version()} and no python3.11 is on the "
        "path.\nInstall Python 3.11, use the Containerfile, or make locks with requirements/make_lock.py."
    )


class Environment:
    """A virtual environment of ours: `.venv`, or `.venv-NAME` beside it, which holds nothing of ours."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.folder = ROOT / (f".venv-{name}" if name else ".venv")
        self.python = self.folder / "bin" / "python"
        self.stamp = self.folder / "countersign.stamp"

    def pip(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs pip of the environment; its output is kept, to be shown where it failed."""
        command = [str(self.python), "-m", "pip", "--disable-pip-version-check", *arguments]
        return subprocess.run(
            command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )

    def locked(self, name: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Installs one lock: exactly its lines, each file checked against its hash."""
        return self.pip("install", "--quiet", "--no-deps", "--require-hashes", *options, "-r", str(LOCKS / name))

    def torch(self) -> None:
        """The small torch where it is offered; a hash that differs or a broken network is no reason for the large."""
        done = self.locked("torch-cpu.lock")
        if done.returncode and "No matching distribution found for torch==" in done.stdout:
            print("No index here offers torch for the processor alone: downloading the large one, gigabytes.",
                  flush=True)
            done = self.locked("torch-any.lock")
        must("torch", done)

    def fingerprint(self) -> str:
        """Changes whenever the installation has to be made again."""
        digest = hashlib.sha256(f"{platform.python_version()} {ROOT}".encode())
        if self.name:
            paths = [LOCKS / name for name in ("build.lock", f"{self.name}.lock", "torch-any.lock", "torch-cpu.lock")]
        else:
            paths = [*(LOCKS / name for name in sorted(OURS)), ROOT / "pyproject.toml"]
        for path in paths:
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def make(self) -> None:
        """Makes it or brings it up to its locks; nothing where its stamp says that it is."""
        wanted = self.fingerprint()
        if self.stamp.is_file() and self.stamp.read_text(encoding="utf-8") == wanted and self.python.exists():
            return
        python = right_python()
        began = time.monotonic()

        def say(what: str) -> None:
            print(f"[{time.monotonic() - began:5.0f} s] {what}", flush=True)

        if not self.python.exists():
            say(f"making {self.folder.name}")
            subprocess.run([python, "-m", "venv", str(self.folder)], check=True)
        self.stamp.unlink(missing_ok=True)
        say("build tools")
        must("build tools", self.locked("build.lock"))
        say("torch")
        self.torch()
        lock = f"{self.name or 'common'}.lock"
        say(f"everything else, from requirements/{lock}")
        must(lock, self.locked(lock, "--no-build-isolation"))
        if not self.name:
            say("countersign itself")
            must("countersign itself", self.pip("install", "--quiet", "--no-deps", "--no-build-isolation", "-e", "."))
        checked = self.pip("check")
        lacking = [line for line in checked.stdout.splitlines() if not line.endswith(NOT_TAKEN.get(self.name, ("\0",)))]
        if checked.returncode and lacking:
            must("pip check", checked)
        subprocess.run([str(self.python), "-c", "import torch"], check=True)
        self.stamp.write_text(wanted, encoding="utf-8")
        say("ready")


def make_onto(name: str) -> None:
    """The folder `.venv-NAME` of packages that `.venv` lacks; who puts it on PYTHONPATH has both."""
    ours = Environment()
    ours.make()
    folder, lock = ROOT / f".venv-{name}", f"{name}.lock"
    stamp = folder / "countersign.stamp"
    wanted = hashlib.sha256((LOCKS / lock).read_bytes() + ours.fingerprint().encode()).hexdigest()
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    must(lock, ours.locked(lock, "--target", str(folder)))
    stamp.write_text(wanted, encoding="utf-8")


def must(what: str, done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode:
        raise SystemExit(f"{done.stdout.strip()[-4000:]}\n\nStopped at: {what}.")


def beside() -> list[str]:
    """Names of the environments that may stand beside ours: the locks that are not ours."""
    return sorted(path.stem for path in LOCKS.glob("*.lock") if path.name not in OURS)


def main() -> None:
    parser = argparse.ArgumentParser(description="Set Countersign up in .venv beside this file.")
    parser.add_argument("--tests", action="store_true", help="also what the tests need")
    parser.add_argument("--beside", choices=beside(), metavar="NAME",
                        help=f"make the environment .venv-NAME alone; NAME is one of: {', '.join(beside())}")
    asked = parser.parse_args()
    if asked.beside in ONTO:
        make_onto(asked.beside)
        return
    if asked.beside:
        Environment(asked.beside).make()
        return
    system_packages(["run.txt", "test.txt"] if asked.tests else ["run.txt"])
    Environment().make()


if __name__ == "__main__":
    main()
