"""Making cells: the text of a cell is what its rule gives, so a paper cannot say what the record does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reports import recompute
from reports.book import Book, Line
from reports.model import Basis, Cell

BLANK = Cell()


class Quote:
    """Cells of one book. `code=True` prints the evidence code of the (first) entry beside the text."""

    def __init__(self, book: Book) -> None:
        self.book = book

    def by(self, rule: str, lines: Sequence[Line], *, code: bool = False, unit: str = "", **args: str) -> Cell:
        """A cell by any rule. Raises recompute.CannotRecompute where the rule does not fit the entries."""
        basis = Basis(rule, tuple(line.seq for line in lines), tuple(sorted(args.items())))
        text = recompute.compute(self.book, basis)
        return Cell(text, basis, self.book.codes.code(lines[0].seq) if code and text else "", unit)

    def about(self, rule: str, line: Line, args: Mapping[str, str]) -> Cell:
        """A cell by a rule whose arguments stand in a mapping."""
        basis = Basis(rule, (line.seq,), tuple(sorted(args.items())))
        return Cell(recompute.compute(self.book, basis), basis)

    def field(self, line: Line, path: str, style: str = "text", *, code: bool = False) -> Cell:
        """A member of the entry's body ("fields.site", "reason", "at")."""
        unit = ""
        if style == "number":
            unit = recompute.measure(str(recompute.value_at(line.body, path)))[1]
        return self.by("field", [line], code=code, unit=unit, path=path, style=style)

    def person(self, line: Line) -> Cell:
        """Printed name of whoever did it."""
        return self.by("person", [line])

    def named(self, line: Line, path: str) -> Cell:
        """Printed name of the user a member names."""
        return self.by("named", [line], path=path)

    def recorded(self, line: Line) -> Cell:
        """UTC to the second."""
        return self.by("recorded", [line])

    def entry(self, line: Line) -> Cell:
        """The entry's number with its code."""
        return self.by("entry", [line], code=True)

    def word(self, text: str, *lines: Line, where: str = "", code: bool = False) -> Cell:
        """A word that stands for the presence of entries of this kind."""
        return self.by("constant", lines, code=code, text=text, where=where)

    def count(self, *actions: str, where: str = "") -> Cell:
        """How many entries of these actions fit."""
        return self._about_set("count", actions, where)

    def share(self, *actions: str, where: str = "", hit: str) -> Cell:
        """How many of these entries also fit `hit`, with Wilson's 95 % interval."""
        return self._about_set("share", actions, where, hit=hit)

    def _about_set(self, rule: str, actions: Sequence[str], where: str, **more: str) -> Cell:
        args = {"actions": "|".join(actions), "where": where, **more}
        seqs, digest = recompute.cited(recompute.selected(self.book, args))
        args["entries_sha256"] = digest
        basis = Basis(rule, seqs, tuple(sorted(args.items())))
        return Cell(recompute.compute(self.book, basis), basis)


def plain(text: str) -> Cell:
    """A printed word that rests on no entry: a label."""
    return Cell(text)
