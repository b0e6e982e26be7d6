"""Every kind of text that a device can say, against every medium that people read: it stays text there.

Texts are drawn by a seed (`HOLDFAST_TEXTS_SEED`, shown where one fails) out of what acts on some medium. Each medium is
read back by its own parser, and has the same structure as it has for harmless words.
"""

from __future__ import annotations

import json
import os
import random
import re
import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from html.parser import HTMLParser
from pathlib import Path

import pytest

import holdfast
from holdfast import tables, visible
from holdfast.exceptions import HoldfastError, RpcError
from holdfast.pytest_plugin.artifacts import _plain
from holdfast.render import junit, page, terminal
from holdfast.report import RunAccount, compare
from holdfast.results import (
    Container,
    ControlProcessor,
    Event,
    Image,
    Leaf,
    LogLine,
    Plugin,
    Rows,
    Timeline,
    Updates,
    Volume,
)
from holdfast.storage import report as torpedo
from holdfast.verdicts import DEPTH, FAIL, NOT_CHECKED, CaseRecord, Step, store

SEED = int(os.environ.get("HOLDFAST_TEXTS_SEED", "0"))
# How many texts of each seed; what they come to in a table is as long as a reader's patience.
TEXTS = 60
NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
# What acts on a terminal, a page, a picture, a table, a log or a file system.
PARTS = [
    "\x1b]52;c;cm0gLXJmIC8=\x07",
    "\x1b]0;title\x1b\\",
    "\x1b[2J",
    "\x9b2J",
    "\x1b[1A\x1b[2K",
    "\r",
    "\n",
    "\r\n",
    "\x85",
    "\u2028",
    "\u2029",
    "\x0b",
    "\x0c",
    "\x00",
    "\x08\x08",
    "\x7f",
    "\u202e",
    "\u2066",
    "\u200b",
    "\ufeff",
    "\xad",
    "\U000e0041",
    "\ud800",
    "\uffff",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</td></tr></table>",
    "</pre>",
    "</text></svg>",
    "<!--",
    "-->",
    "]]>",
    "&lt;",
    "&#x1b;",
    "&",
    '" onmouseover="x',
    "' x='",
    "|",
    "\\|",
    "`",
    "[x](javascript:x)",
    "![p](//x/p.png)",
    "*",
    "_",
    "# x",
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    "~",
    "CON",
    "$(id)",
    "%0a",
    "${x}",
    "{{7*7}}",
    "\nCNTR-3.1   pass       pass   never            9 steps",
    "\n::error::x",
    "\nFAILED x",
    "größe",
    "コンテナ",
    "حاوية",
    "👍🏽",
    "web",
    "sha256:" + "a" * 64,
    " ",
    "\t",
]


def drawn() -> Iterator[str]:
    chance = random.Random(SEED)
    yield from PARTS
    for _ in range(TEXTS):
        yield "".join(chance.choices(PARTS, k=chance.randint(1, 8)))
    yield "x" * 1_000_000
    yield "\x1b[2J\n" * 200_000


ALL = list(drawn())


def harmless(text: str) -> bool:
    """Whether nothing in it moves a cursor, talks to the terminal, hides, or turns text around."""
    return all(unicodedata.category(each) not in ("Cc", "Cf", "Cs", "Zl", "Zp") or each in "\n\t" for each in set(text))


def case(text: str, logs: bool = True) -> CaseRecord:
    """A case in which a device says `text` wherever it can."""
    happened = Timeline(
        (
            Event(0.0, NOW, "gnmi", text, fields={"control_processor": text, "role": "PRIMARY"}),
            Event(1.0, NOW, "call", text, fields={"call": "Containerz.ListImage"}),
            Event(2.0, NOW, "outage", text),
        )
    )
    return CaseRecord(
        "CNTR-3.1",
        "test_cntr3_1_image_persistence",
        text,
        "failed",
        suite="cntr3",
        steps=(
            Step(DEPTH, f"the container {text} runs", FAIL, text, reason=text),
            Step(DEPTH, f"labels of {text}", NOT_CHECKED, text),
            Step(DEPTH, f"volume {text}"),
        ),
        noted=(text,),
        why=text,
        vendor=text,
        software=text,
        facts={"measured": text},
        about={"profile": text, "written": text},
        timeline=happened,
        logs={text: text} if logs else {},
    )


class Structure(HTMLParser):
    """The tags of a page and the names of their attributes, without its texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "br":  # each line of an answer has one
            self.found.append(" ".join([tag, *(name for name, _ in attrs if name != "title")]))

    def handle_endtag(self, tag: str) -> None:
        self.found.append(f"/{tag}")

    def handle_comment(self, data: str) -> None:
        self.found.append(f"comment {data}")

    def handle_pi(self, data: str) -> None:
        self.found.append(f"instruction {data}")


def structure(text: str) -> list[str]:
    # A digest is shown short, with the whole of it as a title.
    return [tag for tag in Structure(text).found if tag not in ("span", "/span")]


def rows(text: str) -> Rows[object]:
    return Rows(
        (
            Image(text, text, (text,), (text,)),
            Container(text, text, text, "RUNNING", {text: text}),
            Volume(text, None, text, {text: text}, {text: text}),
            Plugin(text, text, text),
            ControlProcessor(text, "PRIMARY", True, None, None, text),
            Leaf(text, text),
            Leaf(text, {text: [text]}),
        )
    )


HTML: dict[str, Callable[[str], str]] = {
    "a page": lambda text: page.html([case(text, logs=False)]),
    "a page with logs": lambda text: page.html([case(text)]),
    "an account": lambda text: RunAccount(Path("kept"), Rows((case(text),)))._repr_html_(),
    "a comparison": lambda text: compare(
        RunAccount(Path("a"), Rows((case("web"),))), RunAccount(Path("b"), Rows((case("web"), case(f"x{text}"))))
    )._repr_html_(),
    "a case": lambda text: case(text)._repr_html_(),
    "a timeline": lambda text: tables.of_rows(case(text).timeline),
    **{
        f"a {type(row).__name__}, {number}": lambda text, number=number: tables.of_one(rows(text)[number])
        for number, row in enumerate(rows("x"))
    },
    **{
        f"rows of {type(row).__name__}, {number}": lambda text, number=number: tables.of_rows([rows(text)[number]] * 2)
        for number, row in enumerate(rows("x"))
    },
}


@pytest.mark.parametrize("medium", HTML)
def test_no_text_makes_a_tag_or_an_attribute(medium: str) -> None:
    make = HTML[medium]
    expected = structure(make("web"))
    for text in ALL:
        shown = make(text)
        assert harmless(shown), (SEED, text[:200])
        assert structure(shown) == expected or set(structure(shown)) == set(expected), (SEED, text[:200])


def test_no_text_makes_an_element_of_a_picture() -> None:
    def elements(text: str) -> list[tuple[str, tuple[str, ...]]]:
        return [(each.tag, tuple(sorted(each.attrib))) for each in ET.fromstring(text).iter()]

    expected = set(elements(case("web").timeline.svg()))
    for text in ALL:
        picture = case(text).timeline.svg()
        assert harmless(picture), (SEED, text[:200])
        assert set(elements(picture)) <= expected, (SEED, text[:200])


def test_no_text_makes_a_line_of_a_table() -> None:
    for text in ALL:
        lines = list(terminal.table([case(text)]))
        assert all(harmless(line) and len(line.splitlines()) == 1 for line in lines), (SEED, text[:200])
        assert [line for line in lines if line.startswith("CNTR")] == [lines[1]], (SEED, text[:200])
        assert sum(map(len, lines)) < 20_000, (SEED, text[:200])


def test_no_text_breaks_junit() -> None:
    for text in ALL:
        suite = ET.Element("properties")
        for name, value in junit.properties(case(text), "a case"):
            ET.SubElement(suite, "property", name=name, value=value)
            assert harmless(value), (SEED, name, text[:200])
            assert len(value) < 200_000, (SEED, name, text[:200])
        assert len(ET.fromstring(ET.tostring(suite))) == len(suite)


def test_an_error_is_no_line_of_its_own() -> None:
    for text in ALL:
        for error in (HoldfastError(text, hint="remove it"), RpcError(text, hint="remove it")):
            first, *rest = str(error).split("\n")
            assert harmless(str(error)), (SEED, text[:200])
            assert len(first.splitlines()) <= 1, (SEED, text[:200])
            assert all(line.startswith((" ", "\t")) or not line for line in rest), (SEED, text[:200])
            assert error.message == text


def test_no_event_is_more_than_a_line() -> None:
    for text in ALL:
        for event in case(text).timeline:
            assert harmless(str(event)), (SEED, text[:200])
            assert len(str(event).splitlines()) == 1, (SEED, text[:200])
        markers = (str(Updates.marker(text)), str(LogLine.marker(text, text)))
        assert all(harmless(shown) and len(shown.splitlines()) == 1 for shown in markers), (SEED, text[:200])


def test_what_a_program_reads_is_what_the_device_said(tmp_path: Path) -> None:
    for text in ALL:
        if "\ud800" in text:
            continue  # no device can say it: it is no UTF-8
        store.write(tmp_path, case(text))
        for file in tmp_path.rglob("*.json"):
            assert harmless(file.read_text("utf-8")), (SEED, file.name, text[:200])
            json.loads(file.read_text("utf-8"))
        back = store.read_case(tmp_path)
        assert (back.device, back.noted, back.steps[0].words) == (text, (text,), text), (SEED, text[:200])


def test_no_name_leads_out_of_its_folder(tmp_path: Path) -> None:
    for text in ALL:
        file = tmp_path / f"{_plain(text)}.log"
        assert file.parent == tmp_path, (SEED, text[:200])
        assert file.resolve().is_relative_to(tmp_path), (SEED, text[:200])
        file.write_text("x", encoding="utf-8")


def torpedo_row(text: str) -> dict[str, object]:
    return {
        "torpedo": "T1",
        "variant": "",
        "provider": text,
        "provider_version": text,
        "emulated": text,
        "runner": "own",
        "verdict": "Fail",
        "recovery": "1.0",
        **dict.fromkeys(("acknowledged", "lost", "altered", "stale"), "0"),
        "reason": text,
        "faults": json.dumps([text]),
        "not_checked": json.dumps([text]),
        "calls": json.dumps([{"name": "CreateVolume", "limit": 60.0, "slowest": 1.0, "calls": 2, "repeated": 1}]),
    }


def test_no_text_makes_a_line_a_column_or_a_tag_of_the_qualification_table(tmp_path: Path) -> None:
    for text in ALL:
        lines: list[str] = []
        lines.extend(torpedo.table([torpedo_row(text)]))
        assert len(lines) == 5, (SEED, text[:200])
        assert all(harmless(line) and len(line.splitlines()) == 1 for line in lines), (SEED, text[:200])
        written = torpedo.markdown([torpedo_row(text)])
        assert harmless(written), (SEED, text[:200])
        assert len(written.splitlines()) == len(torpedo.markdown([torpedo_row("web")]).splitlines()), (SEED, text[:200])
        (row,) = (line for line in written.splitlines() if line.startswith("| T1"))
        assert len(re.findall(r"(?<!\\)\|", row)) == 9, (SEED, text[:200])
        assert not re.search(r"<[a-z/!]", written), (SEED, text[:200])
        assert not re.search(r"(?<!\\)\[", written), (SEED, text[:200])


@pytest.mark.parametrize("text", ["x" * 1_000_000, "<" * 1_000_000])
def test_a_megabyte_is_cut_with_a_word(text: str) -> None:
    shown = {
        "line": visible.line(text),
        "lines": visible.lines(text),
        "html": visible.html(text),
        "markdown": visible.markdown(text),
        "event": str(case(text).timeline[0]),
        "error": str(RpcError(text)),
        "row": tables.of_one(rows(text)[0]),
        "step": str(case(text).steps[0]),
        "page": page.html([case(text, logs=False)]),
    }
    for medium, words in shown.items():
        assert re.search(r"… \(of \d{7} characters\)", words), medium
        assert len(words) < 2_000_000, medium


def test_a_device_that_says_so_is_shown_harmlessly() -> None:
    """The functions themselves, for what no medium above has."""
    for text in ALL:
        assert len(visible.line(text).splitlines()) <= 1, (SEED, text[:200])
        assert all(harmless(make(text)) for make in (visible.line, visible.lines, visible.html, visible.markdown))
    assert holdfast.__name__ == "holdfast"
