"""The figures as a table, as `target/bench/report.md`, and as a plot."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

COLOURS = {"native": "#7f8c8d", "lua": "#c0392b", "tse-route": "#2471a3"}


@dataclass(frozen=True)
class Figures:
    """Processor time per request and latency, in microseconds."""

    cpu: float
    # Over a plain proxy pass.
    added: float
    spread: tuple[float, float]
    p50: float
    p99: float


def write(figures: dict[str, Figures], options: argparse.Namespace, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    smallest, empty = figures["smallest wasm"].added, figures["empty wasm"].added
    lines = [
        "| | CPU per request, µs | added, µs | least to most | of the smallest wasm | p50, µs | p99, µs |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, of in figures.items():
        least, most = of.spread
        lines.append(
            f"| {name} | {of.cpu:.1f} | {of.added:.1f} | {least:.1f} to {most:.1f} "
            f"| {of.added / smallest:.2f} | {of.p50:.0f} | {of.p99:.0f} |"
        )
    lines.append("")
    for kind in options.kinds:
        for size in options.sizes:
            own, script = figures[f"tse-route {kind} {size}"].added, figures[f"lua {kind} {size}"].added
            lines.append(
                f"- {kind}, {size} rules: tse-route adds {own / smallest:.2f} × the smallest wasm filter, "
                f"{own / empty:.2f} × an empty one, {own / script:.2f} × Lua"
            )
    title = f"# What a request costs in Envoy\n\n{options.rounds} rounds of {options.requests} requests each.\n\n"
    text = "\n".join(lines) + "\n"
    print(text)
    (directory / "report.md").write_text(title + text)
    (directory / "report.svg").write_text(plot(figures, options))
    print(f"written: {directory / 'report.md'}, {directory / 'report.svg'}")


def plot(figures: dict[str, Figures], options: argparse.Namespace) -> str:
    """What each adds, over the number of rules; one panel for each kind of rules."""
    width, height, left, top = 360, 240, 56, 36
    top_value = max(of.added for of in figures.values()) * 1.1 or 1.0
    columns = {size: index for index, size in enumerate(options.sizes)}

    def x(size: int) -> float:
        return left + 24 + columns[size] * (width - 96) / max(1, len(columns) - 1)

    def y(value: float) -> float:
        return top + (height - top - 40) * (1 - max(0.0, value) / top_value)

    step = 10 ** math.floor(math.log10(top_value))
    step = step / 2 if top_value / step < 4 else step
    panels = []
    for number, kind in enumerate(options.kinds):
        parts = [f'<text x="{left}" y="18">{kind} rules: µs of CPU added to a request</text>']
        for tick in range(int(top_value / step) + 1):
            at = y(tick * step)
            parts.append(f'<line x1="{left}" x2="{width - 40}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ddd"/>')
            parts.append(f'<text x="{left - 6}" y="{at + 4:.1f}" text-anchor="end">{tick * step:g}</text>')
        for size in options.sizes:
            parts.append(f'<text x="{x(size):.1f}" y="{height - 22}" text-anchor="middle">{size}</text>')
        for name in ("empty wasm", "smallest wasm"):
            at = y(figures[name].added)
            parts.append(
                f'<line x1="{left}" x2="{width - 40}" y1="{at:.1f}" y2="{at:.1f}" stroke="#888" stroke-dasharray="4 3"/>'
                f'<text x="{width - 42}" y="{at - 3:.1f}" text-anchor="end" fill="#666">{name}</text>'
            )
        for index, (name, colour) in enumerate(COLOURS.items()):
            points = [(x(size), y(figures[f"{name} {kind} {size}"].added)) for size in options.sizes]
            path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
            parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
            parts.extend(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" fill="{colour}"/>' for px, py in points)
            parts.append(f'<text x="{left + index * 80}" y="{height - 4}" fill="{colour}">{name}</text>')
        panels.append(f'<g transform="translate({number * width},0)">{"".join(parts)}</g>')
    size = f'width="{width * len(panels)}" height="{height}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(panels)}</svg>\n'
    )
