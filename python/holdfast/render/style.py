"""The colours and the style of pages: light, dark, on paper, and from 400 pixels on."""

from __future__ import annotations

from typing import Final

# By what they are for. Text is on `paper` or on `panel`; `tests_py/test_page.py` holds how well it can be read there.
LIGHT: Final = {
    "paper": "#ffffff",
    "panel": "#f3f4f6",
    "ink": "#1a1a1a",
    "faint": "#4f5357",
    "line": "#c9cdd2",
    "link": "#0b57a4",
    "pass": "#1f6b24",
    "FAIL": "#b3261e",
    "doubt": "#6b5900",
}
DARK: Final = {
    "paper": "#14161a",
    "panel": "#1f2329",
    "ink": "#e8eaed",
    "faint": "#b4bac2",
    "line": "#474d55",
    "link": "#8ab8f5",
    "pass": "#81c995",
    "FAIL": "#ff9a92",
    "doubt": "#e6cf6a",
}
# What of a timeline's picture has which of them (`holdfast.picture.CLASSES`).
PICTURE: Final = {
    "paper": "paper",
    "ink": "ink",
    "faint": "faint",
    "grid": "line",
    "glass": "panel",
    "good": "pass",
    "bad": "FAIL",
    "plain": "faint",
}


def _variables(colors: dict[str, str]) -> str:
    return " ".join(f"--{name}: {color};" for name, color in colors.items())


def _picture() -> str:
    rules = [f".timeline .{part} {{ fill: var(--{name}); }}" for part, name in PICTURE.items() if part != "grid"]
    lines = [f".timeline line.{part} {{ stroke: var(--{PICTURE[part]}); }}" for part in ("grid", "bad")]
    edges = ".timeline circle, .timeline path { stroke: var(--paper); } .timeline .axis { stroke: var(--line); }"
    return "\n".join([*rules, *lines, edges])


STYLE: Final = f"""
:root {{ color-scheme: light dark; {_variables(LIGHT)} }}
@media screen and (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK)} }} }}
:root {{ font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); }}
body {{ max-width: 72rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }}
a {{ color: var(--link); }}
h1 {{ font-size: clamp(1.9rem, 6vw, 3.2rem); line-height: 1.15; margin: .5rem 0; }}
h1 .of {{ font-size: 1rem; font-weight: 600; color: var(--faint); display: block; }}
h2 {{ font-size: 1.5rem; margin: 2.5rem 0 .5rem; border-top: 2px solid var(--line); padding-top: 1rem; }}
h3 {{ font-size: 1.2rem; margin: 1.8rem 0 .5rem; }} h4 {{ font-size: 1rem; margin: 1rem 0 .2rem; }}
p {{ margin: .4rem 0; }} .faint, figcaption, footer {{ color: var(--faint); }}
table {{ border-collapse: collapse; width: 100%; margin: 1rem 0; }}
caption {{ text-align: left; font-weight: 600; padding: .3rem 0; }}
th, td {{ text-align: left; vertical-align: top; padding: .35rem .6rem .35rem 0; }}
tr {{ border-bottom: 1px solid var(--line); }}
td, thead th {{ overflow-wrap: break-word; }} thead th {{ color: var(--faint); font-size: .85rem; }}
.verdicts tbody {{ font-size: 1.05rem; }}
figure {{ margin: 1rem 0; }} .timeline svg {{ max-width: 100%; height: auto; }} .narrow {{ display: none; }}
pre {{ white-space: pre-wrap; font-size: .8rem; line-height: 1.4; }}
pre {{ background: var(--panel); padding: .6rem; margin: .4rem 0; }}
summary {{ cursor: pointer; padding: .2rem 0; color: var(--link); }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; }}
dt {{ font-weight: 600; }} dd {{ margin: 0; }}
.legend li {{ list-style: none; display: inline-flex; gap: .4rem; align-items: center; margin: 0 1.2rem .3rem 0; }}
.legend ul {{ padding: 0; }} .legend svg {{ flex: none; }}
.failures > li {{ margin: .6rem 0; }} .failures pre {{ border-left: 4px solid var(--FAIL); }}
.failed + .failed {{ margin-top: 2.5rem; }}
.failed {{ border-left: 4px solid var(--FAIL); padding-left: 1rem; }} .failed h3 {{ margin-top: 0; }}
.verdict {{ font-weight: 700; white-space: nowrap; }}
.pass {{ color: var(--pass); }} .FAIL, .error {{ color: var(--FAIL); }}
.skipped, .not-checked, .inconclusive {{ color: var(--doubt); }}
{_picture()}
@media screen and (max-width: 40rem) {{
  .wide, .extra {{ display: none; }} .narrow {{ display: block; }}
  dl {{ grid-template-columns: 1fr; }} dd {{ margin-bottom: .5rem; }}
  th, td {{ padding-right: .4rem; }} .failed {{ padding-left: .6rem; }}
}}
@media print {{
  body {{ max-width: none; padding: 0; font-size: 11px; }} nav {{ display: none; }}
  figure, tr, .failures > li {{ break-inside: avoid; }} h2, h3, h4 {{ break-after: avoid; }}
  a {{ color: inherit; text-decoration: none; }}
  .failed details::details-content {{ content-visibility: visible; block-size: auto; }}
  .timeline rect, .timeline circle, .timeline path, .timeline polygon {{ print-color-adjust: exact; }}
}}
"""
