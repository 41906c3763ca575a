"""mutmut with one change of ours, run in the folder that `__main__` made: what it mutates, and its verdicts as JSON.

    python tool.py run        every mutant without a verdict
    python tool.py again      these, and every mutant that nobody noticed
    python tool.py verdicts   prints one JSON object

A literal with a blank in it is a sentence for people: its wording is not mutated (what is computed into it, and
that it is given at all, is). Any other literal is a word that something compares: it is changed once, not thrice.
"""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Iterable

import libcst as cst
from mutmut import __main__ as mutmut
from mutmut.configuration import config
from mutmut.mutation import mutators
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import read_mutant_function, read_mutants_module, read_original_function
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import walk_mutatable_files
from mutmut.utils.format_utils import orig_function_and_class_names_from_key


def _words_only(node: cst.BaseString) -> Iterable[cst.BaseString]:
    if isinstance(node, cst.SimpleString) and " " not in node.raw_value:
        yield from list(mutators.operator_string(node))[:1]


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
    """Per file each mutant: its function, what became of it, and what it changes unless it was noticed."""
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
            if status not in ("killed", "timeout"):
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
    if verb in ("run", "again"):
        if verb == "again":
            forget_survivors()
        sys.argv = ["mutmut", "run", *options]
        mutmut.cli()
    elif verb == "verdicts":
        print(json.dumps(verdicts()))


if __name__ == "__main__":
    main()
