# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Small line charts as SVG text."""

from __future__ import annotations

from html import escape

from shapes import TOKENS

WIDTH, HEIGHT = 220, 150
"""Of one chart, without its margins."""

LEFT, TOP, GAP, BOTTOM = 44, 40, 40, 46

LEGEND = 90
"""Width of an entry."""

COLORS = ("#4269d0", "#ef8a17", "#3ca951", "#d62246", "#8a5fbf", "#1a9ba1", "#a05a2c", "#e377b2", "#7f7f7f")
"""Told apart on white as on black."""

Curve = list[tuple[int, float]]


def grid(charts: dict[str, dict[str, Curve]], title: str, low: float, high: float, mark: float) -> str:
    """One chart beside another, three in a line, with one legend.

    Parameters
    ----------
    charts : dict of dict of list of (int, float)
        Curves by name, by the title of their chart. A point is the index of a number of tokens, and a value, which is
        cut off at `high`.
    title : str
        What is shown.
    low, high : float
        Of the axis.
    mark : float
        Value of a line to compare with.
    """
    names = list(dict.fromkeys(name for curves in charts.values() for name in curves))
    colors = dict(zip(names, COLORS))
    columns, rows = min(3, max(1, len(charts))), -(-len(charts) // 3)
    width = LEFT + max(columns * (WIDTH + GAP), LEGEND * len(names))
    height = TOP + rows * (HEIGHT + BOTTOM + 20) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        ' font-family="sans-serif" font-size="11" fill="#777">',
        f'<text x="{LEFT}" y="14" font-size="13">{escape(title)}, by tokens</text>',
    ]
    for place, name in enumerate(names):
        x = LEFT + LEGEND * place
        parts.append(f'<text x="{x + 14}" y="30">{escape(name)}</text>')
        parts.append(f'<path d="M{x} 26h10" stroke="{colors[name]}" stroke-width="2"/>')
    for place, (name, curves) in enumerate(charts.items()):
        x, y = LEFT + place % 3 * (WIDTH + GAP), TOP + 20 + place // 3 * (HEIGHT + BOTTOM + 20)
        parts.append(f'<g transform="translate({x} {y})">{_chart(name, curves, colors, low, high, mark)}</g>')
    return "\n".join([*parts, "</svg>\n"])


def _chart(name: str, curves: dict[str, Curve], colors: dict[str, str], low: float, high: float, mark: float) -> str:
    def across(index: int) -> float:
        return index * WIDTH / (len(TOKENS) - 1)

    def down(value: float) -> float:
        return round(HEIGHT * (high - max(low, min(high, value))) / (high - low), 1)

    parts = [f'<text x="{WIDTH / 2}" y="-6" text-anchor="middle" font-size="12">{escape(name)}</text>']
    for step in range(5):
        value = low + step * (high - low) / 4
        parts.append(f'<path d="M0 {down(value)}h{WIDTH}" stroke="#777" stroke-opacity="0.25"/>')
        parts.append(f'<text x="-5" y="{down(value) + 4}" text-anchor="end">{value:g}</text>')
    parts.append(f'<path d="M0 {down(mark)}h{WIDTH}" stroke="#777" stroke-dasharray="4 3"/>')
    for index, tokens in enumerate(TOKENS):
        parts.append(f'<text x="{across(index):g}" y="{HEIGHT + 15}" text-anchor="middle">{tokens}</text>')
    for curve, points in curves.items():
        path = " ".join(f"{across(index):g},{down(value)}" for index, value in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colors[curve]}" stroke-width="2"/>')
        for index, value in points:
            parts.append(f'<circle cx="{across(index):g}" cy="{down(value)}" r="2.5" fill="{colors[curve]}"/>')
    return "\n".join(parts)
