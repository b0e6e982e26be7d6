"""Writes the tables of the docs from what the code reads: options, testbeds, provider files, settings and exit codes.

python docs/options_tables.py            # writes them
python docs/options_tables.py --check    # says which page is not what the tables say, and exits with 1
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from holdfast import exit_codes
from holdfast.options import AUTHOR, CNI, DEVICE, MIDWAY, RUN, SETTINGS, TORPEDO, VARIABLES, Option, Setting
from holdfast.storage.provider import keys
from holdfast.testbed import schema

DOCS = Path(__file__).parent
INTRODUCTION = """# Options

*Written by `docs/options_tables.py` from the table that pytest, the command and the testbeds read.*

An option of pytest is `HOLDFAST_…` in the environment and `holdfast_…` in an ini file too, by its name in capitals or
small letters, with `_` for `-`: `--dut-ca`, `HOLDFAST_DUT_CA`, `holdfast_dut_ca`. The command line goes before the
environment, and that before the ini file, also where they contradict each other: with `--dut` on the command line,
`HOLDFAST_TESTBED` is not heeded, nor is `HOLDFAST_DUT_INSECURE` with `--dut-ca`. In the environment and in an ini file,
a flag is `yes`, `true`, `on` or `1`, or `no`, `false`, `off` or `0`; another word is an error. A list has one entry a
line. The command `holdfast` takes those of the device, before its own command or after it; what they mean in a testbed
is in [testbeds.md](testbeds.md).

Secrets come from the environment or from files: `HOLDFAST_PASSWORD` is the password, `HOLDFAST_TOKEN` a bearer token,
and `HOLDFAST_KEY_PASSWORD` opens the key. A token, metadata or a proxy with a password may stand on the command line
too, where other users of the machine see them; holdfast itself shows none of them.
"""
EXIT_CODES = """## Exit codes

`holdfast run` ends with the codes of `holdfast`. `pytest` has codes of its own beside these: 5, for example, where no
test was found. A run of tests ends with 3 too where its one device cannot be used at all: it refuses the login, or does
not serve Containerz.
"""
ROOMS = (("The device", DEVICE), ("A run of tests", RUN), ("`pytest -k midway`", MIDWAY),
         ("`pytest -k author`", AUTHOR), ("`pytest -k cni`", CNI), ("`pytest -k torpedo`", TORPEDO))  # fmt: skip


def options_page() -> str:
    """The whole page `options.md`."""
    parts = [INTRODUCTION]
    for title, room in ROOMS:
        parts += [f"## {title}\n", *options_table(room), ""]
    return "\n".join([*parts, variables_table(), "", EXIT_CODES, exit_codes_table(), ""])


def options_table(room: Iterable[Option]) -> list[str]:
    """A row for each option."""
    return ["| option | testbed | |", "|---|---|---|", *(_row(option) for option in room)]


def _row(option: Option) -> str:
    shown = f"--{option.name}{'=' if option.kind == 'keep' else ' '}{option.shows}".strip().replace("|", r"\|")
    where = "; only the command line says it" + " or a testbed" * bool(option.testbed) if option.typed_only else ""
    return f"| `{shown}` | {f'`{option.testbed}`' if option.testbed else ''} | {option.help}{where} |"


def variables_table() -> str:
    """A row for each variable of the environment that is no option's."""
    rows = [f"| `{name}` | {meaning} |" for name, meaning in VARIABLES.items()]
    return "\n".join(["## The environment, beside the options\n", "| variable | |", "|---|---|", *rows])


def fields_table() -> str:
    """A row for each field of a device in a testbed."""
    rows = [f"| `{field.key}` | {field.help} |" for field in schema.FIELDS]
    return "\n".join(["| field | |", "|---|---|", *rows])


def settings_table() -> str:
    """A row for each setting of the emulated device."""
    rows = [_setting_row(setting) for setting in SETTINGS]
    return "\n".join(["| `holdfast emulate` | `holdfast.emulator` | default | meaning |", "|---|---|---|---|", *rows])


def _setting_row(setting: Setting) -> str:
    star = " \\*" if setting.run else ""
    shown = f"--{setting.name} {setting.shows}".strip().replace("|", r"\|")
    return f"| `{shown}`{star} | `{setting.parameter}` | {setting.default} | {setting.help} |"


def provider_table() -> str:
    """A row for each key of a provider file; faults, which are all of one kind, have one."""
    shown = [key for key in keys.KEYS if key.offered and key.part != "faults"]
    return "\n".join(["| key | holds | default | |", "|---|---|---|---|", *(_key_row(key) for key in shown)])


def _key_row(key: keys.Key) -> str:
    who = {"csi": "CSI", "docker-plugin": "Docker plugins"}.get(key.protocol, "")
    meant = ", ".join(filter(None, (who, " and ".join(key.labs))))
    default = "**must be there**" if key.required else key.default
    return f"| `{key.part}: {key.name}` | {key.kind.word} | {default} | {f'({meant}) ' if meant else ''}{key.help} |"


def exit_codes_table() -> str:
    """A row for each way to end."""
    rows = [f"| {ending.command} | {ending.pytest} | {ending.meaning} |" for ending in exit_codes.ALL]
    return "\n".join(["| `holdfast` | `pytest` | |", "|---|---|---|", *rows])


def pages() -> dict[Path, str]:
    """What each page should be."""
    found = {DOCS / "options.md": options_page()}
    tables = (
        ("testbeds", "fields", fields_table()),
        ("emulator", "settings", settings_table()),
        ("storage", "keys", provider_table()),
    )
    for name, mark, table in tables:
        page = DOCS / f"{name}.md"
        begin, end = f"<!-- {mark}: docs/options_tables.py -->", f"<!-- end of {mark} -->"
        inside = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        written = f"{begin}\n\n{table}\n\n{end}"
        found[page] = inside.sub(lambda _, written=written: written, page.read_text(encoding="utf-8"))
    return found


def main() -> None:
    """Write the pages, or look whether they are right."""
    wrong = [page for page, text in pages().items() if not page.exists() or page.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv:
        sys.exit("\n".join(f"{page.name} is not what the tables say" for page in wrong) or 0)
    for page in wrong:
        page.write_text(pages()[page], encoding="utf-8")


if __name__ == "__main__":
    main()
