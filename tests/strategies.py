"""What hypothesis draws for the property tests: scores, lengths, and sentences in batches.

NumPy's generator makes ordinary numbers from one seed. Hypothesis itself draws what may matter:
shapes, types, and a few places where a number is extreme or none at all. That keeps draws cheap,
and a failing case shrinks to the places that count.

JAX compiles each operation for each shape and type, so shapes come from short lists.
"""

from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
# (batch, queries, keys): an empty batch, a single key, and more keys than SIMD has lanes
SCORES = [(0, 2, 3), (3, 2, 1), (2, 3, 4), (4, 1, 9), (2, 2, 33)]
LAYOUTS = ["contiguous", "transposed", "strided", "backwards", "part"]
LARGE = {
    "float16": (1e4, 65504.0),
    "bfloat16": (1e30, 3.3e38),
    "float32": (1e30, 3.4e38),
    "float64": (1e30, 1.7e308),
}
seeds = st.integers(0, 2**16)


def places(choice):
    """Up to five times where, in any order of the elements, and what to put there."""
    return st.lists(st.tuples(st.integers(0, 99), st.sampled_from(choice)), max_size=5)


# Scores ------------------------------------------------------------------------------------------


class Scores(NamedTuple):
    """Scores (batch, queries, keys), and how they lie in memory."""

    values: Any
    dtype: str
    layout: str

    def given(self, framework):
        """A native array. Where a framework has no views, some layouts are copied into one."""
        return native_view(framework, self.values, self.dtype, self.layout)


def native_view(framework, values, dtype, layout):
    """Make a native array (batch, ..., ...) as a view of another one, which holds NaN besides."""
    if layout == "contiguous":
        return framework.array(values, dtype)
    if layout == "transposed":
        array = framework.array(np.ascontiguousarray(values.swapaxes(1, 2)), dtype)
        if framework.name == "tensorflow":
            return framework.tensorflow.transpose(array, (0, 2, 1))
        return array.swapaxes(1, 2)
    if layout == "backwards":
        array = framework.array(values[::-1].copy(), dtype)
        return array.flip(0) if framework.name == "pytorch" else array[::-1]
    batch, rows, columns = values.shape
    if layout == "strided":
        surroundings = np.full((batch, rows, 2 * columns), np.nan)
        surroundings[:, :, ::2] = values
        return framework.array(surroundings, dtype)[:, :, ::2]
    surroundings = np.full((batch + 2, rows, columns), np.nan)
    surroundings[1:-1] = values
    return framework.array(surroundings, dtype)[1:-1]


def scores(dtypes, shapes):
    """`Scores` of any size, with some that are extreme, infinite, or NaN."""

    def make(dtype, shape, seed, scale, hard, layout):
        extreme, largest = LARGE[dtype]
        values = np.random.default_rng(seed).normal(size=shape).clip(-1, 1)
        values *= (1, 0, 10, 1e4, extreme)[scale]
        numbers = np.nan, np.inf, -np.inf, 0, extreme, -extreme, largest, -largest
        for place, number in hard if values.size else ():
            values.flat[place % values.size] = numbers[number]
        return Scores(values, dtype, layout)

    return st.builds(
        make,
        dtype=st.sampled_from(dtypes),
        shape=st.sampled_from(shapes),
        seed=seeds,
        scale=st.integers(0, 4),
        hard=places(range(8)),
        layout=st.sampled_from(LAYOUTS),
    )


# Lengths -----------------------------------------------------------------------------------------


class Lengths(NamedTuple):
    """NumPy integers (batch,) or (batch, queries), and whether to hand them over as native."""

    values: Any
    native: bool

    def given(self, framework):
        """What to call a function of the library with."""
        return framework.array(self.values) if self.native else self.values

    def hides(self, shape):
        """Which keys of (batch, queries, keys) lie behind the lengths."""
        lens = self.values.reshape(self.values.shape + (1,) * (3 - self.values.ndim))
        return np.broadcast_to(np.arange(shape[2]) >= lens, shape)


def strided(array):
    """The same numbers, with others between them in memory."""
    return np.repeat(array, 2, axis=-1)[..., ::2]


def backwards(array):
    """The same numbers, the last first in memory."""
    return array[::-1].copy()[::-1]


VIEWS = [strided, np.asfortranarray, backwards]


def lengths(numpy_types, native_types, axes=(1, 2), avoid=()):
    """Functions that return `Lengths` for scores of a shape (batch, queries, keys).

    They run from 0 to one beyond the keys; some are -1, or as far off as their type allows.

    Args:
        numpy_types, native_types: names of integer types, of NumPy's and the framework's arrays.
        axes: how many axes the lengths may have.
        avoid: names of what the framework cannot.
    """

    def make(kind, seed, number_of_axes, odd, view):
        dtype, native = kind
        limits = np.iinfo(dtype)
        # JAX cuts its own integers down to 32 bits
        room = np.iinfo("int32") if native else limits
        lowest, highest = max(limits.min, room.min), min(limits.max, room.max)
        if "beyond int64" in avoid:
            highest = min(highest, np.iinfo("int64").max)

        def for_shape(shape):
            size = shape[:number_of_axes]
            values = np.random.default_rng(seed).integers(shape[2] + 2, size=size).astype(dtype)
            numbers = 0, shape[2], highest, max(lowest, -1), lowest + 1 if lowest else 0
            for place, number in odd if values.size else ():
                values.flat[place % values.size] = numbers[number]
            return Lengths(values if native else view(values), native)

        return for_shape

    kinds = [(name, False) for name in numpy_types] + [(name, True) for name in native_types]
    views = [view for view in VIEWS if view.__name__ not in avoid]
    return st.builds(
        make,
        kind=st.sampled_from(kinds),
        seed=seeds,
        number_of_axes=st.sampled_from(axes),
        odd=places(range(5)),
        view=st.sampled_from(views),
    )


# Sentences ---------------------------------------------------------------------------------------


class Source(NamedTuple):
    """Sentences as `pad_batch` makes them, but with any ids at all behind the lengths."""

    src: Any
    src_valid_len: Any


@st.composite
def sources(draw, shapes, vocab_size):
    """A `Source` of one of the shapes (batch, steps), with sentences from none to all steps."""
    batch, steps = draw(st.sampled_from(shapes))
    lens = draw(st.lists(st.integers(0, steps), min_size=batch, max_size=batch))
    rng = np.random.default_rng(draw(seeds))
    return Source(
        rng.integers(vocab_size, size=(batch, steps), dtype=np.int32), np.array(lens, np.int32)
    )


@st.composite
def in_company(draw, narrow, wide, vocab_size):
    """One sentence, alone and as a row of a larger and longer batch.

    Returns:
        Two `Source`s and the row of the second which is that of the first; its padding differs.
    """
    alone = draw(sources([narrow], vocab_size))
    together = draw(sources([wide], vocab_size))
    row = draw(st.integers(0, wide[0] - 1))
    (length,) = alone.src_valid_len
    together.src[row, :length] = alone.src[0, :length]
    together.src_valid_len[row] = length
    return alone, together, row
