"""The order of the scenes, the last checks and the table at the end."""

from __future__ import annotations

import secrets
import shutil
import time
from pathlib import Path

from core.errors import AlreadyDone
from countersign.demonstration import (
    arrivals,
    ending,
    founding,
    gates,
    inference,
    models,
    papers,
    reads,
    real,
    screening,
    strays,
    trial,
    upkeep,
    validation,
)
from countersign.demonstration.cast import Pockets
from countersign.demonstration.lives import LIVES, VISIT_DAYS
from countersign.demonstration.stage import DemonstrationFailed, Stage
from countersign.house import found_house
from countersign.settings import FILE, Settings, sqlite_url
from countersign.web.accounts import Passwords, set_password

ORIGIN = "countersign.example/demonstration"
MARK = "DEMONSTRATION"
TIME_POINTS = tuple(VISIT_DAYS)


def play(home: Path, data: Path | None, *, fresh: bool = False) -> int:
    """Play all scenes into a fresh home; 0 only if everything that was claimed was also verified."""
    home = home.absolute()
    _make_room(home, fresh=fresh)
    begun = time.monotonic()
    house = found_house(Settings(home=home, origin=ORIGIN, database_url=sqlite_url(home)))
    (home / MARK).write_text("This home was made by `countersign demo`; nothing in it is about a person.\n")
    stage = Stage(house, Pockets(home / "demonstration" / "accounts.json"), home / "demonstration")
    login = ""
    try:
        founding.found(stage)
        validation.qualify_installation(stage)
        models.take_in_and_lock(stage)
        trial.set_up(stage)
        validation.qualify_model(stage, str(stage.notes["lock"]), use=4, endpoint=None, data=data)
        gates.phase_1(stage)
        arrivals.receive(stage)
        strays.arrive(stage)
        gates.phase_2(stage)
        screening.screen(stage)
        gates.phase_3(stage)
        phase_3_reads(stage)
        gates.phase_4(stage)
        phase_4_reads(stage)
        if data is not None:
            real.show(stage, data)
        upkeep.look_after(stage)
        appendix = papers.write_papers(stage)
        ending.prove(stage, appendix)
        login = _visitor(stage)
    except DemonstrationFailed as failure:
        stage.say(f"FAILED: {failure}")
        return 1
    finally:
        stage.pockets.keep()
        house.close()
    seconds = time.monotonic() - begun
    print(f"\nMade in {seconds:.0f} s, and all of it verified:\n\n{stage.table()}\n")  # noqa: T201
    print(_next_steps(stage, home, appendix, login))  # noqa: T201
    return 0


def _visitor(stage: Stage) -> str:
    """A login password for the auditor's pages; the signing password is another one and stays in the pockets."""
    password = "-".join(secrets.token_hex(2) for _ in range(4))
    settings = stage.house.settings
    cost = Passwords(settings.password_memory_kib, settings.password_passes, settings.password_lanes)
    set_password(stage.desk, cost, founding.QA, password)
    return password


def _next_steps(stage: Stage, home: Path, appendix: Path, login: str) -> str:
    at, trust = f"--home {home}", stage.folder / "trust-card.json"
    return "\n".join([
        "Look further:",
        f"  countersign ledger query 'action:gate.* trial:{trial.TRIAL}' {at}",
        f"  countersign ledger query 'action:action.refused' {at}",
        f"  countersign ledger verify {at}",
        f"  countersign verify {appendix} --trust {trust}",
        f"  countersign verify {stage.folder / papers.BUNDLE} --trust {trust}",
        f"  countersign verify {stage.folder / papers.TAMPERED}        (has to be refused)",
        f"  countersign gate status {trial.TRIAL} {at}",
        f"  countersign model show {stage.notes['lock']} {at}",
        f"  countersign serve {at}        (log in as {founding.QA}, password {login})",
        f"Passwords and code tokens of the demonstration's people: {stage.pockets.path}",
    ])


def phase_3_reads(stage: Stage) -> None:
    """AI beside the readers for volume, and in shadow for the primary endpoint: shown to nobody."""
    first = LIVES[:3]
    with stage.scene("Phase 3: the model measures, readers mark first and then see it"):
        uses = [("secondary", "volume", None), ("primary", "volume_response", "shadow")]
        inference.measure(stage, first, TIME_POINTS, uses)
        reads.prepare(stage, LIVES)
        reads.read(stage, first, TIME_POINTS, ai_beside=True)
        reads.settle(stage, first)


def phase_4_reads(stage: Stage) -> None:
    """AI reads the primary endpoint as a sealed third reader; people sign, an adjudicator decides."""
    second = LIVES[3:]
    with stage.scene("Phase 4: the model as sealed third reader"):
        # Of these subjects no AI value is shown to anybody before the reads are open: not for volume either.
        inference.measure(stage, second, TIME_POINTS, [("primary", "volume_response", None)])
        reads.read(stage, second, TIME_POINTS, ai_beside=False)
        reads.settle(stage, second)


def _make_room(home: Path, *, fresh: bool) -> None:
    if not home.exists():
        return
    if (home / FILE).exists() or any(home.iterdir()):
        if not (fresh and (home / MARK).exists()):
            raise AlreadyDone(
                f"{home} is not empty.",
                next_step="Give another --home, or --fresh to replace an earlier demonstration; nothing was changed.",
            )
        shutil.rmtree(home)
