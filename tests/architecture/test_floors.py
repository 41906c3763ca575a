"""The house stands as ARCHITECTURE.md draws it: imports go down, danger has one door, and our names are ours."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.req import req

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("audit", "core", "models_registry", "validation", "sops", "reports", "countersign")

# Longer on purpose, each for the reason given.
LONG_FILES = {
    "audit/verifier.py": "one file by design: it is shipped inside bundles and read by auditors from top to bottom",
}
LONGEST = 480

# pydantic is not here: typer brings it itself.
HEAVY = [
    "torch",
    "monai",
    "mlflow",
    "highdicom",
    "pydicom",
    "pandas",
    "scipy",
    "numpy",
    "weasyprint",
    "sqlalchemy",
    "fastapi",
    "matplotlib",
    "pyhanko",
    "SimpleITK",
]


def our_files() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def test_imports_go_down_only() -> None:
    """The contracts of pyproject.toml hold (import-linter)."""
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_our_packages_are_ours(package: str) -> None:
    """Generic names: no other distribution in this environment may stand in front of them."""
    module = importlib.import_module(package)

    assert module.__file__ is not None
    assert Path(module.__file__).resolve().is_relative_to(ROOT)


@pytest.mark.parametrize("command", [["--help"], ["ledger", "--help"], ["validate", "--help"]])
def test_help_loads_nothing_heavy(command: list[str]) -> None:
    """CLI modules import only the standard library and typer at their top."""
    program = (
        "import sys\n"
        "from countersign.cli import main\n"
        "sys.argv = ['countersign', *sys.argv[1:]]\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    code = end.code or 0\n"
        "else:\n    code = 0\n"
        f"print('LOADED', sorted(set(sys.modules) & set({HEAVY!r})), file=sys.stderr)\n"
        "sys.exit(code)\n"
    )

    done = subprocess.run([sys.executable, "-c", program, *command], cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "LOADED []" in done.stderr, done.stderr.strip().splitlines()[-1]


@req("REC-01")
def test_the_append_has_one_caller() -> None:
    """`ledger.append` is called by core/work.py and by nothing else of ours."""
    callers = {
        path.relative_to(ROOT).as_posix()
        for path in our_files()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "append"
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "ledger"
    }
    importers = {
        path.relative_to(ROOT).as_posix()
        for path in our_files()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        and node.module == "audit.ledger"
        and any(a.name == "append" for a in node.names)
    }

    assert callers | importers == {"core/work.py"}


@req("REC-08")
def test_the_verifier_needs_nothing_of_ours() -> None:
    """audit/verifier.py imports the standard library and `cryptography`, even inside functions."""
    tree = ast.parse((ROOT / "audit" / "verifier.py").read_text(encoding="utf-8"))
    roots = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            roots.add((node.module or "").split(".")[0])

    foreign = sorted(root for root in roots if root not in sys.stdlib_module_names and root != "cryptography")

    assert foreign == []


def test_files_can_be_held_in_mind() -> None:
    """No file grows past what one person reads in a sitting, save those named with their reason."""
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines()) for path in our_files()
    }

    too_long = {name: n for name, n in lengths.items() if n > LONGEST and name not in LONG_FILES}

    assert too_long == {}


def test_no_product_code_imports_tests() -> None:
    """An editable install makes `tests` importable; nothing that ships may lean on it."""
    leaning = {
        path.relative_to(ROOT).as_posix()
        for path in our_files()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tests")
        or (isinstance(node, ast.Import) and any(a.name.split(".")[0] == "tests" for a in node.names))
    }

    assert leaning == set()
