"""HTML of plain parts; all text that comes in is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from holdfast.visible import html as escape


def badge(verdict: str) -> str:
    """A verdict, in its colour."""
    return f'<span class="verdict {escape(verdict.replace(" ", "-"))}">{escape(verdict)}</span>'


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]], *, kind: str = "", extra: int = 0) -> str:
    """A table of cells that are HTML already. The last `extra` columns go where there is no room for them."""
    shown = len(heads) - extra
    classes = ["" if number < shown else ' class="extra"' for number in range(len(heads))]
    head = "".join(f'<th scope="col"{of}>{escape(name)}</th>' for name, of in zip(heads, classes, strict=True))
    body = "".join(
        f'<tr><th scope="row">{first}</th>'
        f"{''.join(f'<td{of}>{value}</td>' for value, of in zip(rest, classes[1:], strict=True))}</tr>"
        for first, *rest in rows
    )
    named = f' class="{kind}"' if kind else ""
    return (
        f"<table{named}><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def listed(title: str, lines: Sequence[str]) -> str:
    """Lines under a heading, or nothing."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<h4>{escape(title)}</h4><ul>{items}</ul>" if lines else ""


def folded(title: str, inside: str, *, opened: bool = False) -> str:
    """What is opened by whoever wants it; nothing, where there is nothing inside."""
    return f"<details{' open' * opened}><summary>{escape(title)}</summary>{inside}</details>" if inside else ""


def facts(of: Mapping[str, str]) -> str:
    """Names and their values, which are HTML already."""
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{value}</dd>' for name, value in of.items())}</dl>"


def section(title: str, anchor: str, inside: Iterable[str]) -> str:
    """A part of the page under its heading; nothing, where there is nothing inside."""
    parts = "\n".join(part for part in inside if part)
    named = f'<section aria-labelledby="{anchor}"><h2 id="{anchor}">{escape(title)}</h2>'
    return f"{named}\n{parts}\n</section>" if parts else ""


def text(lines: str) -> str:
    """Evidence, of which no line is left out."""
    return f"<pre>{chr(10).join(map(escape, lines.splitlines()))}</pre>" if lines else ""
