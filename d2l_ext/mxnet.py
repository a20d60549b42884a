"""What the chapters save for MXNet; other names come from the d2l book.

Generated from notebooks/*.md, tab mxnet. To change a block, edit the
chapter that it names, then run `python -m tabbook build`.
"""

from d2l_ext import compat

compat.prepare("mxnet")

import mxnet as mx
import numpy
from mxnet import init, np
from mxnet.gluon import nn

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


# From notebooks/02_masked_softmax.md, section "Why batches are padded", cell 574454337709
def from_numpy(x):
    """Make an MXNet array from a NumPy array, of the same type."""
    return np.array(x, dtype=x.dtype)


def to_numpy(x):
    """Make a NumPy array from an MXNet array."""
    return x.asnumpy()


# From notebooks/02_masked_softmax.md, section "Masking a sequence", cell f356f95f71ac
def sequence_mask(X, valid_lens, value=0):
    """Replace what lies behind each sequence's valid length.

    Args:
        X: (batch, steps, ...), of any type. Never changed. Also a Symbol.
        valid_lens: (batch,) integers, an MXNet or NumPy array; lengths
            beyond the steps mean 'all'.
        value: number to put at the steps >= valid_lens.

    Returns:
        New array of X's shape and type.

    Raises:
        ValueError: if X or valid_lens has another shape.
    """
    F = mx.sym if isinstance(X, mx.sym.Symbol) else mx.nd
    if F is mx.nd:
        valid_lens = np.array(valid_lens, dtype="float32", ctx=X.ctx)
        if X.ndim < 2 or valid_lens.shape != X.shape[:1]:
            raise ValueError(
                "sequence_mask takes X (batch, steps, ...) and valid_lens "
                f"(batch,), not {X.shape} and {valid_lens.shape}"
            )
    else:
        valid_lens = valid_lens.astype("float32")
    # A length beyond the steps would make MXNet write past the row's end.
    steps = F.np.ones_like(F.npx.arange_like(X, axis=1)).astype("float32")
    lens = F.np.clip(F.np.minimum(valid_lens, steps.sum()), 0, None)
    return F.npx.sequence_mask(X, lens, use_sequence_length=True, value=value, axis=1)


# From notebooks/02_masked_softmax.md, section "From scores to weights", cell 0edfc4733973
def masked_softmax(X, valid_lens):
    """Softmax over the valid keys of each row; all others weigh exactly 0.

    A row of length 0 gives zeros. What X holds behind the lengths, even NaN,
    reaches neither the weights nor the gradients. Valid scores are taken as
    they are: NaN among them, or nothing but -inf, gives NaN.

    Args:
        X: (batch, queries, keys) scores, of any floating-point type. Never
            changed. Also a Symbol.
        valid_lens: None, (batch,) or (batch, queries) integers, an MXNet or
            NumPy array; lengths beyond the keys mean 'all'.

    Returns:
        (batch, queries, keys) weights of X's type.

    Raises:
        ValueError: if X or valid_lens has another shape.
    """
    F = mx.sym if isinstance(X, mx.sym.Symbol) else mx.nd
    if F is mx.nd:
        if X.ndim != 3:
            raise ValueError(f"X must be (batch, queries, keys), not {X.shape}")
        # Sums of many exponentials overflow 16 bits: lend them 32.
        if X.dtype == numpy.float16:
            X = X.astype("float32")
            return masked_softmax(X, valid_lens).astype("float16")
    if valid_lens is None:
        return F.npx.softmax(X, axis=-1)
    if F is mx.nd:
        valid_lens = np.array(valid_lens, dtype="float32", ctx=X.ctx)
        if valid_lens.shape not in (X.shape[:1], X.shape[:2]):
            raise ValueError(
                f"valid_lens must be (batch,) = {X.shape[:1]} or (batch, "
                f"queries) = {X.shape[:2]} for X of shape {X.shape}, not "
                f"{valid_lens.shape}"
            )
    else:
        valid_lens = valid_lens.astype("float32")
    # A length beyond the keys would make MXNet read past the row's end.
    keys = F.np.ones_like(F.npx.arange_like(X, axis=2)).astype("float32")
    queries = F.np.ones_like(F.npx.arange_like(X, axis=1)).astype("float32")
    lens = F.npx.reshape(valid_lens, (-2, -1))  # (batch, 1 or queries)
    lens = F.np.clip(F.np.minimum(lens, keys.sum()), 0, None) * queries
    return F.npx.softmax(X, axis=-1, length=lens.astype("int32"), use_length=True)


# From notebooks/03_scoring_functions.md, section "What all attentions share", cell eb9710cd2730
class Attention(nn.HybridBlock):
    """Weights from scores, then the average of the values by these weights.

    Subclasses say how a query and a key are scored. What lies behind the
    valid lengths, in keys or values, has no influence, even if it is NaN.

    Args:
        dropout: probability with which training drops a weight from the
            average; the weights that are returned keep it.
    """

    def __init__(self, dropout=0):
        super().__init__()
        self.dropout = nn.Dropout(dropout)

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
        # Gluon's __call__ takes neither keywords nor NumPy arrays.
        if not isinstance(queries, mx.sym.Symbol) and valid_lens is not None:
            valid_lens = np.array(valid_lens, dtype="float32", ctx=queries.ctx)
            if valid_lens.shape not in (queries.shape[:1], queries.shape[:2]):
                raise ValueError(
                    "valid_lens must be (batch,) or (batch, queries) for "
                    f"queries of shape {queries.shape}, not {valid_lens.shape}"
                )
        return super().__call__(queries, keys, values, valid_lens)

    def hybrid_forward(self, F, queries, keys, values, valid_lens=None, **_):
        if valid_lens is not None:  # NaN in the padding would survive 0 * NaN
            longest = F.npx.reshape(valid_lens, (-2, -1)).max(axis=1)
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
        F = mx.sym if isinstance(queries, mx.sym.Symbol) else mx.nd
        scores = self.score(queries, projected_keys)
        weights = masked_softmax(scores, valid_lens)
        return F.npx.batch_dot(self.dropout(weights), values), weights


# From notebooks/03_scoring_functions.md, section "Dot product", cell 51316b2f123e
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
        F = mx.sym if isinstance(queries, mx.sym.Symbol) else mx.nd
        if F is mx.nd and queries.shape[-1] != projected_keys.shape[-1]:
            raise ValueError(
                f"queries of size {queries.shape[-1]} and keys of size "
                f"{projected_keys.shape[-1]} have no dot product; take "
                "AdditiveAttention or BilinearAttention"
            )
        scores = F.npx.batch_dot(queries, projected_keys, transpose_b=True)
        # A Symbol does not know its size d, so the graph counts it.
        d = F.np.ones_like(F.npx.arange_like(queries, axis=2)).sum()
        return scores / F.np.sqrt(d) if self.scaled else scores


# From notebooks/03_scoring_functions.md, section "Additive", cell 9128ef83ed5c
class AdditiveAttention(Attention):
    """Scores by a perceptron: score = w_v · tanh(W_q q + W_k k).

    Queries and keys may differ in size (Bahdanau et al. 2015, section A.1.2).

    Args:
        num_hiddens: number of hidden units of the perceptron.
        dropout: probability with which training drops a weight.
    """

    def __init__(self, num_hiddens, dropout=0):
        super().__init__(dropout)
        options = dict(use_bias=False, flatten=False, weight_initializer=init.Xavier())
        self.W_q = nn.Dense(num_hiddens, **options)
        self.W_k = nn.Dense(num_hiddens, **options)
        self.w_v = nn.Dense(1, **options)
        self.initialize()  # deferred: sizes are found at the first call

    def project_keys(self, keys):
        """Compute W_k k for all keys: (batch, keys, num_hiddens)."""
        return self.W_k(keys)

    def score(self, queries, projected_keys):
        """Score (batch, queries, keys): how well they match."""
        F = mx.sym if isinstance(queries, mx.sym.Symbol) else mx.nd
        projected_queries = F.np.expand_dims(self.W_q(queries), 2)
        projected_keys = F.np.expand_dims(projected_keys, 1)
        # (batch, queries, 1, hiddens) + (batch, 1, keys, hiddens)
        hiddens = F.npx.activation(projected_queries + projected_keys, act_type="tanh")
        return F.np.squeeze(self.w_v(hiddens), -1)


# From notebooks/03_scoring_functions.md, section "Bilinear", cell 8be94dbdee22
class BilinearAttention(Attention):
    """Scores by a bilinear form: score = q · W k (Luong et al. 2015, 'general').

    Queries and keys may differ in size. W is (query size, key size).

    Args:
        dropout: probability with which training drops a weight.
    """

    def __init__(self, dropout=0):
        super().__init__(dropout)
        self.W = self.params.get(
            "W",
            shape=(-1, -1),  # found at the first call
            init=init.Xavier(),
            allow_deferred_init=True,
        )
        self.initialize()

    def infer_shape(self, queries, keys, *_):
        """Find the shape of W (Gluon calls this, eager or hybridized)."""
        self.W.shape = (queries.shape[-1], keys.shape[-1])

    def score(self, queries, projected_keys):
        """Score (batch, queries, keys): how well they match."""
        if isinstance(queries, mx.sym.Symbol):
            F, W = mx.sym, self.W.var()
        else:
            if min(self.W.shape) < 1:  # attend was called before the block
                self.infer_shape(queries, projected_keys)
                self.W.initialize()
            F, W = mx.nd, self.W.data(queries.ctx)
        projected_queries = F.np.dot(queries, W)  # (batch, queries, key size)
        return F.npx.batch_dot(projected_queries, projected_keys, transpose_b=True)


__getattr__ = compat.fall_through("mxnet")
