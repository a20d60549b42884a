"""Draws block.svg: an encoder's block with the norm before each part and after each sum."""

import style

ax = style.canvas(8.4, 7.6)
WIDTH, HEIGHT, SUM = 2.7, 0.6, 0.3
FILLS = {"norm": style.PALE_ORANGE, "self-attention": style.PALE_GREEN}


def column(x, title, parts):
    """A block, from the bottom up: "+" is a sum, "|" where the way around to it begins."""
    style.text(ax, x, 7.3, title, style.TITLE)
    style.text(ax, x, 0.25, r"$\mathbf{x}$", style.TITLE)
    y, gap = 0.5, 0.35
    for name in parts:
        if name == "|":
            branch, gap = y + 0.2, 0.65
            continue
        height = SUM if name == "+" else HEIGHT
        middle = y + gap + height / 2
        style.arrow(ax, (x, y), (x, y + gap))
        if name == "+":
            style.text(ax, x, middle, r"$\oplus$", style.TITLE)
            side = x - WIDTH / 2 - 0.35
            way = [(x, branch), (side, branch), (side, middle), (x - 0.15, middle)]
            ax.plot(*zip(*way), color=style.BLACK, linewidth=1.5, solid_capstyle="round")
        else:
            fill = FILLS.get(name, style.PALE_BLUE)
            style.box(ax, x, middle, name, WIDTH, HEIGHT, fill, style.LABEL)
        y, gap = middle + height / 2, 0.35
    style.arrow(ax, (x, y), (x, y + 0.55))


BEFORE = ["|", "norm", "self-attention", "+", "|", "norm", "feed-forward", "+"]
AFTER = ["|", "self-attention", "+", "norm", "|", "feed-forward", "+", "norm"]
column(2.2, "norm before", BEFORE)
column(6.4, "norm after", AFTER)
style.save(ax, "block")
