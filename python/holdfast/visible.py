"""Text that a device, a file or a tool said, as people may read it: nothing in it acts on what shows it."""

from __future__ import annotations

from html import escape

# Of a name, a label or a message, more than this tells a reader nothing more, in characters.
LONGEST_LINE = 2000
LONGEST_TEXT = 20_000
# How lines after the first stand, so that none can pass for a line of the table or the report around it.
INDENT = "    "


def line(text: str) -> str:
    r"""`text` as one line: what does not print is written as in Python, and what is very long is cut.

    So no escape sequence, line break or mark of direction reaches a terminal, a page, a picture or a report.

    >>> line("web\x1b[2J\n\u202eCNTR-3.1 pass")
    'web\\x1b[2J\\n\\u202eCNTR-3.1 pass'
    """
    return _printable(_cut(text, LONGEST_LINE))


def short(text: str) -> str:
    """`text` as it is, but cut where it is longer than a line may be: for what escapes it otherwise, such as JSON.

    >>> short("x" * 3000)[-24:]
    'xx… (of 3000 characters)'
    """
    return _cut(text, LONGEST_LINE)


def lines(text: str) -> str:
    r"""`text` of several lines: as `line`, but its line breaks stay, and each further line is indented.

    >>> print(lines("no such image\n  try: deploy it\nCNTR-3.1 pass"))
    no such image
      try: deploy it
        CNTR-3.1 pass
    """
    first, *rest = _cut(text, LONGEST_TEXT).split("\n")
    indented = (each if each.startswith((" ", "\t")) or not each else f"{INDENT}{each}" for each in rest)
    return "\n".join(_printable(each.removesuffix("\r")) for each in (first, *indented))


def html(text: str) -> str:
    r"""`text` as HTML, whose line breaks stay.

    >>> html("<b>\x07")
    '&lt;b&gt;\\x07'
    """
    return escape("\n".join(map(_printable, _cut(text, LONGEST_TEXT).split("\n"))))


def markdown(text: str) -> str:
    r"""`text` as one line of Markdown, in a cell of a table too: no column, tag, link or picture comes of it.

    >>> print(markdown("a|b <img src=x>\n![p](//x)"))
    a\|b &lt;img src=x>\n!\[p](//x)
    """
    shown = line(text)
    for special, escaped in (("|", "\\|"), ("<", "&lt;"), ("[", "\\[")):
        shown = shown.replace(special, escaped)
    return shown


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each == "\t" else ascii(each)[1:-1] for each in text)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}… (of {len(text)} characters)"
