"""The hidden tests of the chapters' graded exercises, one function for each exercise.

A check takes the student's function and a framework's library: `checks.softmax_where(f, d2l)`. It
compares what the function gives with NumPy in float64, on inputs of its own, and raises
AssertionError with words that a student can use. Where the result is that of a well-known mistake,
it names the mistake. Everything is seeded; nothing here imports a framework.

A check looks at what a function gives back, not at how it is written; only where a task forbids a
loop, it counts the lines that are run. Results may be arrays of the framework or of NumPy, or
lists, of any type of numbers.
"""

import functools
import linecache
import sys
import traceback

import numpy as np

TOLERANCE = 1e-4  # float32 through a few operations; mistakes are far larger


class Complaint(AssertionError):
    """What is wrong with an answer, in words for the student."""


def _check(check):
    """Make a check raise a bare AssertionError: a traceback would print this file."""

    @functools.wraps(check)
    def checked(function, d2l):
        try:
            check(function, d2l)
            return
        except Complaint as complaint:
            problem = str(complaint)
        raise AssertionError(problem)

    return checked


def _demand(condition, problem):
    """Raise a complaint unless a condition holds."""
    if not condition:
        raise Complaint(problem)


def _call(function, what, *inputs):
    """Call a student's function, and turn its crash into a complaint.

    Args:
        function: the student's.
        what: the inputs in words, as in "for scores of shape (2, 3, 4)".
        inputs: what it is called with.
    """
    name = getattr(function, "__name__", "your function")
    try:
        return function(*inputs)
    except Complaint:  # by a function that the check has handed in
        raise
    except NotImplementedError:
        raise Complaint(f"{name} is not written yet") from None
    except Exception as error:
        place = ""
        code = getattr(function, "__code__", None)
        for frame in traceback.extract_tb(error.__traceback__):
            if code is not None and frame.filename == code.co_filename:
                line = linecache.getline(frame.filename, frame.lineno).strip()
                place = f" in `{line}`" if line else ""
        raise Complaint(f"{name} raises {type(error).__name__}{place} {what}: {error}") from None


def _demand_no_loop(function, what, *inputs):
    """Complain if a function runs more lines of its own than a calculation without loops has.

    Args:
        function: the student's. A function that hides its code, being compiled, passes. What it
            calls counts as well, if it stands in the same notebook.
        what: the inputs in words; hundreds of them, so that a loop shows.
        inputs: what it is called with.
    """
    names = getattr(function, "__globals__", None)
    lines = 0

    def trace(frame, event, _):
        nonlocal lines
        if frame.f_globals is not names:
            return None
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        _call(function, f"for {what}", *inputs)
    finally:
        sys.settrace(before)
    _demand(
        lines < 150,
        f"{lines} lines of your code are run for {what}: the task wants all pairs at once, by "
        "broadcasting, without a Python loop",
    )


def _numpy(value, d2l, name):
    """Turn a result, or a list of them, into a NumPy array.

    Args:
        value: array of the framework or of NumPy, number, or lists of them.
        d2l: the framework's library.
        name: what it is, as complaints call it.
    """
    _demand(value is not None, f"{name}: nothing (None) is given back; is there a return?")
    try:
        if isinstance(value, list | tuple):
            return np.array([_numpy(item, d2l, name) for item in value])
        if isinstance(value, bool | int | float | np.generic | np.ndarray):
            return np.asarray(value)
        return np.asarray(d2l.to_numpy(value))
    except Complaint:
        raise
    except Exception:
        kind = type(value).__name__
        raise Complaint(f"{name}: a {kind} is given back, which makes no array") from None


def _numbers(value, d2l, name, shape, axes):
    """Turn a result into a float64 array and demand its shape.

    Args:
        value, d2l, name: as `_numpy` takes them.
        shape: the shape that it should have.
        axes: what the axes are, as in "(batch, queries, keys)".
    """
    array = _numpy(value, d2l, name)
    _demand(
        array.shape == shape,
        f"{name}: the shape is {array.shape}; expected {axes} = {shape}",
    )
    _demand(array.dtype.kind in "fiub", f"{name}: these are no numbers but {array.dtype}")
    return array.astype("float64")


def _pair(value, first, second):
    """Take a result of two apart."""
    is_pair = isinstance(value, list | tuple) and len(value) == 2
    if value is None:
        found = "nothing (None)"
    elif isinstance(value, list | tuple):
        found = f"a {type(value).__name__} of {len(value)}"
    elif hasattr(value, "shape"):
        found = f"one array of shape {tuple(value.shape)}"
    else:
        found = f"something of type {type(value).__name__}"
    _demand(is_pair, f"the result should be a pair of {first} and {second}, not {found}")
    return value


def _demand_order(pair, first, second, shape, other):
    """Complain if the two of a pair have each other's shape.

    Args:
        pair: the result.
        first, second: what they are, in words.
        shape, other: the shapes that they should have.
    """
    found = [tuple(np.shape(each)) for each in pair]
    turned = found == [other, shape] and shape != other
    _demand(not turned, f"the pair is the wrong way round: {first} comes first, then {second}")


def _close(found, expected):
    """Whether two arrays agree, up to rounding in float32."""
    return np.shape(found) == np.shape(expected) and np.allclose(
        found, expected, rtol=TOLERANCE, atol=TOLERANCE
    )


def _first(wrong):
    """The index of the first True, as a tuple of ints."""
    return tuple(int(i) for i in np.argwhere(wrong)[0])


def _blame(found, mistakes, otherwise=""):
    """Raise a complaint that names the mistake.

    Args:
        found: the wrong result.
        mistakes: {complaint: the result that this mistake would give}; complaints about results
            that nothing else explains come last.
        otherwise: the complaint if it is none of these; "" for none.
    """
    for problem, result in mistakes.items():
        if _close(found, result):
            raise Complaint(problem)
    _demand(not otherwise, otherwise)


class _Inputs:
    """Arrays for a call, which notice whether somebody writes into them.

    Args:
        d2l: the framework's library.
        arrays: {name: NumPy array}.
    """

    def __init__(self, d2l, **arrays):
        self.d2l = d2l
        self.before = {name: array.copy() for name, array in arrays.items()}
        self.native = {name: d2l.from_numpy(array.copy()) for name, array in arrays.items()}

    def __iter__(self):
        return iter(self.native.values())

    def demand_unchanged(self):
        """Complain if one of the arrays is another than before."""
        for name, before in self.before.items():
            after = np.asarray(self.d2l.to_numpy(self.native[name]))
            same = np.array_equal(after, before, equal_nan=before.dtype.kind == "f")
            _demand(
                same,
                f"the input {name} is changed by the function; work on a copy, or select into a "
                "new array",
            )


def _softmax(scores, axis=-1):
    """Plain softmax in float64; rows of -inf give NaN."""
    scores = np.asarray(scores, "float64")
    with np.errstate(invalid="ignore"):
        powers = np.exp(scores - scores.max(axis=axis, keepdims=True))
        return powers / powers.sum(axis=axis, keepdims=True)


def _masked(scores, mask):
    """Masked softmax in float64, 0 in rows where nothing is valid."""
    with np.errstate(invalid="ignore"):
        weights = _softmax(np.where(mask, scores, -np.inf))
    return np.where(mask, weights, 0.0)


def _judge_weights(weights, scores, mask, name="the weights"):
    """Compare weights with the softmax of scores where the mask is True.

    Args:
        weights: (batch, queries, keys), the student's.
        scores: (batch, queries, keys).
        mask: booleans of that shape.
    """
    expected = _masked(scores, mask)
    if _close(weights, expected) and not weights[~mask].any():
        return
    empty = ~mask.any(axis=-1)
    hidden_nan = (~np.isfinite(scores) & ~mask).any()
    if np.isnan(weights).any():
        b, q, _ = _first(np.isnan(weights))
        row = f"row {q} of sentence {b} of {name}"
        if empty[b, q]:
            raise Complaint(f"nothing is valid in {row}: it should be all 0, but it has NaN")
        if hidden_nan:
            raise Complaint(
                f"{row} has NaN: what stands behind the mask comes through; select the valid "
                "scores instead of adding or multiplying"
            )
        raise Complaint(
            f"{row} has NaN though its valid scores are finite: does the exponential overflow, or "
            "come to 0 in the whole row?"
        )
    _demand(
        weights.any() or not mask.all(),
        f"{name} are all 0, though every key is valid: True in the mask means valid",
    )
    plain = np.where(np.isfinite(scores), scores, 0.0)
    if not mask.all():
        some = ~mask.all(axis=-1)  # rows in which something is hidden
        swapped = _close(weights[some], _masked(plain, ~mask)[some])
        if swapped and not _close(weights, _softmax(plain)):
            raise Complaint(f"{name} are those of the keys that the mask hides: True means valid")
    if scores.shape[1] > 1:
        columns = np.moveaxis(_masked(np.moveaxis(plain, 1, 2), np.moveaxis(mask, 1, 2)), 1, 2)
        across = [_softmax(plain, axis=1), columns]
        across += [np.where(mask, across[0], 0.0)]
        across += [_softmax(np.where(mask, plain, low), axis=1) for low in (-1e4, -1e9)]
        if any(_close(weights, wrong) for wrong in across):
            raise Complaint(f"{name} sum to 1 over the queries; the keys are the last axis")
    if not _close(weights, expected):
        _blame(weights, _other_weights(plain, mask, name))
        if abs(plain[mask]).max(initial=0) > 100:
            cut_off = (np.clip(plain, -limit, limit) for limit in (*range(10, 101, 5), 88, 1000))
            _demand(
                not any(_close(weights, _masked(cut, mask)) for cut in cut_off),
                f"{name} come from scores that are cut off: beyond some number all weigh the "
                "same. Subtract the largest score of each row instead",
            )
    behind = (weights != 0) & ~mask
    if behind.any():
        b, q, k = _first(behind)
        if empty[b, q]:
            raise Complaint(
                f"nothing is valid in row {q} of sentence {b} of {name}: it should be all 0, but "
                f"key {k} weighs {weights[b, q, k]:.3g}"
            )
        total = weights[b, q].sum()
        about = f"; the row sums to {total:.3g}" if abs(total - 1) > TOLERANCE else ""
        raise Complaint(
            f"padding still gets weight: in row {q} of sentence {b} of {name} key {k} is masked, "
            f"but it weighs {weights[b, q, k]:.3g}{about}"
        )
    if (weights < 0).any():
        raise Complaint(f"{name} are negative at {_first(weights < 0)}; an exponential never is")
    off = (abs(weights.sum(axis=-1) - 1) > TOLERANCE) & ~empty
    if off.any():
        b, q = _first(off)
        problem = f"row {q} of sentence {b} of {name} sums to {weights[b, q].sum():.4g}, not to 1"
        row, valid, gone = plain[b, q], mask[b, q], weights[b, q].sum() < TOLERANCE
        if gone and plain[mask].max() > row[valid].max() + 80:
            problem += ": subtract the largest score of this row, not that of all rows"
        elif scores[mask].min() < -90:
            problem += (
                ": a valid score may be lower than the number that you put behind the mask, and "
                "than the scores there"
            )
        elif gone and not valid.all() and row[~valid].max() > row[valid].max() + 80:
            problem += (
                ": beside larger scores behind the mask the valid ones come to 0; leave those "
                "out before anything is subtracted or summed up"
            )
        elif _close(weights, np.where(mask, _softmax(plain), 0.0)):
            problem += ": keys that are not valid take part in the sum"
        raise Complaint(problem)
    b, q, k = _first(abs(weights - expected) > TOLERANCE)
    raise Complaint(
        f"key {k} in row {q} of sentence {b} of {name} weighs {weights[b, q, k]:.4g}; "
        f"expected {expected[b, q, k]:.4g}"
    )


def _other_weights(scores, mask, name):
    """The weights that well-known mistakes give: {complaint: weights}.

    Args:
        scores: (batch, queries, keys), finite.
        mask: booleans of that shape.
        name: what the weights are, as complaints call them.
    """
    expected = _masked(scores, mask)
    last = mask.shape[-1] - 1 - mask[..., ::-1].argmax(axis=-1)
    shorter = mask & (np.arange(mask.shape[-1]) != last[..., None])
    best = np.where(mask, scores, -np.inf).argmax(axis=-1)[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithms = np.where(mask, np.log(expected), 0.0)
    count = np.maximum(mask.sum(axis=-1, keepdims=True), 1)
    mistakes = {
        "come from the mask of the first query in all rows of a sentence": _masked(
            scores, np.broadcast_to(mask[:, :1], mask.shape)
        ),
        "come from the mask of the first sentence in all sentences": _masked(
            scores, np.broadcast_to(mask[:1], mask.shape)
        ),
        "leave out the last valid key of each row": _masked(scores, shorter),
        "are a softmax of weights: one is too much": _masked(expected, mask),
        "are logarithms, 0 behind the mask; the exponential is missing": logarithms,
        "are 1 at the largest score of a row, else 0; a softmax gives each valid key a share": (
            (np.arange(mask.shape[-1]) == best) & mask
        ),
        "are the same for all valid keys, whatever their scores": mask / count,
    }
    return {f"{name} {problem}": weights for problem, weights in mistakes.items()}


def _random_mask(rng, shape, empty=False):
    """Draw a mask; each row has a valid key, unless `empty`: then the first has none."""
    mask = rng.random(shape) < 0.6
    mask[..., rng.integers(shape[-1])] = True
    if empty:
        mask.reshape(-1, shape[-1])[0] = False
    return mask


@_check
def softmax_where(function, d2l):
    """Check chapter 02's softmax with a mask."""
    rng = np.random.default_rng(2)

    def draw(*shape):
        return rng.normal(0, 2, shape).astype("float32")

    # Few shapes: JAX compiles each operation for each of them
    shape = (2, 3, 5)
    lengths = np.arange(5) < np.array([3, 5])[:, None, None]
    front = np.broadcast_to(np.arange(5) < 3, shape)
    huge = np.where(rng.random(shape) < 0.5, 1e4, -1e4).astype("float32")
    levels = 1e4 * np.array([[1, 0, -1], [-1, 1, 0]])[..., None]
    low = np.where(front, -1e30, 0).astype("float32")
    dirty = draw(*shape)
    dirty[0, :, 3], dirty[0, :, 4] = np.nan, np.inf
    cases = [
        ("scores of two sentences", draw(*shape), np.broadcast_to(lengths, shape)),
        ("valid keys in any place", draw(*shape), _random_mask(rng, shape)),
        ("a mask (batch, 1, keys)", draw(*shape), lengths),
        ("a single key", draw(1, 1, 1), np.ones((1, 1, 1), bool)),
        ("a long sentence alone", draw(1, 2, 400), _random_mask(rng, (1, 2, 400))),
        ("a row with nothing valid", draw(*shape), _random_mask(rng, shape, empty=True)),
        ("nothing valid at all", draw(*shape), np.zeros(shape, bool)),
        ("scores of 10,000", huge, np.ones(shape, bool)),
        ("scores of -1e30", low, front),
        ("NaN behind the mask", dirty, front),
        ("NaN in rows with nothing valid", dirty, np.zeros(shape, bool)),
        (
            "rows around 10,000, 0 and -10,000",
            (np.random.default_rng(22).normal(0, 2, shape) + levels).astype("float32"),
            np.ones(shape, bool),
        ),
    ]
    for what, scores, mask in cases:
        inputs = _Inputs(d2l, scores=scores, mask=np.array(mask))
        result = _call(function, f"for {what}", *inputs)
        inputs.demand_unchanged()
        name = f"the weights ({what})"
        weights = _numbers(result, d2l, name, scores.shape, "(batch, queries, keys)")
        _judge_weights(weights, scores, np.broadcast_to(mask, scores.shape), name)


@_check
def scaled_attention(function, d2l):
    """Check chapter 03's attention by hand."""
    rng = np.random.default_rng(3)

    def draw(*shape):
        return rng.normal(0, 1.5, shape).astype("float32")

    def case(batch, num_queries, num_keys, size, value_size, mask):
        return (
            draw(batch, num_queries, size),
            draw(batch, num_keys, size),
            draw(batch, num_keys, value_size),
            np.array(mask),
        )

    sizes, shape = (2, 3, 5, 6, 7), (2, 3, 5)
    lengths = np.arange(5) < np.array([3, 5])[:, None, None]
    front = np.broadcast_to(np.arange(5) < 3, shape)
    far = case(*sizes, front)
    far[1][:, 3:] *= 100
    far[2][:, 3:] = 1e6
    large, low = case(*sizes, np.ones(shape, bool)), case(*sizes, front)
    large[1][:] *= 100
    low[0][:], low[1][:, :3] = 10, low[1][:, :3] - 20
    cases = [
        ("all keys valid", *case(*sizes, np.ones(shape, bool))),
        ("some padding", *case(*sizes, np.broadcast_to(lengths, shape))),
        ("a mask (batch, 1, keys)", *case(*sizes, lengths)),
        ("keys and values of one size", *case(3, 4, 4, 4, 4, _random_mask(rng, (3, 4, 4)))),
        ("a single key", *case(1, 1, 1, 3, 2, np.ones((1, 1, 1), bool))),
        ("long vectors", *case(1, 2, 60, 256, 3, _random_mask(rng, (1, 2, 60)))),
        ("a query without keys", *case(*sizes, _random_mask(rng, shape, empty=True))),
        ("large padding", *far),
        ("scores of hundreds", *large),
        ("scores far below 0", *low),
    ]
    for what, queries, keys, values, mask in cases:
        inputs = _Inputs(d2l, queries=queries, keys=keys, values=values, mask=mask)
        result = _call(function, f"for {what}", *inputs)
        inputs.demand_unchanged()
        output, weights = _pair(result, "the output", "the weights")
        full = np.broadcast_to(mask, (*queries.shape[:2], keys.shape[1]))
        shape = (*queries.shape[:2], values.shape[-1])
        _demand_order(result, "the output", "the weights", shape, full.shape)
        name = f"the weights ({what})"
        weights = _numbers(weights, d2l, name, full.shape, "(batch, queries, keys)")
        products = queries.astype("float64") @ keys.swapaxes(1, 2)
        size = queries.shape[-1]
        scores = products / np.sqrt(size)
        if not _close(weights, _masked(scores, full)):
            root, divided = np.sqrt(size), f"not by the square root of d = {size}"
            turned = keys.reshape(len(keys), size, -1)
            wide = queries.astype("float64")[:, :, None], keys.astype("float64")[:, None]
            lengths = [np.linalg.norm(array, axis=-1) for array in wide]
            wrong = {
                "are not divided by the square root of d": products,
                "are divided by d and not by its square root": products / size,
                "are divided by the half of d and not by its square root": products / size * 2,
                "are multiplied by the square root of d": products * root,
                "are divided by the root of the number of keys, not of d": (
                    products / np.sqrt(keys.shape[1])
                ),
                "are divided by the root of the number of queries, not of d": (
                    products / np.sqrt(queries.shape[1])
                ),
                "are divided by the root of the size of the values, not of d": (
                    products / np.sqrt(values.shape[-1])
                ),
                f"are divided by 4, {divided}": products / 4,
                f"are divided by 8, {divided}": products / 8,
                "come from keys that are reshaped; swap their axes instead": (
                    queries.astype("float64") @ turned / root
                ),
                "are the cosines of queries and keys; expected q · k / sqrt(d)": (
                    products / (lengths[0] * lengths[1])
                ),
                "come from distances; expected q · k / sqrt(d)": (
                    -((wide[0] - wide[1]) ** 2).sum(axis=-1) / 2
                ),
            }
            for problem, other in wrong.items():
                if _close(weights, _masked(other, full)):
                    raise Complaint(f"{name}: the scores {problem}")
            swapped = values.shape == keys.shape and _close(
                weights, _masked(queries @ values.swapaxes(1, 2) / np.sqrt(size), full)
            )
            _demand(not swapped, f"{name}: the queries are compared with the values, not the keys")
        _judge_weights(weights, scores, full, name)
        name = f"the output ({what})"
        if np.shape(output) == keys.shape[:1] + queries.shape[1:]:
            average = _numpy(output, d2l, name)
            _demand(
                not _close(average, weights @ keys) or _close(average, weights @ values),
                f"{name} is the average of the keys; are keys and values swapped?",
            )
        output = _numbers(output, d2l, name, shape, "(batch, queries, value size)")
        expected = weights @ values.astype("float64")
        if not np.allclose(output, expected, rtol=1e-3, atol=1e-3):
            _blame(
                output,
                {
                    f"{name} is the sum of the valid values, not their average by the weights": (
                        full.astype("float64") @ values
                    ),
                    f"{name} is a mere average of all values, not by the weights": np.broadcast_to(
                        values.mean(axis=1, keepdims=True), shape
                    ),
                    f"{name} is a mere average of the valid values, not by the weights": (
                        full
                        @ values.astype("float64")
                        / np.maximum(full.sum(axis=-1, keepdims=True), 1)
                    ),
                    f"{name} is an average by weights without a mask": _softmax(scores) @ values,
                },
            )
            b, q, _ = place = _first(~np.isclose(output, expected, 1e-3, 1e-3))
            _demand(
                full[b, q].any(),
                f"{name}: query {q} of sentence {b} may see nothing, and its output should be 0",
            )
            raise Complaint(
                f"{name} is not the average of the values by the weights: at {place} it is "
                f"{output[place]:.4g}; expected {expected[place]:.4g}"
            )


@_check
def additive_scores(function, d2l):
    """Check chapter 03's additive scores."""
    rng = np.random.default_rng(4)
    cases = [
        ("two sentences", 2, 3, 4, 5, 6, 7),
        ("sizes that are all alike", 3, 3, 3, 3, 3, 3),
        ("a single key", 1, 1, 1, 2, 4, 3),
        ("many pairs", 2, 30, 40, 8, 6, 16),
        ("large numbers", 2, 3, 4, 5, 6, 7),
    ]
    for what, batch, num_queries, num_keys, query_size, key_size, hiddens in cases:
        queries, keys, W_q, W_k, w_v = (
            rng.normal(size=shape).astype("float32")
            for shape in [
                (batch, num_queries, query_size),
                (batch, num_keys, key_size),
                (query_size, hiddens),
                (key_size, hiddens),
                (hiddens,),
            ]
        )
        if what == "large numbers":  # whole ones, so that their sums are exact
            queries, keys, W_q, W_k = (np.round(9 * array) for array in (queries, keys, W_q, W_k))
        inputs = _Inputs(d2l, queries=queries, keys=keys, W_q=W_q, W_k=W_k, w_v=w_v)
        result = _call(function, f"for {what}", *inputs)
        inputs.demand_unchanged()
        name = f"the scores ({what})"
        shape = (batch, num_queries, num_keys)
        found = _numpy(result, d2l, name)
        turned = (batch, num_keys, num_queries)
        _demand(
            found.shape == shape or found.shape != turned,
            f"{name} have the shape {found.shape}: queries come before keys",
        )
        _demand(
            found.shape != (*shape, 1),
            f"{name} have the shape {found.shape}: the last axis, of size 1, should go",
        )
        _demand(
            found.shape != (*shape, hiddens),
            f"{name} have the shape {found.shape}: the hidden units are not summed up, each "
            "times its number in w_v",
        )
        scores = _numbers(result, d2l, name, shape, "(batch, queries, keys)")
        q = (queries.astype("float64") @ W_q)[:, :, None]
        k = (keys.astype("float64") @ W_k)[:, None]
        expected = np.tanh(q + k) @ w_v
        if _close(scores, expected):
            continue
        mistakes = {
            "the tanh is missing": (q + k) @ w_v,
            "tanh is taken of the score, and not of the hidden units": np.tanh((q + k) @ w_v),
            "tanh is taken of query and key each, and not of their sum": (np.tanh(q) + np.tanh(k))
            @ w_v,
            "the keys play no part": np.broadcast_to(np.tanh(q) @ w_v, shape),
            "the queries play no part": np.broadcast_to(np.tanh(k) @ w_v, shape),
            "query and key are multiplied where they should be added": np.tanh(q * k) @ w_v,
            "the hidden units are summed up without w_v": np.tanh(q + k).sum(axis=-1),
            "the hidden units are averaged, w_v should sum them": np.tanh(q + k) @ w_v / hiddens,
            "a sigmoid stands in the place of tanh": (1 / (1 + np.exp(-q - k))) @ w_v,
            "these are the weights: a softmax is too much": _softmax(expected),
            "a ReLU stands in the place of tanh": np.maximum(q + k, 0) @ w_v,
            "query and key are subtracted where they should be added": np.tanh(q - k) @ w_v,
            "key and query are subtracted where they should be added": np.tanh(k - q) @ w_v,
            "these are dot products; expected w_v times the tanh of a sum": (q * k).sum(axis=-1),
            "nothing is to be divided by the root of a size here": expected / np.sqrt(hiddens),
            "the keys of the first sentence serve for all sentences": np.tanh(q + k[:1]) @ w_v,
            "the queries of the first sentence serve for all sentences": (
                np.tanh(q[:1] + k) @ w_v
            ),
            "the pairs of queries and keys are in another order than the axes": (
                expected.swapaxes(1, 2).reshape(shape)
            ),
        }
        stacked = np.concatenate((W_q, W_k)).astype("float64")
        if query_size != key_size:  # else that is W_q for the keys
            for_keys = (keys @ stacked[:key_size])[:, None]
            for_queries = (queries @ stacked[key_size:])[:, :, None]
            mistakes["side by side, query and key stand in another order than W_q and W_k"] = (
                np.tanh(for_queries + for_keys) @ w_v
            )
        if num_queries == num_keys:
            mistakes["queries come before keys, the two axes are swapped"] = expected.swapaxes(
                1, 2
            )
            if query_size == key_size:
                other_q = (queries.astype("float64") @ W_k)[:, :, None]
                other_k = (keys.astype("float64") @ W_q)[:, None]
                mistakes["W_q belongs to the queries and W_k to the keys"] = (
                    np.tanh(other_q + other_k) @ w_v
                )
        if query_size == hiddens == key_size:
            turned_q = (queries.astype("float64") @ W_q.T)[:, :, None]
            turned_k = (keys.astype("float64") @ W_k.T)[:, None]
            mistakes["W_q and W_k are transposed"] = np.tanh(turned_q + turned_k) @ w_v
        b, i, j = _first(~np.isclose(scores, expected, TOLERANCE, TOLERANCE))
        _demand(
            np.isfinite(scores[b, i, j]) or what != "large numbers",
            f"{name}: query {i} and key {j} of sentence {b} have {scores[b, i, j]}; does an "
            "exponential overflow? There is a tanh that does not",
        )
        _blame(
            scores,
            {f"{name}: {problem}": wrong for problem, wrong in mistakes.items()},
            f"{name}: query {i} and key {j} of sentence {b} have {scores[b, i, j]:.4g}; "
            f"expected {expected[b, i, j]:.4g}",
        )
    shapes = (1, 200, 8), (1, 300, 8), (8, 4), (8, 4), (4,)
    many = (d2l.from_numpy(rng.normal(size=shape).astype("float32")) for shape in shapes)
    _demand_no_loop(function, "200 queries and 300 keys", *many)


@_check
def sentence_loss(function, d2l):
    """Check chapter 04's loss of each sentence."""
    rng = np.random.default_rng(5)

    def case(lengths, steps, words, scale=2.0):
        logits = rng.normal(0, scale, (len(lengths), steps, words)).astype("float32")
        labels = rng.integers(words, size=(len(lengths), steps)).astype("int32")
        return logits, labels, np.array(lengths, "int32")

    wild = case([2, 3, 1], 5, 6)
    for row, length in enumerate(wild[2]):
        wild[0][row, length:] = 1e6 * rng.normal(size=(5 - length, 6))
    cases = [
        ("sentences without padding", *case([5, 5, 5], 5, 6)),
        ("sentences of several lengths", *case([5, 2, 1], 5, 6)),
        ("a single token", *case([1], 1, 3)),
        ("an empty sentence", *case([3, 0, 2], 5, 6)),
        ("large numbers behind the end", *wild),
        ("a long sentence", *case([1, 200], 200, 9)),
        ("logits of 10,000", *case([3, 5, 4], 5, 6, 1e4)),
    ]
    for what, logits, labels, lengths in cases:
        inputs = _Inputs(d2l, logits=logits, labels=labels, valid_lens=lengths)
        result = _call(function, f"for {what}", *inputs)
        inputs.demand_unchanged()
        name = f"the losses ({what})"
        found = _numpy(result, d2l, name)
        _demand(
            found.shape != () or found.shape == lengths.shape,
            f"{name}: a single number is given back; expected one for each sentence",
        )
        _demand(
            found.shape != labels.shape or found.shape == lengths.shape,
            f"{name}: there is one for each token, {found.shape}; expected one for each sentence",
        )
        losses = _numbers(result, d2l, name, lengths.shape, "(batch,)")
        steps = labels.shape[1]
        real = np.arange(steps) < lengths[:, None]
        wide = logits.astype("float64")
        peak = wide.max(axis=-1, keepdims=True)
        log_probs = wide - peak - np.log(np.exp(wide - peak).sum(axis=-1, keepdims=True))
        tokens = -np.take_along_axis(log_probs, labels[..., None], -1)[..., 0]
        totals = np.where(real, tokens, 0.0).sum(axis=1)
        expected = totals / np.maximum(lengths, 1)
        if _close(losses, expected):
            continue
        if not np.isfinite(losses).all():
            row = _first(~np.isfinite(losses))[0]
            value = losses[row]
            _demand(
                lengths[row] > 0,
                f"{name}: sentence {row} has no tokens, and its loss is {value} instead of 0",
            )
            if what == "large numbers behind the end":
                raise Complaint(f"{name}: what stands behind the end of sentence {row} matters")
            raise Complaint(
                f"{name}: sentence {row} has the loss {value}; the logarithm of a softmax that "
                "is 0 is not finite, take a log-softmax"
            )
        picked = np.take_along_axis(wide, labels[..., None], -1)[..., 0]
        flat = np.where(real, tokens, 0.0)

        def means(tokens, real=real, lengths=lengths):
            return np.where(real, tokens, 0.0).sum(axis=1) / np.maximum(lengths, 1)

        def entropies(logits, labels=labels, axis=-1):
            shifted = logits - logits.max(axis=axis, keepdims=True)
            log_probs = shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
            return -np.take_along_axis(log_probs, labels[..., None], -1)[..., 0]

        mistakes = {
            "the padding is not masked, the mean is over all steps": tokens.mean(axis=1),
            "they are divided by the number of all steps, not of real tokens": (flat.mean(axis=1)),
            "they are sums over the tokens; expected means": totals,
            "the padding is summed up with the real tokens": (
                tokens.sum(axis=1) / np.maximum(lengths, 1)
            ),
            "they have the wrong sign": -expected,
            "every sentence has the mean of the whole batch": np.full(
                len(lengths), totals.sum() / max(lengths.sum(), 1)
            ),
            "they are divided by the tokens of the whole batch": totals / max(lengths.sum(), 1),
            "they are the logits of the labels; a log-softmax is missing": (
                -np.where(real, picked, 0.0).sum(axis=1) / np.maximum(lengths, 1)
            ),
            "the last token of each sentence is left out": (
                np.where(np.arange(steps) < lengths[:, None] - 1, tokens, 0.0).sum(axis=1)
                / np.maximum(lengths - 1, 1)
            ),
            "one token too many counts": (
                np.where(np.arange(steps) <= lengths[:, None], tokens, 0.0).sum(axis=1)
                / np.maximum(lengths, 1)
            ),
            "they are in bits; expected nats": expected / np.log(2),
            "they are divided by the length and 1": totals / (lengths + 1),
            "they are divided by the mean length, not each by its own": totals / lengths.mean(),
            "they are divided by the number of losses that are not 0, and not by that of tokens": (
                totals / np.maximum((flat != 0).sum(axis=1), 1)
            ),
            "they are those of the most probable words, not of the labels": means(
                -log_probs.max(axis=-1)
            ),
            "the softmax is taken over the steps; the vocabulary is the last axis": means(
                entropies(wide, axis=1)
            ),
            "the softmax is taken twice: what goes into the loss are probabilities": means(
                entropies(np.exp(log_probs))
            ),
            "each step is compared with the label of the next": means(
                entropies(wide, np.roll(labels, -1, axis=1))
            ),
            "the real tokens stand in front, but the last ones count": (
                np.where(real[:, ::-1], tokens, 0.0).sum(axis=1) / np.maximum(lengths, 1)
            ),
            "labels of 0 are taken for padding; the lengths say what is padding": (
                np.where(labels != 0, tokens, 0.0).sum(axis=1)
                / np.maximum((labels != 0).sum(axis=1), 1)
            ),
            "logits behind the end are cleared; it is their losses that should not count": (
                np.where(real, tokens, np.log(logits.shape[-1])).sum(axis=1)
                / np.maximum(lengths, 1)
            ),
            "the steps of several sentences are mixed up": means(
                tokens.reshape(steps, -1).T if len(lengths) > 1 else tokens
            ),
        }
        with np.errstate(over="ignore"):
            mistakes["they are perplexities; leave out exp"] = np.exp(expected)
        row = _first(~np.isclose(losses, expected, TOLERANCE, TOLERANCE))[0]
        problem = (
            f"{name}: sentence {row}, {lengths[row]} of {steps} steps, has {losses[row]:.4g}; "
            f"expected {expected[row]:.4g}"
        )
        if what == "logits of 10,000" and losses.max() < 1000:
            problem += ". Is something cut off? Take a log-softmax, which needs no limit"
        _blame(losses, {f"{name}: {why}": wrong for why, wrong in mistakes.items()}, problem)


@_check
def attention_step(function, d2l):
    """Check chapter 05's step of the decoder."""
    rng = np.random.default_rng(6)
    cases = [
        ("two sentences", 2, 5, 4, 6, 3, [3, 5]),
        ("padding on the left", 2, 5, 4, 6, 3, None),
        ("a single token", 1, 1, 3, 3, 3, [1]),
        ("as many sentences as steps", 4, 4, 4, 4, 4, [1, 2, 3, 4]),
        ("a long sentence", 3, 80, 8, 16, 8, [80, 1, 40]),
        ("scores of hundreds", 2, 5, 4, 6, 3, [3, 5]),
        ("scores far below 0", 2, 5, 4, 6, 3, [3, 4]),
        ("padding with scores of 50,000", 2, 5, 4, 6, 3, [3, 4]),
    ]
    for what, batch, steps, num_hiddens, size, embed_size, lengths in cases:
        if lengths is None:
            mask = np.arange(steps) >= np.array([1, 2])[:, None]
        else:
            mask = np.arange(steps) < np.array(lengths)[:, None]
        hidden = rng.normal(size=(batch, num_hiddens)).astype("float32")
        embedded = rng.normal(size=(batch, embed_size)).astype("float32")
        memory = rng.normal(size=(batch, steps, size)).astype("float32")
        memory[~mask] *= 50
        W_score = rng.normal(0, 0.3, (num_hiddens, size)).astype("float32")
        if what == "scores of hundreds":
            W_score *= 300
        if what == "scores far below 0":  # the real tokens' only
            towards = (hidden @ W_score)[:, None]
            memory = np.where(mask[..., None], memory, 0) - np.where(mask[..., None], 300, 0) * (
                towards / (towards**2).sum(axis=-1, keepdims=True)
            )
            memory = memory.astype("float32")
        if what == "padding with scores of 50,000":
            towards = (hidden @ W_score)[:, None]
            loud = 50_000 * towards / (towards**2).sum(axis=-1, keepdims=True)
            memory = np.where(mask[..., None], memory, loud).astype("float32")
        W_x = rng.normal(size=(size + embed_size, num_hiddens)).astype("float32") / 2
        W_h = rng.normal(size=(num_hiddens, num_hiddens)).astype("float32") / 2
        asked = []

        def score(queries, keys, W=W_score, asked=asked):
            queries, keys = _numpy(queries, d2l, "queries"), _numpy(keys, d2l, "keys")
            sizes = W.shape
            fits = queries.ndim == 3 and queries.shape[1:] == (1, sizes[0])
            _demand(
                fits,
                f"score is called with queries {queries.shape}; expected (batch, 1, num_hiddens) "
                f"with num_hiddens = {sizes[0]}",
            )
            fits = keys.ndim == 3 and keys.shape[::2] == (len(queries), sizes[1])
            _demand(
                fits,
                f"score is called with keys {keys.shape}; expected (batch, steps, size) with "
                f"size = {sizes[1]}",
            )
            asked.append(queries)
            return d2l.from_numpy((queries @ W @ keys.swapaxes(1, 2)).astype("float32"))

        def gru(x, hidden, W_x=W_x, W_h=W_h):
            x, hidden = _numpy(x, d2l, "x"), _numpy(hidden, d2l, "hidden")
            fits = x.ndim == 2 and x.shape[1] == len(W_x)
            _demand(
                fits,
                f"gru is called with x {x.shape}; expected (batch, size + embed_size) with "
                f"size + embed_size = {len(W_x)}",
            )
            fits = hidden.shape == (len(x), len(W_h))
            _demand(
                fits,
                f"gru is called with a state {hidden.shape}; expected (batch, num_hiddens) = "
                f"{(len(x), len(W_h))}",
            )
            return d2l.from_numpy(np.tanh(x @ W_x + hidden @ W_h).astype("float32"))

        inputs = _Inputs(d2l, hidden=hidden, embedded=embedded, memory=memory, mask=mask)
        result = _call(function, f"for {what}", *inputs, score, gru)
        inputs.demand_unchanged()
        new_hidden, weights = _pair(result, "the new state", "the weights")
        _demand_order(result, "the new state", "the weights", hidden.shape, mask.shape)
        name = f"the weights ({what})"
        weights = _numbers(weights, d2l, name, mask.shape, "(batch, steps)")
        name = f"the new state ({what})"
        new_hidden = _numbers(new_hidden, d2l, name, hidden.shape, "(batch, num_hiddens)")
        _judge_step(
            what, new_hidden, weights, (hidden, embedded, memory, mask), (W_score, W_x, W_h), asked
        )


def _judge_step(what, new_hidden, weights, inputs, matrices, asked):
    """Compare one step of the decoder with NumPy.

    Args:
        what: the case in words.
        new_hidden, weights: the student's result.
        inputs: hidden, embedded, memory and mask.
        matrices: those of score, and of gru for its two inputs.
        asked: list of the queries that score was called with.
    """
    hidden, embedded, memory, mask = (
        array if array.dtype == bool else array.astype("float64") for array in inputs
    )
    W_score, W_x, W_h = (array.astype("float64") for array in matrices)

    def attend(query, mask=mask):
        scores = (query[:, None] @ W_score @ memory.swapaxes(1, 2))[:, 0]
        return scores, _masked(scores, mask)

    def advance(context, state, order=1):
        x = np.concatenate((context, embedded)[::order], axis=-1)
        return np.tanh(x @ W_x + state @ W_h)

    def average(weights):
        return (weights[:, None] @ memory)[:, 0]

    scores, right = attend(hidden)
    everything = np.ones_like(mask)
    _demand(asked, f"score is never called ({what})")
    if not _close(weights, right) or weights[~mask].any():
        no_context = advance(average(right), hidden)
        later = attend(no_context)[1]
        idle = advance(np.zeros_like(memory[:, 0]), hidden)
        newer = [later, attend(idle)[1]]
        queries = np.concatenate(asked)[:, 0]  # of the batch or of some of its sentences
        known = [any(_close(query, row) for row in hidden) for query in queries]
        if not any(known):
            raise Complaint(
                f"score is asked with another query than the state of the step before ({what})"
            )
        by_new = not known[-1] or any(_close(weights, wrong) for wrong in newer)
        if by_new and not all(known):
            raise Complaint(
                f"the weights ({what}) belong to the new state; the state of the step before asks"
            )
        name, wide = f"the weights ({what})", np.where(mask, scores, -1e9)
        root, mistakes = np.sqrt(hidden.shape[-1]), {}
        if not _close(weights, right):
            mistakes = {
                "are a softmax over the sentences; the steps are the last axis": _softmax(wide, 0),
                "come from scores divided by a root; take them as score gives them": _masked(
                    scores / root, mask
                ),
            }
        _blame(weights, {f"{name} {problem}": wrong for problem, wrong in mistakes.items()})
        _judge_weights(weights[:, None], scores[:, None], mask[:, None], name)
    expected = advance(average(right), hidden)
    if _close(new_hidden, expected):
        return
    name = f"the new state ({what})"
    mistakes = {
        "the state has not moved: gru's result should be given back": hidden,
        "gru is handed the embedded token before the context": advance(average(right), hidden, -1),
        "the context is the plain average of the real tokens, not that by the weights": advance(
            average(mask / mask.sum(axis=1, keepdims=True)), hidden
        ),
        "the context is the average of all steps, padding included": advance(
            memory.mean(axis=1), hidden
        ),
        "the context comes from weights without the mask": advance(
            average(attend(hidden, everything)[1]), hidden
        ),
        "the context is an average by the scores; take the weights": advance(
            average(np.where(mask, scores, 0.0)), hidden
        ),
        "the context is the memory at the token with the largest weight, not an average": advance(
            memory[np.arange(len(memory)), right.argmax(axis=1)], hidden
        ),
        "the context plays no part": advance(np.zeros_like(memory[:, 0]), hidden),
        "gru starts from 0 and not from the state of the step before": advance(
            average(right), np.zeros_like(hidden)
        ),
        "gru is called twice": advance(average(right), expected),
        "the last step of the memory stands in the place of the context": advance(
            memory[:, -1], hidden
        ),
    }
    row = _first(~np.isclose(new_hidden, expected, TOLERANCE, TOLERANCE))[0]
    _blame(
        new_hidden,
        {f"{name}: {problem}": wrong for problem, wrong in mistakes.items()},
        f"{name}: that of sentence {row} is not what gru makes of context and embedded token, "
        "side by side, and the state of the step before",
    )


def _sentences(result, batch_size):
    """Take the result of a search as lists of ints.

    Args:
        result: the student's.
        batch_size: number of sentences that it should hold.
    """
    _demand(result is not None, "nothing (None) is given back; is there a return?")
    try:
        found = [list(sentence) for sentence in result]
    except TypeError:
        raise Complaint(
            f"the result should be a list with a list of token ids for each sentence, not "
            f"{result!r:.60}"
        ) from None
    _demand(
        len(found) == batch_size,
        f"there are {len(found)} sentences; expected {batch_size}: the result is a list with a "
        "list of token ids for each sentence, and nothing else",
    )
    one = isinstance(result, list) and all(sentence is result[0] for sentence in result)
    _demand(
        not one or batch_size == 1 or not found[0],
        "all sentences are one and the same list: [[]] * batch_size makes no copies",
    )
    return [_tokens(sentence) for sentence in found]


def _tokens(sentence):
    """Take a sentence as a list of ints."""
    try:
        found = [token.item() if hasattr(token, "item") else token for token in sentence]
        ids = [int(token) for token in found]
        whole = all(token == number for token, number in zip(found, ids))
    except (TypeError, ValueError):
        whole = False
    _demand(whole, f"a sentence should be a list of token ids, not {sentence!r:.60}")
    return ids


class _Script:
    """A decoder that says given sentences, and notices how it is asked.

    Args:
        sentences: list of lists of token ids, without eos.
        bos, eos: ids of the two special tokens.
        num_words: size of the vocabulary.
        max_steps: how many steps the search is allowed.
        seed: of all other numbers.
        d2l: the framework's library.
        again: whether sentences that have ended say eos again.
    """

    def __init__(self, sentences, bos, eos, num_words, max_steps, seed, d2l, again=False):
        self.sentences, self.bos, self.eos = sentences, bos, eos
        self.num_words, self.max_steps, self.d2l = num_words, max_steps, d2l
        self.rng = np.random.default_rng(seed)
        longest = max(len(sentence) + 1 for sentence in sentences)
        self.needed = min(longest, max_steps)
        self.words = [word for word in range(num_words) if word not in (bos, eos)]
        # Behind <eos> a decoder is fluent: the same words again, and no second <eos> at once
        self.said = [
            [*sentence, eos, *self.rng.choice(self.words, 3 * longest + 10)]
            for sentence in sentences
        ]
        for sentence, said in zip(sentences, self.said if again else []):
            said[len(sentence) + 1 :: 2] = [eos] * len(said[len(sentence) + 1 :: 2])
        self.calls = 0

    def start(self):
        """The first state."""
        return ("state", self, 0)

    def step(self, tokens, state):
        """Feed one token to each sentence; complain if that is not what should be fed."""
        number = self.calls
        self.calls += 1
        _demand(
            isinstance(state, tuple) and len(state) == 3 and state[1] is self,
            "step is called with something else than a state that it gave back",
        )
        _demand(
            state[2] == number,
            f"call {number + 1} of step gets the state before step {state[2] + 1}: hand on the "
            "state that step gave back last",
        )
        tokens = _numpy(tokens, self.d2l, "tokens")
        batch = len(self.sentences)
        _demand(
            tokens.shape == (batch,),
            f"step is called with tokens of shape {tokens.shape}; expected (batch_size,) = "
            f"{(batch,)}",
        )
        _demand(
            number < self.max_steps,
            f"step is called {number + 1} times, but max_steps is {self.max_steps}",
        )
        _demand(
            number < self.needed,
            f"step is called again though every sentence has ended after {self.needed} steps: "
            "stop when all have said eos",
        )
        for row, token in enumerate(tokens.tolist()):
            if number == 0:
                _demand(token == self.bos, f"the first tokens fed are {tokens}; all should be bos")
            elif number <= len(self.sentences[row]):
                right = self.said[row][number - 1]
                _demand(
                    token == right,
                    f"step {number + 1} feeds token {token} to sentence {row}, but the most "
                    f"probable token was {right}",
                )
        logits = self.rng.normal(size=(batch, self.num_words))
        for row in range(batch):
            logits[row, self.said[row][number]] = logits[row].max() + 0.5
        log_probs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        return log_probs.astype("float32"), ("state", self, number + 1)


@_check
def greedy_search(function, d2l):
    """Check chapter 06's greedy search."""
    rng = np.random.default_rng(7)

    def sentences(lengths, bos, eos, num_words):
        words = [word for word in range(num_words) if word not in (bos, eos)]
        drawn = [[int(word) for word in rng.choice(words, length)] for length in lengths]
        for sentence in drawn:
            if 0 in words and len(sentence) > 2:
                sentence[1] = 0  # which is a word like any other
        return drawn

    cases = [
        # what, lengths, bos, eos, words, max_steps
        ("three sentences", [3, 6, 1], 2, 3, 9, 20),
        ("a batch of 1", [4], 2, 3, 8, 20),
        ("sentences of one length", [5, 5], 2, 3, 7, 20),
        ("an empty sentence", [0, 2, 0], 2, 3, 7, 10),
        ("other ids of bos and eos", [4, 2, 6], 5, 0, 6, 20),
        ("a limit", [9, 2, 30], 2, 3, 9, 5),
        ("a limit that a sentence just keeps", [4, 5, 3], 2, 3, 9, 5),
        ("a limit of 1", [3, 0], 2, 3, 8, 1),
        ("a long sentence", [3, 150], 2, 3, 50, 200),
        ("sentences that say eos again", [1, 7, 4], 2, 3, 9, 20),
    ]
    for seed, (what, lengths, bos, eos, num_words, max_steps) in enumerate(cases):
        script = _Script(
            sentences(lengths, bos, eos, num_words),
            bos,
            eos,
            num_words,
            max_steps,
            seed,
            d2l,
            again=what == "sentences that say eos again",
        )
        result = _call(
            function,
            f"for {what}",
            script.step,
            script.start(),
            len(lengths),
            bos,
            eos,
            max_steps,
        )
        found = _sentences(result, len(lengths))
        for row, (ours, theirs) in enumerate(zip(script.sentences, found)):
            expected = ours[:max_steps]
            if theirs == expected:
                continue
            name = f"sentence {row} ({what})"
            raise Complaint(f"{name}: {_sentence_problem(theirs, expected, bos, eos, script)}")


def _sentence_problem(found, expected, bos, eos, script):
    """Say how a sentence differs from the one that a script says."""
    if found[:1] == [bos]:
        return "it begins with bos, which should not be in the list"
    if found == [*expected, eos]:
        return "it ends with eos, which should not be in the list"
    if eos in found:
        return f"it goes on behind eos: {len(found)} tokens instead of {len(expected)}"
    if found == expected[: len(found)]:
        if len(found) in map(len, script.sentences):
            return (
                f"it stops after {len(found)} of {len(expected)} tokens, where another sentence "
                "has ended"
            )
        return f"it stops after {len(found)} tokens; expected {len(expected)}"
    if expected == found[: len(expected)] and set(found[len(expected) :]) == {0}:
        return f"behind its {len(expected)} tokens stand zeros; lists may differ in length"
    if expected == found[: len(expected)]:
        return f"it has {len(found)} tokens, but it ended after {len(expected)}"
    if [token for token in found if token in expected] == found:
        return f"tokens are missing: {len(found)} instead of {len(expected)}"
    return f"the tokens are {found[:8]}; expected {expected[:8]}"


class _Language:
    """A model of sentences for a beam search: the next token depends on all before.

    Args:
        seed: of its probabilities.
        num_words: size of the vocabulary.
        bos, eos: ids of the two special tokens.
        ending: what is added to the logit of eos; the larger, the shorter the sentences.
        d2l: the framework's library.
    """

    def __init__(self, seed, num_words, bos, eos, ending, d2l):
        self.seed, self.num_words, self.bos, self.eos = seed, num_words, bos, eos
        self.ending, self.d2l = ending, d2l
        self.calls, self.limit = 0, np.inf
        self.log_probs = functools.lru_cache(None)(self._log_probs)

    def _log_probs(self, tokens):
        rng = np.random.default_rng([self.seed, *tokens])
        logits = rng.normal(0, 1.5, self.num_words)
        logits[self.eos] += self.ending
        logits[self.bos] -= 20
        return logits - np.log(np.exp(logits).sum())

    def step(self, token, state):
        """Feed one token to one beginning, as the student's search does."""
        self.calls += 1
        _demand(
            self.calls <= self.limit,
            f"step is called {self.calls} times, which is far too often: does the search end?",
        )
        _demand(
            isinstance(state, tuple) and state[:1] == ("state",),
            "step is called with something else than a state that it gave back",
        )
        token = _numpy(token, self.d2l, "token")
        _demand(
            token.shape == (), f"step is called with an array {token.shape}; expected one token"
        )
        token = int(token)
        if len(state) == 1:
            _demand(
                token == self.bos,
                f"the first state comes with token {token}; expected bos. A beginning goes on "
                "from the state that step gave back for it",
            )
        _demand(0 <= token < self.num_words, f"step is called with {token}, which is no token id")
        state = (*state, token)
        return self.log_probs(state[1:]).copy(), state


SEARCH_MISTAKES = {
    "greedy": "that is what greedy search finds; a beam keeps several beginnings",
    "worst": "the worst beginnings are kept; sort the other way",
    "sum": "the sums of the log-probabilities are compared; divide them by the number of tokens",
    "sum, then mean": "beginnings are compared by their sums; compare their means at each step, "
    "each sum by its own number of tokens",
    "mean, then sum": "the winner is chosen by sums; the best mean wins",
    "returns sum": "the score is the sum of the log-probabilities, not their mean",
    "returns probability": "the score is a probability; expected the mean log-probability",
    "no eos": "eos does not count as a token when the mean is taken, but it should",
    "bos": "bos counts as a token when the mean is taken, but it should not",
    "goes on": "beginnings that have ended are extended; they should stay as they are",
    "drops": "beginnings that have ended leave the beam; they should keep their place in it",
    "first": "the search is over when all that are kept have ended, not when the first has",
    "best": "the search is over when all that are kept have ended, not when the best has",
    "ended": "the best of those kept wins, ended or not; here a sentence that has ended wins",
    "lost": "beginnings that have ended are forgotten at the next step; they stay in the beam",
    "padded": "eos counts again and again at the end of what has ended; it counts once",
    "no empty": "a sentence may be empty: eos is a token like any other at the first step",
    "root": "the sums are divided by a root of the number of tokens; take the mean",
    "wide": "one beginning more than beam_size is kept",
    "late": "the search goes on for a step beyond max_steps",
    "early": "the search ends a step before max_steps",
}


def _search(language, beam_size, max_steps, mistake=""):
    """Search as the exercise describes it, or with one of SEARCH_MISTAKES."""
    eos = language.eos

    def score(beginning):
        tokens, total = beginning
        if mistake.startswith("sum"):
            return total
        if mistake == "root":
            return total / len(tokens) ** 0.5
        if mistake == "no eos":
            return total / max(len(tokens) - (tokens[-1] == eos), 1)
        return total / (len(tokens) + (mistake == "bos"))

    beginnings, ended = [((), 0.0)], []
    for _ in range(max_steps + (mistake == "late") - (mistake == "early")):
        extended = []
        for tokens, total in beginnings:
            if tokens and tokens[-1] == eos and mistake != "goes on":
                again = (eos,) * (mistake == "padded")
                extended += [((*tokens, *again), total)] * (mistake != "lost")
                continue
            log_probs = language.log_probs((language.bos, *tokens))
            extended += [((*tokens, t), total + p) for t, p in enumerate(log_probs.tolist())]
        if mistake == "no empty":
            extended = [b for b in extended if b[0] != (eos,)]
        extended.sort(key=score, reverse=mistake != "worst")
        beginnings = extended[: 1 if mistake == "greedy" else beam_size + (mistake == "wide")]
        over = [tokens[-1] == eos for tokens, _ in beginnings]
        if mistake == "first" and any(over):
            beginnings = [b for b in beginnings if b[0][-1] == eos]
            break
        if mistake == "drops":
            ended += [b for b in beginnings if b[0][-1] == eos]
            beginnings = [b for b in beginnings if b[0][-1] != eos]
        if all(over) or (mistake == "best" and over[0]):
            break
    found = [b for b in [*beginnings, *ended] if b[0]]
    if not found:  # after no step at all
        return [], 0.0
    if mistake == "ended":
        found = [b for b in found if b[0][-1] == eos] or found
    if mistake == "mean, then sum":
        found = [max(found, key=lambda beginning: beginning[1])]
    best = (min if mistake == "worst" else max)(found, key=score)
    tokens = [token for token in best[0] if token != eos]
    mean = best[1] / len(best[0])
    final = {
        "returns sum": best[1],
        "returns probability": np.exp(mean),
        "sum, then mean": mean,
    }.get(mistake, score(best))
    return tokens, final


@_check
def beam_decode(function, d2l):
    """Check chapter 06's beam search for one sentence."""
    cases = [
        # what, words, bos, eos, weight of eos, beam_size, max_steps
        *[(f"a beam of {size}", 7, 2, 3, 0.5, size, 12) for size in (1, 2, 3, 4) for _ in "1234"],
        *[("other ids of bos and eos", 6, 4, 0, 0.5, 3, 10) for _ in "12"],
        *[("sentences that end early", 6, 2, 3, 4, 3, 10) for _ in "12"],
        *[("a limit", 6, 2, 3, -2, 2, 4) for _ in "12"],
        ("a limit of 1", 6, 2, 3, 0, 2, 1),
        ("a beam wider than the vocabulary", 4, 0, 1, 0, 6, 4),
        ("a long sentence", 12, 2, 3, -1.5, 2, 40),
    ]
    problems, explained = [], dict.fromkeys(SEARCH_MISTAKES, True)
    # From this seed on no two scores come nearer than 6e-4: sums in float32 find the same
    numbered = enumerate(cases, start=199)
    for seed, (what, num_words, bos, eos, ending, beam_size, max_steps) in numbered:
        language = _Language(seed, num_words, bos, eos, ending, d2l)
        language.limit = 2 * beam_size * max_steps + 10
        result = _call(
            function, f"for {what}", language.step, ("state",), bos, eos, beam_size, max_steps
        )
        tokens, score = _pair(result, "token ids", "score")
        _demand(
            np.ndim(tokens) > 0 or not np.ndim(score),
            "the pair is the wrong way round: the token ids come first, then the score",
        )
        tokens = _tokens(tokens)
        score = float(_numbers(score, d2l, "the score", (), "a number,"))

        def is_that_of(mistake, found=(tokens, score), search=(language, beam_size, max_steps)):
            tokens, score = _search(*search, mistake)
            return found[0] == tokens and abs(found[1] - score) < TOLERANCE

        expected, best = _search(language, beam_size, max_steps)
        if not is_that_of(""):
            if tokens[:1] == [bos]:
                problem = f"the tokens ({what}) begin with bos, which should not be there"
            elif tokens == [*expected, eos]:
                problem = f"the tokens ({what}) end with eos; leave it out"
            elif tokens == expected:
                problem = (
                    f"{what}: {tokens} is right, but its score is {best:.4g}, not {score:.4g}"
                )
            else:
                problem = (
                    f"{what}: found {tokens} with {score:.4g}; expected {expected} with {best:.4g}"
                )
            problems.append(problem)
        # A mistake explains the answers if it explains all of them, the right ones, too
        for mistake in SEARCH_MISTAKES:
            explained[mistake] = explained[mistake] and is_that_of(mistake)
    for mistake, explains in explained.items():
        if problems and explains:
            raise Complaint(f"{SEARCH_MISTAKES[mistake]} ({problems[0]})")
    if problems:
        raise Complaint(problems[0])


@_check
def alignment_error(function, d2l):
    """Check chapter 07's alignment error rate."""
    rng = np.random.default_rng(8)

    def case(num_targets, num_sources, share_right, num_possible):
        weights = rng.dirichlet(np.full(num_sources, 0.5), num_targets)
        best = weights.argmax(axis=1)
        every = [(s, t) for s in range(num_sources) for t in range(num_targets)]
        sure = [(int(s), t) for t, s in enumerate(best) if rng.random() < share_right]
        others = [link for link in every if link not in sure]
        picked = rng.permutation(len(others))
        extra = [others[i] for i in picked[: max(1, num_targets // 3)]]
        possible = [others[i] for i in picked[len(extra) : len(extra) + num_possible]]
        # Some of the links found are possible ones
        found = [(int(s), t) for t, s in enumerate(best)]
        possible += [
            link for link in found if link not in sure + extra + possible and rng.random() < 0.7
        ]
        return weights, sure + extra, possible

    cases = [
        ("sure links only", *case(4, 6, 0.6, 0)[:2], []),
        ("sure and possible links", *case(6, 5, 0.5, 6)),
        ("as many source as target tokens", *case(5, 5, 0.4, 5)),
        ("a long sentence", *case(40, 50, 0.5, 60)),
        ("a single token", np.ones((1, 1)), [(0, 0)], []),
        ("nothing found", np.eye(3)[::-1].copy(), [(0, 0), (2, 2)], []),
        ("no sure link", np.eye(3), [], [(0, 0), (1, 2)]),
    ]
    weights, sure, possible = case(7, 6, 0.6, 4)
    cases.append(("sure links that stand among the possible ones", weights, sure, sure + possible))
    problems, explained = [], {}
    for what, weights, sure, possible in cases:
        given = weights.copy(), list(sure), list(possible)
        result = _call(function, f"for {what}", *given)
        same = np.array_equal(given[0], weights) and given[1:] == (sure, possible)
        _demand(same, "the function changes its inputs; work on copies")
        name = f"the rate ({what})"
        rate = float(_numbers(result, d2l, name, (), "a single number,"))
        rates = _rates(weights, set(sure), set(possible))
        expected = rates.pop("")
        if not abs(rate - expected) < TOLERANCE:
            problems.append((name, f" is {rate:.4g}; expected {expected:.4g}"))
        # A mistake explains the answers if it explains all of them, the right ones, too
        for problem, wrong in rates.items():
            fits = abs(rate - wrong) < TOLERANCE
            explained[problem] = explained.get(problem, True) and fits
    if problems:
        name, otherwise = problems[0]
        for problem, explains in explained.items():
            _demand(not explains, f"{name}: {problem}")
        raise Complaint(name + otherwise)


def _rates(weights, sure, possible):
    """The alignment error rate, and those that well-known mistakes give: {complaint: rate}.

    Args:
        weights: (targets, sources).
        sure, possible: sets of links, (source, target).
    """

    def divide(above, below):
        return above / below if below else 0.0

    def error(found, sure=sure, possible=possible):
        found = set(found)
        agreed = len(found & sure) + len(found & (sure | possible))
        return 1 - divide(agreed, len(found) + len(sure))

    def largest(array):
        return [(int(s), t) for t, s in enumerate(array.argmax(axis=1))]

    best = largest(weights)
    found, allowed = set(best), sure | possible
    agreed = len(found & sure) + len(found & allowed)
    both = len(found) + len(sure)
    num_sources = weights.shape[1]
    two = np.argsort(-weights, axis=1)[:, :2].tolist()
    precision = divide(len(found & allowed), len(found))
    recall = divide(len(found & sure), len(sure)) if sure else 1.0
    return {
        "": error(best),
        "the possible links are left out": error(best, possible=set()),
        "sure links are possible ones, too, and should count twice": 1
        - (len(found & sure) + len(found & (possible - sure))) / both,
        "sure links that also stand among the possible ones count three times; twice is right": 1
        - (2 * len(found & sure) + len(found & possible)) / both,
        "the possible links are counted as if they were sure": error(best, allowed),
        "the possible links should not be counted below the line": 1
        - agreed / (len(found) + len(allowed)),
        "1 minus is missing; this is a rate of success": 1 - error(best),
        "this is in percent; expected a number between 0 and 1": 100 * error(best),
        "a number is rounded; leave it as it is": round(error(best), 2),
        "a link is (source, target), here it is the other way round": error(
            [(t, s) for s, t in best]
        ),
        "tokens are counted from 1; links count from 0": error([(s + 1, t + 1) for s, t in best]),
        "each source token is linked, but it is the target tokens that look": error(
            enumerate(weights.argmax(axis=0).tolist())
        ),
        "the largest weight is taken over the wrong axis": error(largest(weights.T)),
        "the links found are those with the smallest weight": error(largest(-weights)),
        "two links are found for each target token, it should be one": error(
            (s, t) for t, row in enumerate(two) for s in row
        ),
        "of target tokens that look at the same source token only one has a link": error(
            {s: (s, t) for s, t in best}.values()
        ),
        "the sure links are missing below the line": 1 - divide(agreed, len(found)),
        "the links found are missing below the line": 1 - divide(agreed, max(len(sure), 1)),
        "below the line links that are both found and sure count once; they should count twice": 1
        - agreed / len(found | sure),
        "below the line stands the number of source tokens, not that of links found": 1
        - agreed / (num_sources + len(sure)),
        "only the sure links count above the line, each should count twice": 1
        - len(found & sure) / both,
        "links found count once above the line; sure ones should count twice": 1
        - len(found & allowed) / both,
        "without a sure link the rate is not 0": error(best) if sure else 0.0,
        "this is 1 minus an F-measure; expected 1 - (|A and S| + |A and P|) / (|A| + |S|)": 1
        - divide(2 * precision * recall, precision + recall),
    }


@_check
def causal_mask(function, d2l):
    """Check chapter 09's causal mask."""
    cases = [
        ("two sentences", [3, 4], 5, 5),
        ("a past of four steps", [6, 5], 2, 6),
        ("one query behind four steps", [5, 3], 1, 5),
        ("a single step", [1], 1, 1),
        ("an empty sentence", [0, 3], 3, 3),
        ("more sentences than steps", [2, 1, 3, 0], 3, 3),
    ]
    for what, lengths, num_queries, num_keys in cases:
        inputs = _Inputs(d2l, valid_lens=np.array(lengths, "int32"))
        result = _call(function, f"for {what}", *inputs, num_queries, num_keys)
        inputs.demand_unchanged()
        _judge_mask(
            _numpy(result, d2l, f"the mask ({what})"), what, lengths, num_queries, num_keys
        )


def _judge_mask(found, what, lengths, num_queries, num_keys):
    """Compare a causal mask with what it should be.

    Args:
        found: the student's, an array.
        what: the case in words.
        lengths: list of the valid lengths.
        num_queries, num_keys: integers.
    """
    name = f"the mask ({what})"
    lens = np.array(lengths)[:, None, None]
    shape = (len(lengths), num_queries, num_keys)
    if num_queries > 1:
        problems = {
            shape[1:]: "the sentences' axis is missing, though each sentence has its own padding",
            shape[::2]: "the queries' axis is missing, though each query sees more than the last",
            (shape[0], num_keys, num_queries): "queries come before keys",
        }
        if found.dtype != bool:
            problems[shape[:2]] = (
                "are these lengths? Compare the places of the keys with them, on an axis of their "
                "own"
            )
        problem = problems.get(found.shape)
        _demand(
            found.shape == shape or problem is None,
            f"{name} has the shape {found.shape}; expected (batch, queries, keys) = {shape}: "
            f"{problem}",
        )
    _demand(
        found.shape == shape,
        f"{name} has the shape {found.shape}; expected (batch, queries, keys) = {shape}",
    )
    if found.dtype != bool and found.dtype.kind in "fiu" and (found < 0).any():
        raise Complaint(
            f"{name} holds {found.min():g} where something is hidden, as if to be added to "
            "scores; expected booleans, True for what is seen"
        )
    _demand(
        found.dtype == bool,
        f"{name} holds {found.dtype}; expected booleans: a comparison gives them",
    )
    past = num_keys - num_queries
    t, k = np.arange(past, num_keys)[:, None], np.arange(num_keys)
    causal, real = k <= t, k < lens
    expected = causal & real
    mistakes = {
        "True means that a query may see a key; here it means that it may not": ~expected,
        "a query does not see its own step, but it may": (k < t) & real,
        "a query sees one step too many, the one that comes next": (k <= t + 1) & real,
        "a query sees what comes later, not what came before": (k >= t) & real,
        "a query sees later steps alone, and neither its own nor earlier ones": (k > t) & real,
        "the queries are taken for the first steps, but they are the last": (k <= t - past) & real,
        "a query does not see the past, the steps before the first query": (k >= past) & expected,
        "a query sees one step of the past too few": (k <= t - 1) & real,
        "padding is seen": causal,
        "later steps are seen": real,
        "everything is seen": True,
        "a query sees nothing but its own step": (k == t) & real,
        "a key behind the valid ones is seen": causal & (k <= lens),
        "the last valid key is not seen": causal & (k < lens - 1),
        "queries in the padding see nothing; they should see real keys before them": expected
        & (t < lens),
        "padding is hidden as a query, it should be as a key": causal & (t < lens),
        "a key is seen if it is real or not later; it must be both": causal | real,
        "the first sentence's length serves for all": causal & (k < lens[:1]),
        "the longest sentence's length serves for all": causal & (k < lens.max()),
        "the sentences come in another order": expected[::-1],
    }
    if num_queries == num_keys:
        mistakes["queries and keys are swapped"] = expected.swapaxes(1, 2)
    for problem, wrong in mistakes.items():
        _demand(
            np.array_equal(found, expected) or not (found == wrong).all(),
            f"{name}: {problem}",
        )
    if not np.array_equal(found, expected):
        b, q, key = _first(found != expected)
        raise Complaint(
            f"{name}: {found[b, q, key]} stands for query {q}, which is step {q + past}, and key "
            f"{key} of sentence {b}, of length {lengths[b]}; expected {expected[b, q, key]}"
        )


@_check
def attend_in_heads(function, d2l):
    """Check chapter 09's split and join of heads."""
    rng = np.random.default_rng(9)
    cases = [
        # what, batch, queries, keys, heads, size of each, valid lengths
        ("two sentences", 2, 4, 5, 3, 2, [5, 3]),
        ("numbers that are all alike", 3, 3, 3, 3, 3, [1, 3, 2]),
        ("a single head", 2, 3, 4, 1, 5, [4, 2]),
        ("a single query", 2, 1, 6, 4, 2, [6, 1]),
        ("heads of a single number", 3, 4, 2, 5, 1, [2, 1, 2]),
    ]
    for what, batch, num_queries, num_keys, num_heads, size, lengths in cases:
        arrays = {
            name: rng.normal(size=(batch, steps, num_heads * size)).astype("float32")
            for name, steps in [("queries", num_queries), ("keys", num_keys), ("values", num_keys)]
        }
        inputs = _Inputs(d2l, **arrays, valid_lens=np.array(lengths, "int32"))
        attend = _HeadlessAttention(what, arrays, lengths, num_heads, d2l)
        result = _call(function, f"for {what}", *inputs, num_heads, attend)
        inputs.demand_unchanged()
        _judge_joined(_numpy(result, d2l, f"the output ({what})"), what, num_heads, attend, d2l)


class _HeadlessAttention:
    """An attention that knows no heads, and notices which rows it is given.

    Args:
        what: the case in words.
        arrays: {"queries", "keys", "values": (batch, steps, num_hiddens)}.
        lengths: list of the valid lengths.
        num_heads: integer.
        d2l: the framework's library.
    """

    __name__ = "attend"

    def __init__(self, what, arrays, lengths, num_heads, d2l):
        self.what, self.arrays, self.lengths = what, arrays, lengths
        self.num_heads, self.d2l = num_heads, d2l
        self.rows = self.output = None

    def __call__(self, queries, keys, values, valid_lens):
        """Attend, once; complain if a row is no head."""
        _demand(
            self.rows is None,
            f"attend is called more than once ({self.what}); one call should do all heads",
        )
        given = {"queries": queries, "keys": keys, "values": values}
        given = {name: self.split(name, array) for name, array in given.items()}
        self.rows = self.find("queries", given["queries"])
        for name in ("keys", "values"):
            _demand(
                self.find(name, given[name]) == self.rows,
                f"{name} and queries are split in different orders ({self.what}): a head's "
                "queries meet another's",
            )
        lens = self.check_lens(valid_lens)
        q, k, v = (array.astype("float64") for array in given.values())
        scores = q @ k.swapaxes(1, 2) / np.sqrt(q.shape[2])
        mask = np.arange(k.shape[1]) < lens[:, None, None]
        self.output = (_masked(scores, np.broadcast_to(mask, scores.shape)) @ v).astype("float32")
        return self.d2l.from_numpy(self.output.copy())

    def split(self, name, array):
        """Take one of three arrays, and complain about its shape."""
        array = _numpy(array, self.d2l, name)
        batch, steps, num_hiddens = self.arrays[name].shape
        size = num_hiddens // self.num_heads
        expected = (batch * self.num_heads, steps, size)
        problems = {
            (batch, steps, num_hiddens): "it is not split into heads",
            (batch, steps, size): "that is one head; all should come at once",
            (batch * size, steps, self.num_heads): "num_heads is how many heads there are, not "
            "the size of one",
            (batch, self.num_heads, steps, size): "merge the first two axes",
            (batch, steps, self.num_heads, size): "merge heads with the batch",
            (batch, steps * self.num_heads, size): "the heads belong into the batch, not among "
            "the steps",
        }
        problem = problems.get(array.shape, "num_hiddens is cut into num_heads heads")
        _demand(
            array.shape == expected,
            f"attend is called with {name} {array.shape} ({self.what}); expected (batch * "
            f"num_heads, steps, num_hiddens / num_heads) = {expected}: {problem}",
        )
        return array

    def find(self, name, found):
        """The rows' sentences and heads, a list of pairs; complain if a row is none."""
        X, heads = self.arrays[name], self.num_heads
        batch, steps, _ = X.shape
        apart = X.reshape(batch, steps, heads, -1)
        places = [(b, h) for b in range(batch) for h in range(heads)]
        rows = [
            next((place for place in places if _close(row, apart[place[0], :, place[1]])), None)
            for row in found
        ]
        if sorted(place for place in rows if place) == places:
            return rows
        alternating = X.reshape(batch, steps, -1, heads)
        mistakes = {
            "a reshape alone does not bring the heads before the steps: a head now has numbers "
            "of several heads": X.reshape(found.shape),
            "the numbers of one head stand beside each other, they do not alternate with those "
            "of others": alternating.transpose(0, 3, 1, 2).reshape(found.shape),
            "the steps' axis is swapped with that of the numbers before they are split": (
                X.swapaxes(1, 2).reshape(found.shape)
            ),
            "the steps' axis is swapped with that of a head's numbers": (
                apart.transpose(0, 2, 3, 1).reshape(found.shape)
            ),
            "sentences and steps are mixed": apart.transpose(2, 1, 0, 3).reshape(found.shape),
        }
        name = f"the {name} that attend is called with ({self.what})"
        if None not in rows:
            missing = next(place for place in places if place not in rows)
            raise Complaint(f"{name}: head {missing[1]} of sentence {missing[0]} is missing")
        _blame(
            found,
            {f"{name}: {problem}": wrong for problem, wrong in mistakes.items()},
            f"{name}: row {rows.index(None)} is no head of any sentence; a head has its own "
            "num_hiddens / num_heads numbers of each step, unchanged",
        )
        return rows

    def check_lens(self, valid_lens):
        """Take the lengths, and complain if they are not those of the rows."""
        count, what = len(self.rows), self.what
        _demand(valid_lens is not None, f"attend is called without valid lengths ({what})")
        lens = _numpy(valid_lens, self.d2l, "valid_lens")
        _demand(
            lens.shape == (count,),
            f"attend is called with lengths {lens.shape} ({what}); expected one for each row, "
            f"({count},): each head of a sentence has the sentence's length",
        )
        expected = [self.lengths[sentence] for sentence, _ in self.rows]
        if lens.tolist() != expected:
            row = _first(lens != np.array(expected))[0]
            raise Complaint(
                f"row {row} of attend's arrays is of sentence {self.rows[row][0]}, of length "
                f"{expected[row]}, but its length is {lens[row]:g} ({what}): lengths must come in "
                "the order of the rows"
            )
        return lens


def _judge_joined(found, what, num_heads, attend, d2l):
    """Compare the joined heads with what attend gave back.

    Args:
        found: the student's output, an array.
        what: the case in words.
        num_heads: integer.
        attend: the `_HeadlessAttention` that was called.
        d2l: the framework's library.
    """
    name = f"the output ({what})"
    _demand(attend.rows is not None, f"attend is never called ({what})")
    shape = attend.arrays["queries"].shape
    batch, steps, num_hiddens = shape
    size = num_hiddens // num_heads
    problems = {
        (batch, steps, size): "set the heads beside each other, instead of adding them up or "
        "taking one",
        attend.output.shape: "the heads are not joined",
        (batch, steps, num_heads, size): "merge the last two axes",
        (batch, num_heads, steps, size): "the heads are not joined",
    }
    problem = problems.get(found.shape) if found.shape != shape else None
    _demand(
        problem is None,
        f"{name} has the shape {found.shape}; expected (batch, queries, num_hiddens) = {shape}: "
        f"{problem}",
    )
    found = _numbers(found, d2l, name, shape, "(batch, queries, num_hiddens)")
    rows = attend.output
    apart = np.empty((batch, steps, num_heads, size))
    for row, (sentence, head) in enumerate(attend.rows):
        apart[sentence, :, head] = rows[row]
    expected = apart.reshape(shape)
    if _close(found, expected):
        return
    heads_first = rows.reshape(num_heads, batch, steps, size).transpose(1, 2, 0, 3)
    sentences_first = rows.reshape(batch, num_heads, steps, size).transpose(0, 2, 1, 3)
    mistakes = {
        "a reshape alone does not bring a step's heads together; swap steps and heads first": (
            rows.reshape(shape)
        ),
        "the numbers of the heads alternate; those of one head stand beside each other": (
            apart.swapaxes(2, 3).reshape(shape)
        ),
        "the heads come in reverse order": apart[:, :, ::-1].reshape(shape),
        "rows are joined as if the first head of all sentences came first": (
            heads_first.reshape(shape)
        ),
        "rows are joined as if all heads of the first sentence came first": (
            sentences_first.reshape(shape)
        ),
        "all heads are the mean of the heads": np.repeat(
            apart.mean(axis=2, keepdims=True), num_heads, axis=2
        ).reshape(shape),
        "the queries come back": attend.arrays["queries"],
    }
    b, t, i = _first(~np.isclose(found, expected, TOLERANCE, TOLERANCE))
    _blame(
        found,
        {f"{name}: {problem}": wrong for problem, wrong in mistakes.items()},
        f"{name}: number {i} of query {t} of sentence {b} is {found[b, t, i]:.4g}; expected "
        f"{expected[b, t, i]:.4g}, which attend gave for head {i // size}",
    )
