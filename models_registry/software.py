"""Which software makes a lock: the installed files, their commit, every package, and the container round them."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from audit.entry import canonical
from models_registry.digest import sha256

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("audit", "core", "models_registry", "validation", "sops", "reports", "countersign")
SBOM = "application/vnd.cyclonedx+json"
# Whoever starts a container says which one it is: from within, an image cannot know its own digest.
CONTAINER = "COUNTERSIGN_CONTAINER_DIGEST"
NONE = "none"


@dataclass(frozen=True, slots=True)
class Package:
    """An installed package. `licence` is the expression or name that it states, empty where it states none."""

    name: str
    version: str
    licence: str


@functools.lru_cache(maxsize=1)
def code_digest() -> str:
    """SHA-256 over path, size and digest of every installed file of ours; stands for the wheel's digest, which a set-up
    from sources does not have."""
    rows = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                data = path.read_bytes()
                rows.append({"path": path.relative_to(ROOT).as_posix(), "bytes": len(data), "sha256": sha256(data)})
    return sha256(canonical({"files": rows}, "code"))


@functools.lru_cache(maxsize=1)
def commit() -> str:
    """The commit of the sources, with what differs from it said; none where they are no repository."""
    if not (ROOT / ".git").exists():
        return NONE
    try:
        head = _git("rev-parse", "HEAD")
        return f"{head}, with uncommitted changes" if _git("status", "--porcelain", "--", *PACKAGES) else head
    except (OSError, subprocess.SubprocessError):
        return NONE


def _git(*arguments: str) -> str:
    told = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True, timeout=20)
    return told.stdout.strip()


def container() -> str:
    """Digest of the container image that this runs in, as whoever started it says; none outside of one."""
    return os.environ.get(CONTAINER, "").strip() or NONE


def packages() -> tuple[Package, ...]:
    """Every installed package, by name."""
    found = {
        re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower(): one for one in importlib.metadata.distributions()
        if one.metadata["Name"]
    }
    return tuple(Package(name, found[name].version, _licence(found[name].metadata)) for name in sorted(found))


def _licence(metadata: Any) -> str:
    stated = metadata.get("License-Expression") or metadata.get("License") or ""
    # Some packages put the whole text of the licence there.
    return stated if len(stated) <= 80 and "\n" not in stated else ""


def requirements_digest(installed: Iterable[Package]) -> str:
    """SHA-256 over name and version of every package."""
    return sha256(canonical({"requirements": [f"{one.name}=={one.version}" for one in installed]}, "requirements"))


def sbom(installed: Iterable[Package], release: str) -> bytes:
    """The packages as a CycloneDX 1.6 document; the same bytes for the same packages, so without time or serial."""
    parts = []
    for one in installed:
        part: dict[str, Any] = {"type": "library", "name": one.name, "version": one.version,
                                "purl": f"pkg:pypi/{one.name}@{one.version}"}
        parts.append(part | ({"licenses": [{"license": {"name": one.licence}}]} if one.licence else {}))
    about = {"component": {"type": "application", "name": "countersign", "version": release}}
    document = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "metadata": about, "components": parts}
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
