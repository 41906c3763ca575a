"""What happens in the bodies of the generated subjects: lesions that grow, shrink, disappear and appear."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from core.phantoms import Lesion, lesion_at

FIRST_DAY = date(2026, 3, 2)
VISIT_DAYS = {"BL": -7, "W08": 56, "W16": 112}


@dataclass(frozen=True, slots=True)
class Life:
    """One subject: site, scanner, target lesions at baseline (site, three diameters in mm), growth per time point."""

    subject: str
    site: str
    scanner: str
    lesions: tuple[tuple[str, tuple[float, float, float]], ...]
    factors: dict[str, tuple[float, ...]]
    enrolled_day: int = 0
    new_at: str | None = None

    def enrolled_on(self) -> date:
        return FIRST_DAY + timedelta(days=self.enrolled_day)

    def scanned_on(self, time_point: str) -> date:
        return self.enrolled_on() + timedelta(days=VISIT_DAYS[time_point])

    def at(self, time_point: str) -> list[Lesion]:
        """The lesions as they are at a time point; one that is gone is left out by the generator."""
        grown = [
            lesion_at(site, f"TL{number:02d}", size).scaled(factor)
            for number, ((site, size), factor) in enumerate(
                zip(self.lesions, self.factors[time_point], strict=True), start=1
            )
        ]
        if self.new_at is not None and time_point >= self.new_at:
            grown.append(lesion_at("lung left", "NL01", (22.0, 20.0, 21.0)))
        return grown


TWO = (("liver", (44.0, 38.0, 40.0)), ("retroperitoneum", (34.0, 30.0, 33.0)))

LIVES: tuple[Life, ...] = (
    Life("101-001", "101", "A", TWO, {"BL": (1.0, 1.0), "W08": (0.80, 0.82), "W16": (0.60, 0.62)}),
    Life("101-002", "101", "A", TWO, {"BL": (1.0, 1.0), "W08": (1.02, 0.98), "W16": (1.45, 1.40)}, 7),
    Life("102-001", "102", "B", TWO, {"BL": (1.0, 1.0), "W08": (0.97, 0.95), "W16": (0.93, 0.90)}, 10),
    Life("102-002", "102", "B", TWO, {"BL": (1.0, 1.0), "W08": (0.55, 0.50), "W16": (0.50, 0.0)}, 14),
    Life("103-001", "103", "D", TWO, {"BL": (1.0, 1.0), "W08": (0.88, 0.90), "W16": (0.85, 0.88)}, 21, new_at="W16"),
)
