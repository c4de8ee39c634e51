"""Draws loss.svg from loss.csv: training loss, on a logarithmic scale, over the number of tokens.

    python3 models/tiny/plot.py
"""

import csv
import math
import os

HERE = os.path.dirname(os.path.abspath(__file__))
WIDTH, HEIGHT = 720, 360
LEFT, RIGHT, TOP, BOTTOM = 62, 20, 36, 48
LABELS = [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10]


def main():
    with open(os.path.join(HERE, "loss.csv")) as file:
        rows = [(int(row["tokens"]) / 1e6, float(row["loss"]), float(row["learning_rate"])) for row in csv.DictReader(file)]
    right = max(tokens for tokens, _, _ in rows)
    low = math.log(min(loss for _, loss, _ in rows) * 0.9)
    high = math.log(max(loss for _, loss, _ in rows) * 1.1)
    peak = max(rate for _, _, rate in rows)

    def x(tokens):
        return LEFT + tokens / right * (WIDTH - LEFT - RIGHT)

    def y(share):  # 0 at the bottom, 1 at the top
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def y_loss(loss):
        return y((math.log(loss) - low) / (high - low))

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for loss in (label for label in LABELS if low <= math.log(label) <= high):
        parts.append(line(LEFT, y_loss(loss), WIDTH - RIGHT, y_loss(loss), "#dddddd"))
        parts.append(text(LEFT - 8, y_loss(loss) + 4, f"{loss:g}", "end"))
    step = 5 if right > 12 else 2
    for tokens in range(0, int(right) + 1, step):
        parts.append(line(x(tokens), y(0), x(tokens), y(0) + 5, "#888888"))
        parts.append(text(x(tokens), y(0) + 19, f"{tokens}", "middle"))
    parts.append(line(LEFT, y(0), WIDTH - RIGHT, y(0), "#888888"))
    parts.append(line(LEFT, y(0), LEFT, y(1), "#888888"))
    parts.append(curve([(x(tokens), y(rate / peak)) for tokens, _, rate in rows], "#e0a458", 1.2, "5 4"))
    parts.append(curve([(x(tokens), y_loss(loss)) for tokens, loss, _ in rows], "#1f5fa8", 1.6, "none"))
    parts.append(text(LEFT + (WIDTH - LEFT - RIGHT) / 2, HEIGHT - 10, "million tokens", "middle"))
    parts.append(text(LEFT, 20, "training loss (nats per answered token, log scale)", "start", "#1f5fa8"))
    parts.append(text(WIDTH - RIGHT, 20, f"learning rate (peak {peak:g})", "end", "#b0741f"))
    parts.append("</svg>")
    with open(os.path.join(HERE, "loss.svg"), "w") as file:
        file.write("\n".join(parts) + "\n")


def line(x1, y1, x2, y2, color):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}"/>'


def text(x, y, content, anchor, color="#444444"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">{content}</text>'


def curve(points, color, width, dashes):
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="{width}" stroke-dasharray="{dashes}"/>'


if __name__ == "__main__":
    main()
