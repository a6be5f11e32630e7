"""Colours of source code: tree-sitter spans, and one table of styles for the view and the editor.

Not a theme: the colours come from whoever calls (`text_area_theme`). Queries are ours for Python and
Markdown, the grammars' own for the rest; they are compiled once per process, on first use (a compile costs
several milliseconds).

Invariant: spans are ordered by the fixed order of `NAMES`, later ones over earlier ones, so that a cell has
the same colours whether its whole tree was queried (the view) or only the rows on the screen (the editor).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.style import Style
    from textual._text_area_theme import TextAreaTheme
    from tree_sitter import Language, Node, Query

TAB_CELLS = 4
"""Tab stops in source, in cells: the editor's indent width."""

NAMES = (
    "type",
    "string",
    "code",
    "embedded",
    "property",
    "parameter",
    "function",
    "definition",
    "builtin",
    "operator",
    "punctuation",
    "constant",
    "number",
    "escape",
    "keyword",
    "decorator",
    "comment",
    "heading",
    "marker",
    "link",
)
"""Every name a span can have, lowest priority first."""

_RANK = {name: rank for rank, name in enumerate(NAMES)}

_ALIASES = {
    "python3": "python",
    "ipython": "python",
    "py": "python",
    "xpython": "python",
    "sh": "bash",
    "shell": "bash",
    "zsh": "bash",
    "md": "markdown",
}

# What the grammars' own queries call things, in our names; a dotted name falls back to its first part.
_FOREIGN = {
    "constant.builtin": "constant",
    "string.special.key": "property",
    "function.builtin": "builtin",
    "function.call": "function",
    "function.method": "function",
    "type.builtin": "type",
    "boolean": "constant",
    "float": "number",
    "attribute": "property",
    "field": "property",
    "variable.parameter": "parameter",
    "conditional": "keyword",
}

_PYTHON_QUERY = """
(type (identifier) @type)
(generic_type (identifier) @type)
(class_definition superclasses: (argument_list (identifier) @type))
(string) @string
(interpolation) @embedded
(keyword_argument name: (identifier) @parameter)
(call function: (identifier) @function)
(call function: (attribute attribute: (identifier) @function))
(function_definition name: (identifier) @definition)
(class_definition name: (identifier) @definition)
((identifier) @builtin (#any-of? @builtin "self" "cls"))
(call function: ((identifier) @builtin (#any-of? @builtin
  "abs" "all" "any" "ascii" "bin" "bool" "bytearray" "bytes" "callable" "chr" "compile" "complex" "delattr"
  "dict" "dir" "divmod" "enumerate" "eval" "exec" "filter" "float" "format" "frozenset" "getattr" "globals"
  "hasattr" "hash" "help" "hex" "id" "input" "int" "isinstance" "issubclass" "iter" "len" "list" "locals"
  "map" "max" "memoryview" "min" "next" "object" "oct" "open" "ord" "pow" "print" "range" "repr" "reversed"
  "round" "set" "setattr" "slice" "sorted" "str" "sum" "super" "tuple" "type" "vars" "zip" "display")))
["-" "-=" "!=" "*" "**" "**=" "*=" "/" "//" "//=" "/=" "&" "&=" "%" "%=" "^" "^=" "+" "->" "+=" "<" "<<"
 "<<=" "<=" "=" ":=" "==" ">" ">=" ">>" ">>=" "|" "|=" "~" "@="] @operator
[(none) (true) (false) (ellipsis)] @constant
[(integer) (float)] @number
(escape_sequence) @escape
(escape_interpolation) @escape
["and" "as" "assert" "async" "await" "break" "class" "continue" "def" "del" "elif" "else" "except" "finally"
 "for" "from" "global" "if" "import" "in" "is" "lambda" "nonlocal" "not" "or" "pass" "raise" "return" "try"
 "while" "with" "yield" "match" "case"]
 @keyword
(decorator "@" @decorator)
(decorator (identifier) @decorator)
(decorator (attribute) @decorator)
(decorator (call function: (_) @decorator))
(comment) @comment
"""

_MARKDOWN_QUERY = """
(fenced_code_block) @code
(indented_code_block) @code
(atx_heading) @heading
(setext_heading) @heading
[(list_marker_minus) (list_marker_plus) (list_marker_star) (list_marker_dot) (list_marker_parenthesis)
(thematic_break)
 (block_quote_marker) (atx_h1_marker) (atx_h2_marker) (atx_h3_marker) (atx_h4_marker) (atx_h5_marker)
 (atx_h6_marker)] @marker
(link_destination) @link
"""

RowSpans = dict[int, list[tuple[int, int | None, str]]]
"""Row → (first byte, byte after the last or None for the whole rest, name): what Textual's TextArea keeps as
its highlight map.
"""


def language_of(name: str) -> str | None:
    """The grammar for a kernel's language or a fence's info string, or None when we have none."""
    name = name.strip().lower()
    name = _ALIASES.get(name, name)
    return name if name in ("python", "bash", "json", "sql", "markdown") else None


@lru_cache(maxsize=8)
def _grammar(language: str) -> tuple[Language, str]:
    from tree_sitter import Language

    if language == "python":
        import tree_sitter_python

        return Language(tree_sitter_python.language()), _PYTHON_QUERY
    if language == "markdown":
        import tree_sitter_markdown

        return Language(tree_sitter_markdown.language()), _MARKDOWN_QUERY
    module: Any
    if language == "bash":
        import tree_sitter_bash as module
    elif language == "json":
        import tree_sitter_json as module
    elif language == "sql":
        import tree_sitter_sql as module
    else:
        raise KeyError(language)
    return Language(module.language()), module.HIGHLIGHTS_QUERY


def grammar(language: str) -> Language:
    """The tree-sitter grammar. KeyError when there is none of that name."""
    return _grammar(language)[0]


@lru_cache(maxsize=8)
def query(language: str) -> Query:
    """The compiled highlight query. KeyError when there is no such grammar."""
    from tree_sitter import Query

    compiled, text = _grammar(language)
    return Query(compiled, text)


def _name(capture: str) -> str | None:
    if capture in _RANK:
        return capture
    if capture in _FOREIGN:
        return _FOREIGN[capture]
    return ((head := capture.partition(".")[0]) and (head if head in _RANK else _FOREIGN.get(head))) or None


def row_spans(language: str, root: Node, first: int = 0, last: int | None = None) -> RowSpans:
    """Spans of the rows ``first`` to ``last`` (both included; None: to the end) of a parsed source, in UTF-8
    bytes of each row.
    """
    from tree_sitter import QueryCursor

    cursor = QueryCursor(query(language))
    if last is not None:
        cursor.set_point_range((first, 0), (last + 1, 0))
    ranked = [
        (_RANK[name], name, nodes)
        for capture, nodes in cursor.captures(root).items()
        if (name := _name(capture)) is not None
    ]
    ranked.sort(key=lambda item: item[0])
    spans: RowSpans = {}
    for _, name, nodes in ranked:
        for node in nodes:
            start_row, start = node.start_point
            stop_row, stop = node.end_point
            if start_row == stop_row:
                spans.setdefault(start_row, []).append((start, stop, name))
                continue
            spans.setdefault(start_row, []).append((start, None, name))
            for row in range(
                max(start_row + 1, first), min(stop_row, stop_row if last is None else last + 1)
            ):
                spans.setdefault(row, []).append((0, None, name))
            if stop:
                spans.setdefault(stop_row, []).append((0, stop, name))
    return spans


@lru_cache(maxsize=8)
def _parser(language: str) -> Any:
    from tree_sitter import Parser

    return Parser(grammar(language))


def highlight(lines: Sequence[str], language: str) -> list[list[str]]:
    """Name of each character's colour (``""`` for plain), line by line; an empty list for a line without any.

    ``lines`` are without newlines; lengths are in code points.
    """
    encoded = [line.encode("utf-8", "surrogatepass") for line in lines]
    tree = _parser(language).parse(b"\n".join(encoded))
    spans = row_spans(language, tree.root_node)
    painted: list[list[str]] = []
    for row, line in enumerate(lines):
        found = spans.get(row)
        if not found:
            painted.append([])
            continue
        names = [""] * len(line)
        ascii_line = len(encoded[row]) == len(line)
        for start, stop, name in found:
            if not ascii_line:
                start = len(encoded[row][:start].decode("utf-8", "ignore"))
                stop = None if stop is None else len(encoded[row][:stop].decode("utf-8", "ignore"))
            end = len(line) if stop is None else min(stop, len(line))
            if end > start:
                names[start:end] = [name] * (end - start)
        painted.append(names)
    return painted


def text_area_theme(styles: Mapping[str, Style], name: str = "runt") -> TextAreaTheme:
    """The editor's theme: the same table of styles; everything else (caret, selection) comes from its CSS."""
    from textual._text_area_theme import TextAreaTheme

    return TextAreaTheme(name=name, syntax_styles=dict(styles))
