"""What is printed on the pages of a PDF, in the order of its content streams.

Only what our own papers use is read: fonts with two-byte codes and a ToUnicode map. Text that a page shows through
anything else comes out as U+FFFD and can then match nothing. Reading the streams says what the file *shows to a
reader of text*; whoever repaints glyphs inside an embedded font is found by the paper's PDF digest and signatures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pikepdf

UNREADABLE = "\ufffd"
_BLOCK = re.compile(rb"begin(bfchar|bfrange)(.*?)endbf", re.DOTALL)
_HEX = re.compile(rb"<([0-9A-Fa-f\s]*)>|(\[)|(\])")
DEEPEST_FORM = 8


def unicode_map(cmap: bytes) -> dict[int, str]:
    """Code → text of a ToUnicode CMap (PDF 32000-1, 9.10.3)."""
    found: dict[int, str] = {}
    for kind, block in _BLOCK.findall(cmap):
        tokens = [m.group(2) or m.group(3) or m.group(1).replace(b"\n", b"") for m in _HEX.finditer(block)]
        if kind == b"bfchar":
            for code, text in zip(tokens[::2], tokens[1::2], strict=False):
                found[int(code, 16)] = _utf16(text)
            continue
        at = 0
        while at + 2 < len(tokens):
            low, high = int(tokens[at], 16), int(tokens[at + 1], 16)
            if tokens[at + 2] == b"[":
                end = tokens.index(b"]", at)
                for offset, text in enumerate(tokens[at + 3 : end]):
                    found[low + offset] = _utf16(text)
                at = end + 1
                continue
            first = _utf16(tokens[at + 2])
            for offset in range(high - low + 1):
                found[low + offset] = first[:-1] + chr(ord(first[-1]) + offset)
            at += 3
    return found


def _utf16(digits: bytes) -> str:
    return bytes.fromhex(digits.decode()).decode("utf-16-be", errors="replace")


class _Reader:
    """Reads pages of one document; maps of fonts are read once."""

    def __init__(self) -> None:
        self._maps: dict[tuple[int, int], dict[int, str]] = {}

    def text(self, holder: Any, depth: int = 0) -> Iterator[str]:
        """Pieces of text of a page or form, in drawing order."""
        import pikepdf

        resources = holder.get("/Resources") or pikepdf.Dictionary()
        font: dict[int, str] | None = None
        saved: list[dict[int, str] | None] = []
        for instruction in pikepdf.parse_content_stream(holder):
            operands: Any = instruction.operands
            verb = str(instruction.operator)
            if verb == "q":
                saved.append(font)
            elif verb == "Q" and saved:
                font = saved.pop()
            elif verb == "Tf":
                font = self._map(resources, str(operands[0]))
            elif verb in ("Tj", "'", '"'):
                yield self._decode(bytes(operands[-1]), font)
            elif verb == "TJ":
                yield "".join(
                    self._decode(bytes(item), font) for item in operands[0] if isinstance(item, pikepdf.String)
                )
            elif verb == "Do" and depth < DEEPEST_FORM:
                forms: Any = resources.get("/XObject") or pikepdf.Dictionary()
                thing = forms.get(str(operands[0]))
                if thing is not None and thing.get("/Subtype") == "/Form":
                    yield from self.text(thing, depth + 1)

    def _map(self, resources: Any, name: str) -> dict[int, str] | None:
        fonts = resources.get("/Font")
        font = fonts.get(name) if fonts is not None else None
        if font is None or "/ToUnicode" not in font:
            return None
        key = font.objgen
        if key == (0, 0) or key not in self._maps:
            self._maps[key] = unicode_map(font.ToUnicode.read_bytes())
        return self._maps[key]

    @staticmethod
    def _decode(raw: bytes, font: dict[int, str] | None) -> str:
        if font is None:
            return UNREADABLE
        codes = (int.from_bytes(raw[at : at + 2]) for at in range(0, len(raw), 2))
        return "".join(font.get(code, UNREADABLE) for code in codes)


def pages(pdf: pikepdf.Pdf) -> Iterator[list[str]]:
    """For each page the pieces of text on it, in drawing order."""
    reader = _Reader()
    for page in pdf.pages:
        yield list(reader.text(page.obj if hasattr(page, "obj") else page))
