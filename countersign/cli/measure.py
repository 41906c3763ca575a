"""`countersign measure`: what the measurement operators answer for a segmentation; reads files, records nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from countersign.cli.common import JsonOption, answer, told

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal
    from pathlib import Path

    from pydicom.dataset import FileDataset

    from core.measures.registration import Scan
    from core.measures.result import Measure

app = typer.Typer(no_args_is_help=True, help="Measure a segmentation with the house's operators; nothing is recorded.")
APPS = {"measure": app}

SERIES = "Folder with the images of one series."
SEGMENTATION = "DICOM SEG over that series."


@app.command("list")
@told
def list_(as_json: JsonOption = False) -> None:
    """The operators, what each needs and by which rule it measures."""
    from core.measures.catalogue import OPERATORS

    words = [f"{name:18} {row.title}\n{'':18} needs {row.needs}"
             + (f"; reads {', '.join('--' + one.replace('_', '-') for one in row.options)}" if row.options else "")
             + f"; {row.source}" for name, row in OPERATORS.items()]
    data = {name: {"title": row.title, "needs": row.needs, "options": list(row.options), "source": row.source}
            for name, row in OPERATORS.items()}
    answer(data, as_json=as_json, words="\n".join(words))


@app.command()
@told
def run(
    operator: Annotated[str, typer.Argument(help="Name of an operator; `measure list` shows them.")],
    series: Annotated[str, typer.Option(help=SERIES)],
    segmentation: Annotated[str, typer.Option(help=SEGMENTATION)],
    segment: Annotated[int, typer.Option(min=1, help="Number of the segment.")] = 1,
    second_series: Annotated[str, typer.Option(help="The later scan's series, for atrophy-rate.")] = "",
    second_segmentation: Annotated[str, typer.Option(help="Its SEG; for two masks the same file where absent.")] = "",
    second_segment: Annotated[int, typer.Option(min=0, help="Second segment, where two are needed.")] = 0,
    days: Annotated[int, typer.Option(help="Days from the first scan to the second.")] = 0,
    unit: Annotated[str, typer.Option(help="UCUM unit of the image; HU and SUV are known from the series.")] = "",
    bin_width: Annotated[str, typer.Option(help="Width of grey levels, in the image's unit.")] = "25",
    lowest: Annotated[str, typer.Option(help="Smallest value of a map that counts as estimable.")] = "-1e9",
    highest: Annotated[str, typer.Option(help="Largest value of a map that counts as estimable.")] = "1e9",
    least_share: Annotated[str, typer.Option(help="Share of the region that must be estimable.")] = "0.9",
    smallest_mm3: Annotated[str, typer.Option("--smallest-mm3", help="Smallest lesion that counts.")] = "0",
    connectivity: Annotated[int, typer.Option(help="Voxels join over faces (6), edges (18) or corners (26).")] = 18,
    as_json: JsonOption = False,
) -> None:
    """Measure one segment. Says value, unit and standard uncertainty, or why there is no value."""
    from pathlib import Path

    from core.errors import UnusableInput
    from core.measures import Measured
    from core.measures.catalogue import Given, Options, measured
    from core.measures.geometry import Connectivity

    joins: Mapping[int, Connectivity] = {6: 6, 18: 18, 26: 26}
    if connectivity not in joins:
        raise UnusableInput(f"Connectivity is 6, 18 or 26, not {connectivity}.")
    first, stated, digest = _scan(Path(series), Path(segmentation), segment)
    digests = {"first": digest}
    second = None
    if second_series or second_segment:
        where = Path(second_series or series), Path(second_segmentation or segmentation)
        second, _, digests["second"] = _scan(*where, second_segment or segment)
    options = Options(
        unit or stated, _decimal("bin-width", bin_width), _decimal("lowest", lowest), _decimal("highest", highest),
        _decimal("least-share", least_share), _decimal("smallest-mm3", smallest_mm3), joins[connectivity], days)
    found = measured(operator, Given(first, second, options))
    words = [f"{name}: {_in_words(one)}" for name, one in found.items()]
    words += [f"{which} segmentation, SHA-256 {value}" for which, value in digests.items()]
    data = {
        "operator": operator, "segmentations": digests,
        "measures": {name: {"value": f"{one.value:f}", "unit": one.unit,
                            "uncertainty": None if one.uncertainty is None else f"{one.uncertainty:f}"}
                     if isinstance(one, Measured) else {"not_measured": one.reason, "says": str(one)}
                     for name, one in found.items()},
    }
    answer(data, as_json=as_json, words="\n".join(words))


def _in_words(one: Measure) -> str:
    from core.measures import Measured

    if not isinstance(one, Measured):
        return f"not measured. {one}"
    return str(one) + (f" ± {one.uncertainty:f}" if one.uncertainty is not None else "")


def _decimal(name: str, text: str) -> Decimal:
    from decimal import Decimal, InvalidOperation

    from core.errors import UnusableInput

    try:
        return Decimal(text)
    except InvalidOperation:
        raise UnusableInput(f"--{name} {text!r} is no decimal number.") from None


def _scan(series: Path, segmentation: Path, number: int) -> tuple[Scan, str, str]:
    """Image, mask and spacing of one segment; the unit that the series states; SHA-256 of the SEG file."""
    from core.dicom.digest import file_digest
    from core.dicom.reading import read_object
    from core.dicom.segmentation import read_segmentation
    from core.dicom.volume import load_volume
    from core.errors import NotFound
    from core.measures.registration import Scan

    images = _images(series, segmentation)
    volume = load_volume(images)
    segments = {one.number: one for one in read_segmentation(read_object(segmentation), images)}
    if number not in segments:
        raise NotFound(f"{segmentation.name} has no segment {number}; it has {', '.join(map(str, sorted(segments)))}.")
    scan = Scan(volume.values, segments[number].mask, volume.geometry.spacing_mm)
    return scan, volume.unit, file_digest(segmentation)


def _images(series: Path, segmentation: Path) -> list[FileDataset]:
    """Every DICOM image below the folder; the segmentation itself may lie among them."""
    from core.dicom.reading import read_object
    from core.errors import NotFound

    paths = [path for path in sorted(series.rglob("*")) if path.is_file() and path.resolve() != segmentation.resolve()]
    if not paths:
        raise NotFound(f"{series} holds no file.", next_step="Name the folder of the series with --series.")
    return [read_object(path) for path in paths]
