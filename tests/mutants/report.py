"""From what the runs found and the reasons that people gave: the report, and what it lacks."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from tests.mutants.pieces import PIECES

HERE = Path(__file__).resolve().parent
RESULTS, REASONS = HERE / "results", HERE / "reasons.yaml"
REPORT = HERE.parents[1] / "validation" / "design" / "0153-mutants-report.md"
NOTICED = ("killed", "timeout")


@dataclass(frozen=True)
class Kept:
    """What one run of a piece found, on which commit; False in `committed` where files were in none.

    `mutants`: per file each mutant with `function` and `status`, and `before` and `after` unless a test failed; kept as
    numbers, the mutants that nobody noticed, and those that ran into the time limit.
    """

    piece: str
    commit: str
    committed: bool
    on: str
    tool: str
    tests: list[str]
    mutants: Mapping[str, list[dict[str, str]]]

    def as_json(self) -> str:
        """The run for results/: what was noticed is counted, the rest is listed."""
        return json.dumps({**asdict(self), "mutants": {
            file: {"counts": dict(sorted(Counter(one["status"] for one in rows).items())),
                   "unnoticed": [one for one in rows if one["status"] not in NOTICED],
                   "time_limit": [one for one in rows if one["status"] == "timeout"]}
            for file, rows in self.mutants.items()
        }}, indent=1, ensure_ascii=False) + "\n"


def results() -> list[dict]:
    """What is kept of each piece, in the order of PIECES."""
    paths = [RESULTS / f"{name}.json" for name in PIECES]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.is_file()]


def reasons() -> dict[tuple[str, str, str, str], str]:
    """(file, function, before, after) -> why no test notices the change."""
    found = {}
    for row in yaml.safe_load(REASONS.read_text(encoding="utf-8")) or []:
        for before, after in row["changes"]:
            found[row["file"], row["function"], before.strip(), after.strip()] = row["reason"].strip()
    return found


def _key(file: str, one: Mapping[str, str]) -> tuple[str, str, str, str]:
    return file, one["function"], one["before"], one["after"]


def complaints(kept: Iterable[dict], why: Mapping[tuple[str, str, str, str], str]) -> list[str]:
    """What keeps the report from being one: mutants without a reason, reasons without a mutant, files of no commit."""
    said, met = [], set()
    for run in kept:
        if not run["committed"]:
            said.append(f"{run['piece']}: was run on files that are in no commit.")
        for file, found in run["mutants"].items():
            for one in found["unnoticed"]:
                met.add(_key(file, one))
                if _key(file, one) not in why:
                    change = f"  - {one['before']}\n  + {one['after']}"
                    said.append(f"{file}: {one['function']} ({one['status']})\n{change}")
    ran = {file for run in kept for file in run["mutants"]}
    for one in why:
        if one not in met and one[0] in ran:
            said.append(f"reasons.yaml explains what no run found: {' | '.join(one)}")
    return said


def rendered(kept: list[dict], why: Mapping[tuple[str, str, str, str], str]) -> str:
    """The report, Markdown."""
    lines = ["# 0153  Mutants: the last report", "",
             "Written by `make mutants` from the tool's verdicts (`tests/mutants/results/`) and the kept reasons "
             "(`tests/mutants/reasons.yaml`); what is mutated and how is told in "
             "`0153-what-no-test-would-notice.md`.", "",
             "Noticed = a test failed, or the change ran into the time limit. Not reached = no selected test calls the "
             "function. Score = noticed / mutants. A verdict is kept while the piece's files and the tests that were "
             "asked stay the same bytes; the commit is the last one for which that was looked at.", "",
             "| piece | file | mutants | failed a test | time limit | survived | not reached | score |",
             "|---|---|--:|--:|--:|--:|--:|--:|"]
    total: Counter[str] = Counter()
    for run in kept:
        for file, found in run["mutants"].items():
            total.update(found["counts"])
            lines.append(f"| {run['piece']} | `{file}` | {_numbers(found['counts'])} |")
    lines += [f"| **all** |  | {_numbers(total)} |", ""]
    lines += ["| piece | on | tool | commit | tests |", "|---|---|---|---|---|"]
    lines += [f"| {run['piece']} | {run['on']} | {run['tool']} | {run['commit']} | "
              f"{', '.join(f'`{one}`' for one in run['tests'])} |" for run in kept]
    lines.append("")
    lacking = [name for name in PIECES if name not in {run["piece"] for run in kept}]
    if lacking:
        lines += [f"Not run yet: {', '.join(lacking)}.", ""]
    lines += ["## What survives, and why", ""]
    for run in kept:
        for file, found in run["mutants"].items():
            grouped: dict[str, list[dict[str, str]]] = defaultdict(list)
            for one in found["unnoticed"]:
                grouped[why.get(_key(file, one), "**No reason is given.**")].append(one)
            if grouped:
                lines += [f"### `{file}`", ""]
            for reason, members in grouped.items():
                lines.append(f"{reason}")
                lines.append("")
                lines += _changes(members)
    limited = [one | {"function": f"{file}: {one['function']}"}
               for run in kept for file, found in run["mutants"].items() for one in found["time_limit"]]
    if limited:
        lines += ["## What ran into the time limit", "", "Each as a rule a loop that does not end.", "",
                  *_changes(limited)]
    return "\n".join(lines).rstrip() + "\n"


def _changes(members: Iterable[Mapping[str, str]]) -> list[str]:
    """Functions with what is changed in them, one difference each."""
    counted = Counter((one["function"], one["before"], one["after"]) for one in members)
    functions: dict[str, list[str]] = {}
    for (function, before, after), times in counted.items():
        lines = functions.setdefault(function, [])
        lines += [f"  - {line}" for line in before.split("\n") if line]
        lines += [f"  + {line}" for line in after.split("\n") if line]
        if times > 1:
            lines.append(f"  # {times} times")
    said: list[str] = []
    for function, lines in functions.items():
        said += [f"- `{function}`", "", "  ```diff", *lines, "  ```", ""]
    return said


def _numbers(counts: Mapping[str, int]) -> str:
    whole = sum(counts.values())
    killed, timeout, unreached = (counts.get(name, 0) for name in ("killed", "timeout", "no tests"))
    score = f"{100 * (killed + timeout) / whole:.1f} %"
    return f"{whole} | {killed} | {timeout} | {whole - killed - timeout - unreached} | {unreached} | {score}"


def written() -> list[str]:
    """Writes the report; returns what it lacks."""
    kept, why = results(), reasons()
    REPORT.write_text(rendered(kept, why), encoding="utf-8")
    return complaints(kept, why)
