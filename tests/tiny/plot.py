"""Draws the loss curves as an SVG, with nothing but the standard library.

Usage: plot.py OUT.svg TITLE:FILE.csv ..."""
import csv
import math
import sys

W, H, LEFT, TOP, RIGHT, BOTTOM = 760, 380, 56, 30, 14, 40
COLOURS = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728"]


def series(spec, offset):
    """Rows (million tokens, loss, held-out loss or None) behind offset."""
    title, _, file = spec.partition(":")
    rows = []
    for r in csv.DictReader(open(file)):
        loss = float(r["loss"]) if r["loss"] else None
        held = float(r["held_out_loss"]) if r.get("held_out_loss") else None
        rows.append((offset + int(r["tokens"]) / 1e6, loss, held))
    return title, rows


def main(out, *specs):
    offset, all_series = 0.0, []
    for spec in specs:
        title, rows = series(spec, offset)
        offset = rows[-1][0]
        all_series.append((title, rows))
    values = [v for _, rows in all_series for _, a, b in rows for v in (a, b) if v]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))

    def x(m):
        return LEFT + (W - LEFT - RIGHT) * m / offset

    def y(v):
        return TOP + (H - TOP - BOTTOM) * (high - math.log10(v)) / (high - low)

    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {W} {H}" font-family="sans-serif" font-size="12">',
           f'<rect width="{W}" height="{H}" fill="white"/>']
    for e in range(low, high + 1):
        svg.append(f'<path d="M{LEFT} {y(10 ** e):.1f}H{W - RIGHT}" stroke="#ddd"/><text x="{LEFT - 6}" y="{y(10 ** e) + 4:.1f}" text-anchor="end">{10.0 ** e:g}</text>')
    step = 10 ** math.floor(math.log10(offset))
    step = step if offset / step > 4 else step / 4
    for i in range(int(offset / step) + 1):
        m = i * step
        svg.append(f'<path d="M{x(m):.1f} {H - BOTTOM}v5" stroke="#888"/><text x="{x(m):.1f}" y="{H - BOTTOM + 18}" text-anchor="middle">{m:g}</text>')
    svg.append(f'<text x="{(W + LEFT) / 2:.0f}" y="{H - 6}" text-anchor="middle">million tokens</text><text x="{LEFT}" y="18">loss per predicted token</text>')
    for i, (title, rows) in enumerate(all_series):
        c = COLOURS[i % len(COLOURS)]
        line = " ".join(f"{x(m):.1f},{y(v):.1f}" for m, v, _ in rows if v)
        svg.append(f'<polyline points="{line}" fill="none" stroke="{c}" stroke-width="1.5"/>')
        svg += [f'<circle cx="{x(m):.1f}" cy="{y(v):.1f}" r="3" fill="{c}"/>' for m, _, v in rows if v]
        svg.append(f'<text x="{W - RIGHT - 6}" y="{TOP + 16 * (i + 1)}" text-anchor="end" fill="{c}">{title}</text>')
    svg.append(f'<text x="{W - RIGHT - 6}" y="{TOP + 16 * (len(all_series) + 1)}" text-anchor="end" fill="#555">dots: held out</text></svg>')
    with open(out, "w") as f:
        f.write("\n".join(svg) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
