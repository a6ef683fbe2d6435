"""Draws what was measured: SVG, for pages on light and dark ground."""

from collections.abc import Iterable, Sequence
from html import escape

from simulator.planner.measuring import Line

_WIDTH, _LEFT, _RIGHT, _TOP = 760, 150, 30, 40
_BAR, _GAP = 11, 16
_CURVE_HEIGHT = 300
_COLOURS = ("#2f7d4f", "#5b8dbf", "#b9a037", "#b4633a", "#8a5a9e", "#777777")
_STYLE = (
    "<style>text{font:12px sans-serif;fill:#777}.grid{stroke:#8884;stroke-width:1}"
    ".whisker{stroke:#777;stroke-width:1.5}"
    ".target{stroke:#c33;stroke-width:1;stroke-dasharray:3 3}</style>"
)


def shares(lines: Sequence[Line]) -> str:
    """Bars of each policy's share of the oracle's income, by scenario, with whiskers from lowest to highest seed."""
    shown = [line for line in lines if line.policy != "oracle"]
    policies = list(dict.fromkeys(line.policy for line in shown))
    drawn, y = [], float(_TOP + 18)
    for scenario in dict.fromkeys(line.scenario for line in shown):
        group = [line for line in shown if line.scenario == scenario]
        middle = y + len(group) * _BAR / 2 + 4
        drawn.append(_text(_LEFT - 10, middle, scenario, anchor="end"))
        for line in group:
            drawn += _bar(line, y, _COLOURS[policies.index(line.policy) % len(_COLOURS)])
            y += _BAR
        y += _GAP
    drawn += _legend(policies)
    return _svg(y + 20, [*_vertical_grid(y), *drawn], "Income over the oracle's")


def single_works(curve: Sequence[Line], planned: float) -> str:
    """The share of the oracle's income by the ledger of a pail's only work, beside what the planner reaches."""
    height = _TOP + _CURVE_HEIGHT

    def point(line: Line, share: float) -> tuple[float, float]:
        return _x(int(line.policy) / 64), height - share * _CURVE_HEIGHT

    grid = [
        part
        for tenth in range(0, 11, 2)
        for part in (
            _line(
                "grid", _LEFT, height - tenth * _CURVE_HEIGHT / 10, _WIDTH - _RIGHT, height - tenth * _CURVE_HEIGHT / 10
            ),
            _text(_LEFT - 10, height - tenth * _CURVE_HEIGHT / 10 + 4, f"{tenth / 10:.1f}", anchor="end"),
        )
    ]
    ticks = [_text(_x(ledger / 64), height + 18, str(ledger), anchor="middle") for ledger in range(0, 65, 10)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (point(line, line.share) for line in curve))
    whiskers = [
        _line("whisker", *point(line, max(0.0, line.lowest)), *point(line, max(0.0, line.highest))) for line in curve
    ]
    level = height - planned * _CURVE_HEIGHT
    drawn = [
        f'<polyline points="{path}" fill="none" stroke="{_COLOURS[1]}" stroke-width="2"/>',
        _line("target", _LEFT, level, _WIDTH - _RIGHT, level),
        _text(_LEFT + 6, level - 5, "the planner, two works"),
    ]
    return _svg(
        height + 30, [*grid, *ticks, *whiskers, *drawn], "Income over the oracle's, by the ledger of the only work"
    )


def _bar(line: Line, y: float, colour: str) -> Iterable[str]:
    middle = y + _BAR / 2 - 1
    yield (
        f'<rect x="{_LEFT}" y="{y:.1f}" width="{max(0.0, _x(line.share) - _LEFT):.1f}" height="{_BAR - 2}" '
        f'fill="{colour}"><title>{escape(line.policy)}: {line.share:.3f}</title></rect>'
    )
    yield _line("whisker", _x(max(0.0, line.lowest)), middle, _x(max(0.0, line.highest)), middle)


def _vertical_grid(bottom: float) -> Iterable[str]:
    for tenth in range(0, 11, 2):
        yield _line("grid", _x(tenth / 10), _TOP + 12, _x(tenth / 10), bottom)
        yield _text(_x(tenth / 10), bottom + 14, f"{tenth / 10:.1f}", anchor="middle")


def _legend(policies: Sequence[str]) -> Iterable[str]:
    for place, policy in enumerate(policies):
        x = _LEFT + place * 110
        yield f'<rect x="{x}" y="{_TOP - 10}" width="10" height="10" fill="{_COLOURS[place % len(_COLOURS)]}"/>'
        yield _text(x + 14, _TOP, policy)


def _x(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, words: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _svg(height: float, parts: Iterable[str], title: str) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" width="{_WIDTH}">\n'
        f"<title>{escape(title)}</title>\n{_STYLE}\n{_text(_LEFT, 18, title)}\n{body}\n</svg>\n"
    )
