"""A second opinion on bundles of a whole ledger, written apart from audit/verifier.py and in another way.

It holds everything in memory, encodes with `rfc8785`, computes roots by the recursive definition, and answers with a
list of complaints. What both accept or both refuse is what the format means.
"""

from __future__ import annotations

import base64
import hashlib
import json
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from tests.bundles import in_words, leaf_of, pae, tree_root

BODY = {"action", "version", "type", "actor", "at", "head", "id", "log", "role", "rule", "fields"}
MORE = {"reason", "trial", "on_behalf_of", "caused_by", "manifest", "assertion", "proofs"}


def unbase(text: str) -> bytes:
    raw = base64.b64decode(text, validate=True)
    assert base64.b64encode(raw).decode() == text
    return raw


def signed(public: bytes, signature: bytes, message: bytes) -> bool:
    try:
        kind = Ed25519PublicKey if len(public) == 32 else MLDSA44PublicKey
        kind.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def second_root(entries: list[bytes]) -> bytes:
    """MTH of RFC 6962, 2.1, over entries with SHA3-512."""
    if len(entries) <= 1:
        return hashlib.sha3_512(b"\x00" + entries[0] if entries else b"").digest()
    k = 1 << (len(entries) - 1).bit_length() - 1
    return hashlib.sha3_512(b"\x01" + second_root(entries[:k]) + second_root(entries[k:])).digest()


def line_is_good(origin: str, size: int, root: bytes, blob: bytes, keys: dict[str, dict[str, Any]]) -> bool:
    """An ML-DSA-44 line of the log over this root (C2SP tlog-cosignature), by a key in force at this size."""
    name = bytes([len(origin.encode())]) + origin.encode()
    message = (b"subtree/v1\n\0" + name + blob[4:12] + name + bytes(8) + size.to_bytes(8, "big") + root)
    return any(
        hashlib.sha256(origin.encode() + b"\n\x06" + key["public"]).digest()[:4] == blob[:4]
        and key["born"] < size and (key["end"] is None or size <= key["end"])
        and signed(key["public"], blob[12:], message)
        for key in keys.values() if len(key["public"]) == 1312)


def in_profile(value: Any) -> bool:
    """Types, names and characters that an entry may hold."""
    match value:
        case bool():
            return True
        case int():
            return abs(value) < 2**53
        case str():
            good = all((c == "\n" or unicodedata.category(c) not in {"Cc", "Cs", "Cn"})
                       and unicodedata.bidirectional(c) not in {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI",
                                                                "FSI", "PDI"}
                       and c not in "\u200e\u200f\u061c" for c in value)
            return good and unicodedata.normalize("NFC", value) == value
        case list():
            return all(map(in_profile, value))
        case dict():
            return all(k[:1].islower() and k.isascii() and k.replace("_", "a").isalnum() and k == k.lower()
                       and in_profile(v) for k, v in value.items())
    return False


def complaints(path: Path) -> list[str]:
    """Empty when the bundle of a whole ledger is good."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            assert len(names) == len(set(names))
            members = {name: archive.read(name) for name in names}
        return _judge(members)
    except Exception as problem:
        return [f"{type(problem).__name__} {problem}"]


def _judge(members: dict[str, bytes]) -> list[str]:
    bad: list[str] = []
    about = json.loads(members["bundle.json"])
    assert rfc8785.dumps(about) + b"\n" == members["bundle.json"]
    assert (about["format"], about["scope"]["kind"]) == ("countersign-bundle/1", "whole")
    text, _, marks = members["checkpoint.txt"].decode().partition("\n\n")
    origin, size_text, root_text = text.split("\n")
    assert members["entries.jsonl"][-1:] == b"\n" == marks[-1:].encode()
    assert (str(int(size_text)), marks.count("\n") <= 16) == (size_text, True)
    lines = members["entries.jsonl"][:-1].split(b"\n")
    leaves = [leaf_of(line) for line in lines]
    if len(lines) != int(size_text) or tree_root(leaves) != unbase(root_text) or origin != about["origin"]:
        bad.append("tree")
    if "leaves.bin" in members and members["leaves.bin"] != b"".join(leaves):
        bad.append("leaves.bin")
    keys: dict[str, dict[str, Any]] = {}
    words: dict[tuple[str, int], list[str]] = {}
    streams: dict[str, int] = {}
    heads: dict[str, int] = {}
    ids: set[str] = set()
    last_ts = -1
    for seq, line in enumerate(lines):
        entry = json.loads(line)
        body = entry["body"]
        ok = rfc8785.dumps(entry) == line and in_profile(entry) and len(line) <= 65_535
        ok &= entry.keys() == {"body", "kid", "seq", "sig", "stream", "stream_seq", "ts"} and body.keys() >= BODY
        ok &= body.keys() <= BODY | MORE and body["type"] == 1 and body["log"] == origin and body["id"] not in ids
        noun = body["action"].split(".")[0]
        stream = "keys" if noun in ("key", "policy", "vocabulary", "ledger") else (
            f"trial/{body['trial']}" if "trial" in body else "house")
        ok &= entry["seq"] == seq and entry["ts"] > last_ts and entry["stream"] == stream
        ok &= entry["stream_seq"] == streams.get(stream, 0) and in_words(0) < body["at"] <= "9"
        streams[stream] = streams.get(stream, 0) + 1
        ids.add(body["id"])
        last_ts = entry["ts"]
        born: dict[str, Any] = {}
        born_kid = ""
        if body["action"] in ("ledger.founded", "key.enrolled", "key.rotated"):
            public = unbase(body["fields"]["public_key"])
            born = {"public": public, "class": body["fields"]["class"], "holder": body["fields"]["holder"], "end": None,
                    "born": seq}
            born_kid = hashlib.sha256(public).hexdigest()
            algorithm = body["fields"].get("algorithm", "ed25519")
            ok &= born_kid not in keys and (algorithm, len(public)) in (("ed25519", 32), ("ml-dsa-44", 1312))
            ok &= len(public) == 32 or born["class"] == "log"
        if seq == 0:
            ok &= born.get("class") == "root" and body["action"] == "ledger.founded"
            keys[born_kid] = born
        key = keys[entry["kid"]]
        ok &= key["end"] is None
        allowed = words.get((body["action"], body["version"]), []) if words else (
            ["root"] if body["action"] in ("ledger.founded", "key.enrolled", "vocabulary.adopted", "policy.adopted")
            else [])
        ok &= key["class"] in allowed and key["holder"] == body["actor"] and len(key["public"]) == 32
        ok &= signed(key["public"], unbase(entry["sig"]),
                     pae("application/vnd.countersign.entry.v1+json", rfc8785.dumps(body)))
        bare = rfc8785.dumps({k: v for k, v in body.items() if k not in ("proofs", "assertion")})
        provers = set()
        for proof in body.get("proofs", []):
            other = born if proof["kid"] == born_kid else keys[proof["kid"]]
            provers.add(proof["kid"])
            ok &= other["end"] is None and proof.keys() == {"kid", "sig"} and signed(
                other["public"], unbase(proof["sig"]), pae("application/vnd.countersign.proof.v1+json", bare))
        head, at = body["head"], body["at"]
        ok &= head["size"] <= seq <= head["size"] + 65_536 and head["size"] >= heads.get(entry["kid"], 0)
        ok &= unbase(head["root"]) == tree_root(leaves[:head["size"]])
        heads[entry["kid"]] = head["size"]
        near = in_words(entry["ts"] - 900_000_000) <= at <= in_words(entry["ts"] + 900_000_000)
        ok &= near or body.get("reason") == "late"
        if body["action"] == "key.enrolled":
            ok &= born_kid in provers and body["fields"]["class"] != "root"
            speakers = provers | {entry["kid"]}
            twins = {kid for kid, one in keys.items() if one["end"] is None and
                     (one["class"], one["holder"], len(one["public"])) ==
                     (born["class"], born["holder"], len(born["public"]))}
            ok &= not twins or bool(twins & speakers)
            ok &= all((one["class"] == "person") == (born["class"] == "person")
                      for one in keys.values() if one["holder"] == born["holder"])
            others = {keys[kid]["holder"] for kid in speakers & keys.keys() if keys[kid]["class"] == "person"}
            ok &= born["class"] != "person" or key["class"] == "root" or len(others - {born["holder"]}) >= 2
            keys[born_kid] = born
        elif body["action"] == "key.rotated":
            old = keys[body["fields"]["kid"]]
            ok &= born_kid in provers and (old is key or len(old["public"]) == 1312) and old["end"] is None
            ok &= (born["class"], born["holder"]) == (key["class"], key["holder"]) == (old["class"], old["holder"])
            ok &= len(born["public"]) == len(old["public"])
            old["end"] = seq
            keys[born_kid] = born
        elif body["action"] == "key.revoked":
            target = keys[body["fields"]["kid"]]
            target["end"] = seq if target["end"] is None else target["end"]
            ok &= 0 <= body["fields"].get("suspect_from", 0) <= seq
        elif body["action"] == "ledger.rehashed":
            said = body["fields"]
            ok &= said["algorithm"] == "sha3-512" and 0 < said["size"] <= seq
            ok &= unbase(said["root"]) == second_root(lines[:said["size"]])
        elif body["action"] == "ledger.anchored" and "log_signature" in body["fields"]:
            size, anchored = body["fields"]["size"], unbase(body["fields"]["log_signature"])
            ok &= 0 < size <= seq and len(anchored) == 2432
            ok &= line_is_good(origin, size, tree_root(leaves[:size]), anchored, keys)
        elif body["action"] == "vocabulary.adopted":
            words = {(one["name"], one["version"]): one["signed_by"] for one in body["fields"]["words"]}
        if not ok:
            bad.append(f"entry {seq}")
            break
    else:
        bad += _judge_end(about, json.loads(lines[-1]), streams)
    good_lines = 0
    for mark in marks[:-1].split("\n"):
        dash, name, blob = mark.split(" ")
        raw = unbase(blob)
        for key in keys.values():
            if dash == "—" and key["class"] == "log" and len(key["public"]) == 1312 and name == origin and raw[:4] == \
                    hashlib.sha256(name.encode() + b"\n\x06" + key["public"]).digest()[:4]:
                if not line_is_good(origin, int(size_text), unbase(root_text), raw, keys):
                    bad.append("line of ML-DSA-44")
            elif dash == "—" and key["class"] == "log" and key["end"] is None and name == origin and raw[:4] == \
                    hashlib.sha256(name.encode() + b"\n\x01" + key["public"]).digest()[:4]:
                good_lines += signed(key["public"], raw[4:], (text + "\n").encode())
    return bad if good_lines else [*bad, "log signature"]


def _judge_end(about: dict[str, Any], last: dict[str, Any], streams: dict[str, int]) -> list[str]:
    """The export that the bundle ends with."""
    fields = last["body"]["fields"]
    good = last["body"]["action"] == "export.made" and fields["streams"] == about["scope"]["streams"]
    good = good and about["export"] == about["last"] == last["seq"] and about["first"] == 0
    good = good and all(streams.get(one["stream"], 0) >= one["next"] for one in fields["streams"])
    return [] if good and fields["size"] <= last["seq"] else ["export"]
