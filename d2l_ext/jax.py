"""What the chapters save for JAX; other names come from the d2l book.

Generated from notebooks/*.md, tab jax. To change a block, edit the
chapter that it names, then run `python -m tabbook build`.
"""

from d2l_ext import compat

compat.prepare("jax")

import math

import jax
import numpy
from flax import nnx
from jax import numpy as jnp

__all__ = [
    "AdditiveAttention",
    "Attention",
    "BilinearAttention",
    "DotProductAttention",
    "LazyLinear",
    "from_numpy",
    "masked_softmax",
    "sequence_mask",
    "to_numpy",
]


# From notebooks/02_masked_softmax.md, section "Why batches are padded", cell 336998c70fc9
def from_numpy(x):
    """Make a JAX array from a NumPy array (64-bit types become 32-bit)."""
    return jnp.asarray(x)


def to_numpy(x):
    """Make a NumPy array from a JAX array."""
    return numpy.asarray(x)


# From notebooks/02_masked_softmax.md, section "Masking a sequence", cell 8b1d7c9668e9
def sequence_mask(X, valid_lens, value=0):
    """Replace what lies behind each sequence's valid length.

    Args:
        X: (batch, steps, ...), of any type. Never changed.
        valid_lens: (batch,) integers, a JAX or NumPy array; lengths
            beyond the steps mean 'all'.
        value: number to put at the steps >= valid_lens.

    Returns:
        New array of X's shape and type.

    Raises:
        ValueError: if X or valid_lens has another shape.
    """
    if not isinstance(valid_lens, jax.Array):  # 64 bits would be cut off
        valid_lens = numpy.minimum(valid_lens, numpy.int32(2**31 - 1))
    lens = jnp.asarray(valid_lens)
    if X.ndim < 2 or lens.shape != X.shape[:1]:
        raise ValueError(
            "sequence_mask takes X (batch, steps, ...) and valid_lens "
            f"(batch,), not {X.shape} and {lens.shape}"
        )
    valid = jnp.arange(X.shape[1]) < lens[:, None]  # (batch, steps)
    valid = valid.reshape(valid.shape + (1,) * (X.ndim - 2))
    return jnp.where(valid, X, jnp.asarray(value, dtype=X.dtype))


# From notebooks/02_masked_softmax.md, section "From scores to weights", cell c95495da01d4
def masked_softmax(X, valid_lens):
    """Softmax over the valid keys of each row; all others weigh exactly 0.

    A row of length 0 gives zeros. What X holds behind the lengths, even NaN,
    reaches neither the weights nor the gradients. Valid scores are taken as
    they are: NaN among them, or nothing but -inf, gives NaN.

    Args:
        X: (batch, queries, keys) scores, of any floating-point type. Never
            changed.
        valid_lens: None, (batch,) or (batch, queries) integers, a JAX or
            NumPy array; lengths beyond the keys mean 'all'.

    Returns:
        (batch, queries, keys) weights of X's type.

    Raises:
        ValueError: if X or valid_lens has another shape.
    """
    if X.ndim != 3:
        raise ValueError(f"X must be (batch, queries, keys), not {X.shape}")
    # Sums of many exponentials overflow 16 bits: lend them 32.
    scores = X.astype(jnp.promote_types(X.dtype, jnp.float32))
    if valid_lens is None:
        return jax.nn.softmax(scores, axis=-1).astype(X.dtype)
    if not isinstance(valid_lens, jax.Array):  # 64 bits would be cut off
        valid_lens = numpy.minimum(valid_lens, numpy.int32(2**31 - 1))
    lens = jnp.asarray(valid_lens)
    if lens.shape not in (X.shape[:1], X.shape[:2]):
        raise ValueError(
            f"valid_lens must be (batch,) = {X.shape[:1]} or (batch, queries)"
            f" = {X.shape[:2]} for X of shape {X.shape}, not {lens.shape}"
        )
    lens = lens[:, None, None] if lens.ndim == 1 else lens[:, :, None]
    valid = jnp.arange(X.shape[2]) < lens
    scores = jnp.where(valid, scores, -jnp.inf)
    scores = jnp.where(lens > 0, scores, 0)
    weights = jnp.where(valid, jax.nn.softmax(scores, axis=-1), 0)
    return weights.astype(X.dtype)


# From notebooks/03_scoring_functions.md, section "What all attentions share", cell efe2493a806c
class Attention(nnx.Module):
    """Weights from scores, then the average of the values by these weights.

    Subclasses say how a query and a key are scored. What lies behind the
    valid lengths, in keys or values, has no influence, even if it is NaN.

    Args:
        dropout: probability with which training drops a weight from the
            average; the weights that are returned keep it.
        rngs: random numbers for initialization and dropout (Flax);
            None stands for nnx.Rngs(0).
    """

    def __init__(self, dropout=0, rngs=None):
        rngs = nnx.Rngs(0) if rngs is None else rngs
        self.dropout = nnx.Dropout(dropout, rngs=rngs)

    def project_keys(self, keys):
        """Do the part of the score that needs the keys alone."""
        return keys

    def score(self, queries, projected_keys):
        """Score (batch, queries, keys): how well they match."""
        raise NotImplementedError

    def __call__(self, queries, keys, values, valid_lens=None):
        """Attend to the keys and average the values.

        Args:
            queries: (batch, queries, query size).
            keys: (batch, keys, key size).
            values: (batch, keys, value size).
            valid_lens: None, (batch,) or (batch, queries) integers: how many
                keys are valid.

        Returns:
            The pair of output (batch, queries, value size) and attention
            weights (batch, queries, keys).

        Raises:
            ValueError: if shapes do not fit.
        """
        if valid_lens is not None:  # NaN in the padding would survive 0 * NaN
            longest = valid_lens
            if valid_lens.ndim == 2:
                longest = valid_lens.max(1)
            keys = sequence_mask(keys, longest)
            values = sequence_mask(values, longest)
        projected_keys = self.project_keys(keys)
        return self.attend(queries, projected_keys, values, valid_lens)

    def attend(self, queries, projected_keys, values, valid_lens=None):
        """Do the same with keys that have been projected already.

        A decoder projects its keys once, before its loop over steps. Padding
        in projected_keys and values must be finite here.

        Args:
            queries: (batch, queries, query size).
            projected_keys: what project_keys returned.
            values: (batch, keys, value size).
            valid_lens: None, (batch,) or (batch, queries) integers.

        Returns:
            The pair of output (batch, queries, value size) and attention
            weights (batch, queries, keys).
        """
        scores = self.score(queries, projected_keys)
        weights = masked_softmax(scores, valid_lens)
        return self.dropout(weights) @ values, weights


# From notebooks/03_scoring_functions.md, section "Dot product", cell ae9dfab5de7b
class DotProductAttention(Attention):
    """Scores by the dot product: score = q · k / sqrt(d) (Vaswani et al. 2017).

    Queries and keys must have the same size d.

    Args:
        dropout: probability with which training drops a weight.
        scaled: whether to divide by sqrt(d).
        rngs: random numbers for initialization and dropout (Flax);
            None stands for nnx.Rngs(0).
    """

    def __init__(self, dropout=0, scaled=True, rngs=None):
        super().__init__(dropout, rngs)
        self.scaled = scaled

    def score(self, queries, projected_keys):
        """Score (batch, queries, keys): how well they match."""
        if queries.shape[-1] != projected_keys.shape[-1]:
            raise ValueError(
                f"queries of size {queries.shape[-1]} and keys of size "
                f"{projected_keys.shape[-1]} have no dot product; take "
                "AdditiveAttention or BilinearAttention"
            )
        scores = queries @ projected_keys.mT
        return scores / math.sqrt(queries.shape[-1]) if self.scaled else scores


# From notebooks/03_scoring_functions.md, section "Additive", cell ee3851f59db2
class LazyLinear(nnx.Module):
    """A linear layer without bias whose sizes are found at its first call.

    Its weight starts as Glorot and Bengio (2010) propose, drawn uniformly.

    Args:
        num_outputs: size of the result, or None if build will tell.
        rngs: random numbers (Flax).
    """

    def __init__(self, num_outputs, rngs):
        self.num_outputs = num_outputs
        self.rngs = rngs
        self.kernel = nnx.data(None)

    def build(self, num_inputs, num_outputs=None):
        """Make the weight, unless it is there already."""
        if self.kernel is None:
            shape = (num_inputs, num_outputs or self.num_outputs)
            draw = nnx.initializers.glorot_uniform()
            self.kernel = nnx.Param(draw(self.rngs.params(), shape))

    def __call__(self, X):
        self.build(X.shape[-1])
        return X @ self.kernel


class AdditiveAttention(Attention):
    """Scores by a perceptron: score = w_v · tanh(W_q q + W_k k).

    Queries and keys may differ in size (Bahdanau et al. 2015, section A.1.2).

    Args:
        num_hiddens: number of hidden units of the perceptron.
        dropout: probability with which training drops a weight.
        rngs: random numbers for initialization and dropout (Flax);
            None stands for nnx.Rngs(0).
    """

    def __init__(self, num_hiddens, dropout=0, rngs=None):
        rngs = nnx.Rngs(0) if rngs is None else rngs
        super().__init__(dropout, rngs)
        self.W_q = LazyLinear(num_hiddens, rngs)
        self.W_k = LazyLinear(num_hiddens, rngs)
        self.w_v = LazyLinear(1, rngs)

    def project_keys(self, keys):
        """Compute W_k k for all keys: (batch, keys, num_hiddens)."""
        return self.W_k(keys)

    def score(self, queries, projected_keys):
        """Score (batch, queries, keys): how well they match."""
        projected_queries = self.W_q(queries)[:, :, None]
        # (batch, queries, 1, hiddens) + (batch, 1, keys, hiddens)
        hiddens = jnp.tanh(projected_queries + projected_keys[:, None])
        return self.w_v(hiddens).squeeze(-1)


# From notebooks/03_scoring_functions.md, section "Bilinear", cell 798153ee41dc
class BilinearAttention(Attention):
    """Scores by a bilinear form: score = q · W k (Luong et al. 2015, 'general').

    Queries and keys may differ in size. W is (query size, key size).

    Args:
        dropout: probability with which training drops a weight.
        rngs: random numbers for initialization and dropout (Flax);
            None stands for nnx.Rngs(0).
    """

    def __init__(self, dropout=0, rngs=None):
        rngs = nnx.Rngs(0) if rngs is None else rngs
        super().__init__(dropout, rngs)
        self.W = LazyLinear(None, rngs)

    def score(self, queries, projected_keys):
        """Score (batch, queries, keys): how well they match."""
        self.W.build(queries.shape[-1], projected_keys.shape[-1])
        return self.W(queries) @ projected_keys.mT


__getattr__ = compat.fall_through("jax")
