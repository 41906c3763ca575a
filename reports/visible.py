"""Does the printed text say what the content says? Every sign on the pages is accounted for, in order.

The page is made again as HTML from the content, read as a sequence of pieces (cells, heads, paragraphs) and laid
beside the text layer of the PDF. White space does not count: lines break where the renderer wants. What may stand
there besides the pieces is named: running head and foot, repeated heads of tables, page numbers in the contents, words
inside the figures. Anything else is a difference: a changed cell, a missing row, an added line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser

from reports import figures
from reports.model import Paper
from reports.render import Attached, page

BREAK = "\x00"
# After a difference, so many later pieces are tried to find the thread again.
LOOK_AHEAD, ANCHOR, NEAR = 60, 4, 6_000
MOST_DIFFERENCES = 50
_FIGURE_WORDS = re.compile(r"<text[^>]*>([^<]*)</text>")
_DIGEST = re.compile(r"sha256:[0-9a-f]{16}…[0-9a-f]{12}")
_SPACE = re.compile(r"\s+")
# Glyphs that a font may share, so that the text layer cannot tell them apart.
_SAME = str.maketrans({"\u00a0": " ", "\u2010": "-", "\u2011": "-", "\u00ad": "-"})


@dataclass(frozen=True, slots=True)
class Piece:
    """One expected piece of printed text and where it belongs."""

    text: str
    where: str
    head: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """A place where the page does not say what the content says."""

    where: str
    expected: str
    printed: str


@dataclass
class _Pieces(HTMLParser):
    """Reads the page made from the content into pieces."""

    paper: Paper
    pieces: list[Piece] = field(default_factory=list)
    furniture: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._tables = {table.id: table for table in self.paper.tables}
        self._table = ""
        self._row, self._column = -1, -1
        self._in: list[str] = []
        self._text: list[str] = []
        self._running = ""
        self._live = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("img", "meta", "col", "br"):
            return
        self._in.append(tag)
        if tag == "body":
            self._live = True
        elif tag == "div" and given.get("class") in ("hd-l", "ft-l"):
            self._running = str(given["class"])
            self._text = []
        elif tag == "h2":
            self._table = str(given.get("id") or "")
            self._row = -1
        elif tag == "tr":
            self._row, self._column = self._row + ("tbody" in self._in), -1
        elif tag in ("td", "th"):
            self._column += 1
        if tag in ("td", "th", "h1", "h2", "h3", "p", "li", "figcaption", "div") and not self._running:
            self._flush()

    def handle_endtag(self, tag: str) -> None:
        if self._in and self._in[-1] == tag:
            self._in.pop()
        if tag == "div" and self._running:
            self.furniture.append("".join(self._text))
            self._running, self._text = "", []
        elif tag in ("td", "th", "h1", "h2", "h3", "p", "li", "figcaption", "div"):
            if tag == "h2":
                self.titles.append("".join(self._text))
            self._flush(tag)

    def handle_data(self, data: str) -> None:
        if self._live:
            self._text.append(data)

    def _flush(self, tag: str = "") -> None:
        text = squeezed("".join(self._text))
        self._text = []
        if text:
            self.pieces.append(Piece(text, self._where(), tag == "th" and "thead" in self._in))

    def _where(self) -> str:
        table = self._tables.get(self._table)
        if table is None or not 0 <= self._row < len(table.rows) or ("td" not in self._in and self._column < 0):
            return self.titles[-1] if self.titles else "cover"
        column = table.columns[min(max(self._column, 0), len(table.columns) - 1)]
        return f"table {table.id}, {table.rows[self._row].key}, {column.title}"


def squeezed(text: str) -> str:
    """Text without white space and with look-alike hyphens made one."""
    return _SPACE.sub("", text.translate(_SAME))


def expected(paper: Paper, files: Sequence[Attached]) -> tuple[list[Piece], list[str], list[str]]:
    """Pieces in printed order, the two running texts, and the titles of sections."""
    reader = _Pieces(paper)
    reader.feed(page(paper, files))
    return reader.pieces, reader.furniture, reader.titles


def compare(paper: Paper, files: Sequence[Attached], printed: Sequence[Sequence[str]]) -> list[Difference]:
    """Every difference between the paper's content and the pages' text (at most fifty are told)."""
    pieces, furniture, titles = expected(paper, files)
    head, foot = (squeezed(text) for text in furniture)
    found: dict[str, Difference] = {}
    bodies: list[str] = []
    for number, parts in enumerate(printed, 1):
        body = squeezed("".join(parts))
        if number > 1:  # the cover has no running texts
            body, other = _without_furniture(body, head, foot, titles, number, len(printed))
            if other is not None:
                found.setdefault(other.where, other)
        bodies.append(body)
    walk = _Walk(BREAK.join(bodies), pieces, [_words_of(figure_bytes) for figure_bytes in _drawings(paper)])
    return [*found.values(), *walk.differences()][:MOST_DIFFERENCES]


def _without_furniture(
    body: str, head: str, foot: str, titles: list[str], number: int, count: int
) -> tuple[str, Difference | None]:
    """The text of a page without its running head and foot, and what is wrong with these."""
    digest = _DIGEST.search(foot)
    for title in titles:
        tail = f"{head}{squeezed(title)}{foot}Page{number}of{count}"
        if body.endswith(tail):
            return body[: -len(tail)], None
        # Another content digest in the foot is one difference of the whole paper, not one of each page.
        pattern = re.escape(tail).replace(re.escape(digest[0]), _DIGEST.pattern) if digest else re.escape(tail)
        found = re.search(pattern + r"\Z", body)
        if found is not None and digest is not None:
            shown = _DIGEST.search(found[0])
            assert shown is not None
            return body[: found.start()], Difference("foot of the pages, content digest", digest[0], shown[0])
    return body, Difference(f"page {number}", "running head and foot of this paper", body[-160:])


def _drawings(paper: Paper) -> list[bytes]:
    return [figures.draw(figure) for figure in paper.figures]


def _words_of(drawing: bytes) -> str:
    from html import unescape

    return squeezed("".join(unescape(word) for word in _FIGURE_WORDS.findall(drawing.decode())))


@dataclass
class _Walk:
    """Lays the pieces beside the text, finding the thread again after a difference."""

    text: str
    pieces: list[Piece]
    drawings: list[str]
    at: int = 0
    table_head: str = ""
    in_contents: bool = False

    def differences(self) -> list[Difference]:
        found: list[Difference] = []
        n = 0
        while n < len(self.pieces) and len(found) < MOST_DIFFERENCES:
            self._note_head(n)
            # Page numbers of a list of contents stand before its lines in the text layer, on each of its pages.
            self.in_contents = "Contents" in (self.pieces[n].text, self.pieces[n].where)
            if self._take(self.pieces[n].text):
                n += 1
                continue
            n, difference = self._find_again(n)
            found.append(difference)
        if len(found) < MOST_DIFFERENCES and n >= len(self.pieces):
            rest = self._rest()
            if rest:
                found.append(Difference("last pages", "nothing more", rest[:160]))
        return found

    def _note_head(self, n: int) -> None:
        if self.pieces[n].head and (n == 0 or not self.pieces[n - 1].head):
            end = n
            while end < len(self.pieces) and self.pieces[end].head:
                end += 1
            self.table_head = "".join(piece.text for piece in self.pieces[n:end])

    def _take(self, wanted: str) -> bool:
        start = self.at
        while True:
            end = _match(self.text, wanted, self.at)
            if end is not None:
                self.at = end
                return True
            if not self._skip_allowed():
                self.at = start
                return False

    def _skip_allowed(self) -> bool:
        """Step over one thing that may stand between pieces; False where there is none."""
        if self.text.startswith(BREAK, self.at):
            self.at += 1
            if self.table_head and self.text.startswith(self.table_head, self.at):
                self.at += len(self.table_head)
            elif self.in_contents and (numbers := re.compile(r"\d+").match(self.text, self.at)):
                self.at = numbers.end()
            return True
        for drawing in self.drawings:
            if drawing and self.text.startswith(drawing, self.at):
                self.drawings.remove(drawing)
                self.at += len(drawing)
                return True
        return False

    def _find_again(self, n: int) -> tuple[int, Difference]:
        """The piece to go on with, and the difference up to it."""
        best: tuple[int, int, int] | None = None  # signs given up on both sides, piece, place
        lost_signs = 0
        for ahead in range(1, LOOK_AHEAD):
            following = self.pieces[n + ahead : n + ahead + ANCHOR]
            if not following:
                break
            lost_signs += len(self.pieces[n + ahead - 1].text)
            place = self.text.find("".join(piece.text for piece in following), self.at, self.at + NEAR)
            if place >= 0 and (best is None or lost_signs + place - self.at < best[0]):
                best = (lost_signs + place - self.at, n + ahead, place)
        if best is not None:
            lost = self.pieces[n : best[1]]
            printed, self.at = self.text[self.at : best[2]].replace(BREAK, " "), best[2]
            return best[1], self._narrowed(lost, printed)
        piece = self.pieces[n]
        printed, self.at = self.text[self.at : self.at + 80].replace(BREAK, " "), len(self.text)
        return len(self.pieces), Difference(piece.where, piece.text, printed + " …")

    @staticmethod
    def _narrowed(lost: list[Piece], printed: str) -> Difference:
        """The piece that differs among several, when the rest of them can be found at both ends."""
        printed = printed.strip()
        while len(lost) > 1 and printed.startswith(lost[0].text):
            printed, lost = printed[len(lost[0].text) :], lost[1:]
        while len(lost) > 1 and printed.endswith(lost[-1].text):
            printed, lost = printed[: -len(lost[-1].text)], lost[:-1]
        return Difference(lost[0].where, " ".join(piece.text for piece in lost), printed)

    def _rest(self) -> str:
        while self._skip_allowed():
            pass
        return self.text[self.at :].replace(BREAK, " ")


def _match(text: str, wanted: str, at: int) -> int | None:
    """The end of `wanted` in `text` from `at`, stepping over page breaks inside it; None where it differs."""
    if text.startswith(wanted, at):
        return at + len(wanted)
    if BREAK not in text[at : at + len(wanted)]:
        return None
    for sign in wanted:
        if text.startswith(BREAK, at):
            at += 1
        if not text.startswith(sign, at):
            return None
        at += 1
    return at
