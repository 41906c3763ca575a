"""The command line founds an installation, shows what is signed, and signs nothing on a mismatch."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pyotp
import pytest
from typer.testing import CliRunner, Result

from countersign.cli import app
from tests.req import req

WORDS = "grey harbour, nine lamps"


class Terminal:
    """One home, driven by command lines whose answers come as lines of input."""

    def __init__(self, home: Path) -> None:
        self.home, self.secrets, self.counters = home, dict[str, str](), dict[str, int]()

    def run(self, *arguments: str, lines: tuple[str, ...] = ()) -> Result:
        result = CliRunner(env={"COUNTERSIGN_HOME": str(self.home)}).invoke(
            app, list(arguments), input="".join(f"{line}\n" for line in lines))
        found = re.findall(r"Second factor of (\S+), shown once.*\n\s+secret (\S+)", result.output)
        for user, secret in found:
            self.secrets[user], self.counters[user] = secret, 0
        return result

    def code(self, user: str) -> str:
        self.counters[user] += 1
        return pyotp.HOTP(self.secrets[user]).at(self.counters[user] - 1)

    def signed(self, *arguments: str, by: str, meaning: str, before: tuple[str, ...] = ()) -> str:
        result = self.run(*arguments, lines=(*before, meaning, WORDS, self.code(by)))
        assert result.exit_code == 0, result.output
        return result.output

    def words(self) -> list[str]:
        from audit import store
        from countersign.house import open_house

        house = open_house(self.home)
        with house.desk.reading() as session:
            words = [entry.body["action"] for entry in store.read_entries(session)]
        house.close()
        return words


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """A home with its two founders enrolled, nothing signed."""
    return _made(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """The same, for tests in which nothing is ever signed."""
    return _made(tmp_path_factory.mktemp("shared"))


def _made(folder: Path) -> Terminal:
    made = Terminal(folder / "home")
    result = made.run("init", "--one-time", "counter", "--origin", "countersign.example/cli", lines=(WORDS, WORDS))
    assert result.exit_code == 0, result.output
    assert "countersign init --home" in result.output
    return made


@req("SIG-01", "SIG-05", "SIG-07")
def test_an_installation_is_founded_and_opened_at_the_command_line(terminal: Terminal) -> None:
    """The whole way by commands: founding, a third person, one document, training, opening by QA last."""
    both = "responsibility"
    for founder in ("owner", "qa"):
        shown = terminal.signed("init", "--sign", founder, by=founder, meaning=both)
        assert "I am accountable for everything done under my electronic signature" in " ".join(shown.split())
        assert "countersign.example/cli" in shown
    assert "1 missing" in terminal.run("init", "--status").output

    shown = terminal.signed("user", "add", "lead", "--name", "Validation lead", "--how", "passport", "--as", "owner",
                            by="owner", meaning="responsibility and witness")
    code = re.search(r"valid for 72 hours: (\S+)", shown)
    assert code is not None
    terminal.signed("user", "enrol", "lead", "--as", "owner", "--witness", "qa", "--one-time", "counter",
                    by="owner", meaning="witness", before=(code.group(1), WORDS, WORDS, terminal.code("qa")))
    terminal.signed("user", "state", "--as", "lead", by="lead", meaning="responsibility")
    terminal.signed("role", "grant", "lead", "validation_lead", "--as", "qa", by="qa", meaning="approval")
    terminal.signed("sop", "draft", "SOP-01", "--window-days", "0", "--as", "lead", by="lead", meaning="authorship")
    terminal.signed("sop", "review", "SOP-01", "--as", "owner", by="owner", meaning="review")
    terminal.signed("sop", "approve", "SOP-01", "--as", "qa", by="qa", meaning="approval")
    for user in ("owner", "qa", "lead"):
        shown = terminal.signed("sop", "train", "SOP-01", "--as", user, by=user, meaning="acknowledgement")
        assert "The author writes the text" in " ".join(shown.split()), "the whole text is shown before it is signed"
    assert "nothing is missing" in terminal.run("init", "--status").output
    terminal.signed("init", "--open", "owner", by="owner", meaning="approval")
    assert "The installation is open." in terminal.signed("init", "--open", "qa", by="qa", meaning="approval")

    listed = json.loads(terminal.run("user", "list", "--json").output)
    assert [(one["user"], one["account"]) for one in listed] == [
        ("owner", "active"), ("qa", "active"), ("lead", "active")]
    shown = terminal.run("user", "show", "lead").output
    assert "trained: SOP-01 version 1" in shown
    assert "missing" not in shown
    assert [row["sop"] for row in json.loads(terminal.run("sop", "list", "--json").output)] == ["SOP-01"]
    assert len(json.loads(terminal.run("sop", "log", "--json").output)) == 3
    assert "lead" in terminal.run("key", "list").output
    held = {row["name"]: row["held_by"] for row in json.loads(terminal.run("role", "list", "--json").output)}
    assert held["validation_lead"] == [{"user": "lead", "trial": "", "site": ""}]


@req("SIG-01", "SIG-07")
@pytest.mark.parametrize(("lines", "because"), [
    (("approval", WORDS), "`approval` was typed"),
    (("responsibility", WORDS), "no answer"),
    ((), "no answer"),
    (("responsibility", "another password altogether", "000000"), "wrong"),
])
def test_nothing_is_signed_on_a_mismatch(shared: Terminal, lines: tuple[str, ...], because: str) -> None:
    """Another meaning, a missing answer or a wrong proof: fact, next step, exit 1, and no entry of the person."""
    before = shared.words()

    result = shared.run("init", "--sign", "owner", lines=lines)

    assert result.exit_code == 1
    assert because in result.output
    assert [word for word in shared.words()[len(before):] if word != "action.refused"] == []
    assert "Traceback" not in result.output


@req("SIG-09")
def test_scripts_may_answer_from_the_environment(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERSIGN_MEANING", "responsibility")
    monkeypatch.setenv("COUNTERSIGN_PASSWORD_OWNER", WORDS)
    monkeypatch.setenv("COUNTERSIGN_CODE_OWNER", terminal.code("owner"))

    result = terminal.run("init", "--sign", "owner")

    assert result.exit_code == 0, result.output
    assert terminal.words()[-1] == "installation.founded"
    assert WORDS not in result.output


@pytest.mark.parametrize(("arguments", "lines", "because"), [
    (("init",), (WORDS, "short"), "at least 12"),
    (("init", "--owner", "one", "--qa", "one"), (WORDS, WORDS), "two people"),
    (("init", "--owner", "Bad Id"), (WORDS, WORDS), "is no user id"),
])
def test_a_founding_that_cannot_be_leaves_nothing_half_made(
    tmp_path: Path, arguments: tuple[str, ...], lines: tuple[str, ...], because: str
) -> None:
    terminal = Terminal(tmp_path / "home")

    result = terminal.run(*arguments, lines=lines)

    assert result.exit_code == 1
    assert because in result.output
    assert not (tmp_path / "home").exists()


def test_a_second_founding_in_the_same_home_is_refused(shared: Terminal) -> None:
    result = shared.run("init", lines=(WORDS, WORDS))

    assert result.exit_code == 1
    assert "already a home of Countersign" in result.output


@pytest.mark.parametrize("arguments", [
    ("user", "show", "nobody"), ("sop", "show", "SOP-01"), ("sop", "draft", "SOP-99", "--as", "owner"),
    ("sop", "draft", "SOP-01", "--file", "missing.md", "--as", "owner"),
    ("role", "grant", "nobody", "reader", "--trial", "T1", "--as", "qa"),
    ("role", "delegate", "owner", "reader", "--trial", "T1", "--from", "soon", "--as", "qa"),
    ("role", "review", "--conclusion", "fine", "--end", "nonsense", "--as", "qa"),
])
def test_wrong_use_is_answered_with_fact_and_next_step(shared: Terminal, arguments: tuple[str, ...]) -> None:
    result = shared.run(*arguments)

    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.output.strip()


@req("SIG-10", "SOP-01")
def test_a_password_is_renewed_and_an_own_text_drafted_at_the_command_line(terminal: Terminal, tmp_path: Path) -> None:
    for founder in ("owner", "qa"):
        terminal.signed("init", "--sign", founder, by=founder, meaning="responsibility")

    renewed = terminal.run("key", "password", "--as", "owner",
                           lines=(WORDS, terminal.code("owner"), "nine lamps, grey harbour"))
    assert renewed.exit_code == 0, renewed.output
    assert "password.renewed" in renewed.output
    text = tmp_path / "SOP-07.md"
    text.write_text("---\nid: SOP-07\ntitle: Our reads\nowner: imaging_lead\ngoverns: [read.seal]\nreview_months: 12\n"
                    "window_days: 3\n---\n" + "A reader reads alone and signs each value. " * 10, encoding="utf-8")
    old = terminal.run("sop", "draft", "SOP-07", "--file", str(text), "--as", "owner",
                       lines=("authorship", WORDS, terminal.code("owner")))
    assert old.exit_code == 1
    assert "attempts left" in old.output
    terminal.counters["owner"] -= 1
    new = terminal.run("sop", "draft", "SOP-07", "--file", str(text), "--as", "owner",
                       lines=("authorship", "nine lamps, grey harbour", terminal.code("owner")))
    assert new.exit_code == 0, new.output
    assert "Our reads" in terminal.run("sop", "list").output
    shown = terminal.run("sop", "show", "SOP-07").output
    assert "A reader reads alone" in shown
    assert terminal.run("sop", "draft", "SOP-08", "--file", str(text), "--as", "owner").exit_code == 1


def test_help_of_people_loads_nothing_heavy() -> None:
    """CLI modules import only the standard library and typer at their top."""
    program = (
        "import sys\nimport countersign.cli.people\n"
        "heavy = {'sqlalchemy', 'cryptography', 'yaml', 'pyotp', 'pydicom', 'torch'} & set(sys.modules)\n"
        "print(sorted(heavy))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
