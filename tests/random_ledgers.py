"""Random ledgers of many shapes, bundles of them, and what somebody might do to a bundle; all from one seed.

Keys and signatures are real. A change may stay as clumsy as it is, or be made good with stolen keys: the tree built
anew and signed by the log key, bodies signed anew by every actor. Some changes leave a bundle good; that is meant.
"""

from __future__ import annotations

import base64
import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.bundles import (
    INTAKE,
    LOG,
    READERS,
    ROOT,
    SERVICE,
    WORDS,
    Ledger,
    Pen,
    b64,
    cosigned,
    jcs,
    leaf_of,
    note,
    pae,
    path_of,
    tree_root,
)
from tests.passkeys import Authenticator
from tests.second_verifier import second_root

MORE_WORDS = (*WORDS, ("ledger.rehashed", ("service",)), ("ledger.continued", ("person",)))
WITNESS = Pen.of("witness", "w")
WITNESS_NAME = "w.example"
TEXTS = ("plain", "µm ≥ 30 %", "line\nbreak", "läsion", "肺", "𝔘", "\\\"'", "", "\u00a0x", "\u007e", "\ue000",
         "seven\u200bspaces", "é", "ﬃ")
Members = dict[str, bytes]


class Storied(Ledger):
    """A ledger that knows which log key and which origin its notes of each size bear."""

    def __init__(self, origin: str) -> None:
        super().__init__(origin)
        self.log_keys, self.origins = [(0, LOG)], [(0, origin)]  # each in force for sizes beyond
        self.halves: set[int] = set()

    def log_at(self, size: int) -> Pen:
        return [pen for beyond, pen in self.log_keys if beyond < size][-1]

    def origin_at(self, size: int) -> str:
        return [name for beyond, name in self.origins if beyond < size][-1]

    def note_at(self, size: int) -> str:
        return note(self.origin_at(size), size, tree_root(self.leaves[:size]), self.log_at(size))

    def a_size(self, rng: random.Random, least: int) -> int:
        """Often one where the log key or the origin has just changed, or is about to."""
        turns = [beyond + more for beyond, _ in (*self.log_keys[1:], *self.origins[1:]) for more in (0, 1, 2)]
        sizes = [size for size in turns if least <= size <= self.size]
        return rng.choice(sizes) if sizes and rng.random() < 0.6 else rng.randint(least, self.size)

    def replace_log(self, fresh: Pen) -> None:
        self.log_keys.append((self.size - 1, fresh))
        self.log = fresh

    def go_on_as(self, origin: str, by: tuple[Pen, Pen], known: str) -> None:
        """RECORD 8: what stood beyond this entry is lost; `known` is the note that shows it."""
        said = known.split("\n")
        fields: dict[str, Any] = {
            "old_origin": self.origin, "origin": origin, "known_size": int(said[1]), "known_root": said[2],
            "known_note": known, "restored_size": self.size, "restored_root": self.head()["root"], "because": "lost"}
        self.origins.append((self.size, origin))
        self.halves.add(self.size + 1)
        self.origin, seen = origin, self.size
        first = self.add("ledger.continued", fields, by=by[0], proofs=(ROOT,), seen=seen)
        self.add("ledger.continued", fields | {"first": self.parsed(first)["body"]["id"]}, by=by[1], proofs=(ROOT,),
                 seen=seen)


@dataclass
class Case:
    """A bundle with what was needed to make it."""

    ledger: Storied
    members: Members
    pens: dict[str, Pen]
    passkeys: dict[str, Authenticator]
    card: dict[str, Any] | None = None
    done: list[str] = field(default_factory=list)


def a_case(rng: random.Random) -> Case:
    """A good bundle: of everything, of streams or of chosen entries, with or without leaves, withheld entries, older
    notes and a trust card."""
    ledger, pens, passkeys = _random_ledger(rng)
    kind = rng.choice(("whole", "whole", "streams", "entries"))
    if kind == "whole":
        ledger.export()
        members = ledger.whole()
        if rng.random() < 0.4:
            del members["leaves.bin"]
    else:
        names = ["keys", *rng.sample(["trial/T1", "trial/T2", "house"], rng.randint(0, 3))] if kind == "streams" else (
            ["keys"])
        names = [name for name in names if name in ledger._streams]
        ledger.export(*names, scope=kind)
        others = [seq for seq in range(ledger.size - 1) if ledger.parsed(seq)["stream"] != "keys"]
        chosen = rng.sample(others, min(len(others), rng.randint(0, 4))) if kind == "entries" else []
        pool = chosen if kind == "entries" else [seq for seq in others if ledger.parsed(seq)["stream"] in names]
        withhold = rng.sample(pool, min(len(pool), rng.randint(0, 3))) if rng.random() < 0.5 else []
        chosen = [seq for seq in chosen if seq not in withhold]
        members = ledger.part(*names, kind=kind, chosen=chosen, withhold=sorted(withhold), leaves=rng.random() < 0.6)
    sizes = {ledger.a_size(rng, 2) for _ in range(rng.choice((0, 0, 1, 2)))}
    for size in sorted(sizes - ledger.halves):
        members[f"anchors/{size}.note"] = cosigned(
            ledger.note_at(size), WITNESS_NAME, WITNESS, 1_795_600_000 + size).encode()
    if rng.random() < 0.3:
        members["checkpoint.txt"] = cosigned(members["checkpoint.txt"].decode(), WITNESS_NAME, WITNESS, 5).encode()
    card = _a_card(ledger, rng) | {"witnesses": [{"name": WITNESS_NAME, "public_key": b64(WITNESS.public)}]}
    return Case(ledger, members, pens, passkeys, card if rng.random() < 0.5 else None)


def _a_card(ledger: Storied, rng: random.Random, least: int = 0) -> dict[str, Any]:
    """Of this origin, of one before it, or of one that this ledger goes on as later."""
    name = rng.choice([name for _, name in ledger.origins])
    if rng.random() < 0.2:
        former = [{"origin": one, "size": size} for one, size in (
            ("elsewhere", 1), (ledger.origin, ledger.size + rng.randint(least, 3)))]
        return ledger.card() | {"origin": "later.example", "former_origins": former}
    return ledger.card() | {"origin": name}


def _random_ledger(rng: random.Random) -> tuple[Storied, dict[str, Pen], dict[str, Authenticator]]:
    """Streams, proofs, manifests, enrolments, rotations, revocations, late entries, further vocabularies, second
    hashes, passkeys and what they answered, another log key, another origin after a loss."""
    ledger = Storied(origin=rng.choice(("countersign.example/tests", "a", "öst.example/ü")))
    pens = {pen.kid: pen for pen in (ROOT, LOG, SERVICE, INTAKE, *READERS)}
    services, persons = [SERVICE, INTAKE], list(READERS)
    passkeys: dict[str, Authenticator] = {}
    held: dict[str, list[Authenticator]] = {}
    alone: set[str] = set()  # who signs with passkeys alone

    def must_answer(by: Pen, share: float = 0.0) -> dict[str, Any]:
        """A passkey of this person for the next body, where one is due or chance says so."""
        own = held.get(by.holder, [])
        return {"passkey": rng.choice(own)} if own and (by.holder in alone or rng.random() < share) else {}

    seen = {ROOT.kid: ledger.size - 1}

    def add(action: str, fields: dict[str, Any], by: Pen, **options: Any) -> None:
        if rng.random() < 0.5:
            seen[by.kid] = rng.randint(max(seen.get(by.kid, 0), ledger.size - 4), ledger.size)
            options["seen"] = seen[by.kid]
        seen[by.kid] = max(seen.get(by.kid, 0), options.get("seen", ledger.size))
        ledger.add(action, fields, by=by, **options)

    def adopt(word: str) -> bool:
        words = [{"name": name, "version": 1, "signed_by": list(by), "sentence": "{actor} did"}
                 for name, by in (*MORE_WORDS, (word, ("service",)))]
        add("vocabulary.adopted", {"digest": "0" * 64, "words": words}, ROOT)
        return True

    widened = False
    for number in range(rng.randint(0, 18)):
        what = rng.choices(("service", "person", "two", "late", "enrol", "rotate", "revoke", "words", "passkey",
                            "passkey_gone", "rehash", "log", "continue"),
                           (6, 6, 2, 1, 1, 1, 0.7, 0.4, 2, 0.5, 0.7, 0.7, 0.7))[0]
        if what in ("rehash", "continue") and not widened:
            widened = adopt(f"word.n{number}")
        trial = {} if rng.random() < 0.25 else {"trial": rng.choice(("T1", "T2"))}
        if what == "service":
            add("series.received", {"series": f"1.2.{number}", "subject": "T1-001", "note": rng.choice(TEXTS)},
                rng.choice(services), **trial, **_sometimes(rng))
        elif what in ("person", "two", "late") and persons:
            by = rng.choice(persons)
            more: dict[str, Any] = {"manifest": {"meaning": "review", "printed_name": rng.choice(TEXTS), "n": 1}}
            if what == "two":
                more["proofs"] = tuple(pen for pen in rng.sample([*persons, *services], 2) if pen is not by)
            elif what == "late":
                more |= {"reason": rng.choice(("late", "late-form")), "at_us": ledger.now - rng.randrange(10**10)}
            add("read.signed", _some_fields(rng, 3), by, **trial, **more, **must_answer(by, 0.6))
        elif what == "passkey" and persons:
            by = rng.choice(persons)
            fresh_one = Authenticator.of(f"{rng.random()}", rng.choice(("es256", "ed25519")),
                                         counting=rng.random() < 0.7)
            own = held.setdefault(by.holder, [])
            more = {"alone": True} if rng.random() < 0.2 else {}
            fields = fresh_one.fields(rng.choice(TEXTS), **more)
            add("key.passkey_enrolled", fields, by, passkey=rng.choice(own) if own else fresh_one)
            alone |= {by.holder} if more else set()
            own.append(fresh_one)
            passkeys[fields["credential"]] = fresh_one
        elif what == "passkey_gone" and (holders := sorted(name for name, own in held.items() if own)):
            holder = rng.choice(holders)
            by = rng.choice(persons)
            lost = rng.choice(held[holder])
            add("key.passkey_revoked", {"holder": holder, "credential": b64(lost.credential), "label": "it",
                                        "because": "lost"}, by, **must_answer(by, 0.3))
            held[holder].remove(lost)
            if holder in alone and not held[holder]:
                alone.remove(holder)
        elif what == "enrol":
            klass = rng.choice(("person", "service"))
            # A holder has one key in force; a name belongs to a person or to the house, never to both (RECORD 4).
            fresh = Pen.of(klass, f"{'reader' if klass == 'person' else 'worker'}-{100 + number}", f"{rng.random()}")
            pens[fresh.kid] = fresh
            (persons if fresh.klass == "person" else services).append(fresh)
            add("key.enrolled", fresh.fields, ROOT, proofs=(fresh, *rng.sample(persons[:1], rng.randint(0, 1)))
                if fresh is not persons[0] else (fresh,))
        elif what == "rotate" and persons:
            old = rng.choice(persons)
            fresh = Pen.of("person", old.holder, f"{rng.random()}")
            pens[fresh.kid] = fresh
            add("key.rotated", fresh.fields | {"kid": old.kid}, old, proofs=(fresh,), **must_answer(old, 0.3))
            persons[persons.index(old)] = fresh
        elif what == "revoke" and len(persons) > 1:
            gone = persons.pop(rng.randrange(len(persons)))
            since = {"suspect_from": rng.randrange(ledger.size)} if rng.random() < 0.5 else {}
            add("key.revoked", {"kid": gone.kid, "because": "lost", **since}, ROOT)
            held.pop(gone.holder, None)
            alone.discard(gone.holder)
        elif what == "words":
            widened = adopt(f"word.n{number}")
        elif what == "rehash":
            size = rng.randint(1, ledger.size)
            add("ledger.rehashed", {"size": size, "algorithm": "sha3-512", "root": b64(second_root(
                ledger.entries[:size]))}, rng.choice(services))
        elif what == "log":
            fresh = pens.setdefault((made := Pen.of("log", LOG.holder, f"{rng.random()}")).kid, made)
            add("key.rotated", fresh.fields | {"kid": ledger.log.kid}, ledger.log, proofs=(fresh,))
            ledger.replace_log(fresh)
        elif what == "continue" and len(able := [pen for pen in persons if pen.holder not in alone]) > 1:
            pair = rng.sample(able, 2)
            seen |= {pen.kid: ledger.size for pen in pair}
            known = note(ledger.origin, max(1, ledger.size + rng.randint(-3, 5)), rng.randbytes(32),
                         rng.choice((ledger.log, LOG, Pen.of("log", "lost"))))
            ledger.go_on_as(f"{ledger.origin}-{number}", (pair[0], pair[1]), known)
    return ledger, pens, passkeys


def _sometimes(rng: random.Random) -> dict[str, Any]:
    return {name: value for name, value in (("on_behalf_of", "reader-1"), ("caused_by", "entry"), ("reason", "code"))
            if rng.random() < 0.2}


def _some_fields(rng: random.Random, depth: int) -> dict[str, Any]:
    return {rng.choice(("a", "b_1", "sum", "zz", "n9")): _some_value(rng, depth) for _ in range(rng.randint(0, 4))}


def _some_value(rng: random.Random, depth: int) -> Any:
    kind = rng.randrange(6 if depth else 4)
    if kind == 0:
        return rng.choice((0, 1, -1, 2**53 - 1, 1 - 2**53, rng.randrange(10**6)))
    if kind == 1:
        return rng.random() < 0.5
    if kind < 4:
        return rng.choice(TEXTS)
    if kind == 4:
        return _some_fields(rng, depth - 1)
    return [_some_value(rng, depth - 1) for _ in range(rng.randint(0, 3))]


# ---------------------------------------------------------------- raw changes of members


def _member(case: Case, rng: random.Random) -> str:
    return rng.choice(sorted(name for name in case.members if case.members[name]))


def flip_byte(case: Case, rng: random.Random) -> None:
    name = _member(case, rng)
    raw = bytearray(case.members[name])
    raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
    case.members[name] = bytes(raw)


def cut_or_grow(case: Case, rng: random.Random) -> None:
    name = _member(case, rng)
    raw = case.members[name]
    at = rng.randrange(len(raw))
    case.members[name] = rng.choice((raw[:at], raw[at:], raw + raw[at:], raw[:-1], raw + b"\n", raw + bytes(32)))


def drop_member(case: Case, rng: random.Random) -> None:
    del case.members[_member(case, rng)]


def foreign_member(case: Case, rng: random.Random) -> None:
    name = rng.choice(("proofs/0.tlog-proof", "proofs/99.tlog-proof", "objects/" + "0" * 64, "anchors/1.note",
                       "withheld.jsonl", "leaves.bin", "index.html", "README", "anchors/x"))
    case.members[name] = rng.choice((b"", b"x", case.members[_member(case, rng)]))


def move_lines(case: Case, rng: random.Random) -> None:
    """Entries, withheld entries or signature lines: one gone, doubled, or two exchanged."""
    name = rng.choice(sorted(name for name in case.members if not name.endswith("leaves.bin")))
    lines = case.members[name].splitlines(keepends=True)
    if lines:
        _shuffle(lines, rng)
        case.members[name] = b"".join(lines)


def move_leaves(case: Case, rng: random.Random) -> None:
    raw = case.members.get("leaves.bin", b"")
    leaves = [raw[at:at + 32] for at in range(0, len(raw), 32)]
    if leaves:
        _shuffle(leaves, rng)
        case.members["leaves.bin"] = b"".join(leaves)


def _shuffle(items: list[Any], rng: random.Random) -> None:
    at, other = rng.randrange(len(items)), rng.randrange(len(items))
    what = rng.randrange(3)
    if what == 0:
        del items[at]
    elif what == 1:
        items.insert(other, items[at])
    else:
        items[at], items[other] = items[other], items[at]


def swap_members(case: Case, rng: random.Random) -> None:
    names = sorted(case.members)
    one, two = rng.choice(names), rng.choice(names)
    proofs = [name for name in names if name.startswith("proofs/")]
    if proofs and rng.random() < 0.7:
        one, two = rng.choice(proofs), rng.choice(proofs)
    case.members[one], case.members[two] = case.members[two], case.members[one]


def extra_of_a_proof(case: Case, rng: random.Random) -> None:
    """`extra` is signed by nobody; whatever it says changes nothing."""
    proofs = sorted(name for name in case.members if name.startswith("proofs/"))
    if proofs:
        name = rng.choice(proofs)
        extra = b"extra " + rng.choice((b"AAAA", b"index 3")) + b"\nindex"
        case.members[name] = case.members[name].replace(b"index", extra, 1)


def change_json(case: Case, rng: random.Random) -> None:
    """bundle.json or a line of withheld.jsonl, canonical again."""
    name = rng.choice(("bundle.json", "withheld.jsonl") if "withheld.jsonl" in case.members else ("bundle.json",))
    lines = case.members.get(name, b"").splitlines()
    at = rng.randrange(len(lines)) if lines else 0
    if lines:
        try:
            lines[at] = jcs(_changed(json.loads(lines[at]), rng))
        except ValueError:
            return
        case.members[name] = b"".join(line + b"\n" for line in lines)


def another_note(case: Case, rng: random.Random) -> None:
    ledger, thief = case.ledger, Pen.of("log", "thief")
    size = rng.choice((ledger.size, ledger.size - 1, ledger.size + 1, 1))
    root = rng.choice((tree_root(ledger.leaves[:size]), bytes(32)))
    origin = rng.choice((ledger.origin, ledger.origin, ledger.origins[0][1], "b"))
    made = note(origin, size, root, rng.choice((ledger.log, ledger.log, LOG, thief)),
                rng.choice((None, None, "b", "x\u00a0y")))
    case.members["checkpoint.txt"] = cosigned(made, WITNESS_NAME, rng.choice((WITNESS, thief)), 7).encode()


def another_card(case: Case, rng: random.Random) -> None:
    card = dict(_a_card(case.ledger, rng, -2), witnesses=[])
    name = rng.choice(("origin", "genesis_leaf", "root_key", "witnesses"))
    card[name] = {"origin": "b", "witnesses": [], "genesis_leaf": "0" * 64, "root_key": b64(bytes(32))}[name]
    case.card = card


def another_earlier_note(case: Case, rng: random.Random) -> None:
    ledger = case.ledger
    size = ledger.a_size(rng, 1)
    true = tree_root(ledger.leaves[:size])
    root = rng.choice((true, true, tree_root(ledger.leaves[:max(1, size - 1)]), bytes(32)))
    due = ledger.origin_at(size)
    made = note(rng.choice((due, due, *(name for _, name in ledger.origins))), size, root, rng.choice(
        (ledger.log_at(size), ledger.log_at(size), LOG, ledger.log)))
    case.members[f"anchors/{size}.note"] = cosigned(made, WITNESS_NAME, WITNESS, 9).encode()


# ---------------------------------------------------------------- changes of entries, with or without stolen keys


def _changed(value: Any, rng: random.Random) -> Any:
    """One place somewhere in a value: gone, new, of another type, or with the content of another place."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        name = rng.choice(sorted(value))
        what = rng.randrange(8)
        if what == 0:
            return {other: inner for other, inner in value.items() if other != name}
        if what == 1:
            return value | {rng.choice(("alg", "reason", "proofs", "trial", "seq", "X", "late")): _some_value(rng, 1)}
        return value | {name: _changed(value[name], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        out = list(value)
        at = rng.randrange(len(out))
        if rng.random() < 0.3:
            out.append(out[at]) if rng.random() < 0.5 else out.pop(at)
        else:
            out[at] = _changed(out[at], rng)
        return out
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice((value + 1, value - 1, -value, 0, value + 10**9, True, str(value), value + 2**53))
    if isinstance(value, str):
        return rng.choice((value + "x", value[:-1], value.upper(), "", value[::-1], 7, value + "\u0301",
                           value + "\u202e", "late", value.swapcase(), [value], "root", value + "\u0378",
                           value.replace("0", "1", 1)))
    return _some_value(rng, 1)


def _edit(case: Case, entry: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    part = rng.choice(("body", "body", "body", "outer", "fields", "head", "proofs", "foreign"))
    body = entry["body"]
    if part == "body":
        return entry | {"body": _changed(body, rng)}
    if part in ("fields", "head", "proofs") and body.get(part):
        return entry | {"body": body | {part: _changed(body[part], rng)}}
    if part == "foreign":
        other = case.ledger.parsed(rng.randrange(case.ledger.size))
        name = rng.choice(("sig", "kid", "stream", "stream_seq", "ts", "seq", "body", "id", "actor", "action", "log"))
        if name in other:
            return entry | {name: other[name]}
        return entry | {"body": body | {name: other["body"][name]}}
    return dict(_changed(entry, rng))


def edit_entry(case: Case, rng: random.Random) -> None:
    lines = case.members.get("entries.jsonl", b"").splitlines()
    if not lines:
        return
    at = rng.randrange(len(lines))
    try:
        entry = _edit(case, json.loads(lines[at]), rng)
        if rng.random() < 0.5:
            entry = _signed_anew(case, entry)
        lines[at] = jcs(entry)
    except (ValueError, TypeError, KeyError, AttributeError):
        return
    case.members["entries.jsonl"] = b"".join(line + b"\n" for line in lines)


def edit_bytes_of_entry(case: Case, rng: random.Random) -> None:
    """What only bytes can do: spaces, escapes, doubled members, other numbers, spare bits."""
    lines = case.members.get("entries.jsonl", b"").splitlines()
    if not lines:
        return
    at = rng.randrange(len(lines))
    old, new = rng.choice(((b'"type":1', b'"type":1.0'), (b'"type":1', b'"type":1e0'), (b'"type"', b'"t\\u0079pe"'),
                           (b'"version":1', b'"version":1,"version":1'), (b",", b", "), (b'"ts":', b'"ts":0'),
                           (b'"seq":', b'"seq":-'), (b"}", b"} "), (b'==",', b'=",'), (b'"head":', b'"head":null,"h":'),
                           (b'"rule":"P', b'"rule":"\xff'), (b'"version":1', b'"version":1' + b"0" * 30)))
    lines[at] = lines[at].replace(old, new, 1)
    case.members["entries.jsonl"] = b"".join(line + b"\n" for line in lines)


def reseal(case: Case, rng: random.Random) -> None:
    """The thief of the log key: leaves, root, note and proofs made anew over whatever the entries now are."""
    lines = case.members["entries.jsonl"].split(b"\n")[:-1]
    numbered = {}
    for at, line in enumerate(lines):
        try:
            numbered[int(json.loads(line)["seq"])] = line
        except (ValueError, TypeError, KeyError):
            numbered[at] = line
    whole = b'"kind":"whole"' in case.members["bundle.json"]
    if whole:
        leaves = [leaf_of(line) for line in lines]
    else:
        leaves = [leaf_of(numbered[seq]) if seq in numbered else leaf for seq, leaf in enumerate(case.ledger.leaves)]
    if not leaves:
        return
    made = note(case.ledger.origin, len(leaves), tree_root(leaves), case.ledger.log)
    case.members["checkpoint.txt"] = made.encode()
    if "leaves.bin" in case.members:
        case.members["leaves.bin"] = b"".join(leaves)
    for name in [name for name in case.members if name.startswith("proofs/")]:
        seq = int(name[7:-11])
        if seq < len(leaves):
            hashes = "".join(b64(one) + "\n" for one in path_of(seq, leaves))
            case.members[name] = f"c2sp.org/tlog-proof@v1\nindex {seq}\n{hashes}\n{made}".encode()
    if whole and rng.random() < 0.8:
        try:
            about = json.loads(case.members["bundle.json"])
        except ValueError:
            return
        case.members["bundle.json"] = jcs(about | {"last": len(leaves) - 1, "export": len(leaves) - 1}) + b"\n"


def renumber_all(case: Case, rng: random.Random) -> None:
    """One entry gone or doubled and everything after it renumbered, perhaps signed anew with every key."""
    entries = _entries_of_whole(case)
    if len(entries) < 3:
        return
    at = rng.randrange(1, len(entries) - 1)
    what = rng.randrange(3)
    if what == 0:
        del entries[at]
    elif what == 1:
        entries.insert(at, entries[at - 1])
    else:
        entries[at], entries[at - 1] = entries[at - 1], entries[at]
    for seq, entry in enumerate(entries):
        entry["ts"] = case.ledger.now - (len(entries) - seq) * 1_000_000
    _built_anew(case, entries, signed=rng.random() < 0.5, heads=rng.random() < 0.5)


def edit_what_the_ledger_says(case: Case, rng: random.Random) -> None:
    """All keys are stolen: what a continuation or a second hash states is another thing, and the rest follows."""
    entries = _entries_of_whole(case)
    told = [at for at, one in enumerate(entries) if one["body"]["action"] in ("ledger.continued", "ledger.rehashed")]
    if not told:
        return
    at = rng.choice(told)
    fields = entries[at]["body"]["fields"]
    if "algorithm" in fields:
        size = rng.choice((fields["size"], max(1, fields["size"] - 1), at, at + 1))
        root = second_root(case.ledger.entries[:rng.choice((size, size, size - 1))])
        entries[at]["body"]["fields"] = {"size": size, "algorithm": rng.choice(("sha3-512", "sha3-512", "sha-512")),
                                         "root": b64(root)}
    else:
        pair = [at, at - 1 if "first" in fields else at + 1]
        lie = _a_lie(case, fields, rng)
        for place in pair[:rng.choice((1, 2, 2))]:
            if place >= len(entries):
                return
            body = entries[place]["body"]
            body["fields"] = {name: value for name, value in (body["fields"] | lie).items() if value != ""}
            if rng.random() < 0.8:
                body["log"] = body["fields"].get("origin", body["log"])
        what = rng.randrange(8)
        if what == 0:
            entries[at]["body"].pop("proofs", None)
        elif what == 1:
            pen = rng.choice(sorted(case.pens.values(), key=lambda pen: pen.kid))
            entries[at]["kid"], entries[at]["body"]["actor"] = pen.kid, pen.holder
        elif what == 2:
            entries[at]["kid"], entries[at]["body"]["actor"] = (
                entries[pair[1]]["kid"], entries[pair[1]]["body"]["actor"])
    # Witnesses saw nothing after it; what the entries before it say stays true byte for byte.
    for name in [one for one in case.members if (found := re.fullmatch(r"anchors/(\d+)\.note", one))
                 and int(found[1]) > at]:
        del case.members[name]
    _built_anew(case, entries, signed=True, heads=True)


def edit_what_a_passkey_answered(case: Case, rng: random.Random) -> None:
    """Every Ed25519 key is stolen; sometimes the passkey too, or its holder was made to answer elsewhere."""
    entries = _entries_of_whole(case)
    told = [at for at, one in enumerate(entries) if "assertion" in one["body"]]
    if not told:
        return
    at = rng.choice(told)
    body = entries[at]["body"]
    given = body["assertion"]
    own = case.passkeys.get(given["credential"] if isinstance(given, dict) else "")
    if own is None:
        return
    count = int.from_bytes(base64.b64decode(given["authenticator_data"])[33:37])
    what = rng.randrange(10)
    if what == 0:
        body |= {"reason": "another"}  # the swap of a captured house
    elif what == 1:
        del body["assertion"]
        if rng.random() < 0.5:
            body["manifest"] = {"meaning": "review"}
    elif what == 2:
        body["assertion"] = entries[rng.choice(told)]["body"]["assertion"]
    elif what == 3:
        body["assertion"] = rng.choice(sorted(case.passkeys.values(), key=lambda one: one.credential)).answer(
            body, count=rng.choice((count, count + 9)))
    elif what == 4:
        body["manifest"] = rng.choice(({"auth": {"factors": ["password"]}}, {"auth": "passkey"}, {"auth": {}},
                                       {"auth": {"factors": "passkey"}}))
        body["assertion"] = own.answer(body, count=count)
    elif what == 5 and body["action"] == "key.passkey_enrolled":
        lie: dict[str, Any] = rng.choice((
            {"alone": True}, {"alone": 1}, {"rp": "localhos"}, {"rp": "Localhost"}, {"sign_count": count + 1},
            {"sign_count": -1}, {"algorithm": "rs256"}, {"public_key": b64(b"\x04" + bytes(64))},
            {"public_key": b64(bytes(32))}, {"credential": rng.choice(sorted(case.passkeys))}, {"credential": ""}))
        body["fields"] = body["fields"] | lie
        body["assertion"] = own.answer(body, count=count)
    else:
        wrong: dict[str, Any] = rng.choice((
            {}, {"count": max(0, count - 1)}, {"count": count + 1}, {"flags": 1}, {"flags": 4}, {"flags": 0x85},
            {"rp": "example.org"}, {"type": "webauthn.create"}, {"challenge": "AAAA"}, {"crossOrigin": True},
            {"crossOrigin": 0}, {"crossOrigin": None}, *({"origin": one} for one in (
                "https://localhost", "http://localhost", "http://localhost.example.org", "https://a.localhost:1",
                "http://a.localhost", "https://xlocalhost", "ftp://localhost", "null", "http://localhost:8080/", 7))))
        body["assertion"] = own.answer(body, **({"count": count} | wrong))
    _built_anew(case, entries, signed=True, heads=False)


def _a_lie(case: Case, fields: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Fields of a continuation; a text that is empty stands for one left out."""
    size = rng.randint(1, case.ledger.size)
    root = rng.choice((tree_root(case.ledger.leaves[:size]), bytes(32)))
    known = note(rng.choice((fields["old_origin"], fields["origin"])), size, root, case.ledger.log)
    whole = {"known_size": size, "known_root": b64(root), "known_note": known}
    name = rng.choice(sorted(fields))
    return rng.choice((
        {}, whole, whole, dict([rng.choice(sorted(whole.items()))]), {name: ""}, {"first": rng.choice(("", "x"))},
        {"restored_size": fields["restored_size"] + rng.choice((-1, 1))}, {"restored_root": b64(root)},
        {"because": "else"}, {"origin": rng.choice(("b", case.ledger.origins[0][1], case.ledger.origin))},
        {"old_origin": rng.choice(("b", case.ledger.origins[0][1], case.ledger.origin))}))


def _entries_of_whole(case: Case) -> list[dict[str, Any]]:
    """Those of a bundle of everything, where they can still be read."""
    if b'"kind":"whole"' not in case.members.get("bundle.json", b""):
        return []
    try:
        entries = [json.loads(line) for line in case.members.get("entries.jsonl", b"").splitlines()]
    except ValueError:
        return []
    return entries if all(_is_readable(one) for one in entries) else []


def _is_readable(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("body"), dict) and isinstance(
        entry["body"].get("fields"), dict) and isinstance(entry["body"].get("action"), str)


def _built_anew(case: Case, entries: list[dict[str, Any]], *, signed: bool, heads: bool) -> None:
    """Numbers, and where asked heads and all signatures, as if the entries had come in this order."""
    streams: dict[str, int] = {}
    out: list[bytes] = []
    for seq, given in enumerate(entries):
        entry = given | {"seq": seq}
        try:
            stream = str(entry["stream"])
            entry["stream_seq"] = streams.get(stream, 0)
            streams[stream] = entry["stream_seq"] + 1
            if heads:
                size = min(seq, int(entry["body"]["head"]["size"]))
                head = {"size": size, "root": b64(tree_root([leaf_of(one) for one in out[:size]]))}
                entry["body"] = entry["body"] | {"head": head}
            out.append(jcs(_signed_anew(case, _proven_anew(case, entry)) if signed else entry))
        except (ValueError, TypeError, KeyError, AttributeError):
            return
    case.members["entries.jsonl"] = b"".join(one + b"\n" for one in out)


def _proven_anew(case: Case, entry: dict[str, Any]) -> dict[str, Any]:
    """Every proof by a key of ours, made over the body as it now is."""
    body = entry["body"]
    if "proofs" not in body:
        return entry
    message = pae("application/vnd.countersign.proof.v1+json", jcs(
        {name: value for name, value in body.items() if name not in ("proofs", "assertion")}))
    proofs = [{"kid": one["kid"], "sig": b64(case.pens[one["kid"]].private.sign(message))}
              if one["kid"] in case.pens else one for one in body["proofs"]]
    return entry | {"body": body | {"proofs": proofs}}


def _signed_anew(case: Case, entry: dict[str, Any]) -> dict[str, Any]:
    """By the key that the entry names, where that is one of ours; proofs stay as they are."""
    pen = case.pens.get(str(entry.get("kid")))
    if pen is None or not isinstance(entry.get("body"), dict):
        return entry
    message = pae("application/vnd.countersign.entry.v1+json", jcs(entry["body"]))
    return entry | {"sig": b64(pen.private.sign(message))}


Change = Callable[[Case, random.Random], None]
CHANGES: tuple[Change, ...] = (
    flip_byte, cut_or_grow, drop_member, foreign_member, move_lines, move_leaves, swap_members, extra_of_a_proof,
    change_json, another_note, another_card, another_earlier_note, edit_entry, edit_entry, edit_entry,
    edit_bytes_of_entry, renumber_all, edit_what_the_ledger_says, edit_what_a_passkey_answered,
)


# Rules that few entries meet.
OF_THE_LEDGER: tuple[Change, ...] = (edit_what_the_ledger_says, another_earlier_note, edit_what_a_passkey_answered)
OF_ENTRIES = (edit_entry, edit_bytes_of_entry, renumber_all, move_lines, edit_what_the_ledger_says,
              edit_what_a_passkey_answered)


def change(case: Case, rng: random.Random) -> None:
    """Between none and three changes; after those of entries the tree is often made good again."""
    for _ in range(rng.choice((0, 1, 1, 1, 1, 2, 3))):
        chosen = rng.choice(CHANGES if rng.random() < 0.75 else OF_THE_LEDGER)
        chosen(case, rng)
        case.done.append(chosen.__name__)
        if chosen in OF_ENTRIES and rng.random() < 0.7 and (
                "entries.jsonl" in case.members and "bundle.json" in case.members):
            reseal(case, rng)
            case.done.append("reseal")
