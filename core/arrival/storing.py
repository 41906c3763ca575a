"""A matched series made ready before anything is recorded: de-identified, re-checked, compared, stored, measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydicom.dataset import FileDataset
from sqlalchemy import Connection

from audit.vocabulary.imaging import CheckedRule
from audit.vocabulary.registry import ObjectRef
from core.arrival import queries
from core.arrival.delivery import Arrived
from core.arrival.leak_check import CleanObject, HeaderCheck, clean
from core.arrival.manifest import MEDIA, Instance, Manifest, content_of
from core.arrival.matching import Match
from core.arrival.quality import Extent, check_series, coverage_finding, middle, noise_hu
from core.arrival.rules import checked
from core.dicom.deidentify import TrialIdentity, new_uid
from core.dicom.digest import content_digest, data_set_digest, pixel_digest
from core.dicom.findings import Finding
from core.dicom.reading import PIXEL_TAGS
from core.errors import NotFound
from core.objects import DICOM, ObjectStore, owner
from core.trials.charter import Charter
from core.work import Desk


@dataclass(slots=True)
class Prepared:
    """A series as it would be recorded.

    `added` is new, `known` came before with the same content, `replaced` with other content under an open query and
    `conflicting` without one, `late` is new to a series that was accepted or rejected already; `left` names
    identifiers that cleaning missed; `tags` and `pixels_changed` say what differs in a new version.
    """

    series: str
    study: str
    row: queries.SeriesRow | None
    added: list[Arrived] = field(default_factory=list)
    known: list[Arrived] = field(default_factory=list)
    replaced: list[Arrived] = field(default_factory=list)
    conflicting: list[Arrived] = field(default_factory=list)
    late: list[Arrived] = field(default_factory=list)
    re_encoded: int = 0
    tags: tuple[str, ...] = ()
    pixels_changed: int = 0
    left: tuple[Finding, ...] = ()
    manifest: Manifest = field(default_factory=lambda: Manifest("", ()))
    manifest_ref: ObjectRef = field(default_factory=lambda: ObjectRef(sha256="", bytes=0, media=""))
    lines: tuple[CheckedRule, ...] = ()

    @property
    def conflicting_content(self) -> str:
        """One digest over what came under known UIDs."""
        return content_of(one.digests.content for one in self.conflicting)


def trial_key_of(session: Connection, objects: ObjectStore, trial: str) -> bytes:
    """The trial's de-identification key. Raises NotFound before the first intake, or when it was destroyed."""
    ref = queries.key_ref(session, trial)
    if ref is None:
        raise NotFound(f"Trial {trial} has no de-identification key yet.", next_step="It is made at the first intake.")
    return objects.get(ref, subject=f"{trial}/_deidentification")


def prepare_series(
    desk: Desk, trial: str, charter: Charter, group: Sequence[Arrived], match: Match, key: bytes,
    extent: Extent | None, others: Sequence[Extent],
) -> Prepared:
    """Everything about one series that can be done before the lock is taken.

    Raises:
        UnreadableDicom: a file changed since it was digested.
    """
    subject = match.subject.subject
    with desk.reading() as session:
        series = new_uid(key, group[0].text("SeriesInstanceUID"))
        prepared = Prepared(series, new_uid(key, group[0].text("StudyInstanceUID")),
                            queries.series_known(session, trial, series))
        stored = _stored(session, desk.objects, trial, subject, prepared.row)
    _sort(group, stored, prepared, key)
    if match.closed:
        prepared.late += [*prepared.added, *prepared.replaced]
        prepared.added, prepared.replaced = [], []
    if not prepared.added and not prepared.replaced:
        return prepared
    identity = TrialIdentity(f"Sponsor of {trial}", trial, match.subject.site, subject, match.time_point)
    header = HeaderCheck()
    cleaned: list[tuple[Arrived, CleanObject]] = []
    for one in (*prepared.added, *prepared.replaced):
        made = clean(one.read_again(), identity, key, header)
        if made.left:
            prepared.left = made.left
            return prepared
        cleaned.append((one, made))
    new = [_store(desk.objects, owner(trial, subject), one, made) for one, made in cleaned]
    datasets = [made.dataset for _, made in cleaned]
    kept: list[Instance] = []
    if prepared.row is not None and not prepared.row.emptied:
        fresh = {str(dataset.SOPInstanceUID): dataset for dataset in datasets}
        with desk.reading() as session:
            stored_sets = queries.load_series(session, desk.objects, trial, series)
        _differences(prepared, fresh, {str(one.SOPInstanceUID): one for one in stored_sets})
        kept = [line for line in queries.manifest_of(desk.objects, prepared.row).instances if line.uid not in fresh]
        datasets += [one for one in stored_sets if str(one.SOPInstanceUID) not in fresh]
    prepared.manifest = Manifest(series, tuple(sorted((*kept, *new), key=lambda line: line.uid)))
    prepared.manifest_ref = desk.objects.put(prepared.manifest.document(), MEDIA, subject=owner(trial, subject))
    prepared.lines = _lines(charter, match, header, datasets, extent, others)
    return prepared


def _stored(
    session: Connection, objects: ObjectStore, trial: str, subject: str, row: queries.SeriesRow | None
) -> dict[str, tuple[str, Instance]]:
    """Every stored instance of this subject, and of the series wherever it lies: uid to (series, line)."""
    rows = {one.series: one for one in queries.series_of_trial(session, trial, subject=subject, reassigned=True)}
    if row is not None:
        rows[row.series] = row
    return {
        line.uid: (one.series, line) for one in rows.values() for line in queries.manifest_of(objects, one).instances
    }


def _sort(group: Sequence[Arrived], stored: dict[str, tuple[str, Instance]], prepared: Prepared, key: bytes) -> None:
    """New, known, conflicting or late; a UID that comes twice in one delivery is judged like one that came before."""
    seen: dict[str, Arrived] = {}
    for one in group:
        uid = new_uid(key, one.uid)
        known = stored.get(uid)
        if known is not None:
            same = known[0] == prepared.series and known[1].source_content_sha256 == one.digests.content
            syntax = known[1].syntax
        elif uid in seen:
            same, syntax = seen[uid].digests.content == one.digests.content, seen[uid].syntax
        elif prepared.row is not None and not prepared.row.emptied and (
                prepared.row.disposition in ("accepted", "rejected") or prepared.row.reassigned is not None):
            prepared.late.append(one)
            continue
        else:
            seen[uid] = one
            prepared.added.append(one)
            continue
        # An open query asks the site for it: then other content under a known UID is its answer (TRIAL 3, corrections).
        # So does a destruction: what held identifiers is gone and is sent anew.
        queried = prepared.row is not None and (
            prepared.row.emptied or (prepared.row.disposition == "queried" and prepared.row.reassigned is None))
        if not same and queried and known is not None and known[0] == prepared.series and uid not in seen:
            seen[uid] = one
            prepared.replaced.append(one)
            continue
        (prepared.known if same else prepared.conflicting).append(one)
        prepared.re_encoded += same and syntax != one.syntax


def _differences(prepared: Prepared, fresh: Mapping[str, FileDataset], stored: Mapping[str, FileDataset]) -> None:
    """Which top-level attributes differ between the two versions, as tags, and in how many instances the pixels do."""
    tags: set[int] = set()
    for uid, new in fresh.items():
        old = stored.get(uid)
        if old is None:
            continue
        every = {int(tag) for tag in (*old.keys(), *new.keys())} - set(PIXEL_TAGS)
        tags |= {tag for tag in every if old.get(tag) != new.get(tag)}
        prepared.pixels_changed += pixel_digest(old) != pixel_digest(new)
    prepared.tags = tuple(f"({tag >> 16:04X},{tag & 0xFFFF:04X})" for tag in sorted(tags))


def _store(objects: ObjectStore, whose: str, source: Arrived, made: CleanObject) -> Instance:
    data_set = data_set_digest(made.dataset)
    # De-identification leaves pixels as they are, so their digest is that of the source.
    pixels_of, pixels = source.digests.pixels_of, source.digests.pixels
    return Instance(
        uid=str(made.dataset.SOPInstanceUID), object=objects.put(made.content, DICOM, subject=whose),
        content_sha256=content_digest(data_set, pixels_of, pixels), pixels_sha256=pixels, pixels_of=pixels_of,
        source_file_sha256=source.digests.file, source_content_sha256=source.digests.content, syntax=source.syntax,
    )


def _lines(
    charter: Charter, match: Match, header: HeaderCheck, datasets: Sequence[FileDataset], extent: Extent | None,
    others: Sequence[Extent],
) -> tuple[CheckedRule, ...]:
    noise = noise_hu(middle(datasets)) if match.modality == "CT" else None
    lines = [*match.lines, *check_series(datasets, charter.rules_for(match.modality), noise), *header.lines()]
    together = coverage_finding(extent, others) if extent is not None else None
    if together is not None:
        lines.append(checked(together, "query"))
    return tuple(lines)
