"""Draws open_in_colab.svg: the badge on top of each notebook, and in the README."""

import style
from matplotlib.patches import Rectangle

WIDTH, HEIGHT = 1.3, 0.24
LEFT = 0.72  # the width of the gray part
SIZE = 9  # points

ax = style.canvas(WIDTH, HEIGHT)
ax.add_patch(Rectangle((0, 0), LEFT, HEIGHT, fc=style.PALE_GRAY, ec="none"))
ax.add_patch(Rectangle((LEFT, 0), WIDTH - LEFT, HEIGHT, fc=style.BLUE, ec="none"))
middle = HEIGHT / 2
style.text(ax, LEFT / 2, middle, "Open in", SIZE, va="center_baseline")
style.text(ax, (LEFT + WIDTH) / 2, middle, "Colab", SIZE, "#FFFFFF", va="center_baseline")
style.save(ax, "open_in_colab")
