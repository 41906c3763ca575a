"""Writes what an auditor takes away: a ZIP of exact bytes, proofs and the verifier (RECORD 7).

The caller has recorded `export.made` first; the bundle ends with it and holds the checkpoint that covers it. Everything
is streamed out of one consistent view of the store, so a bundle of a million entries needs no more memory than a small
one, except for the ZIP's own list of members.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from audit import proofs, verifier
from audit.entry import canonical

FORMAT = verifier.BUNDLE_FORMAT
PAGE_ROWS = 2_000
WHOLE, STREAMS, CHOSEN = "whole", "streams", "entries"
# ZIP has no time zone and starts in 1980; a fixed time keeps equal bundles equal byte for byte.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


class BundleError(ValueError):
    """The bundle cannot be made as asked; nothing is left on disk."""


class Source(Protocol):
    """The record as a bundle needs it: one consistent view."""

    def entries(self) -> Iterator[tuple[int, bytes]]:
        """(seq, exact bytes) of every entry, in order."""
        ...

    def leaves(self, size: int) -> Iterator[bytes]:
        """The first `size` leaf hashes."""
        ...

    def node(self, level: int, index: int) -> bytes:
        """A complete subtree of 2^level leaves (proofs.Nodes)."""
        ...


@dataclass(frozen=True, slots=True)
class Selection:
    """What goes in. `hidden` gives the rule by which an entry is withheld from the addressee, or None."""

    kind: str
    streams: tuple[tuple[str, int], ...]
    export: int
    seqs: frozenset[int] = frozenset()
    hidden: Callable[[dict[str, Any]], str | None] | None = None
    leaves: bool = True
    #: Trials whose evidence is of class demonstration; the page for people says which of them it holds.
    demonstrations: frozenset[str] = frozenset()

    def wants(self, entry: dict[str, Any]) -> bool:
        if self.kind == WHOLE or entry["seq"] == self.export or entry["stream"] == "keys":
            return True
        if self.kind == STREAMS:
            return entry["stream"] in {name for name, _ in self.streams}
        return entry["seq"] in self.seqs


@dataclass(frozen=True, slots=True)
class Written:
    """What was written."""

    path: Path
    entries: int
    withheld: int
    size: int
    root: str
    sha256: str


def write_bundle(
    source: Source, note: str, selection: Selection, out: Path, *, sentence: Callable[[dict[str, Any]], str],
    objects: Iterable[tuple[str, bytes]] = (), anchors: Iterable[tuple[str, bytes]] = (),
) -> Written:
    """Write the ZIP at `out`, complete or not at all.

    Args:
        note: the checkpoint, with any cosignature lines, that covers the export.
        sentence: one plain sentence about an entry, for index.html.
        objects: (SHA-256 hex, stored bytes) that go along.
        anchors: (file name, time-stamp token) over this checkpoint.

    Raises:
        BundleError: the checkpoint does not cover the export, or nothing to withhold may be in this kind of bundle.
    """
    checkpoint = proofs.Checkpoint.parse(note)
    if checkpoint.size <= selection.export:
        raise BundleError(f"The checkpoint covers {checkpoint.size} entries; export.made is entry {selection.export}.")
    if selection.kind == WHOLE and (selection.hidden is not None or checkpoint.size != selection.export + 1):
        raise BundleError("A bundle of the whole ledger withholds nothing and ends with its export.made.")
    part = out.with_name(out.name + ".part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            held, withheld = _write(archive, source, checkpoint, selection, sentence)
            for digest, content in objects:
                _member(archive, f"objects/{digest}", content)
            for name, token in anchors:
                _member(archive, f"anchors/{name}", token)
            _member(archive, "verify.py", Path(verifier.__file__).read_bytes())
        digest = _settle(part)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return Written(out, held, withheld, checkpoint.size, checkpoint.root.hex(), digest)


def _write(
    archive: zipfile.ZipFile, source: Source, checkpoint: proofs.Checkpoint, selection: Selection,
    sentence: Callable[[dict[str, Any]], str],
) -> tuple[int, int]:
    streams = [{"stream": name, "next": due} for name, due in selection.streams]
    about = {
        "format": FORMAT, "origin": checkpoint.origin, "first": 0, "last": selection.export,
        "export": selection.export, "scope": {"kind": selection.kind, "streams": streams},
    }
    _member(archive, "bundle.json", canonical(about) + b"\n")
    _member(archive, "checkpoint.txt", checkpoint.note.encode())
    hidden: list[bytes] = []  # one short line each; a bundle that withholds most of a ledger is refused elsewhere
    proven: list[tuple[int, bytes]] = []
    rows: list[str] = []
    certified: dict[str, Any] = {}
    held, shown = 0, set[str]()
    with archive.open(_info("entries.jsonl"), "w") as target:
        for seq, raw in source.entries():
            if seq > selection.export:
                break
            entry = json.loads(raw)
            if not selection.wants(entry):
                continue
            leaf = verifier.leaf_hash(raw)
            if seq == selection.export:
                certified = entry
            rule = selection.hidden(entry) if selection.hidden and entry["stream"] != "keys" else None
            if selection.kind != WHOLE:
                proven.append((seq, leaf))
            if rule is not None:
                hidden.append(canonical({"seq": seq, "stream": entry["stream"], "stream_seq": entry["stream_seq"],
                                         "leaf": leaf.hex(), "rule": rule}) + b"\n")
                continue
            target.write(raw + b"\n")
            held += 1
            shown.add(entry["body"].get("trial", ""))
            if held <= PAGE_ROWS:
                rows.append(_row(entry, sentence(entry)))
    if hidden:
        _member(archive, "withheld.jsonl", b"".join(hidden))
    if selection.leaves:
        with archive.open(_info("leaves.bin"), "w") as target:
            for leaf in source.leaves(checkpoint.size):
                target.write(leaf)
    for seq, _ in proven:
        path = proofs.inclusion_path(source, seq, checkpoint.size)
        _member(archive, f"proofs/{seq}.tlog-proof", proofs.proof_file(seq, path, checkpoint.note).encode())
    _member(archive, "index.html", _index(
        checkpoint, selection, held, len(hidden), rows, sorted(shown & selection.demonstrations), certified).encode())
    return held, len(hidden)


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _ZIP_TIME)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    return info


def _member(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(_info(name), content)


def _settle(path: Path) -> str:
    """Flush to disk and digest."""
    digest = hashlib.sha256()
    with path.open("rb+") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
        os.fsync(file.fileno())
    return digest.hexdigest()


def trust_card(
    origin: str, genesis_leaf: bytes, root_key: bytes, witnesses: Iterable[tuple[str, bytes]] = (),
    former_origins: Iterable[tuple[str, int]] = (),
) -> bytes:
    """What somebody outside keeps to know this ledger again; printed in the validation report."""
    card = {
        "countersign_trust_card": 1, "origin": origin, "genesis_leaf": genesis_leaf.hex(),
        "root_key": base64.b64encode(root_key).decode(),
        "witnesses": [{"name": name, "public_key": base64.b64encode(key).decode()} for name, key in witnesses],
    }
    former = [{"origin": name, "size": size} for name, size in former_origins]
    if former:
        card |= {"former_origins": former}
    return json.dumps(card, indent=2, sort_keys=True).encode() + b"\n"


# ---------------------------------------------------------------- index.html

_STYLE = (
    "body{font:14px/1.5 sans-serif;margin:2rem;max-width:80rem}table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #ccc}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}code{font-size:12px;overflow-wrap:anywhere}"
)


def _row(entry: dict[str, Any], said: str) -> str:
    body = entry["body"]
    who = body["actor"] + (f", for {body['on_behalf_of']}" if "on_behalf_of" in body else "")
    cells = [body["at"].replace("T", " ").replace("Z", " UTC"), f"{who} ({body['role']})", body["action"], said,
             body.get("reason", "")]
    filled = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
    return f'<tr><td class="n">{entry["seq"]}</td>{filled}</tr>'


def _certificate(checkpoint: proofs.Checkpoint, entry: dict[str, Any]) -> list[str]:
    """What a certified copy states: source, method, who certifies it, digest (EMA computerised systems 2023, 6.5).

    Each line repeats what the checkpoint and the signed entry `export.made` say; the verifier holds the copy to them.
    """
    body = entry["body"]
    certifier = f"{body['actor']}, on behalf of {body.get('on_behalf_of', body['actor'])}, by rule {body['rule']}"
    when = body["at"].replace("T", " ").replace("Z", " UTC")
    lines = (
        ("Source", f"ledger {checkpoint.origin}, {checkpoint.size} entries; {body['fields']['scope']}"),
        ("Method", f"entries copied byte for byte in the form {FORMAT}, each led to the root by RFC 6962 hashes"),
        ("Certified by", f"{certifier}, {when}, signed entry {entry['seq']} ({body['action']}), key {entry['kid']}"),
        ("Digest", f"SHA-256 root {checkpoint.root.hex()}, signed in checkpoint.txt"),
    )
    told = "".join(f'<tr><th scope="row">{name}</th><td>{html.escape(said)}</td></tr>' for name, said in lines)
    return ["<h2>Certified copy</h2>", f"<table><tbody>{told}</tbody></table>"]


def _index(
    checkpoint: proofs.Checkpoint, selection: Selection, held: int, withheld: int, rows: list[str],
    demonstrations: list[str], certified: dict[str, Any],
) -> str:
    """A page for people. It proves nothing; it says how to check, and which evidence is of class demonstration."""
    notice = [f"<p><strong>Demonstration, not for clinical use: {html.escape(', '.join(demonstrations))}.</strong> "
              "Evidence of this class is refused by every other trial.</p>"] if demonstrations else []
    what = {WHOLE: "the whole ledger", CHOSEN: "chosen entries and all key entries",
            STREAMS: "the streams " + ", ".join(name for name, _ in selection.streams)}[selection.kind]
    shown = "" if held <= PAGE_ROWS else f" The first {PAGE_ROWS} are listed here; entries.jsonl holds all."
    hidden = f" {withheld} entries are withheld from you; that they exist is proven." if withheld else ""
    origin, root = html.escape(checkpoint.origin), checkpoint.root.hex()
    what = html.escape(what[0].upper() + what[1:])
    return "\n".join([
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f"<title>Ledger bundle of {origin}</title><style>{_STYLE}</style></head><body>",
        f"<h1>Ledger bundle of {origin}</h1>", *notice,
        f"<p>{what}: {held} entries of a ledger of {checkpoint.size}.{hidden}{shown} "
        f"Root <code>{root}</code>.</p>",
        *_certificate(checkpoint, certified),
        "<p>This page is for reading only and is not checked. To check the bundle, install Python 3.11 or newer with "
        "the package <code>cryptography</code>, take <code>verify.py</code> from a source you trust (its SHA-256 is "
        "published with the release), and run <code>python verify.py BUNDLE.zip --trust CARD.json</code>. The trust "
        "card comes to you on another way than this file.</p>",
        "<table><thead><tr><th>Entry</th><th>Signed</th><th>Who</th><th>Action</th><th>What happened</th>"
        "<th>Reason</th></tr></thead><tbody>",
        *rows, "</tbody></table></body></html>", "",
    ])
