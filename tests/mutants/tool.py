"""mutmut with two changes of ours, run in the folder that `__main__` made: what it mutates, and how tests are begun.

    python tool.py run        every mutant without a verdict
    python tool.py again      these, and every mutant that nobody noticed
    python tool.py verdicts   prints what became of each, one JSON object

A literal with a blank in it is a sentence for people: its wording is not mutated (what is computed into it, and
that it is given at all, is). Any other literal is a word that something compares: it is changed once, not thrice.
"""

from __future__ import annotations

import difflib
import gc
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import libcst as cst
import pytest
from _pytest.config import _prepareconfig
from mutmut import __main__ as mutmut
from mutmut.configuration import ForkServerWarmup, config
from mutmut.mutation import mutators
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import read_mutant_function, read_mutants_module, read_original_function
from mutmut.runners.harness import PytestRunner
from mutmut.state import state
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import change_cwd, walk_mutatable_files
from mutmut.utils.format_utils import orig_function_and_class_names_from_key
from mutmut.workers import isolation


def _words_only(node: cst.BaseString) -> Iterable[cst.BaseString]:
    if isinstance(node, cst.SimpleString) and " " not in node.raw_value:
        yield from list(mutators.operator_string(node))[:1]


class _CollectedOnce(PytestRunner):  # type: ignore[misc]
    """Collects the tests once, in the process that every mutant's process is a fork of; a mutant runs its tests by
    pytest's own protocol, likely and quick ones first, up to the first that fails. Starting pytest anew for each
    mutant costs more than most tests. Before any mutant a fork runs all tests on the code as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.items: dict[str, pytest.Item] = {}

    def warm_up(self) -> None:
        if config().forkserver_warmup != ForkServerWarmup.COLLECT:
            super().warm_up()
            return
        with change_cwd("mutants"):
            settings = _prepareconfig(["--rootdir=.", *self._pytest_args_regular_run([]), *self._pytest_add_cli_args])
            settings._do_configure()
            session = pytest.Session.from_config(settings)
            settings.hook.pytest_sessionstart(session=session)
            self.items = {item.nodeid: item for item in session.perform_collect()}
            for prepare in {getattr(item, "module", None): None for item in self.items.values()}:
                getattr(prepare, "before_mutants", lambda: None)()
        gc.freeze()
        child = os.fork()
        if child == 0:
            failed = self._first_failed(self.items)
            if failed is not None:
                Path("unfit").write_text(f"{failed} fails without any change.\n", encoding="utf-8")
            os._exit(failed is not None)
        if os.waitpid(child, 0)[1] != 0:
            raise RuntimeError("A test fails without any change: see `unfit`.")

    def run_tests(self, *, mutant_name: str | None, tests: Iterable[str]) -> int:
        # What noticed other changes of this function will notice most of them: in the order of how often it did.
        noted = Path("noticed-by").resolve() / str(mutant_name).rpartition("__mutmut_")[0]
        often = Counter(noted.read_text(encoding="utf-8").splitlines() if noted.is_file() else ())
        names = sorted(tests, key=lambda name: (-often[name], state().duration_by_test[name]))
        if config().forkserver_warmup == ForkServerWarmup.IMPORT:
            # What ran while modules were imported was met by whichever test came first: all of the piece are asked.
            names = []
        if not names or any(name not in self.items for name in names):
            return int(super().run_tests(mutant_name=mutant_name, tests=names))
        failed = self._first_failed(names)
        if failed is None:
            return 0
        noted.parent.mkdir(exist_ok=True)
        with noted.open("a", encoding="utf-8") as file:
            file.write(f"{failed}\n")
        return 1

    def _first_failed(self, names: Iterable[str]) -> str | None:
        """Runs these tests in this process up to the first that fails; its name."""
        items = [self.items[name] for name in names]
        with change_cwd("mutants"), tempfile.TemporaryDirectory() as scratch:
            # What the tests of one mutant write goes with it: hundreds of homes would fill the memory.
            items[0].config._tmp_path_factory._basetemp = Path(scratch).resolve()  # type: ignore[attr-defined]
            for item, following in zip(items, [*items[1:], None], strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if item.session.testsfailed:
                    return item.nodeid
        return None


def _change(before: str, after: str) -> tuple[str, str]:
    """The lines that differ, without their indentation."""
    gone, come = [], []
    for line in difflib.ndiff(before.splitlines(), after.splitlines()):
        if line.startswith("- "):
            gone.append(line[2:].strip())
        elif line.startswith("+ "):
            come.append(line[2:].strip())
    return "\n".join(gone), "\n".join(come)


def verdicts() -> dict[str, list[dict[str, str]]]:
    """Per file each mutant: its function, what became of it, and what it changes unless a test failed."""
    config()
    found: dict[str, list[dict[str, str]]] = {}
    for path in sorted(walk_mutatable_files()):
        data = SourceFileMutationData(path=path)
        data.load()
        if not data.exit_code_by_key:
            continue
        module = read_mutants_module(path)
        for name, code in data.exit_code_by_key.items():
            # 2: pytest could not even collect; the mutant broke an import.
            status = "killed" if code == 2 else status_by_exit_code[code]
            function, kind = orig_function_and_class_names_from_key(name)
            row = {"function": f"{kind}.{function}" if kind else function, "status": status}
            if status != "killed":
                before, after = _change(
                    cst.Module([read_original_function(module, name)]).code,
                    cst.Module([read_mutant_function(module, name)]).code,
                )
                row |= {"before": before, "after": after}
            found.setdefault(str(path), []).append(row)
    return found


def forget_survivors() -> None:
    """Those that were noticed stay so; all others are asked again."""
    config()
    for path in walk_mutatable_files():
        data = SourceFileMutationData(path=path)
        data.load()
        if data.exit_code_by_key:
            data.exit_code_by_key = {
                name: code if status_by_exit_code[code] == "killed" else None
                for name, code in data.exit_code_by_key.items()
            }
            data.save()


def main() -> None:
    verb, *options = sys.argv[1:]
    for index, (kind, operator) in enumerate(mutators.mutation_operators):
        if operator is mutators.operator_string:
            mutators.mutation_operators[index] = (kind, _words_only)
    isolation.PytestRunner = _CollectedOnce
    if verb in ("run", "again"):
        if verb == "again":
            forget_survivors()
        sys.argv = ["mutmut", "run", *options]
        mutmut.cli()
    elif verb == "verdicts":
        print(json.dumps(verdicts()))


if __name__ == "__main__":
    main()
