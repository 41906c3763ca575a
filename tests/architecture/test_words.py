"""No room's words are forgotten by the wiring: a fold that nobody imports would leave its table empty."""

from __future__ import annotations

from pathlib import Path

from tests.req import req

ROOT = Path(__file__).resolve().parents[2]
FLOORS = ("core", "models_registry", "validation", "sops", "reports")


@req("REC-01")
def test_every_page_of_folds_and_effects_is_imported_by_the_wiring() -> None:
    """countersign/words.py names each `projections.py` and `effects.py` there is."""
    wired = (ROOT / "countersign" / "words.py").read_text(encoding="utf-8")
    there = sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for floor in FLOORS for name in ("projections.py", "effects.py") for path in (ROOT / floor).rglob(name)
    )

    assert len(there) > 10
    assert [name for name in there if f"import {name}\n" not in wired] == []
