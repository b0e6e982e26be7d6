"""Words of a storage lab's timeline, as people read them: every harm has some, and what is unknown stays as it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from holdfast import lab_words
from holdfast.choices import StorageFault

FAULTS = Path(__file__).parent.parent / "crates" / "storage" / "src" / "faults.rs"


def codes() -> list[str]:
    """Each harm as the lab's timeline writes it (Rust's `Debug`), from its source."""
    kinds = dict(re.findall(r"^pub enum (\w+) \{\n(.*?)^\}", FAULTS.read_text(), re.DOTALL | re.MULTILINE))
    names = {kind: re.findall(r"^    ([A-Z]\w+)(?:\((\w+)\))?,$", kinds[kind], re.MULTILINE) for kind in kinds}
    of = {kind: [name for name, _ in found] for kind, found in names.items()} | {"bool": ["true", "false"]}
    return [f"{name}({each})" if inside else name for name, inside in names["Fault"] for each in of.get(inside, [""])]


def test_each_harm_that_a_lab_does_has_words() -> None:
    assert len(codes()) > 30
    assert sorted(lab_words.HARM) == sorted(codes())
    for code in codes():
        assert not re.search(r"[A-Z][a-z]+[A-Z(]|_", lab_words.of("storage", f"{code} on node1")), code
        assert lab_words.lasting(code) != code


@pytest.mark.parametrize("fault", get_args(StorageFault))
def test_each_harm_that_is_asked_for_by_its_name_has_the_same_words(fault: str) -> None:
    said = lab_words.done(f"{fault} on node1 at 0.30 s")
    assert said.endswith(" on node1 at 0.30 s")
    assert said.removesuffix(" on node1 at 0.30 s") in {done for done, _ in lab_words.HARM.values()}


@pytest.mark.parametrize(
    ("kind", "text", "shown"),
    [
        ("storage", "PowerOff on node1: Timeout: no end", "cut the power on node1: Timeout: no end"),
        ("storage", "know that node1 is lost: late", "wait until node1 is known to be lost: late"),
        ("judge", "v-1: 1 acknowledged, 2 findings", "v-1: 1 record acknowledged, 2 findings"),
        ("judge", "v-1: 24 acknowledged, 0 findings", "v-1: 24 records acknowledged, 0 findings"),
        ("storage", "Melt(Plugin) on node1", "Melt(Plugin) on node1"),
        ("storage", "create v-1 of 5 bytes on node1", "create v-1 of 5 bytes on node1"),
        ("note", "PowerOff on node1", "PowerOff on node1"),
        ("judge", "what another version says", "what another version says"),
    ],
)
def test_what_is_unknown_stays_as_it_is(kind: str, text: str, shown: str) -> None:
    assert lab_words.of(kind, text) == shown
