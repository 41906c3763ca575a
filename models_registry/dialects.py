"""How a tensor crosses to a model server and back: `mlflow` (/invocations) and `v2` (Open Inference Protocol). Pure.

Both carry numbers as JSON text. A float32 is written in the fewest digits that read back as the same float32, so the
bits arrive as they were; digests are over the values, never over the text.

Sources: MLflow scoring protocol (`inputs`, `predictions`); Open Inference Protocol 2.0, REST (Inference Request JSON
Object, Inference Response JSON Object).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from core.errors import UnusableInput

Floats = NDArray[np.float32]
NAME = "countersign"
INPUT, OUTPUT = "channels", "probability"
# Characters that a float32 takes as text, with its comma; and what surrounds the numbers.
PER_NUMBER, AROUND = 26, 4096


class NotThisDialect(UnusableInput):
    """A body that is no request or answer of the dialect; says which part."""

    code = "not-this-dialect"
    next_step = "Nothing was measured. See which program answers at this address, and in which dialect."


@dataclass(frozen=True, slots=True)
class Dialect:
    """Paths and bodies of one kind of model server. Shapes carry the batch of one in front."""

    name: str
    path: str
    ready: str
    asks: Callable[[Floats], bytes]
    asked: Callable[[bytes], Floats]
    answers: Callable[[Floats], bytes]
    answered: Callable[[bytes], Floats]


def most_bytes(numbers: int) -> int:
    """The longest body that `numbers` float32 values can take."""
    return AROUND + PER_NUMBER * numbers


def _dumped(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def _object(body: bytes, member: str) -> Any:
    try:
        stated = orjson.loads(body)  # NaN and Infinity are no JSON: refused here
    except orjson.JSONDecodeError as error:
        raise NotThisDialect(f"The body is no JSON ({error.msg}).") from None
    if not isinstance(stated, dict) or member not in stated:
        raise NotThisDialect(f"The body has no `{member}`.")
    return stated[member]


def _tensor(numbers: Any, what: str) -> Floats:
    """Nested lists of numbers as float32; null and text are refused, numbers too large for float32 as well."""
    try:
        wide = np.asarray(numbers, dtype=np.float64)
    except (TypeError, ValueError):
        raise NotThisDialect(f"`{what}` is no tensor of numbers.") from None
    # Shortest text of a float32 can lie a little above it as a float64; only what the cast makes infinite is too large.
    with np.errstate(over="ignore"):
        narrow = wide.astype(np.float32)
    if wide.ndim == 0 or not bool(np.isfinite(narrow).all()):
        raise NotThisDialect(f"`{what}` holds values that are not finite.")
    return narrow


def _v2_tensor(body: bytes, member: str, name: str) -> Floats:
    listed = _object(body, member)
    if not isinstance(listed, list) or len(listed) != 1 or not isinstance(listed[0], dict):
        raise NotThisDialect(f"`{member}` is not a list of one tensor.")
    stated = listed[0]
    shape, data = stated.get("shape"), stated.get("data")
    if stated.get("name") != name or stated.get("datatype") != "FP32":
        raise NotThisDialect(f"`{member}` is not the FP32 tensor `{name}`.")
    if not isinstance(shape, list) or not all(type(side) is int and side > 0 for side in shape):
        raise NotThisDialect(f"`{member}` states no shape.")
    flat = _tensor(data, name).reshape(-1)
    if flat.size != int(np.prod(shape, dtype=np.int64)):
        raise NotThisDialect(f"`{name}` has {flat.size} values; its shape needs others.")
    return flat.reshape(shape)


def _v2_body(member: str, name: str, tensor: Floats, **more: str) -> bytes:
    stated = {"name": name, "shape": list(tensor.shape), "datatype": "FP32",
              "data": np.ascontiguousarray(tensor).reshape(-1)}
    return _dumped(more | {member: [stated]})


MLFLOW = Dialect(
    "mlflow", "/invocations", "/ping",
    asks=lambda tensor: _dumped({"inputs": np.ascontiguousarray(tensor)}),
    asked=lambda body: _tensor(_object(body, "inputs"), "inputs"),
    answers=lambda tensor: _dumped({"predictions": np.ascontiguousarray(tensor)}),
    answered=lambda body: _tensor(_object(body, "predictions"), "predictions"),
)
V2 = Dialect(
    "v2", f"/v2/models/{NAME}/infer", f"/v2/models/{NAME}/ready",
    asks=lambda tensor: _v2_body("inputs", INPUT, tensor),
    asked=lambda body: _v2_tensor(body, "inputs", INPUT),
    answers=lambda tensor: _v2_body("outputs", OUTPUT, tensor, model_name=NAME),
    answered=lambda body: _v2_tensor(body, "outputs", OUTPUT),
)
DIALECTS = {one.name: one for one in (MLFLOW, V2)}
