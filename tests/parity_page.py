"""docs/parity.md, as `tests/test_parity.py` writes it (`make parity`)."""

import re
from importlib import metadata
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "parity.md"
PACKAGES = {
    "pytorch": ["torch"],
    "mxnet": ["mxnet"],
    "jax": ["jax", "flax", "optax"],
    "tensorflow": ["tensorflow", "keras"],
    "reference": ["numpy"],
}
TEXT = """\
# One model in four frameworks

Written by `make parity` from what `tests/test_parity.py` measures; not edited by hand. `make test`
measures again and fails where a difference is larger than its bound.

PyTorch, MXNet, JAX and TensorFlow compute in float32 what `tests/reference.py` computes in
float64, a sentence at a time, without padding and masks: from the same weights and the same batch,
without dropout, for seventeen kinds of models (without attention, with Bahdanau's and with seven
kinds of Luong's; one and two layers, an encoder of one and of two directions; a Transformer with
the norm before and one with the norm behind). A difference is the largest in any element of an
array, divided by the array's largest value; the table shows the worst array of the worst kind.
Gradients are compared for every weight. The weights are trained with Adam and clipped gradients.
A Transformer's attention weights are here the mean of its last block's heads; every head of every
block is compared with the reference by `test_every_head_against_the_reference` in
`tests/test_transformer.py`.
The greedy and beam translations of every two are the same, token for token; a score is the mean
log-probability of their tokens.

{table}

{versions}
"""


def write(path, largest, bounds, computed_by):
    """Write the page.

    Args:
        path: file to write.
        largest: dict from (quantity, one, other) to the largest difference.
        bounds: dict from quantity to what is allowed.
        computed_by: names of the frameworks and of the reference.
    """
    header = ["", *bounds]
    rows = [["**allowed**", *(f"{bound:.0e}" for bound in bounds.values())]]
    for one, other in dict.fromkeys((one, other) for _, one, other in largest):
        rows.append([f"{one}, {other}", *(f"{largest[q, one, other]:.0e}" for q in bounds)])
    table = [header, ["---"] * len(header), *rows]
    packages = [package for name in computed_by for package in PACKAGES[name]]
    versions = {name: metadata.version(name).partition("+")[0] for name in packages}
    Path(path).write_text(
        TEXT.format(
            table="\n".join(f"| {' | '.join(row)} |" for row in table),
            versions=f"Measured with {', '.join(map(' '.join, versions.items()))}.",
        ),
        encoding="utf-8",
    )


def read():
    """Return the page's table as {pair: {quantity: difference}}, and {package: version}."""
    text = PAGE.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    table = {row[0]: dict(zip(header[1:], map(float, row[1:]))) for row in rows}
    (sentence,) = re.findall(r"Measured with (.*)\.$", text, re.MULTILINE)
    return table, dict(package.split() for package in sentence.split(", "))
