"""`countersign model convert` and `compare`: third-party models to bundles, and two locks side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from countersign.cli.common import HomeOption, JsonOption, answer, house, running, told
from countersign.cli.signing import AsOption

if TYPE_CHECKING:
    from models_registry.segmentation.state import Scan


@told
def convert(
    source: Annotated[str, typer.Argument(help="File or folder as its maker gave it: a wheel, a zip, a model folder.")],
    kind: Annotated[str, typer.Option("--as", help="deepbet, meshnet-tfjs or nnunet.")],
    out: Annotated[str, typer.Option(help="Bundle folder to be made.")],
    name: Annotated[str, typer.Option(help="Name of the model; the folder's where not given.")] = "",
    version: Annotated[str, typer.Option(help="Version of the bundle.")] = "1.0.0",
    licence: Annotated[str, typer.Option(help="SPDX id of the maker's licence, where the source names none.")] = "",
    axes: Annotated[str, typer.Option(help="Where the training arrays' axes grow, such as SPL; where not known.")] = "",
    structures: Annotated[str, typer.Option(help="JSON file: label name to code, least_ml and most_ml. A label that it "
                                            "leaves out has no code of its own and every volume is plausible.")] = "",
    intended_use: Annotated[str, typer.Option(help="Text file with the intended use.")] = "",
    data_statement: Annotated[str, typer.Option(help="Text file about the training data.")] = "",
    sentinel: Annotated[str, typer.Option(help="Folder of DICOM images of nobody, answered at every load.")] = "",
) -> None:
    """Make a bundle of a third-party model. Its source is read in a process without network; its code never runs."""
    import json

    from core.errors import UnusableInput
    from models_registry.conversion.families import LIKE, Wishes
    from models_registry.conversion.usecases import LIMITS, ConvertModel, convert_model
    from models_registry.isolation import ORDINARY

    try:
        stated = json.loads(_text_in(structures) or "{}")
    except ValueError as error:
        raise UnusableInput(f"{structures} is not readable JSON ({error}).",
                            next_step=f"Write it like {LIKE}. Nothing was read.") from None
    if not isinstance(stated, dict):
        raise UnusableInput(f"{structures} holds no object of label names.",
                            next_step=f"Write it like {LIKE}. Nothing was read.")
    wishes = Wishes(name or Path(out).name, version, licence, axes, stated, _text_in(intended_use),
                    _text_in(data_statement))
    given = _scan(Path(sentinel)) if sentinel else None
    running(f"{source} is read in a process without network, then its sentinel is answered",
            LIMITS.wall_s + ORDINARY.wall_s)
    done = convert_model(ConvertModel(Path(source), kind, Path(out), wishes, given))
    typer.echo(f"{out}: {len(done.bundle.files)} files, {len(done.bundle.tensors)} tensors, bundle "
               f"{done.bundle.tree_sha256}")
    left = ", ".join(done.report["left_behind"]) or "nothing"
    typer.echo(f"Source {done.report['source']['sha256']}; left behind: {left}")
    typer.echo(f"Sentinel: {done.sentinel_status} ({done.sentinel_said})")
    typer.echo("Complete docs/intended-use.md and docs/data-statement.md, then: countersign model register "
               f"{out} --trained-by WHO --as YOU")


def _text_in(path: str) -> str:
    """The text of a file that a person named, "" where none was. Raises UnusableInput."""
    from core.errors import UnusableInput

    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        because = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise UnusableInput(f"{path} cannot be read: {because}.", next_step="Name a text file.") from None


def _scan(folder: Path) -> Scan:
    """A folder of DICOM images as one volume. Raises UnusableInput."""
    import pydicom

    from core.dicom.volume import load_volume
    from core.errors import UnusableInput
    from models_registry.tasks.segmentation import Segmentation

    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    if not paths:
        raise UnusableInput(f"There are no files in {folder}.", next_step="Name a folder of DICOM images of nobody.")
    try:
        volume = load_volume([pydicom.dcmread(path) for path in paths])
    except pydicom.errors.InvalidDicomError as error:
        raise UnusableInput(f"{folder} holds something else than DICOM images: {error}",
                            next_step="Name a folder of DICOM images of nobody.") from None
    return Segmentation().given([volume], None)


@told
def compare(
    first: Annotated[str, typer.Argument(metavar="LOCK", help="The lock that the other is held against.")],
    second: Annotated[str, typer.Argument(metavar="LOCK", help="The other lock.")],
    trial: Annotated[str, typer.Option(help="Trial in which both were run.")],
    person: AsOption,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Two segmentations on the series that both were run on: Dice and volumes per structure, in words. Told to
    statistician and validation lead."""
    from core.policy.state import Actor
    from models_registry.comparing import compare_locks
    from models_registry.images import ArrivalImages

    found = compare_locks(house(home).desk, Actor(person), ArrivalImages(), first, second, trial)
    data = [{"subject": one.subject, "time_point": one.time_point, "series": one.series, "structure": one.structure,
             "first": one.first_ended, "second": one.second_ended, "dice": one.dice, "first_ml": one.first_ml,
             "second_ml": one.second_ml, "difference_ml": one.difference_ml} for one in found]
    answer(data, as_json=as_json,
           words="\n".join(one.in_words() for one in found) or "There is no series that both were run on.")
