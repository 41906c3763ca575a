"""How a word of the ledger is declared, and the one list of all of them."""

from __future__ import annotations

import dataclasses
import hashlib
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar, dataclass_transform

import orjson

from audit import CONCEALED

E = TypeVar("E", bound=type)

CLASSES = ("root", "log", "person", "service", "witness")
KEYS_STREAM_PREFIXES = ("key.", "policy.", "vocabulary.", "ledger.")


@dataclass(frozen=True, slots=True)
class Word:
    """The declaration of one event type."""

    name: str
    version: int
    signed_by: tuple[str, ...]
    clause: str
    sentence: str
    cls: type


# `class` is a reserved word in Python; the member of the entry keeps the record's name.
_RENAMED = {"klass": "class"}
_ATTRIBUTE = {"class": "klass"}

REGISTRY: dict[tuple[str, int], Word] = {}


class VocabularyError(TypeError):
    """A word is declared wrongly, twice, or unknown."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
def piece(cls: E) -> E:
    """A frozen group of fields inside an event; the same types are allowed as in an event."""
    return typing.cast(E, dataclass(frozen=True, slots=True, kw_only=True)(cls))


@dataclass_transform(frozen_default=True, kw_only_default=True)
def event(
    name: str, *, version: int = 1, signed_by: str | tuple[str, ...], clause: str, sentence: str
) -> Callable[[E], E]:
    """Declare a word `noun.participle`. `sentence` may name fields and {actor}, {trial}, {reason}, {on_behalf_of}."""

    def declare(cls: E) -> E:
        made: Any = dataclass(frozen=True, slots=True, kw_only=True)(cls)
        classes = (signed_by,) if isinstance(signed_by, str) else signed_by
        if (name, version) in REGISTRY:
            raise VocabularyError(f"{name} version {version} is declared twice.")
        if not set(classes) <= set(CLASSES):
            raise VocabularyError(f"{name}: signed_by must be among {CLASSES}.")
        for field, hint in typing.get_type_hints(made).items():
            _check_type(hint, f"{name}.{field}")
        REGISTRY[name, version] = Word(name, version, tuple(classes), clause, sentence, made)
        made.WORD = REGISTRY[name, version]
        return typing.cast(E, made)

    return declare


def _check_type(hint: Any, where: str) -> None:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in (str, int, bool):
        return None
    if origin in (typing.Union, types.UnionType):
        inner = [a for a in arguments if a is not type(None)]
        if len(inner) == 1 and len(arguments) == 2:
            return _check_type(inner[0], where)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return _check_type(arguments[0], where)
    if dataclasses.is_dataclass(hint):
        for field, inner_hint in typing.get_type_hints(hint).items():
            _check_type(inner_hint, f"{where}.{field}")
        return None
    raise VocabularyError(f"{where}: {hint} is not text, whole number, yes/no, a group or a tuple of them.")


def word_of(event_object: object) -> Word:
    """The declaration behind an event."""
    return typing.cast(Word, type(event_object).WORD)  # type: ignore[attr-defined]


def fields_of(thing: object) -> dict[str, Any]:
    """The canonical fields: absent instead of null, arrays for tuples, objects for pieces.

    Raises VocabularyError where a value is not of its declared type, so that what is recorded can be read back.
    """
    out: dict[str, Any] = {}
    for attribute, name, hint in _members(typing.cast(Any, type(thing))):
        value = getattr(thing, attribute)
        if type(value) is hint:
            out[name] = value if hint in PLAIN else fields_of(value)
        elif value is not None:
            out[name] = _plain(hint, value, attribute)
    return out


PLAIN = frozenset({str, int, bool})


@cache
def _members(cls: type) -> tuple[tuple[str, str, Any], ...]:
    """Attribute, member name and type of each field."""
    hints = _hints(cls)
    return tuple((field.name, _RENAMED.get(field.name, field.name), hints[field.name])
                 for field in dataclasses.fields(cls))


def _plain(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType) and value is not None:
        return _plain(next(a for a in arguments if a is not type(None)), value, where)
    if origin is tuple and isinstance(value, tuple | list):
        return [_plain(arguments[0], item, where) for item in value]
    if type(value) is not hint:
        raise VocabularyError(f"{where}: {hint} is needed, not {type(value).__name__}.")
    return value if hint in PLAIN else fields_of(value)


def event_from(name: str, version: int, fields: Mapping[str, Any]) -> Any:
    """Read an event back from its fields. Raises VocabularyError where word or fields do not fit."""
    word = REGISTRY.get((name, version))
    if word is None:
        raise VocabularyError(f"No word {name} version {version} is declared.")
    return _read(word.cls, fields, name)


def _read(cls: type, fields: Mapping[str, Any], where: str) -> Any:
    hints = _hints(cls)
    given: dict[str, Any] = {}
    for name, value in fields.items():
        key = _ATTRIBUTE.get(name, name)
        hint = hints.get(key)
        if hint is None:
            unknown = sorted(one for one in fields if _ATTRIBUTE.get(one, one) not in hints)
            raise VocabularyError(f"{where}: unknown fields {unknown}.")
        given[key] = value if type(value) is hint else _read_value(hint, value, f"{where}.{key}")
    try:
        return cls(**given)
    except TypeError as error:
        raise VocabularyError(f"{where}: {error}") from error


_HINTS: dict[type, dict[str, Any]] = {}


def _hints(cls: type) -> dict[str, Any]:
    if cls not in _HINTS:
        _HINTS[cls] = {key: hint for key, hint in typing.get_type_hints(cls).items() if key != "WORD"}
    return _HINTS[cls]


def _read_value(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _read_value(next(a for a in arguments if a is not type(None)), value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise VocabularyError(f"{where}: an array is needed.")
        return tuple(_read_value(arguments[0], item, where) for item in value)
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise VocabularyError(f"{where}: an object is needed.")
        return _read(typing.cast(type, hint), value, where)
    if type(value) is not hint:
        raise VocabularyError(f"{where}: {hint.__name__} is needed, not {type(value).__name__}.")
    return value


class _Gaps(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "—"


def sentence(name: str, version: int, fields: Mapping[str, Any], envelope: Mapping[str, Any]) -> str:
    """One plain sentence about an entry. `envelope` gives actor, trial, reason, on_behalf_of."""
    word = REGISTRY.get((name, version))
    if word is None:
        return f"{envelope.get('actor', '—')}: {name}"
    shown = {key: _shown(value) for key, value in fields.items()}
    return word.sentence.format_map(_Gaps({**envelope, **shown}))


def _shown(value: Any) -> Any:
    if isinstance(value, list):
        return ", ".join(str(_shown(item)) for item in value)
    if isinstance(value, dict):
        if "sha256" in value:
            return f"{value['sha256'][:12]}…"
        if "ct" in value:
            return CONCEALED
        return ", ".join(f"{key} {_shown(item)}" for key, item in value.items())
    return value


def catalogue() -> list[dict[str, Any]]:
    """Every declared word, as `vocabulary.adopted` carries it, ordered by name and version."""
    return [
        {"name": word.name, "version": word.version, "signed_by": list(word.signed_by), "sentence": word.sentence}
        for _, word in sorted(REGISTRY.items())
    ]


def catalogue_digest() -> str:
    """SHA-256 of the catalogue with clauses and field types; changes when any declaration changes."""
    full = [
        {
            "name": word.name, "version": word.version, "signed_by": list(word.signed_by), "sentence": word.sentence,
            "clause": word.clause, "fields": {key: str(hint) for key, hint in _hints(word.cls).items()},
        }
        for _, word in sorted(REGISTRY.items())
    ]
    return hashlib.sha256(orjson.dumps(full, option=orjson.OPT_SORT_KEYS)).hexdigest()


@piece
class ObjectRef:
    """A big thing kept outside the ledger, named by the digest of its stored bytes (RECORD 1)."""

    sha256: str
    bytes: int
    media: str


@piece
class SubjectText:
    """Free text about a subject, base64: AES-256-GCM under the subject's key, AAD the id of its entry (RECORD 6).

    `kid` names the key: SHA-256 over `countersign-subject-key/1`, a zero byte and the key, hex.
    """

    ct: str
    iv: str
    kid: str
