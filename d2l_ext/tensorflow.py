"""What the chapters save for TensorFlow; other names come from the d2l book.

Generated from notebooks/*.md, tab tensorflow. To change a block, edit the
chapter that it names, then run `python -m tabbook build`.
"""

from d2l_ext import compat

compat.prepare("tensorflow")

import math

import keras
import numpy
import tensorflow as tf

__all__ = [
    "AdditiveAttention",
    "Attention",
    "BilinearAttention",
    "DotProductAttention",
    "from_numpy",
    "masked_softmax",
    "sequence_mask",
    "to_numpy",
]


# From notebooks/02_masked_softmax.md, section "Why batches are padded", cell 75071be90bdf
def from_numpy(x):
    """Make a tensor from a NumPy array, of the same type."""
    return tf.constant(x)


def to_numpy(x):
    """Make a NumPy array from a tensor."""
    return x.numpy()


# From notebooks/02_masked_softmax.md, section "Masking a sequence", cell 79da0788efdb
def sequence_mask(X, valid_lens, value=0):
    """Replace what lies behind each sequence's valid length.

    Args:
        X: (batch, steps, ...), of any type. Never changed.
        valid_lens: (batch,) integers, a tensor or NumPy array; lengths
            beyond the steps mean 'all'.
        value: number to put at the steps >= valid_lens.

    Returns:
        New tensor of X's shape and type.

    Raises:
        ValueError: if X or valid_lens has another shape.
    """
    lens = tf.cast(valid_lens, tf.int64)
    if X.shape.rank < 2 or not lens.shape.is_compatible_with(X.shape[:1]):
        raise ValueError(
            "sequence_mask takes X (batch, steps, ...) and valid_lens "
            f"(batch,), not {tuple(X.shape)} and {tuple(lens.shape)}"
        )
    steps = tf.range(tf.shape(X, out_type=tf.int64)[1])
    valid = steps < lens[:, tf.newaxis]  # (batch, steps)
    for _ in range(X.shape.rank - 2):
        valid = valid[..., tf.newaxis]
    return tf.where(valid, X, tf.cast(value, X.dtype))


# From notebooks/02_masked_softmax.md, section "From scores to weights", cell 3ecacfe6ebaf
def masked_softmax(X, valid_lens):
    """Softmax over the valid keys of each row; all others weigh exactly 0.

    A row of length 0 gives zeros. What X holds behind the lengths, even NaN,
    reaches neither the weights nor the gradients. Valid scores are taken as
    they are: NaN among them, or nothing but -inf, gives NaN.

    Args:
        X: (batch, queries, keys) scores, of any floating-point type. Never
            changed.
        valid_lens: None, (batch,) or (batch, queries) integers, a tensor or
            NumPy array; lengths beyond the keys mean 'all'.

    Returns:
        (batch, queries, keys) weights of X's type.

    Raises:
        ValueError: if X or valid_lens has another shape.
    """
    if X.shape.rank != 3:
        raise ValueError(f"X must be (batch, queries, keys), not {X.shape}")
    # Sums of many exponentials overflow 16 bits: lend them 32.
    scores = tf.cast(X, tf.float32) if X.dtype.size == 2 else X
    if valid_lens is None:
        return tf.cast(tf.nn.softmax(scores, axis=-1), X.dtype)
    lens = tf.cast(valid_lens, tf.int64)
    per_batch, per_query = X.shape[:1], X.shape[:2]
    if not (lens.shape.is_compatible_with(per_batch) or lens.shape.is_compatible_with(per_query)):
        raise ValueError(
            f"valid_lens must be (batch,) = {per_batch} or (batch, queries)"
            f" = {per_query} for X of shape {X.shape}, not {lens.shape}"
        )
    lens = lens[:, tf.newaxis] if lens.shape.rank == 1 else lens
    lens = lens[:, :, tf.newaxis]  # (batch, 1 or queries, 1)
    valid = tf.range(tf.shape(X, out_type=tf.int64)[2]) < lens
    scores = tf.where(valid, scores, tf.cast(-numpy.inf, scores.dtype))
    scores = tf.where(lens > 0, scores, tf.cast(0, scores.dtype))
    weights = tf.cast(tf.nn.softmax(scores, axis=-1), X.dtype)
    return tf.where(valid, weights, tf.cast(0, X.dtype))


# From notebooks/03_scoring_functions.md, section "What all attentions share", cell f72a263519b5
class Attention(keras.layers.Layer):
    """Weights from scores, then the average of the values by these weights.

    Subclasses say how a query and a key are scored. What lies behind the
    valid lengths, in keys or values, has no influence, even if it is NaN.

    Args:
        dropout: probability with which training drops a weight from the
            average; the weights that are returned keep it.
    """

    def __init__(self, dropout=0):
        super().__init__()
        self.dropout = keras.layers.Dropout(dropout)

    def project_keys(self, keys):
        """Do the part of the score that needs the keys alone."""
        return keys

    def score(self, queries, projected_keys):
        """Score (batch, queries, keys): how well they match."""
        raise NotImplementedError

    def call(self, queries, keys, values, valid_lens=None, training=None):
        """Attend to the keys and average the values.

        Args:
            queries: (batch, queries, query size).
            keys: (batch, keys, key size).
            values: (batch, keys, value size).
            valid_lens: None, (batch,) or (batch, queries) integers: how many
                keys are valid.
            training: whether to drop weights; None asks the layer around.

        Returns:
            The pair of output (batch, queries, value size) and attention
            weights (batch, queries, keys).

        Raises:
            ValueError: if shapes do not fit.
        """
        if valid_lens is not None:  # NaN in the padding would survive 0 * NaN
            longest = tf.cast(valid_lens, tf.int64)
            if longest.shape.rank == 2:
                longest = tf.reduce_max(longest, axis=1)
            keys = sequence_mask(keys, longest)
            values = sequence_mask(values, longest)
        projected_keys = self.project_keys(keys)
        return self.attend(queries, projected_keys, values, valid_lens, training)

    def attend(self, queries, projected_keys, values, valid_lens=None, training=None):
        """Do the same with keys that have been projected already.

        A decoder projects its keys once, before its loop over steps. Padding
        in projected_keys and values must be finite here.

        Args:
            queries: (batch, queries, query size).
            projected_keys: what project_keys returned.
            values: (batch, keys, value size).
            valid_lens: None, (batch,) or (batch, queries) integers.
            training: whether to drop weights; None asks the layer around.

        Returns:
            The pair of output (batch, queries, value size) and attention
            weights (batch, queries, keys).
        """
        scores = self.score(queries, projected_keys)
        weights = masked_softmax(scores, valid_lens)
        dropped = self.dropout(weights, training=training)
        return tf.matmul(dropped, values), weights


# From notebooks/03_scoring_functions.md, section "Dot product", cell b6c9add145c2
class DotProductAttention(Attention):
    """Scores by the dot product: score = q · k / sqrt(d) (Vaswani et al. 2017).

    Queries and keys must have the same size d.

    Args:
        dropout: probability with which training drops a weight.
        scaled: whether to divide by sqrt(d).
    """

    def __init__(self, dropout=0, scaled=True):
        super().__init__(dropout)
        self.scaled = scaled

    def score(self, queries, projected_keys):
        """Score (batch, queries, keys): how well they match."""
        if queries.shape[-1] != projected_keys.shape[-1]:
            raise ValueError(
                f"queries of size {queries.shape[-1]} and keys of size "
                f"{projected_keys.shape[-1]} have no dot product; take "
                "AdditiveAttention or BilinearAttention"
            )
        scores = tf.matmul(queries, projected_keys, transpose_b=True)
        return scores / math.sqrt(queries.shape[-1]) if self.scaled else scores


# From notebooks/03_scoring_functions.md, section "Additive", cell cff63160df73
class AdditiveAttention(Attention):
    """Scores by a perceptron: score = w_v · tanh(W_q q + W_k k).

    Queries and keys may differ in size (Bahdanau et al. 2015, section A.1.2).

    Args:
        num_hiddens: number of hidden units of the perceptron.
        dropout: probability with which training drops a weight.
    """

    def __init__(self, num_hiddens, dropout=0):
        super().__init__(dropout)
        # Dense starts with Glorot's uniform weights and finds its input size.
        self.W_q = keras.layers.Dense(num_hiddens, use_bias=False)
        self.W_k = keras.layers.Dense(num_hiddens, use_bias=False)
        self.w_v = keras.layers.Dense(1, use_bias=False)

    def project_keys(self, keys):
        """Compute W_k k for all keys: (batch, keys, num_hiddens)."""
        return self.W_k(keys)

    def score(self, queries, projected_keys):
        """Score (batch, queries, keys): how well they match."""
        projected_queries = self.W_q(queries)[:, :, tf.newaxis]
        # (batch, queries, 1, hiddens) + (batch, 1, keys, hiddens)
        hiddens = tf.tanh(projected_queries + projected_keys[:, tf.newaxis])
        return tf.squeeze(self.w_v(hiddens), -1)


# From notebooks/03_scoring_functions.md, section "Bilinear", cell e62a49bc3b81
class BilinearAttention(Attention):
    """Scores by a bilinear form: score = q · W k (Luong et al. 2015, 'general').

    Queries and keys may differ in size. W is (query size, key size).

    Args:
        dropout: probability with which training drops a weight.
    """

    def __init__(self, dropout=0):
        super().__init__(dropout)

    def build(self, queries_shape, keys_shape):
        """Make W, whose shape Keras tells at the first call."""
        self.W = self.add_weight(
            shape=(queries_shape[-1], keys_shape[-1]),
            initializer="glorot_uniform",
            name="W",
        )

    def score(self, queries, projected_keys):
        """Score (batch, queries, keys): how well they match."""
        if not self.built:  # attend was called before the layer
            self.build(queries.shape, projected_keys.shape)
        projected_queries = tf.matmul(queries, self.W)
        return tf.matmul(projected_queries, projected_keys, transpose_b=True)


__getattr__ = compat.fall_through("tensorflow")
