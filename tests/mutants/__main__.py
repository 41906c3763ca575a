"""Runs pieces of mutation testing and writes the report; `make mutants PIECE="entry proofs"`.

    python -m tests.mutants entry proofs   runs these pieces on the files as they are, then writes the report
    python -m tests.mutants                writes the report of what is kept
    --fresh                                forgets what an earlier run of the piece found

Each piece has a folder of its own below `.mutants/`, so that a run which was stopped goes on where it stood. What was
noticed is not asked again as long as the piece's files and the tests that were asked are the same bytes; tests may
come, and then what nobody noticed is asked again. What a run found is kept in `results/PIECE.json`, with its
commit. Exit code 1: a mutant survives that `reasons.yaml` does not explain, or a piece was run on files that are in no
commit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.mutants.pieces import PIECES, Piece
from tests.mutants.report import RESULTS, Kept, written

ROOT = Path(__file__).resolve().parents[2]
TOOL = Path(__file__).with_name("tool.py")
# Loaded once before the processes of the mutants are made; nothing of ours, see Piece.while_importing.
PRELOADED = ("pytest", "hypothesis", "yaml", "orjson", "sqlalchemy", "pydantic", "numpy", "cryptography.x509",
             "nacl.signing", "rfc8785", "fastapi.testclient", "pydicom", "typer.testing", "alembic.command", "jinja2")

# What pytest does at the end of a run to find forgotten objects costs ten times what most tests here do, and the
# source of a failure in a file that holds a thousand mutants seconds.
QUICKLY = ("-n0", "--tb=no", "-W", "ignore", *(word for plugin in (
    "cacheprovider", "unraisableexception", "threadexception", "junitxml", "faulthandler", "logging", "anyio",
) for word in ("-p", f"no:{plugin}")))


def git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE).stdout


def copy_tree(folder: Path, piece: Piece) -> None:
    """The files git knows or would add, as they are now; a file that did not change keeps its time."""
    from tests.mutants.undecorated import undecorated

    names = [name for name in git("ls-files", "-co", "--exclude-standard").splitlines() if (ROOT / name).is_file()]
    for old in [one.relative_to(folder) for one in folder.rglob("*.py")]:
        if old.parts[0] not in ("mutants", "as-it-was") and str(old) not in names:
            (folder / old).unlink()
    changed = []
    for name in names:
        source, target = ROOT / name, folder / name
        mutated = piece.mutates(name)
        kept = folder / "as-it-was" / name if mutated else target
        if kept.is_file() and kept.read_bytes() == source.read_bytes():
            continue
        for place in {kept, target}:
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, place)
        if mutated:
            changed.append(name)
    for name in changed:
        (folder / name).write_text(undecorated((ROOT / name).read_text(encoding="utf-8")), encoding="utf-8")
    # The tests are copied whole each time; one that was deleted must not stay behind.
    shutil.rmtree(folder / "mutants" / "tests", ignore_errors=True)


def write_settings(folder: Path, piece: Piece, warmup: str) -> None:
    """mutmut's settings, where it looks for them when pyproject.toml has none."""
    packages = sorted({name.split("/")[0] for name in piece.files})
    ours = {"mutants", "as-it-was", "setup.cfg", "mutmut-preload.txt", "bytes.json", "done", "noticed-by", "unfit"}
    others = [one.name for one in sorted(folder.iterdir()) if one.name not in {*packages, *ours}]
    (folder / "mutmut-preload.txt").write_text("\n".join(PRELOADED), encoding="utf-8")
    lists = {"source_paths": packages, "only_mutate": piece.files, "also_copy": others,
             "pytest_add_cli_args_test_selection": piece.tests,
             "pytest_add_cli_args": QUICKLY}
    lines = ["[mutmut]", "process_isolation = forkserver", f"timeout_constant = {piece.patience_s}",
             f"forkserver_warmup = {warmup}",
             f"preload_modules_file = {(folder / 'mutmut-preload.txt')}"]
    for name, members in lists.items():
        lines += [f"{name} =", *(f"    {one}" for one in members)]
    (folder / "setup.cfg").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _bytes_of(piece: Piece) -> dict[str, str]:
    """SHA-256 of what a verdict rests on first: the piece's files, and the tests it selects."""
    names = [name for name in git("ls-files", "-co", "--exclude-standard").splitlines()
             if piece.mutates(name) or any(name == one or name.startswith(f"{one}/") for one in piece.tests)]
    return {name: hashlib.sha256((ROOT / name).read_bytes()).hexdigest() for name in names if (ROOT / name).is_file()}


def _verdicts(folder: Path) -> str:
    """What the tool says of each mutant, JSON."""
    said = subprocess.run([sys.executable, str(TOOL), "verdicts"], cwd=folder, check=True, text=True,
                          stdout=subprocess.PIPE)
    return said.stdout


def run(name: str, *, fresh: bool, children: int) -> None:
    """One piece, to its end; what it found is written to results/."""
    piece, folder = PIECES[name], ROOT / ".mutants" / name
    bytes_now = _bytes_of(piece)
    known, done = folder / "bytes.json", folder / "done"
    before = json.loads(known.read_text(encoding="utf-8")) if known.is_file() else None
    if fresh or before is None or any(bytes_now.get(one) != digest for one, digest in before.items()):
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    known.write_text(json.dumps(bytes_now), encoding="utf-8")
    commit = git("rev-parse", "--short=12", "HEAD").strip()
    committed = not git("status", "--porcelain", "--", "*.py", "*.toml", ":!tests/mutants").strip()
    copy_tree(folder, piece)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as scratch:
        surroundings = {**os.environ, "TMPDIR": scratch, "PYTHONDONTWRITEBYTECODE": "1"}

        def ask(verb: str, *names: str) -> None:
            command = [sys.executable, str(TOOL), verb, "--max-children", str(children), *names]
            subprocess.run(command, cwd=folder, check=True, env=surroundings)

        if before != bytes_now or not done.exists():
            done.unlink(missing_ok=True)
            write_settings(folder, piece, "collect")
            ask("run" if before == bytes_now else "again")
            if piece.while_importing:
                write_settings(folder, piece, "import")
                ask("run", *(f"*.x_{function}__mutmut_*" for function in piece.while_importing))
            done.touch()
    kept = Kept(
        piece=name, commit=commit, committed=committed, on=datetime.now(UTC).date().isoformat(),
        tool=f"mutmut {version('mutmut')}", tests=list(piece.tests),
        mutants=json.loads(_verdicts(folder)),
    )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(kept.as_json(), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutants", description="Mutation testing in pieces")
    parser.add_argument("pieces", nargs="*", choices=[*PIECES, []], metavar="PIECE", help=", ".join(PIECES))
    parser.add_argument("--fresh", action="store_true", help="forget what an earlier run found")
    parser.add_argument("--children", type=int, default=2, help="mutants at a time")
    asked = parser.parse_args()
    for name in asked.pieces:
        run(name, fresh=asked.fresh, children=asked.children)
    complaints = written()
    for one in complaints:
        print(one, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
