"""A reader's answer to one time point: the form it is written, sealed and read back in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from audit.entry import MalformedEntry, canonical
from core.errors import RecordDamaged, UnusableInput
from core.quantities import Quantity
from core.reads.criteria.answer import (
    Baseline,
    Kind,
    Modality,
    NewLesion,
    NewLesionState,
    NonTargetLesion,
    NonTargetMark,
    NonTargetState,
    TargetLesion,
    TargetMark,
    TargetState,
    TimePointAnswer,
    Unmeasurable,
)
from core.reads.criteria.organs import words_of_no_place

FORMAT = "countersign-answer/1"
Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")]
Size = Annotated[str, Field(max_length=32)]
Place = Annotated[str, Field(min_length=1, max_length=120)]

#: Why a reader did not take an AI value as it was; coded, because these are counted (RDG-10).
OVERRIDE_REASONS = (
    "boundary_too_wide",
    "boundary_too_narrow",
    "other_structure_included",
    "part_missed",
    "wrong_lesion",
    "not_a_lesion",
    "artefact",
    "wrong_slice",
    "registration",
)
#: Why nothing can be said of an endpoint at a time point.
NOT_EVALUABLE = (
    "not_acquired",
    "no_contrast",
    "artefact",
    "incomplete_coverage",
    "other_protocol",
    "modality_missing",
    "ai_undecided",
    "ai_failed",
)
#: What a reader saw in a non-target that progressed unequivocally.
PROGRESSION_REASONS = ("substantial_worsening", "diffuse_spread", "new_involvement", "volume_increase")


class Part(BaseModel):
    """Frozen, and closed to fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class AiUse(Part):
    """What the reader did with one AI value: every one is decided by itself."""

    endpoint: Code
    run: Annotated[str, Field(min_length=1, max_length=64)]
    use: Literal["accept", "adjust", "reject"]
    reason: str = ""


class Target(Part):
    """A target. Location, kind, modality and slice distance are stated at baseline only; `sizes` gives for each
    evaluable endpoint what was measured, in the endpoint's unit, several where the lesion split."""

    lesion: Code
    state: TargetState
    sizes: dict[Code, tuple[Size, ...]] = Field(default_factory=dict)
    merged_with: Code | Literal[""] = ""
    location: str = ""
    kind: Kind = "extranodal"
    modality: Modality = "CT"
    slice_mm: str = ""
    unmeasurable: Unmeasurable = ""
    tracking_uid: Annotated[str, Field(pattern=r"^[0-9.]{0,64}$")] = ""
    ai: tuple[AiUse, ...] = ()


class NonTarget(Part):
    """A non-target; location and kind are stated at baseline only."""

    lesion: Code
    state: NonTargetState
    reason: str = ""
    location: str = ""
    kind: Kind = "extranodal"


class New(Part):
    """A lesion that was not there at baseline."""

    lesion: Code
    location: Place
    state: NewLesionState


class Answer(Part):
    """Everything a reader states about a time point."""

    format: Literal["countersign-answer/1"]
    trial: Code
    subject: Code
    time_point: Code
    scanned_on: date
    not_evaluable: dict[Code, str] = Field(default_factory=dict)
    targets: tuple[Target, ...] = ()
    non_targets: tuple[NonTarget, ...] = ()
    new_lesions: tuple[New, ...] = ()

    def ai_uses(self) -> Iterable[tuple[Target, AiUse]]:
        """Every decision about an AI value, with its lesion."""
        return ((target, use) for target in self.targets for use in target.ai)


#: What an answer may not carry, though a hurried form or script might: a decision about AI values in one stroke.
SHORTCUTS = ("accept_all", "ai_default", "preselected")


def read_file(text: str) -> dict[str, Any]:
    """The mapping of a YAML or JSON answer file.

    Raises:
        UnusableInput: the text is neither, or no mapping.
    """
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" near line {mark.line + 1}" if mark is not None else ""
        raise UnusableInput(f"The answer is no YAML or JSON{where}.") from error
    if not isinstance(found, dict):
        raise UnusableInput("The answer file holds no fields.")
    return found


def shortcuts_in(stated: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of forbidden shortcuts, at the top or beside a lesion."""
    places = [stated, *(each for each in stated.get("targets") or () if isinstance(each, Mapping))]
    return tuple(sorted({name for place in places for name in SHORTCUTS if name in place}))


def read_answer(stated: Mapping[str, Any]) -> Answer:
    """The typed answer.

    Raises:
        UnusableInput: names every field that is missing, unknown or of a wrong form.
    """
    try:
        answer = Answer.model_validate(json.loads(json.dumps(stated, default=str)))
        canonical(answer.model_dump(mode="json"), "answer")
    except ValidationError as error:
        raise UnusableInput(f"The answer cannot be used: {'; '.join(_problems(error))}.") from error
    except MalformedEntry as error:
        raise UnusableInput(f"The answer holds text that the record cannot carry: {error}") from error
    return answer


def _problems(error: ValidationError) -> list[str]:
    return [f"{'.'.join(str(step) for step in each['loc'])}: {each['msg']}" for each in error.errors()]


def sealed_text(answer: Answer, view: Sequence[tuple[str, str]]) -> bytes:
    """What goes under the seal: JCS of the answer and of the view the reader was shown (RECORD 5)."""
    lines = [{"label": label, "value": value} for label, value in view]
    return canonical({"answer": answer.model_dump(mode="json"), "view": lines}, "sealed read")


def answer_under_seal(plaintext: bytes) -> Answer:
    """Read an opened seal back. Raises RecordDamaged where it holds no answer."""
    try:
        return Answer.model_validate(json.loads(plaintext)["answer"])
    except (ValueError, KeyError, TypeError) as error:
        raise RecordDamaged("An opened seal holds no answer of a known form.") from error


def lines_of(answer: Answer, units: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The answer in lines of label and value, as the reader is shown it before sealing."""
    lines: list[tuple[str, str]] = [
        ("Subject", answer.subject),
        ("Time point", answer.time_point),
        ("Images acquired on", answer.scanned_on.isoformat()),
    ]
    lines += [(f"{endpoint}: not evaluable", reason) for endpoint, reason in sorted(answer.not_evaluable.items())]
    for target in answer.targets:
        what = f"Target {target.lesion}" + (f", {target.location} ({target.kind})" if target.location else "")
        said = target.state.replace("_", " ") + (f" with {target.merged_with}" if target.merged_with else "")
        lines.append((what, said))
        lines += [
            (f"Target {target.lesion}, {endpoint}", " and ".join(sizes))
            for endpoint, sizes in sorted(target.sizes.items())
            if endpoint in units
        ]
        lines += [
            (f"Target {target.lesion}, AI value {each.run} for {each.endpoint}", f"{each.use} {each.reason}".strip())
            for each in target.ai
        ]
    for non_target in answer.non_targets:
        where = f", {non_target.location}" if non_target.location else ""
        said = f"{non_target.state} {non_target.reason}".strip().replace("_", " ")
        lines.append((f"Non-target {non_target.lesion}{where}", said))
    lines += [(f"New lesion {each.lesion}, {each.location}", each.state) for each in answer.new_lesions]
    return tuple(lines)


# From the answer to what a criterion takes in, for one endpoint.

T = TypeVar("T")


def size_of(text: str, unit: str) -> Decimal:
    """The number of a size that must be in this unit. Raises UnusableInput."""
    quantity = Quantity.read(text)
    if quantity.unit != unit:
        raise UnusableInput(f"{text!r} is not in {unit}.")
    return quantity.value


def as_baseline(answer: Answer, endpoint: str, unit: str) -> Baseline | None:
    """The baseline of an endpoint; None where the reader found it not evaluable. Raises UnusableInput."""
    if endpoint in answer.not_evaluable:
        return None
    wrong = [f"target {each.lesion} is {each.state}" for each in answer.targets if each.state != "measured"]
    wrong += [f"non-target {each.lesion} is {each.state}" for each in answer.non_targets if each.state != "present"]
    wrong += [f"lesion {each.lesion} is called new" for each in answer.new_lesions]
    wrong += [f"target {each.lesion} has no slice distance" for each in answer.targets if not each.slice_mm]
    wrong += [f"target {each.lesion} has no location" for each in answer.targets if not each.location]
    wrong += [
        f"target {each.lesion} has {len(each.sizes.get(endpoint, ()))} sizes for {endpoint}"
        for each in answer.targets
        if len(each.sizes.get(endpoint, ())) != 1
    ]
    if wrong:
        raise UnusableInput(f"Baseline {answer.time_point} cannot be used: {'; '.join(wrong)}.")
    return Baseline(
        answer.time_point,
        answer.scanned_on,
        answer.scanned_on,
        tuple(
            TargetLesion(
                each.lesion,
                each.location,
                each.kind,
                size_of(each.sizes[endpoint][0], unit),
                each.modality,
                size_of(each.slice_mm, "mm"),
                each.unmeasurable,
            )
            for each in answer.targets
        ),
        tuple(NonTargetLesion(each.lesion, each.location, each.kind) for each in answer.non_targets),
    )


def as_time_point(answer: Answer, endpoint: str, unit: str) -> TimePointAnswer:
    """The marks of a later time point for an endpoint. Raises UnusableInput."""
    reason = answer.not_evaluable.get(endpoint, "")
    if reason:
        return TimePointAnswer(answer.time_point, answer.scanned_on, answer.scanned_on, not_evaluable=reason)
    return TimePointAnswer(
        answer.time_point,
        answer.scanned_on,
        answer.scanned_on,
        tuple(
            TargetMark(
                each.lesion,
                each.state,
                tuple(size_of(text, unit) for text in each.sizes.get(endpoint, ())),
                each.merged_with,
            )
            for each in answer.targets
        ),
        tuple(NonTargetMark(each.lesion, each.state, each.reason) for each in answer.non_targets),
        tuple(NewLesion(each.lesion, each.location, each.state) for each in answer.new_lesions),
    )


def coding_problems(answer: Answer, endpoints: Iterable[str]) -> list[str]:
    """Codes that are on no list, and endpoints that the charter does not have."""
    known = set(endpoints)
    wrong = [f"no endpoint {name}" for name in sorted(set(answer.not_evaluable) - known)]
    wrong += [
        f"{reason!r} is no reason for not evaluable (one of: {', '.join(NOT_EVALUABLE)})"
        for reason in answer.not_evaluable.values()
        if reason not in NOT_EVALUABLE
    ]
    for target in answer.targets:
        wrong += [f"target {target.lesion}: no endpoint {name}" for name in sorted(set(target.sizes) - known)]
        wrong += [
            f"target {target.lesion}: a size for {name}, which is not evaluable"
            for name in sorted(set(target.sizes) & set(answer.not_evaluable))
        ]
    for target, use in answer.ai_uses():
        if use.use == "accept" and use.reason:
            wrong.append(f"target {target.lesion}: an accepted AI value takes no reason")
        if use.use != "accept" and use.reason not in OVERRIDE_REASONS:
            wrong.append(
                f"target {target.lesion}: {use.use} needs a coded reason (one of: {', '.join(OVERRIDE_REASONS)})"
            )
    wrong += [
        f"{kind} {each.lesion}: {', '.join(map(repr, unknown))} names no place of the body"
        for kind, many in (("target", answer.targets), ("non-target", answer.non_targets), ("new", answer.new_lesions))
        for each in many
        if (unknown := words_of_no_place(each.location))
    ]
    wrong += [
        f"non-target {each.lesion}: {each.reason!r} is on no list"
        for each in answer.non_targets
        if each.reason not in ("", *PROGRESSION_REASONS)
    ]
    wrong += [
        f"non-target {each.lesion}: progression needs a coded reason (one of: {', '.join(PROGRESSION_REASONS)})"
        for each in answer.non_targets
        if each.state == "unequivocal_progression" and each.reason not in PROGRESSION_REASONS
    ]
    return wrong
