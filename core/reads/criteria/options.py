"""Reading the options of a criterion: every one is stated by the charter, none is assumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from core.errors import UnusableInput

T = TypeVar("T")


class OptionsUnstated(UnusableInput):
    """A criterion was asked to run without a stated, usable value for each of its options."""

    code = "options-unstated"
    next_step = "State every option in the charter; a criterion never assumes one."


def read_options(kind: type[T], stated: Mapping[str, object]) -> T:
    """The typed options from a charter's mapping.

    Raises:
        OptionsUnstated: names every option that is missing, unknown or of a wrong value, all at once.
    """
    hints = get_type_hints(kind)
    wrong = [f"{name}: not an option of this criterion" for name in sorted(stated.keys() - hints.keys())]
    values: dict[str, Any] = {}
    for each in fields(kind):  # type: ignore[arg-type]
        if each.name not in stated:
            wrong.append(f"{each.name}: not stated ({_in_words(hints[each.name])})")
            continue
        try:
            values[each.name] = _value(hints[each.name], stated[each.name])
        except ValueError:
            wrong.append(f"{each.name}: {stated[each.name]!r} is not {_in_words(hints[each.name])}")
    if wrong:
        raise OptionsUnstated(f"Options of {kind.__name__} cannot be used. " + "; ".join(wrong) + ".")
    return kind(**values)


def schema_of(kind: type[Any]) -> dict[str, Any]:
    """JSON Schema of the options: all required, nothing else allowed."""
    hints = get_type_hints(kind)
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [each.name for each in fields(kind)],
        "properties": {each.name: _schema(hints[each.name]) for each in fields(kind)},
    }


def _value(hint: Any, stated: object) -> object:
    if get_origin(hint) is Literal:
        # `True == 1`: the type counts too.
        for choice in get_args(hint):
            if type(choice) is type(stated) and choice == stated:
                return choice
    elif hint is bool or isinstance(stated, bool):
        # A yes is not a 1, and a 1 is not a yes.
        if hint is bool and isinstance(stated, bool):
            return stated
    elif hint is int and isinstance(stated, int) and stated >= 0:
        return stated
    elif hint is Decimal and isinstance(stated, str | int | Decimal):
        try:
            number = Decimal(stated)
        except InvalidOperation as broken:
            raise ValueError(stated) from broken
        if number.is_finite() and number >= 0:
            return number
    raise ValueError(stated)


def _schema(hint: Any) -> dict[str, Any]:
    if get_origin(hint) is Literal:
        return {"enum": list(get_args(hint))}
    simple: dict[Any, dict[str, Any]] = {
        bool: {"type": "boolean"},
        int: {"type": "integer", "minimum": 0},
        Decimal: {"type": "string", "pattern": r"^\d+(\.\d+)?$"},
    }
    return simple[hint]


def _in_words(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(str(each) for each in get_args(hint))
    words: dict[Any, str] = {bool: "yes or no", int: "a whole number", Decimal: "a decimal as text"}
    return words[hint]
