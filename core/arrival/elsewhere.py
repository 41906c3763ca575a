"""Which instances of a delivery the trial holds already, and under which subject: one SOP Instance UID is one image.

An image that stands under another subject is the wrong subject's there or here (TRIAL 3, corrections), whatever series
it comes in. UIDs lie in the encrypted manifests of series alone, so these are read once a delivery, and then only those
that came meanwhile (design record 0168).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection

from core.arrival import queries
from core.arrival.manifest import load_uids
from core.arrival.queries import SeriesRow
from core.errors import NotFound
from core.objects import ObjectStore


@dataclass(frozen=True, slots=True)
class Held:
    """An instance as the trial holds it: the trial's own UIDs, the subject, and the entry of its series."""

    uid: str
    series: str
    subject: str
    entry: int


class Elsewhere:
    """The instances of one delivery that stand in the trial already.

    `wanted`: SOP Instance UIDs of the delivery, as the trial's own.
    """

    def __init__(self, objects: ObjectStore, trial: str, wanted: Iterable[str]) -> None:
        self._objects, self._trial, self._wanted = objects, trial, frozenset(wanted)
        self._held: dict[str, dict[str, Held]] = {}

    def look(self, session: Connection) -> None:
        """Read the manifests that count now and were not read yet.

        Raises:
            RecordDamaged: one is not as it was recorded.
        """
        counting = {row.manifest_sha256: row for row in self._counting(session)}
        for digest in self._held.keys() - counting.keys():
            del self._held[digest]
        for digest in counting.keys() - self._held.keys():
            self._held[digest] = self._of(counting[digest])

    def of_another(self, subject: str, series: str, uids: Iterable[str]) -> Held | None:
        """The first of these instances that stands under another subject in another series, or None."""
        asked = sorted(set(uids))
        found = (held[uid] for uid in asked for held in self._held.values() if uid in held)
        return next((one for one in found if one.subject != subject and one.series != series), None)

    def _counting(self, session: Connection) -> Iterable[SeriesRow]:
        """Series that stand: one that was rejected, taken out of its place or destroyed is where nobody looks."""
        return (row for row in queries.series_of_trial(session, self._trial)
                if row.disposition != "rejected" and not row.emptied)

    def _of(self, row: SeriesRow) -> dict[str, Held]:
        try:
            uids = load_uids(self._objects, row.trial, row.subject, row.manifest, row.manifest_sha256)
        except NotFound:
            # The subject was erased: its key is gone, and with it what could be compared.
            return {}
        return {uid: Held(uid, row.series, row.subject, row.entry) for uid in self._wanted.intersection(uids)}
