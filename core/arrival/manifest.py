"""The manifest of a stored series: one line per instance, with the digests that let anybody re-check it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from audit.vocabulary.registry import ObjectRef
from core.errors import RecordDamaged
from core.objects import ObjectStore, owner

FORMAT = "countersign-series/1"
MEDIA = "application/vnd.countersign.series+json"


@dataclass(frozen=True, slots=True)
class Instance:
    """One de-identified object. `source_*` are digests of what came; `syntax` is its transfer syntax."""

    uid: str
    object: ObjectRef
    content_sha256: str
    pixels_sha256: str
    pixels_of: str
    source_file_sha256: str
    source_content_sha256: str
    syntax: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The instances of one series in the order of their UIDs."""

    series: str
    instances: tuple[Instance, ...]

    def document(self) -> bytes:
        """Canonical JSON, the same bytes for the same instances."""
        lines = [asdict(one) for one in sorted(self.instances, key=lambda one: one.uid)]
        return orjson.dumps({"format": FORMAT, "series": self.series, "instances": lines}, option=orjson.OPT_SORT_KEYS)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.document()).hexdigest()

    @property
    def content_sha256(self) -> str:
        """Over the content digests alone: the same for the same images, however often and wherever they are stored."""
        return content_of(one.content_sha256 for one in self.instances)

    @property
    def size(self) -> int:
        return sum(one.object.bytes for one in self.instances)

    def by_uid(self) -> dict[str, Instance]:
        return {one.uid: one for one in self.instances}

    @classmethod
    def read(cls, document: bytes, sha256: str) -> Manifest:
        """Reverse of `document`. Raises RecordDamaged where it is not what the entry named."""
        found = _checked(document, sha256)
        lines = [Instance(**line | {"object": ObjectRef(**line["object"])}) for line in found["instances"]]
        return cls(found["series"], tuple(lines))


def _checked(document: bytes, sha256: str) -> dict[str, Any]:
    if hashlib.sha256(document).hexdigest() != sha256:
        raise RecordDamaged(f"The manifest {sha256[:16]}… is not the one that was recorded.")
    found: dict[str, Any] = orjson.loads(document)
    if found.get("format") != FORMAT:
        raise RecordDamaged(f"The manifest {sha256[:16]}… has an unknown format.")
    return found


def content_of(digests: Iterable[str]) -> str:
    """One digest over content digests, in sorted order."""
    return hashlib.sha256(b"countersign-series-content/1\x00" + "\n".join(sorted(digests)).encode()).hexdigest()


def load_manifest(objects: ObjectStore, trial: str, subject: str, ref: ObjectRef, sha256: str) -> Manifest:
    """Read and check a stored manifest. Raises NotFound after erasure, RecordDamaged where it differs."""
    return Manifest.read(objects.get(ref, subject=owner(trial, subject)), sha256)


def load_uids(objects: ObjectStore, trial: str, subject: str, ref: ObjectRef, sha256: str) -> tuple[str, ...]:
    """The instance UIDs alone of a stored manifest, for who reads those of a whole trial. Raises as `load_manifest`."""
    found = _checked(objects.get(ref, subject=owner(trial, subject)), sha256)
    return tuple(str(line["uid"]) for line in found["instances"])
