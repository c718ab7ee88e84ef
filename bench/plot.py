"""The picture of a run: processor time of a message by server, and how it grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.contenders import TITLES
from bench.figures import Runs, Spread, numbers
from bench.page import Measured
from bench.works import GROUPS

_BARS = "timestamp-64"

#: Stand for the colours of text and background, which follow the reader's scheme.
_INK, _PAPER = "#010203", "#fdfcfb"

_SCHEMES = """<style>
 :root { --ink: #24292f; --paper: #ffffff }
 @media (prefers-color-scheme: dark) { :root { --ink: #d7dee5; --paper: #0d1117 } }
</style>"""

_OF_INK = ("axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "text.color")
_OF_PAPER = ("figure.facecolor", "axes.facecolor", "savefig.facecolor")
_STYLE = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    # The same figures make the same file.
    "svg.hashsalt": "netsvc",
}

#: Colours that stand out from both backgrounds; the others' are drawn back.
_COLOURS = {
    "netsvc": "#1f83e0",
    "uvloop": "#d9730d",
    "c": "#2b9a4b",
    "twisted": "#9b62c9",
    "asyncio": "#8a8f98",
}
_OTHERS = "#8a8f98"

#: Points from one label to the next.
_LINE = 13


def draw(measured: Measured, to: Path) -> None:
    """
    Draw what there is.

    @param measured: a run.
    @param to: an SVG, in whose place the picture comes.
    """
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    style: Any = dict.fromkeys(_OF_INK, _INK) | dict.fromkeys(_OF_PAPER, _PAPER) | _STYLE
    mpl.rcParams.update(style)
    figure, axes = pyplot.subplot_mosaic(
        [["bars", "connections"], ["bars", "clients"]],
        figsize=(11.5, 6.2),
        width_ratios=(1.25, 1),
        layout="constrained",
    )
    figure.get_layout_engine().set(w_pad=0.15, h_pad=0.12)  # type: ignore[union-attr,call-arg]
    _bars(axes["bars"], measured.works.get(_BARS, {}))
    _growth(axes["connections"], measured, "growth-connections", ("netsvc", "uvloop", "c", "twisted"))
    axes["connections"].set(
        title="The same, by number of connections",
        xlabel="connections",
        ylabel="µs a message",
        ylim=(0, None),
    )
    _growth(axes["clients"], measured, "growth-clients", ("netsvc", "threaded"))
    axes["clients"].set(
        title="Client list: register, read it all, close", xlabel="entries", ylabel="ms a cycle", yscale="log"
    )
    axes["clients"].yaxis.set_major_formatter(lambda number, _: f"{number:g}")
    for one in axes.values():
        one.title.set(fontsize=12, fontweight="bold", position=(0, 1))
        one.title.set_horizontalalignment("left")
    figure.draw_without_rendering()
    for name in ("connections", "clients"):
        _spread_labels(axes[name])
        # One point is no growth.
        axes[name].set_visible(sum(work in measured.works for work in GROUPS[f"growth-{name}"]) > 1)
    figure.savefig(to, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    to.write_text(_coloured(to.read_text()))


def _coloured(svg: str) -> str:
    """Let the reader's scheme choose the colours of text and background."""
    svg = svg.replace(_INK, "var(--ink)").replace(_PAPER, "var(--paper)")
    head, svg_tag, rest = svg.partition("<defs>")
    return f"{head}{_SCHEMES}\n {svg_tag}{rest}"


def _bars(axes: Any, runs: Runs) -> None:
    spreads = {server: Spread.of(numbers(own, "cpu")) for server, own in runs.items()}
    servers = sorted(spreads, key=lambda server: spreads[server].median)
    medians = [spreads[server].median for server in servers]
    errors = [
        [spreads[server].median - spreads[server].least for server in servers],
        [spreads[server].most - spreads[server].median for server in servers],
    ]
    colours = [_COLOURS["netsvc"] if server == "netsvc" else _OTHERS for server in servers]
    bars = axes.barh([TITLES[server] for server in servers], medians, color=colours, height=0.68)
    axes.errorbar(medians, range(len(servers)), xerr=errors, fmt="none", ecolor=_INK, elinewidth=1, capsize=3)
    for bar, server in zip(bars, servers, strict=True):
        axes.annotate(
            f"{spreads[server].median:.1f}",
            (spreads[server].most, bar.get_y() + bar.get_height() / 2),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontweight="bold" if server == "netsvc" else "normal",
        )
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.tick_params(axis="y", length=0)
    axes.set(
        title="Processor time of a time-stamped message",
        xlabel="µs (64 bytes, 64 connections; less is better)",
    )


def _growth(axes: Any, measured: Measured, group: str, servers: tuple[str, ...]) -> None:
    scale = 1 if group == "growth-connections" else 1000
    for server in servers:
        points = [
            (
                int(name.rpartition("-")[2]),
                Spread.of(numbers(measured.works[name][server], "cpu")).median / scale,
            )
            for name in GROUPS[group]
            if server in measured.works.get(name, {})
        ]
        if not points:
            continue
        colour = _COLOURS.get(server, _OTHERS)
        across, up = zip(*points, strict=True)
        axes.plot(
            across, up, color=colour, marker="o", markersize=4, linewidth=2 if server == "netsvc" else 1.4
        )
        axes.annotate(
            TITLES[server],
            points[-1],
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            fontweight="bold" if server == "netsvc" else "normal",
            annotation_clip=False,
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda number, _: f"{number:,.0f}")


def _spread_labels(axes: Any) -> None:
    """Move the labels at the ends of the lines apart where they would lie on each other."""
    points = axes.figure.dpi / 72
    labels = sorted(axes.texts, key=lambda label: label.xy[1])
    lowest = float("-inf")
    for label in labels:
        natural = axes.transData.transform(label.xy)[1] / points
        place = max(natural, lowest)
        label.set_position((label.get_position()[0], place - natural))
        lowest = place + _LINE
