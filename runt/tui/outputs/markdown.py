"""Markdown as lines, by rich's parser with our own calmer elements.

No images are fetched, no link is active, HTML inside is shown as text by the parser's rules. Imported on
first use: rich.markdown takes tens of milliseconds. Invariant: the text is made safe before it is parsed, so
nothing that acts can come out.
"""

from __future__ import annotations

from typing import ClassVar

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import (
    BlockQuote,
    CodeBlock,
    Heading,
    HorizontalRule,
    ImageItem,
    Markdown,
    MarkdownContext,
    MarkdownElement,
    TableElement,
)
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from rich.theme import Theme

from runt.terminal.sanitise import display_text
from runt.tui import highlighting
from runt.tui.outputs.block import Line, fold, text_line
from runt.tui.outputs.looks import PLAIN_LOOKS, Looks
from runt.tui.outputs.tables import Table, table_lines
from runt.tui.outputs.text_lines import grouped

MAX_MARKDOWN_CHARS = 200_000
"""Longer text is shown as it is: parsing takes about a second per megabyte."""

MAX_WIDTH = 100
"""Prose wider than this is hard to read."""

_looks = PLAIN_LOOKS  # set for the duration of one call: rich's elements have no place to carry it


class _Heading(Heading):
    """Keeps its ``#`` marks, dim: they tell the level without a size."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        text = Text("#" * int(self.tag[1]) + " ", style=_looks.dim)
        text.append_text(self.text)
        yield text


class _Code(CodeBlock):
    """Code in the notebook's own colours, set in by two cells."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = str(self.text).rstrip("\n").expandtabs(4).split("\n")
        language = highlighting.language_of(self.lexer_name)
        names = highlighting.highlight(lines, language) if language else [[] for _ in lines]
        for line, painted in zip(lines, names, strict=True):
            segments = [Segment("  ")]
            for at, char in enumerate(line):
                style = _looks.code.get(painted[at], _looks.text) if painted else _looks.text
                if segments[-1].style == style:
                    segments[-1] = Segment(segments[-1].text + char, style)
                else:
                    segments.append(Segment(char, style))
            for row in fold(segments, options.max_width):
                yield from row
                yield Segment.line()


class _Quote(BlockQuote):
    """A thin bar, not the focus bar."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        inner = options.update(width=max(1, options.max_width - 2))
        for line in console.render_lines(self.elements, inner, style=self.style, pad=False):
            yield Segment("│ ", _looks.rule)
            yield from line
            yield Segment.line()


class _Rule(HorizontalRule):
    """A quiet line."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Segment("─" * min(options.max_width, 40), _looks.rule)
        yield Segment.line()
        yield Segment.line()


class _Table(TableElement):
    """The same tables as data frames have."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table()
        if self.header is not None and self.header.row is not None:
            table.header.append([cell.content.plain for cell in self.header.row.cells])
        if self.body is not None:
            table.body.extend([cell.content.plain for cell in row.cells] for row in self.body.rows)
        columns = max((len(row) for row in [*table.header, *table.body]), default=0)
        if not columns:
            return
        for row in [*table.header, *table.body]:
            row.extend([""] * (columns - len(row)))
        for line in table_lines(table, options.max_width, _looks):
            yield from line
            yield Segment.line()


class _Image(ImageItem):
    """Says that there is a picture; it is not fetched."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(f"[picture: {self.text.plain or self.destination}]", style=_looks.dim)

    def on_enter(self, context: MarkdownContext) -> None:
        super().on_enter(context)


class _Markdown(Markdown):
    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "heading_open": _Heading,
        "fence": _Code,
        "code_block": _Code,
        "blockquote_open": _Quote,
        "hr": _Rule,
        "table_open": _Table,
        "image": _Image,
    }


def _theme(looks: Looks) -> Theme:
    code = looks.code.get("code", looks.accent)
    styles: dict[str, Style] = {
        "markdown.paragraph": looks.text,
        "markdown.text": looks.text,
        "markdown.em": Style(italic=True),
        "markdown.emph": Style(italic=True),
        "markdown.strong": looks.strong,
        "markdown.code": code,
        "markdown.code_block": code,
        "markdown.block_quote": looks.text,
        "markdown.list": looks.text,
        "markdown.item": looks.text,
        "markdown.item.bullet": looks.dim,
        "markdown.item.number": looks.dim,
        "markdown.hr": looks.rule,
        "markdown.link": looks.link,
        "markdown.link_url": looks.dim,
        "markdown.s": Style(strike=True),
        "markdown.table.border": looks.rule,
        "markdown.table.header": looks.strong,
    }
    styles.update({f"markdown.h{level}": looks.heading for level in range(1, 8)})
    return Theme(styles, inherit=True)


def markdown_lines(source: str, width: int, looks: Looks) -> list[Line]:
    """The rows of a Markdown text. No row is wider than ``width`` cells."""
    global _looks
    hidden = max(0, len(source) - MAX_MARKDOWN_CHARS)
    safe = display_text(source[:MAX_MARKDOWN_CHARS], keep_newlines=True)
    console = Console(
        width=max(4, min(width, MAX_WIDTH)),
        color_system="truecolor",
        force_terminal=True,
        legacy_windows=False,
        highlight=False,
        emoji=False,
        markup=False,
        theme=_theme(looks),
        _environ={},
    )
    previous, _looks = _looks, looks
    try:
        rendered = console.render_lines(_Markdown(safe, hyperlinks=False), pad=False)
    except Exception:  # noqa: BLE001  a parser met text from outside: whatever it chokes on, the text is shown
        rendered = [[Segment(line, looks.text)] for line in safe.expandtabs(4).split("\n")]
    finally:
        _looks = previous
    lines: list[Line] = []
    for row in rendered:
        line = tuple(Segment(text, style) for text, style, control in row if text and not control)
        lines.extend(fold(line, width))
    while lines and not any(segment.text.strip() for segment in lines[-1]):
        lines.pop()
    while lines and not any(segment.text.strip() for segment in lines[0]):
        lines.pop(0)
    if hidden:
        lines.append(text_line(f"⋯ {grouped(hidden)} more characters", looks.dim))
    return lines
