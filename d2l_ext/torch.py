"""What the chapters save for PyTorch; other names come from the d2l book.

Generated from notebooks/*.md, tab pytorch. To change a block, edit the
chapter that it names, then run `python -m tabbook build`.
"""

from d2l_ext import compat

compat.prepare("torch")

import math

import torch
from torch import nn

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


# From notebooks/02_masked_softmax.md, section "Why batches are padded", cell af0b82ef75ee
def from_numpy(x):
    """Make a tensor from a NumPy array, of the same type."""
    return torch.tensor(x)


def to_numpy(x):
    """Make a NumPy array from a tensor, without its gradient's history."""
    return x.detach().cpu().numpy()


# From notebooks/02_masked_softmax.md, section "Masking a sequence", cell 69b59e8629fb
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
    lens = torch.as_tensor(valid_lens, device=X.device).long()
    if X.ndim < 2 or lens.shape != X.shape[:1]:
        raise ValueError(
            "sequence_mask takes X (batch, steps, ...) and valid_lens "
            f"(batch,), not {tuple(X.shape)} and {tuple(lens.shape)}"
        )
    steps = torch.arange(X.shape[1], device=X.device)
    valid = steps < lens[:, None]  # (batch, steps)
    valid = valid.reshape(valid.shape + (1,) * (X.ndim - 2))
    value = torch.as_tensor(value, dtype=X.dtype, device=X.device)
    return torch.where(valid, X, value)


# From notebooks/02_masked_softmax.md, section "From scores to weights", cell 155bbf39deb3
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
    shape = tuple(X.shape)
    if len(shape) != 3:
        raise ValueError(f"X must be (batch, queries, keys), not {shape}")
    if valid_lens is None:
        return torch.softmax(X, dim=-1)
    lens = torch.as_tensor(valid_lens, device=X.device).long()
    if lens.shape not in (X.shape[:1], X.shape[:2]):
        raise ValueError(
            f"valid_lens must be (batch,) = {shape[:1]} or (batch, queries)"
            f" = {shape[:2]} for X of shape {shape}, not {tuple(lens.shape)}"
        )
    lens = lens[:, None, None] if lens.ndim == 1 else lens[:, :, None]
    valid = torch.arange(shape[2], device=X.device) < lens
    scores = torch.where(valid, X, -torch.inf)
    scores = torch.where(lens > 0, scores, 0.0)
    return torch.where(valid, torch.softmax(scores, dim=-1), 0.0)


# From notebooks/03_scoring_functions.md, section "What all attentions share", cell 9ed71a3e912a
class Attention(nn.Module):
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

    def forward(self, queries, keys, values, valid_lens=None):
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
            longest = torch.as_tensor(valid_lens, device=keys.device).long()
            longest = longest.amax(1) if longest.ndim == 2 else longest
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
        return torch.bmm(self.dropout(weights), values), weights


# From notebooks/03_scoring_functions.md, section "Dot product", cell 99b5f1c840c1
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
        scores = torch.bmm(queries, projected_keys.transpose(1, 2))
        return scores / math.sqrt(queries.shape[-1]) if self.scaled else scores


# From notebooks/03_scoring_functions.md, section "Additive", cell be777cdd6578
class LazyLinear(nn.LazyLinear):
    """A linear layer without bias whose sizes are found at its first call.

    Its weight starts as Glorot and Bengio (2010) propose, drawn uniformly.

    Args:
        num_outputs: size of the result.
    """

    def __init__(self, num_outputs):
        super().__init__(num_outputs, bias=False)

    def reset_parameters(self):
        if self.in_features and not self.has_uninitialized_params():
            nn.init.xavier_uniform_(self.weight)


class AdditiveAttention(Attention):
    """Scores by a perceptron: score = w_v · tanh(W_q q + W_k k).

    Queries and keys may differ in size (Bahdanau et al. 2015, section A.1.2).

    Args:
        num_hiddens: number of hidden units of the perceptron.
        dropout: probability with which training drops a weight.
    """

    def __init__(self, num_hiddens, dropout=0):
        super().__init__(dropout)
        self.W_q = LazyLinear(num_hiddens)
        self.W_k = LazyLinear(num_hiddens)
        self.w_v = LazyLinear(1)

    def project_keys(self, keys):
        """Compute W_k k for all keys: (batch, keys, num_hiddens)."""
        return self.W_k(keys)

    def score(self, queries, projected_keys):
        """Score (batch, queries, keys): how well they match."""
        projected_queries = self.W_q(queries)[:, :, None]
        # (batch, queries, 1, hiddens) + (batch, 1, keys, hiddens)
        hiddens = torch.tanh(projected_queries + projected_keys[:, None])
        return self.w_v(hiddens).squeeze(-1)


# From notebooks/03_scoring_functions.md, section "Bilinear", cell 8e57cc6462a6
class BilinearAttention(Attention):
    """Scores by a bilinear form: score = q · W k (Luong et al. 2015, 'general').

    Queries and keys may differ in size. W is (query size, key size).

    Args:
        dropout: probability with which training drops a weight.
    """

    def __init__(self, dropout=0):
        super().__init__(dropout)
        self.W = LazyLinear(0)  # its true size is the keys'

    def score(self, queries, projected_keys):
        """Score (batch, queries, keys): how well they match."""
        if isinstance(self.W, nn.LazyLinear):  # not yet called
            self.W.out_features = projected_keys.shape[-1]
        return torch.bmm(self.W(queries), projected_keys.transpose(1, 2))


__getattr__ = compat.fall_through("torch")
