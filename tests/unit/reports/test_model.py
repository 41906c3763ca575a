"""The page model, its figures and its text layer: what is said, drawn and read back."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.entry import MalformedEntry
from reports import figures, model
from reports.attached import paper_of
from reports.model import Basis, Cell, Column, Cover, Figure, Paper, Point, Range, Row, Signing, Table
from reports.render import page
from reports.textlayer import unicode_map
from reports.visible import BREAK, Piece, _Walk
from tests.req import req

COLUMNS = (Column("subject", "Subject", "id"), Column("value", "Value", "number"))


def a_paper(*rows: Row, figures: tuple[Figure, ...] = (), signings: tuple[Signing, ...] = ()) -> Paper:
    cover = Cover("T1", "T1-imaging", "1.0", "Imaging results", "For a test", "interim, draft",
                  "demonstration, not for clinical use",
                  Range("log", 8, "sha256:" + "0" * 64, "2026-11-24 14:05:32.000000 UTC", "EV-0123-4567"))
    return Paper(cover, (Table("A7", "Reads", COLUMNS, rows),), figures, signings)


def a_row(name: str, value: str = "70.1") -> Row:
    return Row(name, (Cell(name), Cell(value, Basis("read.sum", (7, 3), (("endpoint", "e"),)), "EV-0123-4567", "mm")))


words = st.text(st.characters(codec="ascii", categories=("L", "N", "P", "Zs")), max_size=12)


@req("RPT-02")
@given(st.lists(st.tuples(words, words), max_size=6))
def test_content_is_read_back_as_it_was_written(pairs: list[tuple[str, str]]) -> None:
    paper = a_paper(*(a_row(name, value) for name, value in pairs))
    raw = model.content_bytes(paper)
    assert paper_of(raw) == paper
    assert model.content_bytes(paper_of(raw)) == raw


@req("RPT-02")
def test_signatures_are_no_part_of_the_content_and_every_cell_is() -> None:
    paper = a_paper(a_row("S-1"))
    signed = a_paper(a_row("S-1"), signings=(Signing("Lead", "Prepared", "trial lead", (), 9, "EV-1"),))
    assert model.content_digest(paper) == model.content_digest(signed)
    assert model.content_digest(paper) != model.content_digest(a_paper(a_row("S-1", "70.2")))


def test_text_outside_the_profile_of_the_record_is_refused() -> None:
    with pytest.raises(MalformedEntry):
        model.content_bytes(a_paper(a_row("S-1\u202e")))


def test_a_table_file_names_entries_and_defuses_formulas() -> None:
    table = Table("A7", "Reads", COLUMNS, (a_row("=1+1", "−31.7"),))
    lines = model.table_csv(table).decode().split("\r\n")
    assert lines[0] == "row,subject,subject_evidence,subject_entries,value,value_evidence,value_entries"
    assert lines[1] == "=1+1,'=1+1,,,-31.7,EV-0123-4567,7 3"


def test_a_row_of_another_width_than_its_head_is_refused() -> None:
    with pytest.raises(ValueError, match="1 cells under 2 heads"):
        list(model.cells_of(Table("A7", "Reads", COLUMNS, (Row("S-1", (Cell("x"),)),))))


def test_a_page_escapes_what_people_wrote_and_marks_a_demonstration() -> None:
    html = page(a_paper(a_row("<script>")))
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert html.count("Demonstration, not for clinical use") == 2
    assert "unsigned copy" in html


# Figures -------------------------------------------------------------------------------------------------------


def a_figure(template: str, points: tuple[Point, ...], **facts: str) -> Figure:
    return Figure("f", "A figure", template, "caption", "what it shows", points, tuple(facts.items()))  # type: ignore[arg-type]


numbers = st.decimals(-90, 90, places=1).map(str)


@given(st.lists(numbers, min_size=1, max_size=30))
def test_bars_stay_in_the_picture_and_reach_from_zero_to_their_value(values: list[str]) -> None:
    points = tuple(Point(f"S-{n}", "", value, "SD") for n, value in enumerate(values))
    drawing = figures.draw(a_figure("waterfall", points, y_title="Change", progression="20", response="-30"))
    bars = list(ET.fromstring(drawing).iter("{http://www.w3.org/2000/svg}rect"))
    assert len(bars) == len(values)
    for bar in bars:
        x, y, w, h = (float(bar.attrib[name]) for name in ("x", "y", "width", "height"))
        assert min(x, y) >= 0
        assert x + w <= figures.WIDTH
        assert y + h <= figures.HEIGHT
        assert h > 0


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=30), numbers)
def test_points_outside_the_limits_are_squares(pairs: list[tuple[str, str]], mean: str) -> None:
    lower, upper = Decimal(mean) - 3, Decimal(mean) + 3
    drawing = figures.draw(a_figure(
        "bland_altman", tuple(Point("p", x, y) for x, y in pairs), mean=mean, lower=str(lower), upper=str(upper),
        x_title="mean", y_title="difference")).decode()
    outside = sum(not lower <= Decimal(y) <= upper for _, y in pairs)
    assert drawing.count('class="m m-out"') == outside
    assert drawing.count("<circle") == len(pairs) - outside


def test_a_drawing_has_title_and_description_and_repeats_its_bytes() -> None:
    figure = a_figure("timelines", (Point("S-1", "Baseline", "", "read"), Point("S-1", "Week 8", "PR", "missed")))
    drawing = figures.draw(figure)
    assert drawing == figures.draw(figure)
    root = ET.fromstring(drawing)
    names = root.attrib["aria-labelledby"].split()
    assert {e.attrib.get("id") for e in root if e.tag.endswith(("title", "desc"))} == set(names)
    assert "what it shows" in drawing.decode()


def test_a_figure_without_points_is_refused() -> None:
    with pytest.raises(ValueError, match="no points"):
        figures.draw(a_figure("waterfall", (), y_title=""))


# Reading the page back -----------------------------------------------------------------------------------------


def test_a_unicode_map_is_read_in_all_its_forms() -> None:
    cmap = b"2 beginbfchar <0001> <0041> <0002> <00660069> endbfchar 2 beginbfrange <0010> <0012> <0061> " \
           b"<0020> <0021> [<0078> <D835DC00>] endbfrange"
    found = unicode_map(cmap)
    assert (found[1], found[2], found[0x10], found[0x12], found[0x20], found[0x21]) == ("A", "fi", "a", "c", "x", "𝐀")


def walked(text: str, *pieces: str) -> list[tuple[str, str, str]]:
    walk = _Walk(text, [Piece(piece, f"place {n}") for n, piece in enumerate(pieces)], [])
    return [(d.where, d.expected, d.printed) for d in walk.differences()]


@req("RPT-04")
def test_a_changed_a_missing_and_an_added_piece_are_told_apart() -> None:
    pieces = ("one", "two", "three", "four", "five", "six", "seven")
    assert walked("onetwothree" + BREAK + "fourfivesixseven", *pieces) == []
    assert walked("onetwothr" + BREAK + "eefourfivesixseven", *pieces) == []
    assert walked("oneTWOthreefourfivesixseven", *pieces) == [("place 1", "two", "TWO")]
    assert walked("onethreefourfivesixseven", *pieces) == [("place 1", "two", "")]
    assert walked("onetwothreefourfivesixsevenmore", *pieces) == [("last pages", "nothing more", "more")]
    assert walked("onetwothreefourEXTRAfivesixseven", *pieces) == [("place 4", "five", "EXTRAfive")]


def test_messages_name_place_print_record_and_entry() -> None:
    from reports.recheck import Finding

    said = Finding(5, "table A7, S-001, Week 8, Reader 1, Sum", "72.4", "70.1", (412,)).in_words()
    assert said == "table A7, S-001, Week 8, Reader 1, Sum: printed 72.4, record gives 70.1, entry 412"
    many = Finding(5, "x", "", "1", tuple(range(9))).in_words()
    assert re.search(r"printed nothing, record gives 1, entries 0, 1, 2, 3, 4, 5 and 3 more$", many)


def test_content_that_is_not_canonical_or_foreign_is_refused() -> None:
    from core.errors import UnusableInput

    raw = model.content_bytes(a_paper(a_row("S-1")))
    loose = json.dumps(json.loads(raw), indent=1).encode()
    for bad in (loose, b"[]", b"{", raw.replace(b"countersign-content/1", b"countersign-content/9"),
                raw.replace(b'"title"', b'"titel"')):
        with pytest.raises(UnusableInput):
            paper_of(bad)
