"""What the chapters save for JAX; other names come from the d2l book.

Generated from notebooks/*.md, tab jax. To change a block, edit the
chapter that it names, then run `python -m tabbook build`.
"""

from d2l_ext import compat

compat.prepare("jax")

import functools
import math
import time
import warnings
from typing import Any, NamedTuple

import jax
import numpy
import optax
from flax import nnx
from jax import lax
from jax import numpy as jnp

from d2l_ext import corpora, devices, plots, views
from d2l_ext import weights as exchange

__all__ = [
    "AdditiveAttention",
    "Attention",
    "AttentionDecoder",
    "Beams",
    "BilinearAttention",
    "DecoderState",
    "DotProductAttention",
    "EpochRecord",
    "GRUCell",
    "GlobalAttention",
    "LazyLinear",
    "LocalAttention",
    "Seq2Seq",
    "Seq2SeqAttentionDecoder",
    "Seq2SeqDecoder",
    "Seq2SeqEncoder",
    "Seq2SeqGlobalDecoder",
    "Translation",
    "batch_loss",
    "beam_search",
    "decode_step",
    "device",
    "extend_beams",
    "from_numpy",
    "get_config",
    "get_weights",
    "load_model",
    "loss_and_gradients",
    "make_steps",
    "masked_loss",
    "masked_softmax",
    "mean_loss",
    "named_weights",
    "new_model",
    "place",
    "read_back",
    "read_sentences",
    "round_up",
    "run_copy",
    "run_steps",
    "save_model",
    "select_rows",
    "sequence_mask",
    "set_weights",
    "show_attention",
    "start_beams",
    "start_decoding",
    "teacher_forcing",
    "to_numpy",
    "train_seq2seq",
    "translate",
    "without_dropout",
]


# From notebooks/01_attention_cues.md, section "Reading the weights", cell 288eb0c514d3
def show_attention(
    weights,
    source=None,
    target=None,
    alignment=None,
    titles=None,
    xlabel="Keys",
    ylabel="Queries",
    vmax=None,
    interactive=False,
):
    """Show attention weights: a row for each query, a column for each key.

    Args:
        weights: (queries, keys) or (pictures, queries, keys), an array of
            any framework, or a list of arrays (queries, keys). Pictures,
            of heads or of steps, are drawn side by side.
        source: list of a token for each key; None to count them.
        target: list of a token for each query; None to count them.
        alignment: gold links, (key index, query index) each, whose cells
            get a frame; or None.
        titles: list of a string for each picture, a string for one; or None.
        xlabel: string, what the keys are.
        ylabel: string, what the queries are.
        vmax: weight of the darkest color in a picture; None for 1, or the
            largest weight if that is more.
        interactive: whether to return a page to look around in, with mouse
            or keyboard, instead of a picture to print.

    Returns:
        matplotlib figure; or `views.AttentionView`, if interactive. A
        notebook shows either when it is the last value of a cell.

    Raises:
        ValueError: if the shape of the weights is not that of the tokens, a
            link lies outside, or there are not as many titles as pictures.
    """
    shown = (weights, source, target, alignment, titles, xlabel, ylabel)
    if interactive:
        return views.panels(*shown)
    return plots.attention(*shown, vmax)


# From notebooks/02_masked_softmax.md, section "Why batches are padded", cell 4e072344d526
def device():
    """Say where arrays and models go: to the first GPU, or else the CPU.

    The environment variable D2L_EXT_DEVICE, cpu or gpu, overrides the choice.

    Returns:
        The device, as the framework names it.

    Raises:
        ValueError: if D2L_EXT_DEVICE is neither.
        RuntimeError: if it is gpu, and the framework sees none.
    """
    gpus = [d for d in jax.local_devices() if d.platform == "gpu"]
    if devices.use_gpu("JAX", bool(gpus)):
        return gpus[0]
    return jax.local_devices(backend="cpu")[0]


# From notebooks/02_masked_softmax.md, section "Why batches are padded", cell 6548bbaffd69
def from_numpy(x):
    """Make a JAX array on `device()` from a NumPy one (64 bits become 32)."""
    return jnp.asarray(x, device=device())


def to_numpy(x):
    """Make a NumPy array from a JAX array."""
    return numpy.asarray(x)


# From notebooks/02_masked_softmax.md, section "Masking a sequence", cell e82586ca6179
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
        valid_lens = numpy.clip(valid_lens, *numpy.int32([0, 2**31 - 1]))
    lens = jnp.asarray(valid_lens)
    if X.ndim < 2 or lens.shape != X.shape[:1]:
        raise ValueError(
            "sequence_mask takes X (batch, steps, ...) and valid_lens "
            f"(batch,), not {X.shape} and {lens.shape}"
        )
    valid = jnp.arange(X.shape[1]) < lens[:, None]  # (batch, steps)
    valid = valid.reshape(valid.shape + (1,) * (X.ndim - 2))
    return jnp.where(valid, X, jnp.asarray(value).astype(X.dtype))


# From notebooks/02_masked_softmax.md, section "From scores to weights", cell b8179909d043
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
        valid_lens = numpy.clip(valid_lens, *numpy.int32([0, 2**31 - 1]))
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


# From notebooks/03_scoring_functions.md, section "What all attentions share", cell e63521b432fb
class Attention(nnx.Module):
    """Weights from scores, then the average of the values by these weights.

    Subclasses say how a query and a key are scored. What lies behind the
    valid lengths, in keys or values, has no influence, even if it is NaN.

    Args:
        dropout: probability with which training drops a weight from the
            average; the weights that are returned keep it.
        rngs: random streams of the weights and of dropout; None means
            `nnx.Rngs(0)`.
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


# From notebooks/03_scoring_functions.md, section "Dot product", cell c34ddd2f4346
class DotProductAttention(Attention):
    """Scores by the dot product, q · k / sqrt(d) (Vaswani et al. 2017).

    Queries and keys must have the same size d.

    Args:
        dropout: probability with which training drops a weight.
        scaled: whether to divide by sqrt(d).
        rngs: random streams of the weights and of dropout; None means
            `nnx.Rngs(0)`.
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


# From notebooks/03_scoring_functions.md, section "Additive", cell b4830027a732
class LazyLinear(nnx.Module):
    """A linear layer without bias whose sizes are found at its first call.

    Its weight starts as Glorot and Bengio (2010) propose, drawn uniformly.

    Args:
        num_outputs: size of the result, or None if build will tell.
        rngs: random streams of the weights.
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
    """Scores by a perceptron, w_v · tanh(W_q q + W_k k).

    Queries and keys may differ in size (Bahdanau et al. 2015, section A.1.2).

    Args:
        num_hiddens: number of hidden units of the perceptron.
        dropout: probability with which training drops a weight.
        rngs: random streams of the weights and of dropout; None means
            `nnx.Rngs(0)`.
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


# From notebooks/03_scoring_functions.md, section "Bilinear", cell 492849e9cb1d
class BilinearAttention(Attention):
    """Scores by a bilinear form, q · W k (Luong et al. 2015, 'general').

    Queries and keys may differ in size. W is (query size, key size).

    Args:
        dropout: probability with which training drops a weight.
        rngs: random streams of the weights and of dropout; None means
            `nnx.Rngs(0)`.
    """

    def __init__(self, dropout=0, rngs=None):
        rngs = nnx.Rngs(0) if rngs is None else rngs
        super().__init__(dropout, rngs)
        self.W = LazyLinear(None, rngs)

    def score(self, queries, projected_keys):
        """Score (batch, queries, keys): how well they match."""
        self.W.build(queries.shape[-1], projected_keys.shape[-1])
        return self.W(queries) @ projected_keys.mT


# From notebooks/04_seq2seq.md, section "The gated recurrent unit", cell 6c77c4168682
class GRUCell(nnx.Module):
    """One step of a gated recurrent unit, in the form that cuDNN computes.

    Args:
        num_hiddens: size of the state.
        rngs: random streams of the weights and of dropout; None means
            `nnx.Rngs(0)`.

    Called with `x` (batch, inputs) and `h` (batch, num_hiddens), it returns
    the next state (batch, num_hiddens).

    Source: Cho et al. 2014, with the reset gate behind the matrix product.
    """

    def __init__(self, num_hiddens, rngs=None):
        rngs = rngs or nnx.Rngs(0)
        self.num_hiddens = num_hiddens
        self.W_x = LazyLinear(3 * num_hiddens, rngs)
        self.b_x = nnx.Param(jnp.zeros(3 * num_hiddens))
        self.W_h = nnx.Linear(num_hiddens, 3 * num_hiddens, rngs=rngs)

    def __call__(self, x, h):
        return self.advance(self.W_x(x) + self.b_x, h)

    def advance(self, x, h):
        """Return the next state; W_x and b_x have been applied to x."""
        x_r, x_z, x_n = jnp.split(x, 3, axis=-1)
        h_r, h_z, h_n = jnp.split(self.W_h(h), 3, axis=-1)
        r = nnx.sigmoid(x_r + h_r)  # (batch, num_hiddens)
        z = nnx.sigmoid(x_z + h_z)  # (batch, num_hiddens)
        n = jnp.tanh(x_n + r * h_n)  # (batch, num_hiddens)
        return (1 - z) * n + z * h

    def read(self, X, h, real=True, reverse=False):
        """Return the states at all steps of X and the last one reached.

        `real` (batch, steps) is False for padding: there the state stays.
        """
        X = self.W_x(X) + self.b_x  # (batch, steps, 3 * num_hiddens), at once
        # An update gate that is wide open copies the state
        is_z = jnp.arange(X.shape[-1]) // self.num_hiddens == 1
        X = jnp.where(jnp.expand_dims(real, -1) | ~is_z, X, jnp.inf)
        if X.shape[1] == 1:  # no loop to compile
            h = self.advance(X[:, 0], h)
            return h[:, None], h

        def step(h, x):
            h = self.advance(x, h)
            return h, h

        X = jnp.swapaxes(X, 0, 1)  # scan runs over the first axis
        h, states = jax.lax.scan(step, h, X, reverse=reverse)
        return jnp.swapaxes(states, 0, 1), h


# From notebooks/04_seq2seq.md, section "The encoder", cell 712c1f44f22a
class Seq2SeqEncoder(nnx.Module):
    """Embedding and GRU layers that read the source sentence.

    Args:
        vocab_size: number of source tokens.
        embed_size: length of an embedding.
        num_hiddens: size of a GRU layer's state.
        num_layers: number of GRU layers.
        dropout: probability of dropping a value between layers.
        bidirectional: read in both directions, as Bahdanau et al. 2015 do.
        rngs: random streams of the weights and of dropout; None means
            `nnx.Rngs(0)`.

    Called with `X` (batch, steps) of token ids and `valid_lens` (batch,), it
    returns

        outputs: (batch, steps, num_hiddens), twice as wide when bidirectional;
            0 behind each sentence's end.
        state: (num_layers, batch, num_hiddens), where the decoder starts: the
            states after the last real token or, when bidirectional,
            tanh(W_s h) of the backward states at the first token.

    Padding never changes a sentence's result; an empty sentence's are 0.

    Source: Sutskever et al. 2014; Bahdanau et al. 2015, appendix A.2.
    """

    def __init__(
        self,
        vocab_size,
        embed_size,
        num_hiddens,
        num_layers,
        dropout=0,
        bidirectional=False,
        rngs=None,
    ):
        rngs = rngs or nnx.Rngs(0)
        self.num_hiddens, self.bidirectional = num_hiddens, bidirectional
        self.embedding = nnx.Embed(vocab_size, embed_size, rngs=rngs)
        self.cells = nnx.data([GRUCell(num_hiddens, rngs) for _ in range(num_layers)])
        self.dropout = nnx.Dropout(dropout, rngs=rngs)
        if bidirectional:
            self.backward_cells = nnx.data([GRUCell(num_hiddens, rngs) for _ in range(num_layers)])
            self.W_s = nnx.data(
                [
                    nnx.Linear(num_hiddens, num_hiddens, use_bias=False, rngs=rngs)
                    for _ in range(num_layers)
                ]
            )

    def __call__(self, X, valid_lens):
        real = jnp.arange(X.shape[1]) < valid_lens[:, None]  # (batch, steps)
        start = jnp.zeros((X.shape[0], self.num_hiddens))
        outputs, state = self.embedding(X), []
        for i, cell in enumerate(self.cells):
            X = self.dropout(outputs) if i else outputs
            outputs, h = cell.read(X, start, real)
            if self.bidirectional:
                backward, h = self.backward_cells[i].read(X, start, real, reverse=True)
                outputs = jnp.concat((outputs, backward), axis=-1)
                h = jnp.tanh(self.W_s[i](h))
            state.append(h)
        # (batch, steps, ...), (num_layers, batch, num_hiddens)
        return sequence_mask(outputs, valid_lens), jnp.stack(state)


# From notebooks/04_seq2seq.md, section "The decoder", cell d6b4ccb33f6e
class DecoderState(NamedTuple):
    """What a decoder carries from step to step.

    hidden: the states of the GRU layers (num_layers, batch, num_hiddens).
    context: what the decoder knows of the source: one vector (batch,
        num_hiddens) without attention; with attention the projected keys,
        the values and the valid lengths.
    """

    hidden: Any
    context: Any


# From notebooks/04_seq2seq.md, section "The decoder", cell 46a918d67e25
class Seq2SeqDecoder(nnx.Module):
    """GRU decoder that sees the source through a single vector.

    Args:
        vocab_size: number of target tokens.
        embed_size: length of an embedding.
        num_hiddens: size of a GRU layer's state, the encoder's.
        num_layers: number of GRU layers, the encoder's.
        dropout: probability of dropping a value between layers.
        rngs: random streams of the weights and of dropout; None means
            `nnx.Rngs(0)`.

    Called with `X` (batch, steps) of target ids and a `DecoderState`, it
    returns logits (batch, steps, vocab_size), the next state, and None where
    a decoder with attention returns its weights.

    Source: Cho et al. 2014.
    """

    def __init__(
        self,
        vocab_size,
        embed_size,
        num_hiddens,
        num_layers,
        dropout=0,
        rngs=None,
    ):
        rngs = rngs or nnx.Rngs(0)
        self.embedding = nnx.Embed(vocab_size, embed_size, rngs=rngs)
        self.cells = nnx.data([GRUCell(num_hiddens, rngs) for _ in range(num_layers)])
        self.dropout = nnx.Dropout(dropout, rngs=rngs)
        self.dense = nnx.Linear(num_hiddens, vocab_size, rngs=rngs)

    def init_state(self, enc_outputs, enc_valid_lens):
        """Return the first `DecoderState` from what the encoder returned."""
        _, hidden = enc_outputs
        return DecoderState(hidden, hidden[-1])

    def __call__(self, X, state):
        context = jnp.expand_dims(state.context, 1)  # the same at all steps
        context = jnp.repeat(context, X.shape[1], axis=1)
        outputs = jnp.concat((context, self.embedding(X)), axis=-1)
        hidden = []
        # No layer feeds back into the one below it: one after the other
        for i, cell in enumerate(self.cells):
            outputs, h = cell.read(self.dropout(outputs) if i else outputs, state.hidden[i])
            hidden.append(h)
        state = state._replace(hidden=jnp.stack(hidden))
        return self.dense(outputs), state, None


# From notebooks/04_seq2seq.md, section "The decoder", cell ddc40d7c58ac
def place(module):
    """Put all arrays of an NNX module on `device()`.

    There they stay: JAX computes where such arrays are, and its own, made
    without a device, follow them.
    """
    nnx.update(module, jax.device_put(nnx.state(module), device()))


class Seq2Seq(nnx.Module):
    """An encoder and a decoder that are trained together.

    Args:
        encoder: a `Seq2SeqEncoder`.
        decoder: a `Seq2SeqDecoder` or a decoder with attention.
        rngs: random streams of the weights and of dropout; None means
            `nnx.Rngs(0)`.

    Called with `src` (batch, source steps), `src_valid_len` (batch,) and
    `tgt_in` (batch, target steps), it returns logits (batch, target steps,
    target vocabulary) and attention weights (batch, target steps, source
    steps), or None without attention.

    The constructor gives every weight its shape and its first values:
    matrices Glorot uniform, embeddings standard normal, biases 0.
    `src_vocab` and `tgt_vocab` are None until the model is trained or loaded.
    `max_steps` is the longest source sentence that `translate` accepts, in
    tokens with <eos>.
    """

    def __init__(self, encoder, decoder, rngs=None):
        self.encoder, self.decoder = encoder, decoder
        self.src_vocab = self.tgt_vocab = None
        self.max_steps = 128
        self.find_shapes()
        rngs = rngs or nnx.Rngs(0)
        # NumPy draws: XLA would compile a program for each shape
        seed = to_numpy(jax.random.key_data(rngs.params()))
        generator = numpy.random.default_rng(seed)

        def draw(path, weight):
            if weight.ndim < 2:
                return jnp.zeros(weight.shape)
            if "embedding" in jax.tree_util.keystr(path):
                return jnp.float32(generator.normal(size=weight.shape))
            limit = (6 / sum(weight.shape)) ** 0.5
            return jnp.float32(generator.uniform(-limit, limit, weight.shape))

        weights = nnx.state(self, nnx.Param)
        nnx.update(self, jax.tree.map_with_path(draw, weights))
        place(self)

    def find_shapes(self):
        """Give all weights their shapes by tracing one token."""

        def run(model):
            token = jnp.ones((1, 1), int)
            model(token, token[0], token)
            return model

        # Nothing is compiled or computed for the copy that this returns
        traced = nnx.eval_shape(run, self)
        lazy = [
            [m for _, m in nnx.iter_graph(model) if isinstance(m, LazyLinear)]
            for model in (self, traced)
        ]
        for ours, theirs in zip(*lazy, strict=True):
            ours.kernel = theirs.kernel

    def __call__(self, src, src_valid_len, tgt_in):
        enc_outputs = self.encoder(src, src_valid_len)
        state = self.decoder.init_state(enc_outputs, src_valid_len)
        logits, _, attention_weights = self.decoder(tgt_in, state)
        return logits, attention_weights


# From notebooks/04_seq2seq.md, section "A loss that counts real tokens", cell 815007913703
def masked_loss(logits, labels, valid_lens):
    """Cross-entropy summed over the real tokens, divided by their number.

    Args:
        logits: (batch, steps, vocabulary).
        labels: (batch, steps) ids of the right tokens.
        valid_lens: (batch,) numbers of real tokens.

    Returns:
        The loss in nats per token, a scalar.
    """
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)  # (batch, steps)
    return sequence_mask(losses, valid_lens).sum() / valid_lens.sum()


# From notebooks/04_seq2seq.md, section "Training", cell 4d091661988d
@functools.partial(jax.jit, static_argnums=0)
def run_copy(function, graphdef, state, args):
    """Build the module from its parts and run it with dropout off."""
    module = nnx.merge(graphdef, state)
    module.eval()  # the copy only: the caller's module keeps its mode
    return function(module, *args)


def without_dropout(function, module, *args):
    """Return function(module, *args), compiled and without dropout.

    The module is not changed. XLA compiles once for each function, kind of
    module, and shapes of the arrays.
    """
    return run_copy(function, *nnx.split(module), args)


def round_up(arrays, rows=1, steps=16):
    """Pad NumPy arrays with zeros, so that XLA meets few shapes.

    Args:
        arrays: arrays (batch,) or (batch, steps) of one batch.
        rows: all get the same batch size, a multiple of this.
        steps: all get the same number of steps, a multiple of this.
    """
    sizes = [max(a.shape[axis] for a in arrays if a.ndim > axis) for axis in range(2)]
    sizes = [size + -size % multiple for size, multiple in zip(sizes, (rows, steps))]
    return [
        numpy.pad(array, [(0, size - old) for size, old in zip(sizes, array.shape)])
        for array in arrays
    ]


def batch_loss(model, batch):
    """Return the loss of a batch (five arrays), a scalar."""
    src, src_len, tgt_in, tgt_out, tgt_len = batch
    logits, _ = model(src, src_len, tgt_in)
    return masked_loss(logits, tgt_out, tgt_len)


@nnx.jit
def loss_and_gradients(model, batch):
    """Return the loss of a batch and its gradients.

    XLA compiles once for each kind of model and each shape of a batch.
    """
    return nnx.value_and_grad(batch_loss)(model, batch)


def make_steps(model, lr, grad_clip, num_steps, seed):
    """Make the functions that learn from a batch and that only look at it.

    Args:
        model: a `Seq2Seq`.
        lr: learning rate of Adam at the first step.
        grad_clip: largest global norm of the gradient.
        num_steps: steps in which the learning rate falls linearly to 0.
        seed: fixes the dropout.

    Returns:
        `train_step(batch)` and `evaluate(batch)`. Both take a NumPy `Batch`
        and return its loss, a scalar; the first also updates the weights.
    """
    nnx.reseed(model, default=seed, dropout=seed)
    optimizer = nnx.Optimizer(
        model,
        optax.chain(
            optax.clip_by_global_norm(grad_clip),
            optax.adam(optax.linear_schedule(lr, 0, num_steps)),
        ),
        wrt=nnx.Param,
    )
    for module in (model, optimizer):  # whose counters are new
        place(module)

    @nnx.jit
    def update(model, optimizer, gradients):
        optimizer.update(model, gradients)

    most_rows = 1  # of a batch so far

    def train_step(batch):
        nonlocal most_rows
        most_rows = max(most_rows, len(batch.src))
        # A smaller batch, the last one, gets rows of length 0
        batch = tuple(round_up(batch, most_rows, steps=9))
        model.train()
        loss, gradients = loss_and_gradients(model, batch)
        update(model, optimizer, gradients)
        return loss

    def evaluate(batch):
        batch = tuple(round_up(batch, rows=64, steps=9))
        return without_dropout(batch_loss, model, batch)

    return train_step, evaluate


# From notebooks/04_seq2seq.md, section "Training", cell 56d46a7429fd
class EpochRecord(NamedTuple):
    """What one pass over the training sentences gave.

    train_loss, validation_loss: cross-entropy per real target token (nats).
    seconds: wall-clock time of the epoch, validation included.
    """

    train_loss: float
    validation_loss: float
    seconds: float


def mean_loss(step, batches):
    """Return the mean loss per real target token of a pass.

    Args:
        step: function of a `Batch` that returns its loss.
        batches: iterable of `Batch`.
    """
    losses, num_tokens = zip(*[(step(batch), batch.tgt_valid_len.sum()) for batch in batches])
    return float(numpy.average([float(loss) for loss in losses], weights=num_tokens))


# From notebooks/04_seq2seq.md, section "Training", cell 406c5aeea1e6
def train_seq2seq(
    model,
    corpus,
    num_epochs,
    batch_size=128,
    lr=0.005,
    grad_clip=1.0,
    seed=0,
    progress=True,
):
    """Train a model with teacher forcing and Adam.

    Args:
        model: a `Seq2Seq`; it keeps the corpus's vocabularies.
        corpus: a `ParallelCorpus`.
        num_epochs: passes over the training pairs.
        batch_size: pairs in a batch.
        lr: learning rate of the first step; it falls linearly to 0.
        grad_clip: largest global norm of a gradient.
        seed: fixes the order of the batches and the dropout.
        progress: whether to print a line after each epoch.

    Returns:
        List of one `EpochRecord` for each epoch.
    """
    num_batches = -(-len(corpus.train) // batch_size)
    train_step, evaluate = make_steps(model, lr, grad_clip, num_epochs * num_batches, seed)
    model.src_vocab, model.tgt_vocab = corpus.src_vocab, corpus.tgt_vocab
    history = []
    for epoch in range(num_epochs):
        start = time.perf_counter()
        train_loss = mean_loss(train_step, corpus.batches("train", batch_size, seed=seed + epoch))
        validation_loss = mean_loss(
            evaluate, corpus.batches("validation", batch_size, shuffle=False)
        )
        seconds = time.perf_counter() - start
        history.append(EpochRecord(train_loss, validation_loss, seconds))
        if progress:
            print(
                f"epoch {epoch + 1}/{num_epochs}: train loss "
                f"{train_loss:.3f}, validation loss "
                f"{validation_loss:.3f}, {seconds:.1f} s"
            )
    return history


# From notebooks/04_seq2seq.md, section "Looking inside with the truth as input", cell 97d0b433aa85
def teacher_forcing(model, src, src_valid_len, tgt_in):
    """Return what a model predicts when it is fed the true target.

    Neither dropout nor gradients.

    Args:
        model: a `Seq2Seq`.
        src: NumPy int32 (batch, source steps).
        src_valid_len: NumPy int32 (batch,).
        tgt_in: NumPy int32 (batch, target steps), <bos> first.

    Returns:
        NumPy float32 logits (batch, target steps, target vocabulary) and
        attention weights (batch, target steps, source steps), or None without
        attention.
    """
    logits, weights = without_dropout(Seq2Seq.__call__, model, src, src_valid_len, tgt_in)
    if weights is not None:
        weights = to_numpy(weights)
    return to_numpy(logits), weights


# From notebooks/05_bahdanau_decoder.md, section "The interface", cell 90d6f76b13d5
class AttentionDecoder(nnx.Module):
    """A decoder that looks back at the source: the base class.

    A subclass defines `init_state(enc_outputs, enc_valid_lens)`, which
    returns the first state, and a call with (X, state), which returns logits
    (batch, steps, vocabulary), the next state and the attention weights
    (batch, steps, source steps). For the file of a model it has a `kind`,
    `options` and `own_weights`.
    """

    kind = None  # its name in a file

    @property
    def options(self):
        """Return what the constructor took beyond the sizes, as a dict."""
        return {}

    def own_weights(self):
        """Return the weights that only decoders of this kind have, by name."""
        raise NotImplementedError

    def init_state(self, enc_outputs, enc_valid_lens):
        """Return the first state from what the encoder returned."""
        raise NotImplementedError

    def attention_weights(self, X, state):
        """Return the weights alone (batch, steps, source steps)."""
        return self(X, state)[2]


# From notebooks/05_bahdanau_decoder.md, section "The class", cell 2e6399d32b2f
# Along axis 1, with new random numbers at each step. The backward pass
# computes a step again, all but its matrix products: faster than to store
# and fetch everything.
@nnx.scan(
    in_axes=(
        nnx.StateAxes({nnx.RngState: nnx.Carry, ...: None}),
        nnx.Carry,
        1,
        None,
    ),
    out_axes=(nnx.Carry, 1),
)
@nnx.remat(policy=jax.checkpoint_policies.dots_saveable)
def run_steps(decoder, carry, inputs, source):
    """Call a decoder's `step` for all inputs (batch, steps, features).

    Returns:
        The last carry, and what the steps returned beside it, with an axis
        of steps behind the batch.
    """
    return decoder.step(carry, inputs, source)


class Seq2SeqAttentionDecoder(AttentionDecoder):
    """The decoder of Bahdanau et al. 2015.

    Args:
        vocab_size: number of target tokens.
        embed_size: length of an embedding.
        num_hiddens: size of a GRU layer's state and of the attention's hidden
            layer; the encoder's.
        num_layers: number of GRU layers, the encoder's.
        dropout: probability of dropping a value between layers, and of
            dropping an attention weight.
        rngs: random streams of the weights and of dropout; None means
            `nnx.Rngs(0)`.

    Called with `X` (batch, steps) of target ids and a `DecoderState`, it
    returns logits (batch, steps, vocab_size), the next state, and attention
    weights (batch, steps, source steps).

    Source: Bahdanau et al. 2015, section 3.1 and appendix A.2.
    """

    kind = "attention"

    def __init__(
        self,
        vocab_size,
        embed_size,
        num_hiddens,
        num_layers,
        dropout=0,
        rngs=None,
    ):
        rngs = rngs or nnx.Rngs(0)
        self.attention = AdditiveAttention(num_hiddens, dropout, rngs)
        self.embedding = nnx.Embed(vocab_size, embed_size, rngs=rngs)
        self.cells = nnx.data([GRUCell(num_hiddens, rngs) for _ in range(num_layers)])
        self.dropout = nnx.Dropout(dropout, rngs=rngs)
        self.dense = nnx.Linear(num_hiddens, vocab_size, rngs=rngs)

    def own_weights(self):
        """Return the weights that only decoders of this kind have, by name."""
        return {
            "attention.w_q": self.attention.W_q.kernel,
            "attention.w_k": self.attention.W_k.kernel,
            "attention.w_v": self.attention.w_v.kernel,
        }

    def init_state(self, enc_outputs, enc_valid_lens):
        """Return the first state from what the encoder returned."""
        outputs, hidden = enc_outputs
        keys = self.attention.project_keys(outputs)  # once for all steps
        return DecoderState(hidden, (keys, outputs, enc_valid_lens))

    def step(self, hidden, embedding, context):
        """Return the next hidden, and this step's output and weights."""
        query = hidden[-1][:, None]  # state of the step before
        context, weights = self.attention.attend(query, *context)
        x = jnp.concat((context[:, 0], embedding), axis=-1)
        states = []
        for i, cell in enumerate(self.cells):
            x = cell(self.dropout(x) if i else x, hidden[i])
            states.append(x)
        return jnp.stack(states), (x, weights[:, 0])

    def __call__(self, X, state):
        embeddings = self.embedding(X)  # (batch, steps, embed_size)
        if X.shape[1] == 1:  # no loop to compile
            hidden, outputs = self.step(state.hidden, embeddings[:, 0], state.context)
            outputs, weights = (array[:, None] for array in outputs)
        else:
            hidden, (outputs, weights) = run_steps(self, state.hidden, embeddings, state.context)
        return self.dense(outputs), state._replace(hidden=hidden), weights


# From notebooks/06_training_vs_prediction.md, section "Decoding a batch", cell 7c2ca336bb3d
@jax.jit
def select_rows(state, rows):
    """Return the `DecoderState` whose row i is row rows[i] of `state`.

    Args:
        state: a `DecoderState`.
        rows: NumPy integers, in any number and order.
    """
    hidden, context = state
    context = jax.tree.map(lambda array: array[rows], context)
    return DecoderState(hidden[:, rows], context)


# From notebooks/06_training_vs_prediction.md, section "Decoding a batch", cell eff997feb76a
def start_decoding(model, src, src_valid_len, beam_size):
    """Encode a batch and return the decoder's first state.

    Args:
        model: a `Seq2Seq`.
        src: NumPy int32 (batch, source steps).
        src_valid_len: NumPy int32 (batch,).
        beam_size: how many rows of the state each sentence gets.

    Returns:
        `DecoderState` of batch * beam_size rows, a sentence's side by side.
    """
    encoder, decoder = model.encoder, model.decoder
    (src,) = round_up([src])  # few shapes to compile for
    enc_outputs = without_dropout(type(encoder).__call__, encoder, src, src_valid_len)
    state = without_dropout(type(decoder).init_state, decoder, enc_outputs, src_valid_len)
    return select_rows(state, numpy.arange(len(src)).repeat(beam_size))


# From notebooks/06_training_vs_prediction.md, section "Decoding a batch", cell 18367a091b33
def decode_step(model, tokens, state):
    """Feed one token to each row. Neither dropout nor gradients.

    Args:
        model: a `Seq2Seq`.
        tokens: NumPy int32 (rows,).
        state: `DecoderState` of that many rows.

    Returns:
        NumPy log-probabilities (rows, vocabulary), NumPy attention weights
        (rows, source steps) or None without attention, and the next state.
    """
    decoder = model.decoder
    logits, state, weights = without_dropout(
        type(decoder).__call__, decoder, tokens[:, None], state
    )
    log_probs = nnx.log_softmax(logits[:, 0])  # (rows, vocabulary)
    if weights is not None:
        weights = to_numpy(weights[:, 0])  # (rows, source steps)
    return to_numpy(log_probs), weights, state


# From notebooks/06_training_vs_prediction.md, section "Beam search", cell df72b3ceadea
class Beams(NamedTuple):
    """The beginnings that a search follows, each array (batch, beam_size).

    tokens: id of the last word.
    total: log-probability of the whole beginning.
    lengths: number of tokens, <eos> counted.
    finished: whether it has reached <eos> or its limit.
    """

    tokens: Any
    total: Any
    lengths: Any
    finished: Any


def start_beams(batch, beam_size, bos):
    """Return the `Beams` before the first step."""
    shape = (batch, beam_size)
    total = numpy.full(shape, -numpy.inf)
    total[:, 0] = 0  # one beginning: the others would only repeat it
    return Beams(
        numpy.full(shape, bos),
        total,
        numpy.zeros(shape, int),
        numpy.zeros(shape, bool),
    )


# From notebooks/06_training_vs_prediction.md, section "Beam search", cell e664d21864e5
def extend_beams(beams, log_probs, vocab):
    """Extend each beginning by each word and keep the best.

    Args:
        beams: `Beams`.
        log_probs: (batch, beam_size, vocabulary) of the next word.
        vocab: the target `Vocab`.

    Returns:
        The new `Beams`, and (batch, beam_size) which old beam each continues.
    """
    batch, beam_size, num_words = log_probs.shape
    log_probs = log_probs.astype("float64")
    log_probs[..., [vocab.pad, vocab.bos]] = -numpy.inf
    log_probs[beams.finished] = -numpy.inf
    log_probs[beams.finished, vocab.pad] = 0
    lengths = beams.lengths + ~beams.finished
    totals = beams.total[..., None] + log_probs
    scores = (totals / lengths[..., None]).reshape(batch, -1)
    best = numpy.argpartition(-scores, beam_size - 1)[:, :beam_size]
    order = numpy.take_along_axis(scores, best, 1).argsort()[:, ::-1]
    best = numpy.take_along_axis(best, order, 1)  # best first
    parents, tokens = numpy.divmod(best, num_words)
    total = numpy.take_along_axis(totals.reshape(batch, -1), best, 1)
    lengths = numpy.take_along_axis(lengths, parents, 1)
    finished = numpy.take_along_axis(beams.finished, parents, 1)
    finished = finished | (tokens == vocab.eos)
    return Beams(tokens, total, lengths, finished), parents


# From notebooks/06_training_vs_prediction.md, section "Beam search", cell 7f5c7e4a7c41
def read_back(trace, row, vocab):
    """Return the token ids and attention weights that led to a row."""
    ids, attention = [], []
    for parents, tokens, weights in reversed(trace):
        token, row = tokens[row], parents[row]
        if token not in (vocab.pad, vocab.eos):
            ids.append(int(token))
            attention.append(None if weights is None else weights[row])
    return ids[::-1], attention[::-1]


def beam_search(model, src, src_valid_len, beam_size, max_steps):
    """Search for the target with the best mean log-probability.

    Args:
        model: a trained `Seq2Seq`.
        src: NumPy int32 (batch, source steps).
        src_valid_len: NumPy int32 (batch,).
        beam_size: beginnings to follow for each sentence; 1 is greedy search.
        max_steps: number of tokens after which to give up, one for all or
            (batch,).

    Returns:
        For each sentence (token ids without <eos>, score, list of attention
        weights (source steps,) or None of each token).
    """
    batch, vocab = len(src), model.tgt_vocab
    state = start_decoding(model, src, src_valid_len, beam_size)
    beams = start_beams(batch, beam_size, vocab.bos)
    limits = numpy.broadcast_to(max_steps, batch)[:, None]
    first_rows = numpy.arange(batch)[:, None] * beam_size
    trace = []
    while not beams.finished.all():
        tokens = beams.tokens.ravel().astype("int32")
        log_probs, weights, state = decode_step(model, tokens, state)
        log_probs = log_probs.reshape(batch, beam_size, -1)
        beams, parents = extend_beams(beams, log_probs, vocab)
        rows = (first_rows + parents).ravel()
        trace.append((rows, beams.tokens.ravel(), weights))
        beams.finished[:] |= len(trace) >= limits
        if beam_size > 1:
            state = select_rows(state, rows)
    scores = beams.total[:, 0] / beams.lengths[:, 0]
    return [(*read_back(trace, i * beam_size, vocab), float(scores[i])) for i in range(batch)]


# From notebooks/06_training_vs_prediction.md, section "Translating sentences", cell 98d340c1b9a1
class Translation(NamedTuple):
    """A translated sentence.

    tokens: the target tokens, without <eos>.
    score: mean log-probability of a token, <eos> counted, in nats.
    attention_weights: NumPy (target tokens, source tokens), each row summing
        to 1; None without attention.
    source: the source tokens that the model read, <eos> last.
    unknown: those of them that are not in the vocabulary.
    """

    tokens: list
    score: float
    attention_weights: Any
    source: list
    unknown: list


def read_sentences(model, sentences):
    """Return each sentence as a list of tokens, checked for the model."""
    if model.src_vocab is None:
        raise ValueError("the model has no vocabularies: train it or load it first")
    if isinstance(sentences, str):
        raise TypeError(f"sentences is the string {sentences!r}; pass a list")
    sources = [
        corpora.tokenize(sentence) if isinstance(sentence, str) else list(sentence)
        for sentence in sentences
    ]
    for i, source in enumerate(sources):
        if len(source) + 1 > model.max_steps:
            raise ValueError(
                f"sentence {i} has {len(source)} tokens, but the model takes "
                f"at most {model.max_steps - 1}; split the sentence, or "
                "raise model.max_steps"
            )
    return sources


# From notebooks/06_training_vs_prediction.md, section "Translating sentences", cell b1d15a8588ab
def translate(model, sentences, beam_size=1, max_steps=None):
    """Translate sentences by greedy or beam search.

    Args:
        model: a `Seq2Seq` that was trained or loaded.
        sentences: list of strings or of token lists.
        beam_size: beginnings to follow for each sentence; 1 is greedy search.
        max_steps: most target tokens of a sentence; None allows each twice
            its source's tokens and ten more.

    Returns:
        List of `Translation`, in the order of the sentences.

    Raises:
        ValueError: if the model has no vocabularies, a sentence is longer
            than model.max_steps, or beam_size or max_steps is not positive.
    """
    if beam_size < 1 or (max_steps is not None and max_steps < 1):
        raise ValueError(
            f"beam_size is {beam_size} and max_steps is {max_steps}; both must be at least 1"
        )
    sources = read_sentences(model, sentences)
    results = [Translation([], 0.0, None, ["<eos>"], []) for _ in sources]
    order = sorted(
        (i for i, source in enumerate(sources) if source),
        key=lambda i: len(sources[i]),
    )
    for start in range(0, len(order), 64):
        rows = order[start : start + 64]
        src, src_valid_len = corpora.encode_source([sources[i] for i in rows], model.src_vocab)
        limits = 2 * src_valid_len + 10 if max_steps is None else max_steps
        found = beam_search(model, src, src_valid_len, beam_size, limits)
        for i, (ids, attention, score) in zip(rows, found):
            source = [*sources[i], "<eos>"]
            unknown = [t for t in sources[i] if t not in model.src_vocab]
            weights = None
            if isinstance(model.decoder, AttentionDecoder):
                weights = numpy.array([row[: len(source)] for row in attention])
                weights = weights.reshape(len(ids), len(source))
            results[i] = Translation(
                model.tgt_vocab.to_tokens(ids), score, weights, source, unknown
            )
    unknown = sorted({t for result in results for t in result.unknown})
    if unknown:
        warnings.warn(
            "not in the vocabulary, read as <unk>: " + ", ".join(unknown),
            stacklevel=2,
        )
    return results


# From notebooks/06_training_vs_prediction.md, section "A model in a file", cell 2ec767dde992
def get_config(model):
    """Return what it takes to build a model of the same form again.

    Args:
        model: a `Seq2Seq`.

    Returns:
        Dict of its kind, sizes and options, as `new_model` takes it.
    """
    encoder, decoder = model.encoder, model.decoder
    attends = isinstance(decoder, AttentionDecoder)
    return dict(
        kind=decoder.kind if attends else "plain",
        src_vocab_size=encoder.embedding.num_embeddings,
        tgt_vocab_size=decoder.embedding.num_embeddings,
        embed_size=encoder.embedding.features,
        num_hiddens=encoder.num_hiddens,
        num_layers=len(encoder.cells),
        dropout=decoder.dropout.rate,
        bidirectional=encoder.bidirectional,
        **(decoder.options if attends else {}),
    )


# From notebooks/06_training_vs_prediction.md, section "A model in a file", cell f2a4e4bc8d68
def named_weights(model):
    """Return the model's weights by their names in the exchange format."""
    encoder, decoder = model.encoder, model.decoder
    named = {
        "encoder.embedding": encoder.embedding.embedding,
        "decoder.embedding": decoder.embedding.embedding,
        "decoder.dense.w": decoder.dense.kernel,
        "decoder.dense.b": decoder.dense.bias,
    }
    stacks = {"encoder.gru.{}": encoder.cells, "decoder.gru.{}": decoder.cells}
    if encoder.bidirectional:
        stacks["encoder.gru.{}.backward"] = encoder.backward_cells
        for i, layer in enumerate(encoder.W_s):
            named[f"encoder.init.{i}.w"] = layer.kernel
    for prefix, cells in stacks.items():
        for i, cell in enumerate(cells):
            named |= {
                f"{prefix.format(i)}.w_x": cell.W_x.kernel,
                f"{prefix.format(i)}.b_x": cell.b_x,
                f"{prefix.format(i)}.w_h": cell.W_h.kernel,
                f"{prefix.format(i)}.b_h": cell.W_h.bias,
            }
    if isinstance(decoder, AttentionDecoder):
        for name, weight in decoder.own_weights().items():
            named[f"decoder.{name}"] = weight
    return named


def get_weights(model):
    """Return a model's weights in the exchange format.

    Args:
        model: a `Seq2Seq`.

    Returns:
        Dict of name -> NumPy float32: matrices as (inputs, outputs), a GRU's
        gates in the order r, z, n.
    """
    return {name: numpy.array(weight[...]) for name, weight in named_weights(model).items()}


def set_weights(model, weights):
    """Give a model the weights that `get_weights` returned, in any framework.

    Args:
        model: a `Seq2Seq`.
        weights: dict of name -> NumPy array.

    Raises:
        ValueError: if weights are missing, left over, or of another shape; the
            model is unchanged then.
    """
    exchange.check(weights, get_config(model))
    for name, weight in named_weights(model).items():
        weight[...] = jnp.array(weights[name])


# From notebooks/06_training_vs_prediction.md, section "A model in a file", cell 9a3304374403
def save_model(model, path):
    """Write a model into a file that every framework can read.

    Args:
        model: a `Seq2Seq` that was trained or loaded.
        path: file to write, by convention *.safetensors.

    Raises:
        ValueError: if the model has no vocabularies yet.
    """
    if model.src_vocab is None:
        raise ValueError("the model has no vocabularies: train it or load it first")
    exchange.save(
        path,
        get_weights(model),
        get_config(model),
        model.src_vocab,
        model.tgt_vocab,
    )


def new_model(config):
    """Build an untrained model.

    Args:
        config: dict, as `get_config` returns it.

    Returns:
        A `Seq2Seq` without vocabularies.

    Raises:
        ValueError: if a key is missing or unknown, or a value is not allowed.
    """
    exchange.expected_shapes(config)  # complains if something is wrong
    decoders = {D.kind: D for D in AttentionDecoder.__subclasses__()}
    decoders["plain"] = Seq2SeqDecoder
    sizes = [config[name] for name in ("embed_size", "num_hiddens", "num_layers", "dropout")]
    options = {name: config[name] for name in exchange.OPTIONS[config["kind"]]}
    return Seq2Seq(
        Seq2SeqEncoder(
            config["src_vocab_size"],
            *sizes,
            bidirectional=config["bidirectional"],
        ),
        decoders[config["kind"]](config["tgt_vocab_size"], *sizes, **options),
    )


def load_model(path):
    """Read a model from a file that `save_model` of any framework wrote.

    Args:
        path: the file.

    Returns:
        A `Seq2Seq` with its vocabularies.

    Raises:
        ValueError: if the file is truncated, of another format version, or
            its weights do not fit its configuration.
    """
    arrays, config, src_vocab, tgt_vocab = exchange.load(path)
    model = new_model(config)
    set_weights(model, arrays)
    model.src_vocab, model.tgt_vocab = src_vocab, tgt_vocab
    return model


# From notebooks/07_global_attention.md, section "Global attention", cell fdd6cfacc272
class GlobalAttention(Attention):
    """Attention to all source states, by a score that one chooses.

    Args:
        num_hiddens: number of hidden units of the score "concat".
        score: "dot", q · k; "general", q · W k; or "concat",
            w_v · tanh(W_q q + W_k k).
        dropout: probability with which training drops a weight.
        rngs: random streams of the weights and of dropout; None means
            `nnx.Rngs(0)`.

    Raises ValueError if there is no such score.

    Source: Luong et al. 2015, section 3.1.
    """

    def __init__(self, num_hiddens, score="general", dropout=0, rngs=None):
        rngs = rngs or nnx.Rngs(0)
        super().__init__(dropout, rngs)
        if score == "dot":
            self.scorer = DotProductAttention(scaled=False, rngs=rngs)
        elif score == "general":
            self.scorer = BilinearAttention(rngs=rngs)
        elif score == "concat":
            self.scorer = AdditiveAttention(num_hiddens, rngs=rngs)
        else:
            raise ValueError(f"score is {score!r}; expected one of {exchange.SCORES}")

    def project_keys(self, keys):
        """Do the part of the score that needs the keys alone."""
        return self.scorer.project_keys(keys)

    def score(self, queries, projected_keys):
        """Score (batch, queries, keys): how well they match."""
        return self.scorer.score(queries, projected_keys)

    def own_weights(self):
        """Return the attention's weights by name."""
        layers = {
            name: getattr(self.scorer, name)
            for name in ("W", "W_q", "W_k", "w_v")
            if hasattr(self.scorer, name)
        }
        return {name.lower(): layer.kernel for name, layer in layers.items()}


# From notebooks/07_global_attention.md, section "Local attention", cell dadf71bad119
class LocalAttention(GlobalAttention):
    """Attention to a window of the source states around a center.

    Args:
        num_hiddens: number of hidden units of the predicted center, and of
            the score "concat".
        alignment: where the center p of a query q is. "monotonic": at the
            number of the query's step, from 0. "predictive": at
            S · sigmoid(v_p · tanh(W_p q)) in a sentence of S states; weights
            fall off from there as a Gaussian of standard deviation
            window / 2, so that a row sums to less than 1.
        window: number of states on each side of the center, 1 or more.
        score: "dot", "general" or "concat", as for `GlobalAttention`.
        dropout: probability with which training drops a weight.
        rngs: random streams of the weights and of dropout; None means
            `nnx.Rngs(0)`.

    States outside the window, or behind the valid lengths, get weight 0; if
    the window holds no state, all weights and the output are 0.

    Raises ValueError if there is no such alignment, score or window.

    Source: Luong et al. 2015, section 3.2.
    """

    def __init__(
        self,
        num_hiddens,
        alignment="predictive",
        window=10,
        score="general",
        dropout=0,
        rngs=None,
    ):
        rngs = rngs or nnx.Rngs(0)
        super().__init__(num_hiddens, score, dropout, rngs)
        if alignment not in exchange.ALIGNMENTS:
            raise ValueError(f"alignment is {alignment!r}; expected one of {exchange.ALIGNMENTS}")
        if window < 1:
            raise ValueError(f"window is {window}; expected 1 or more")
        self.alignment, self.window = alignment, window
        if alignment == "predictive":
            self.W_p = LazyLinear(num_hiddens, rngs)
            self.v_p = LazyLinear(1, rngs)

    def centers(self, queries, valid_lens, first_step=0):
        """Say around which state each query looks.

        Args:
            queries: (batch, queries, query size).
            valid_lens: (batch, 1 or queries) integers.
            first_step: number of the first query's step: an integer, or
                (batch,) integers.

        Returns:
            Centers p (batch, queries), of the queries' type.
        """
        if self.alignment == "predictive":
            p = self.v_p(jnp.tanh(self.W_p(queries))).squeeze(-1)
            p = valid_lens * nnx.sigmoid(p)
        else:
            p = jnp.reshape(first_step, (-1, 1)) + jnp.arange(queries.shape[1])
        return jnp.broadcast_to(p, queries.shape[:2]).astype(queries.dtype)

    def attend(self, queries, projected_keys, values, valid_lens=None, first_step=0):
        """Attend to windows of keys that have been projected already.

        Args:
            queries: (batch, queries, query size).
            projected_keys: what project_keys returned.
            values: (batch, keys, value size).
            valid_lens: None, (batch,) or (batch, queries) integers.
            first_step: number of the first query's step: an integer, or
                (batch,) integers.

        Returns:
            The pair of output (batch, queries, value size) and attention
            weights (batch, queries, keys).
        """
        (batch, num_queries), num_keys = queries.shape[:2], values.shape[1]
        D = self.window
        if valid_lens is None:
            valid_lens = jnp.full(batch, num_keys)
        # Clip lengths in their own type: JAX would cut off NumPy's 64 bits
        most = min(num_keys, jnp.iinfo(valid_lens.dtype).max)
        lens = jnp.asarray(valid_lens.clip(0, most))
        if lens.shape not in (queries.shape[:1], queries.shape[:2]):
            raise ValueError(
                f"valid_lens must be (batch,) = {queries.shape[:1]} or "
                f"(batch, queries) = {queries.shape[:2]}, not {lens.shape}"
            )
        lens = lens if lens.ndim == 2 else lens[:, None]
        p = self.centers(queries, lens, first_step)  # (batch, queries)
        # The window, without what lies before the first state: its first
        # state, and how many there are up to p + D or the sentence's end
        first = jnp.ceil(p - D).clip(0).astype(int)
        last = jnp.floor(p + D).astype(int)
        count = jnp.minimum(last + 1, lens) - first
        # (batch, queries, 2D + 1). Behind the last state JAX reads that state
        # again, and writes nothing
        positions = first[..., None] + jnp.arange(2 * D + 1)
        row = jnp.arange(batch)[:, None, None]
        # each query by itself: (batch * queries, 1 or 2D + 1, size)
        scores = self.score(
            lax.collapse(queries, 0, 2)[:, None],
            lax.collapse(projected_keys[row, positions], 0, 2),
        )
        weights = masked_softmax(scores.reshape(positions.shape), count)
        if self.alignment == "predictive":
            z = (positions - p[..., None]) / (D / 2)
            weights = weights * jnp.exp(-(z**2) / 2)
        dropped = lax.collapse(self.dropout(weights), 0, 2)[:, None]
        output = dropped @ lax.collapse(values[row, positions], 0, 2)
        everywhere = jnp.zeros((batch, num_queries, num_keys), weights.dtype)
        query = jnp.arange(num_queries)[:, None]
        everywhere = everywhere.at[row, query, positions].set(weights)
        output = output.reshape(batch, num_queries, values.shape[-1])
        return output, everywhere

    def own_weights(self):
        """Return the attention's weights by name."""
        named = super().own_weights()
        if self.alignment == "predictive":
            named |= {"w_p": self.W_p.kernel, "v_p": self.v_p.kernel}
        return named


# From notebooks/07_global_attention.md, section "The decoder", cell 484700e01fa1
class Seq2SeqGlobalDecoder(AttentionDecoder):
    """The decoder of Luong et al. 2015, which attends behind the GRU.

    Args:
        vocab_size: number of target tokens.
        embed_size: length of an embedding.
        num_hiddens: size of a GRU layer's state and of the attentional
            vector; the encoder's.
        num_layers: number of GRU layers, the encoder's.
        dropout: probability of dropping a value between layers, and of
            dropping an attention weight.
        score: "dot", "general" or "concat"; "dot" wants encoder outputs of
            size num_hiddens.
        input_feeding: whether the GRU's input is the attentional vector of
            the step before, beside the embedding.
        local: None to look at all source states, or the alignment of
            `LocalAttention`: "monotonic" or "predictive".
        window: number of states that `LocalAttention` sees on each side.
        rngs: random streams of the weights and of dropout; None means
            `nnx.Rngs(0)`.

    Called with `X` (batch, steps) of target ids and a `DecoderState`, it
    returns logits (batch, steps, vocab_size), the next state, and attention
    weights (batch, steps, source steps). The state's context has, beside keys,
    values and valid lengths, the attentional vector (batch, num_hiddens) of
    the step before, 0 at first, and the number of the next step (batch,).

    Source: Luong et al. 2015, section 3.
    """

    kind = "global"

    def __init__(
        self,
        vocab_size,
        embed_size,
        num_hiddens,
        num_layers,
        dropout=0,
        score="general",
        input_feeding=True,
        local=None,
        window=10,
        rngs=None,
    ):
        rngs = rngs or nnx.Rngs(0)
        self.score, self.input_feeding = score, input_feeding
        self.local, self.window = local, window
        if local is None:
            self.attention = GlobalAttention(num_hiddens, score, dropout, rngs)
        else:
            self.attention = LocalAttention(num_hiddens, local, window, score, dropout, rngs)
        self.embedding = nnx.Embed(vocab_size, embed_size, rngs=rngs)
        self.cells = nnx.data([GRUCell(num_hiddens, rngs) for _ in range(num_layers)])
        self.dropout = nnx.Dropout(dropout, rngs=rngs)
        self.W_c = LazyLinear(num_hiddens, rngs)
        self.dense = nnx.Linear(num_hiddens, vocab_size, rngs=rngs)

    @property
    def options(self):
        """Return what the constructor took beyond the sizes, as a dict."""
        return dict(
            score=self.score,
            input_feeding=self.input_feeding,
            local=self.local,
            window=self.window,
        )

    def own_weights(self):
        """Return the weights that only decoders of this kind have, by name."""
        named = {"attentional.w": self.W_c.kernel}
        for name, weight in self.attention.own_weights().items():
            named[f"attention.{name}"] = weight
        return named

    def init_state(self, enc_outputs, enc_valid_lens):
        """Return the first state from what the encoder returned."""
        outputs, hidden = enc_outputs
        keys = self.attention.project_keys(outputs)  # once for all steps
        h_tilde = jnp.zeros_like(hidden[-1])
        step = jnp.zeros_like(enc_valid_lens)
        return DecoderState(hidden, (keys, outputs, enc_valid_lens, h_tilde, step))

    def advance(self, x, hidden):
        """Return the GRU layers' next states, a list, from an input x."""
        states = []
        for i, cell in enumerate(self.cells):
            x = cell(self.dropout(x) if i else x, hidden[i])
            states.append(x)
        return states

    def look_back(self, h, source, step):
        """Return attentional vectors and weights for states h, from a step on.

        Args:
            h: (batch, steps, num_hiddens).
            source: keys, values and valid lengths.
            step: (batch,), the number of the first step.
        """
        context, weights = self.attention.attend(
            h, *source, *(() if self.local is None else (step,))
        )
        both = jnp.concat((context, h), axis=-1)
        return jnp.tanh(self.W_c(both)), weights

    def step(self, carry, embedding, source):
        """Return the next carry, and this step's output and weights."""
        hidden, h_tilde, step = carry
        x = jnp.concat((h_tilde, embedding), axis=-1)
        hidden = jnp.stack(self.advance(x, hidden))
        outputs, weights = self.look_back(hidden[-1][:, None], source, step)
        h_tilde = outputs[:, 0]  # (batch, num_hiddens)
        return (hidden, h_tilde, step + 1), (h_tilde, weights[:, 0])

    def __call__(self, X, state):
        hidden, (*source, h_tilde, step) = state
        outputs = self.embedding(X)  # (batch, steps, embed_size)
        carry = hidden, h_tilde, step
        if not self.input_feeding:  # no step waits for attention
            states = []
            for i, cell in enumerate(self.cells):
                outputs = self.dropout(outputs) if i else outputs
                outputs, h = cell.read(outputs, hidden[i])
                states.append(h)
            outputs, weights = self.look_back(outputs, source, step)
            carry = jnp.stack(states), outputs[:, -1], step + X.shape[1]
        elif X.shape[1] == 1:  # no loop to compile
            carry, result = self.step(carry, outputs[:, 0], source)
            outputs, weights = (array[:, None] for array in result)
        else:
            carry, (outputs, weights) = run_steps(self, carry, outputs, source)
        hidden, h_tilde, step = carry
        state = DecoderState(hidden, (*source, h_tilde, step))
        return self.dense(outputs), state, weights


__getattr__ = compat.fall_through("jax")
