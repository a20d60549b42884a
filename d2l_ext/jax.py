"""What the chapters save for JAX; other names come from the d2l book.

Generated from notebooks/*.md, tab jax. To change a block, edit the
chapter that it names, then run `python -m tabbook build`.
"""

from d2l_ext import compat

compat.prepare("jax")

import functools
import math
import os

import jax
import numpy
import optax
from flax import nnx
from jax import lax
from jax import numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from d2l_ext import common, devices
from d2l_ext import weights as exchange
from d2l_ext.common import *

# fmt: off
__all__ = [
    *common.__all__, "device", "from_numpy", "to_numpy", "sequence_mask", "masked_softmax",
    "Attention", "DotProductAttention", "draw_with_numpy", "glorot", "standard_normal",
    "AdditiveAttention", "BilinearAttention", "GRUCell", "Seq2SeqEncoder", "Decoder",
    "Seq2SeqDecoder", "place", "Seq2Seq", "masked_loss", "run_copy", "without_dropout", "ADAM",
    "round_up", "select_rows", "most_probable", "AttentionDecoder", "run_steps",
    "Seq2SeqAttentionDecoder", "gru_weights", "named_weights", "new_model", "load_model",
    "GlobalAttention", "LocalAttention", "Seq2SeqGlobalDecoder", "PositionalEncoding",
    "MultiHeadAttention", "PositionWiseFFN", "AddNorm", "TransformerEncoderBlock",
    "TransformerEncoder", "TransformerDecoderBlock", "put_behind", "TransformerDecoder",
    "summed_loss", "Worker", "ParallelSeq2Seq",
]
# fmt: on


# From notebooks/02_masked_softmax.md, section "Why batches are padded"
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


def from_numpy(x):
    """Make a JAX array on `device()` from a NumPy one (64 bits become 32)."""
    return jnp.asarray(x, device=device())


def to_numpy(x):
    """Make a NumPy array from a JAX array."""
    return numpy.asarray(x)


# From notebooks/02_masked_softmax.md, section "Masking a sequence"
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


# From notebooks/02_masked_softmax.md, section "From scores to weights"
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


# From notebooks/03_scoring_functions.md, section "What all attentions share"
class Attention(nnx.Module):
    """Weights from scores, then the average of the values by these weights.

    Subclasses say how a query and a key are scored. What no query may see, in
    keys or values, has no influence, even if it is NaN.

    Args:
        dropout: probability with which training drops a weight from the
            average; the weights that are returned keep it.
        rngs: random streams; None will do without dropout.
    """

    def __init__(self, dropout=0, *, rngs=None):
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
            ValueError: if the lengths do not fit the queries.
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
        in projected_keys (what project_keys returned) and values must be
        finite here.
        """
        scores = self.score(queries, projected_keys)
        weights = masked_softmax(scores, valid_lens)
        return self.dropout(weights) @ values, weights

    def own_weights(self):
        """Return the matrices that a subclass has, by their small names."""
        names = "W", "W_q", "W_k", "w_v", "W_p", "v_p"
        own = {name: getattr(self, name, None) for name in names}
        return {n.lower(): own[n].kernel for n in names if own[n] is not None}


# From notebooks/03_scoring_functions.md, section "Dot product"
class DotProductAttention(Attention):
    """Scores by the dot product, q · k / sqrt(d) (Vaswani et al. 2017).

    Queries and keys must have the same size d.

    Args:
        dropout: probability with which training drops a weight.
        scaled: whether to divide by sqrt(d).
        rngs: random streams; None will do without dropout.
    """

    def __init__(self, dropout=0, scaled=True, *, rngs=None):
        super().__init__(dropout, rngs=rngs)
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


# From notebooks/03_scoring_functions.md, section "Additive"
def draw_with_numpy(key, shape, dtype, distribution, *parameters):
    """Draw numbers from one of NumPy's distributions, given by name.

    XLA would compile a program for each shape.
    """

    def numbers(seed):
        generator = numpy.random.default_rng(numpy.asarray(seed))
        draw = getattr(generator, distribution)
        return draw(*parameters, size=shape).astype(dtype)

    result = jax.ShapeDtypeStruct(shape, dtype)
    return jax.pure_callback(numbers, result, jax.random.key_data(key))


def glorot(key, shape, dtype=jnp.float32):
    """Draw a matrix as Glorot and Bengio (2010) do: a Flax initializer."""
    limit = math.sqrt(6 / sum(shape))
    return draw_with_numpy(key, shape, dtype, "uniform", -limit, limit)


def standard_normal(key, shape, dtype=jnp.float32):
    """Draw numbers of mean 0 and variance 1: a Flax initializer."""
    return draw_with_numpy(key, shape, dtype, "standard_normal")


class AdditiveAttention(Attention):
    """Scores by a perceptron, w_v · tanh(W_q q + W_k k).

    Queries and keys may differ in size (Bahdanau et al. 2015, section A.1.2).

    Args:
        query_size, key_size: sizes of a query and of a key.
        num_hiddens: number of hidden units of the perceptron.
        dropout: probability with which training drops a weight.
        rngs: random streams of the weights and of dropout.
    """

    def __init__(self, query_size, key_size, num_hiddens, dropout=0, *, rngs):
        super().__init__(dropout, rngs=rngs)
        plain = dict(use_bias=False, kernel_init=glorot, rngs=rngs)
        self.W_q = nnx.Linear(query_size, num_hiddens, **plain)
        self.W_k = nnx.Linear(key_size, num_hiddens, **plain)
        self.w_v = nnx.Linear(num_hiddens, 1, **plain)

    def project_keys(self, keys):
        """Compute W_k k for all keys: (batch, keys, num_hiddens)."""
        return self.W_k(keys)

    def score(self, queries, projected_keys):
        """Score (batch, queries, keys): how well they match."""
        projected_queries = self.W_q(queries)[:, :, None]
        # (batch, queries, 1, hiddens) + (batch, 1, keys, hiddens)
        hiddens = jnp.tanh(projected_queries + projected_keys[:, None])
        return self.w_v(hiddens).squeeze(-1)


# From notebooks/03_scoring_functions.md, section "Bilinear"
class BilinearAttention(Attention):
    """Scores by a bilinear form, q · W k (Luong et al. 2015, 'general').

    Queries and keys may differ in size.

    Args:
        query_size, key_size: sizes of a query and of a key.
        dropout: probability with which training drops a weight.
        rngs: random streams of the weights and of dropout.
    """

    def __init__(self, query_size, key_size, dropout=0, *, rngs):
        super().__init__(dropout, rngs=rngs)
        plain = dict(use_bias=False, kernel_init=glorot, rngs=rngs)
        self.W = nnx.Linear(query_size, key_size, **plain)

    def score(self, queries, projected_keys):
        """Score (batch, queries, keys): how well they match."""
        return self.W(queries) @ projected_keys.mT


# From notebooks/04_seq2seq.md, section "The gated recurrent unit"
class GRUCell(nnx.Module):
    """One step of a gated recurrent unit, in the form that cuDNN computes.

    Args:
        input_size: size of the input.
        num_hiddens: size of the state.
        rngs: random streams of the weights.

    Source: Cho et al. 2014, with the reset gate behind the matrix product.
    """

    def __init__(self, input_size, num_hiddens, *, rngs):
        self.num_hiddens, gates = num_hiddens, 3 * num_hiddens
        options = dict(kernel_init=glorot, rngs=rngs)
        self.W_x = nnx.Linear(input_size, gates, **options)
        self.W_h = nnx.Linear(num_hiddens, gates, **options)

    def __call__(self, x, h):
        """Make one step.

        Args:
            x: (batch, input_size).
            h: (batch, num_hiddens), the state of the step before.

        Returns:
            The next state (batch, num_hiddens).
        """
        return self.advance(self.W_x(x), h)

    def advance(self, x, h):
        """Return the next state; W_x has been applied to x."""
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
        X = self.W_x(X)  # (batch, steps, 3 * num_hiddens), at once
        # An update gate that is wide open copies the state
        is_z = jnp.arange(X.shape[-1]) // self.num_hiddens == 1
        X = jnp.where(jnp.expand_dims(real, -1) | ~is_z, X, jnp.inf)

        def step(h, x):
            h = self.advance(x, h)
            return h, h

        X = jnp.swapaxes(X, 0, 1)  # scan runs over the first axis
        h, states = jax.lax.scan(step, h, X, reverse=reverse)
        return jnp.swapaxes(states, 0, 1), h


# From notebooks/04_seq2seq.md, section "The encoder"
class Seq2SeqEncoder(nnx.Module):
    """Embedding and GRU layers that read the source sentence.

    Args:
        vocab_size, embed_size, num_hiddens, num_layers, dropout: see `Sizes`.
        bidirectional: read in both directions, as Bahdanau et al. 2015 do.
        rngs: random streams of the weights and of dropout.

    Padding never changes a sentence's result; an empty sentence's are 0.
    `output_size` is the width of the outputs: num_hiddens, or twice that when
    bidirectional.

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
        *,
        rngs,
    ):
        self.sizes = Sizes(vocab_size, embed_size, num_hiddens, num_layers, dropout)
        self.bidirectional = bidirectional
        self.output_size = num_hiddens * (1 + bidirectional)
        self.embedding = nnx.Embed(
            vocab_size, embed_size, embedding_init=standard_normal, rngs=rngs
        )
        input_sizes = [embed_size] + [self.output_size] * (num_layers - 1)

        def cells():
            return nnx.data([GRUCell(size, num_hiddens, rngs=rngs) for size in input_sizes])

        self.cells = cells()
        self.dropout = nnx.Dropout(dropout, rngs=rngs)
        if bidirectional:
            self.backward_cells = cells()
            square = dict(in_features=num_hiddens, out_features=num_hiddens)
            options = dict(use_bias=False, kernel_init=glorot, rngs=rngs)
            self.W_s = nnx.data([nnx.Linear(**square, **options) for _ in range(num_layers)])

    def __call__(self, X, valid_lens):
        """Read a batch of sentences.

        Args:
            X: (batch, steps) token ids.
            valid_lens: (batch,) integers.

        Returns:
            The pair of outputs (batch, steps, output_size), 0 behind each
            sentence's end, and state (num_layers, batch, num_hiddens), where
            the decoder starts: the states after the last real token or, when
            bidirectional, tanh(W_s h) of the backward states at the first.
        """
        real = jnp.arange(X.shape[1]) < valid_lens[:, None]  # (batch, steps)
        start = jnp.zeros((X.shape[0], self.sizes.num_hiddens))
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


# From notebooks/04_seq2seq.md, section "The decoder"
class Decoder(DecoderInterface, nnx.Module):
    """What all decoders share: an embedding, GRU layers, and logits.

    Args:
        sizes: `Sizes`.
        input_size: size of the first GRU layer's input; None for a decoder
            without such layers, as chapter 09 has it.
        memory_size: width of the encoder's outputs that it was built for;
            None if it does not read them.
        rngs: random streams of the weights and of dropout.
    """

    steps_multiple = 3  # of the training's batches: few shapes, little padding

    def __init__(self, sizes, input_size, memory_size=None, *, rngs):
        self.sizes, self.memory_size = sizes, memory_size
        vocab_size, embed_size, num_hiddens, num_layers, dropout = sizes
        self.embedding = nnx.Embed(
            vocab_size, embed_size, embedding_init=standard_normal, rngs=rngs
        )
        input_sizes = [input_size] + [num_hiddens] * (num_layers - 1)
        if input_size is None:
            input_sizes = []
        self.cells = nnx.data([GRUCell(size, num_hiddens, rngs=rngs) for size in input_sizes])
        self.dropout = nnx.Dropout(dropout, rngs=rngs)
        self.dense = nnx.Linear(num_hiddens, vocab_size, kernel_init=glorot, rngs=rngs)

    def trim_state(self, state):
        """Return a state in a shape that XLA has met before: here the same.

        Chapter 09 has states that grow.
        """
        return state

    def read(self, X, hidden):
        """Run the GRU layers over inputs that are known for all steps.

        Args:
            X: (batch, steps, input size).
            hidden: the layers' first states.

        Returns:
            The top layer's states (batch, steps, num_hiddens) and the last
            states of all layers (num_layers, batch, num_hiddens).
        """
        last = []
        # No layer feeds back into the one below it: one after the other
        for i, cell in enumerate(self.cells):
            X, h = cell.read(self.dropout(X) if i else X, hidden[i])
            last.append(h)
        return X, jnp.stack(last)

    def __call__(self, X, state):
        """Decode steps that follow each other.

        Args:
            X: (batch, steps) target ids, at each step that of the step before.
            state: `DecoderState`.

        Returns:
            Logits (batch, steps, vocab_size), the next state, and attention
            weights (batch, steps, source steps), or None without attention.
        """
        raise NotImplementedError


class Seq2SeqDecoder(Decoder):
    """GRU decoder that sees the source through a single vector.

    Args:
        vocab_size, embed_size, num_hiddens, num_layers, dropout: see `Sizes`;
            num_hiddens and num_layers are the encoder's.
        memory_size: width of the encoder's outputs. This decoder does not
            read them: None will do.
        rngs: random streams of the weights and of dropout.

    Source: Cho et al. 2014.
    """

    def __init__(
        self, vocab_size, embed_size, num_hiddens, num_layers, dropout=0, *, memory_size=None, rngs
    ):
        sizes = Sizes(vocab_size, embed_size, num_hiddens, num_layers, dropout)
        input_size = num_hiddens + embed_size  # the context and a token
        super().__init__(sizes, input_size, memory_size, rngs=rngs)

    def init_state(self, enc_outputs, enc_valid_lens):
        _, hidden = enc_outputs
        return DecoderState(hidden, hidden[-1])

    def __call__(self, X, state):
        context = jnp.expand_dims(state.context, 1)  # the same at all steps
        context = jnp.repeat(context, X.shape[1], axis=1)
        inputs = jnp.concat((context, self.embedding(X)), axis=-1)
        outputs, hidden = self.read(inputs, state.hidden)
        return self.dense(outputs), state._replace(hidden=hidden), None


def place(module):
    """Put all arrays of an NNX module on `device()`.

    There they stay: JAX computes where such arrays are, and its own, made
    without a device, follow them.
    """
    nnx.update(module, jax.device_put(nnx.state(module), device()))


class Seq2Seq(Seq2SeqInterface, nnx.Module):
    """An encoder and a decoder that are trained together.

    Args:
        encoder: a `Seq2SeqEncoder`.
        decoder: a `Seq2SeqDecoder` or a decoder with attention.

    The weights are those of the two: none is drawn anew.
    `src_vocab` and `tgt_vocab` are None until the model is trained or loaded.
    `max_steps` is the longest source sentence that `translate` accepts, in
    tokens with <eos>.

    Raises ValueError if the sizes of encoder and decoder do not fit.
    """

    def __init__(self, encoder, decoder):
        check_fit(encoder, decoder)
        self.encoder, self.decoder = encoder, decoder
        self.src_vocab = self.tgt_vocab = None
        self.max_steps = 128
        place(self)

    def __call__(self, src, src_valid_len, tgt_in):
        """Run the decoder on the encoded source and the true target.

        Args:
            src: (batch, source steps) token ids.
            src_valid_len: (batch,) integers.
            tgt_in: (batch, target steps) token ids, <bos> first.

        Returns:
            Logits (batch, target steps, target vocabulary) and attention
            weights (batch, target steps, source steps), or None without
            attention.
        """
        enc_outputs = self.encoder(src, src_valid_len)
        state = self.decoder.init_state(enc_outputs, src_valid_len)
        logits, _, attention_weights = self.decoder(tgt_in, state)
        return logits, attention_weights

    # From notebooks/04_seq2seq.md, section "Training"
    def batch_loss(self, batch):
        """Return the loss of a batch (five arrays), a scalar."""
        src, src_len, tgt_in, tgt_out, tgt_len = batch
        logits, _ = self(src, src_len, tgt_in)
        return masked_loss(logits, tgt_out, tgt_len)

    @nnx.jit
    def training_step(self, batch, optimizer, grad_clip):
        """Learn from one batch.

        Args:
            batch: src, src_valid_len, tgt_in, tgt_out, tgt_valid_len.
            optimizer: what `make_steps` made.
            grad_clip: largest global norm of the gradient.

        Returns the loss of the batch before the step, a scalar.
        """
        loss_and_gradients = nnx.value_and_grad(type(self).batch_loss)
        loss, gradients = loss_and_gradients(self, batch)
        clip = optax.clip_by_global_norm(grad_clip)
        gradients, _ = clip.update(gradients, clip.init(gradients))
        optimizer.update(self, gradients)
        return loss

    def reseed(self, seed):
        nnx.reseed(self, default=seed, dropout=seed)
        place(self)  # its counters are new

    def make_steps(self, learning_rate, grad_clip):
        optimizer = nnx.Optimizer(self, ADAM, wrt=nnx.Param)
        place(optimizer)
        rate = optimizer.opt_state.hyperparams["learning_rate"]
        num_made, most_rows = 0, 1  # steps, and rows of a batch, so far

        def train_step(batch):
            nonlocal num_made, most_rows
            rate[...] = jnp.float32(learning_rate(num_made))
            num_made, most_rows = num_made + 1, max(most_rows, len(batch.src))
            # A smaller batch, the last one, gets rows of length 0
            steps = self.decoder.steps_multiple
            batch = round_up(batch, most_rows, steps)
            self.train()  # dropout on
            loss = self.training_step(batch, optimizer, grad_clip)
            self.eval()  # dropout off, but for this
            return loss

        def evaluate(batch):
            batch = round_up(batch, rows=64, steps=9)
            return without_dropout(type(self).batch_loss, self, batch)

        def get_state():
            arrays = [*jax.tree.leaves(nnx.state(optimizer)), most_rows]
            return {str(i): numpy.array(array) for i, array in enumerate(arrays)}

        def set_state(arrays, step):
            nonlocal num_made, most_rows
            num_made, form = step, jax.tree.structure(nnx.state(optimizer))
            most_rows = int(arrays[str(form.num_leaves)])
            leaves = [arrays[str(i)] for i in range(form.num_leaves)]
            nnx.update(optimizer, jax.tree.unflatten(form, map(jnp.asarray, leaves)))
            place(optimizer)

        return Steps(train_step, evaluate, get_state, set_state)

    # From notebooks/04_seq2seq.md, section "Fed the truth, or its own words"
    def start_decoding(self, src, src_valid_len):
        encoder, decoder = self.encoder, self.decoder
        (src,) = round_up([src])  # few shapes to compile for
        enc_outputs = without_dropout(type(encoder).__call__, encoder, src, src_valid_len)
        return without_dropout(type(decoder).init_state, decoder, enc_outputs, src_valid_len)

    def decode(self, tokens, state, rows=None, best=None):
        if rows is not None:
            state = select_rows(state, rows)
        decoder = self.decoder
        logits, state, weights = without_dropout(type(decoder).__call__, decoder, tokens, state)
        state = decoder.trim_state(state)
        found = [logits] if best is None else most_probable(logits, best)
        weights = None if weights is None else to_numpy(weights)
        found = tuple(map(to_numpy, found))
        return found if best else found[0], weights, state

    # From notebooks/06_training_vs_prediction.md, section "A model in a file"
    def export_weights(self):
        return {name: numpy.array(weight[...]) for name, weight in named_weights(self).items()}

    def import_weights(self, weights):
        for name, weight in named_weights(self).items():
            weight[...] = jnp.array(weights[name])

    # From notebooks/09_transformer.md, section "What the heads look at"
    def run_heads(self, src, src_valid_len, tgt_in):
        """Run encoder and decoder, and return the weights of all heads."""
        outputs, found = self.encoder.run_blocks(src, src_valid_len)
        state = self.decoder.init_state((outputs, None), src_valid_len)
        return found, self.decoder.run_blocks(tgt_in, state)[-1]

    def head_weights(self, src, src_valid_len, tgt_in):
        """Return the attention weights of every head under teacher forcing.

        Args:
            src: NumPy int32 (batch, source steps).
            src_valid_len: NumPy int32 (batch,).
            tgt_in: NumPy int32 (batch, target steps), <bos> first.

        Returns:
            Three lists of NumPy arrays, one for each block: of the encoder
            (batch, heads, source steps, source steps), of the decoder itself
            (batch, heads, target steps, target steps), and of the decoder's
            looks at the source (batch, heads, target steps, source steps).
        """
        arrays = map(jnp.asarray, (src, src_valid_len, tgt_in))
        found, pairs = without_dropout(type(self).run_heads, self, *arrays)
        numbers = [to_numpy(weights) for weights in found]
        own, source = zip(*[map(to_numpy, pair) for pair in pairs])
        return numbers, list(own), list(source)


# From notebooks/04_seq2seq.md, section "A loss that counts real tokens"
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


# From notebooks/04_seq2seq.md, section "Training"
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


# The learning rate is a number of its state: for a new one XLA need not
# compile the step anew
ADAM = optax.inject_hyperparams(optax.adam, static_args=("b1", "b2", "eps", "eps_root"))(
    learning_rate=0.0
)


def round_up(arrays, rows=1, steps=16):
    """Pad NumPy arrays with zeros, so that XLA meets few shapes.

    Args:
        arrays: arrays (batch,) or (batch, steps) of one batch.
        rows: all get the same batch size, a multiple of this.
        steps: all get the same number of steps, a multiple of this.
    """
    sizes = [max(a.shape[axis] for a in arrays if a.ndim > axis) for axis in range(2)]
    sizes = [size + -size % multiple for size, multiple in zip(sizes, (rows, steps))]
    return tuple(
        numpy.pad(array, [(0, size - old) for size, old in zip(sizes, array.shape)])
        for array in arrays
    )


# From notebooks/04_seq2seq.md, section "Fed the truth, or its own words"
@jax.jit
def select_rows(state, rows):
    """Return the `DecoderState` whose row i is row rows[i] of `state`."""
    hidden, context = state
    context = jax.tree.map(lambda array: array[rows], context)
    return DecoderState(hidden[:, rows], context)


@functools.partial(jax.jit, static_argnums=1)
def most_probable(logits, count):
    """Return log-probabilities and ids of the `count` most probable words."""
    return jax.lax.top_k(jax.nn.log_softmax(logits), count)


# From notebooks/05_bahdanau_decoder.md, section "The interface"
class AttentionDecoder(Decoder):
    """A decoder that looks back at the source: the base class.

    A subclass has an `attention`, and a `kind` of its own.

    Args:
        sizes, input_size, memory_size: see `Decoder`.
        rngs: random streams of the weights and of dropout.
    """

    def own_weights(self):
        """Return the weights that only decoders of this kind have, by name."""
        named = self.attention.own_weights()
        return {f"attention.{name}": named[name] for name in named}

    def attention_weights(self, X, state):
        """Return the weights alone (batch, steps, source steps)."""
        return self(X, state)[2]


# From notebooks/05_bahdanau_decoder.md, section "The class"
# Along axis 1, with new random numbers at each step. The backward pass
# computes a step again, all but its matrix products: faster than to store
# and fetch everything.
@nnx.scan(
    in_axes=(nnx.StateAxes({nnx.RngState: nnx.Carry, ...: None}), nnx.Carry, 1, None),
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
        vocab_size, embed_size, num_hiddens, num_layers, dropout: see `Sizes`;
            num_hiddens and num_layers are the encoder's. The attention has
            num_hiddens hidden units, and drops weights, too.
        memory_size: width of the encoder's outputs; None for num_hiddens.
        rngs: random streams of the weights and of dropout.

    Source: Bahdanau et al. 2015, section 3.1 and appendix A.2.
    """

    kind = "attention"

    def __init__(
        self, vocab_size, embed_size, num_hiddens, num_layers, dropout=0, *, memory_size=None, rngs
    ):
        sizes = Sizes(vocab_size, embed_size, num_hiddens, num_layers, dropout)
        memory_size = memory_size or num_hiddens
        super().__init__(sizes, memory_size + embed_size, memory_size, rngs=rngs)
        self.attention = AdditiveAttention(
            num_hiddens, memory_size, num_hiddens, dropout, rngs=rngs
        )

    def init_state(self, enc_outputs, enc_valid_lens):
        outputs, hidden = enc_outputs
        keys = self.attention.project_keys(outputs)  # once for all steps
        return DecoderState(hidden, (keys, outputs, enc_valid_lens))

    def step(self, hidden, embedding, context):
        """Return the next hidden, and this step's output and weights."""
        query = hidden[-1][:, None]  # state of the step before
        context, weights = self.attention.attend(query, *context)
        x = jnp.concat((context[:, 0], embedding), axis=-1)
        hidden = self.advance(x, hidden)
        return jnp.stack(hidden), (hidden[-1], weights[:, 0])

    def __call__(self, X, state):
        embeddings = self.embedding(X)  # (batch, steps, embed_size)
        hidden, (outputs, weights) = run_steps(self, state.hidden, embeddings, state.context)
        return self.dense(outputs), state._replace(hidden=hidden), weights


# From notebooks/06_training_vs_prediction.md, section "A model in a file"
def gru_weights(encoder, decoder):
    """Return the weights of all GRU layers, by their names in a file."""
    named = {}
    stacks = {"encoder.gru.{}": encoder.cells, "decoder.gru.{}": decoder.cells}
    if encoder.bidirectional:
        stacks["encoder.gru.{}.backward"] = encoder.backward_cells
        for i, layer in enumerate(encoder.W_s):
            named[f"encoder.init.{i}.w"] = layer.kernel
    for prefix, cells in stacks.items():
        for i, cell in enumerate(cells):
            for part, layer in ("x", cell.W_x), ("h", cell.W_h):
                named[f"{prefix.format(i)}.w_{part}"] = layer.kernel
                named[f"{prefix.format(i)}.b_{part}"] = layer.bias
    return named


def named_weights(model):
    """Return the model's weights by their names in the exchange format."""
    encoder, decoder = model.encoder, model.decoder
    named = {
        "encoder.embedding": encoder.embedding.embedding,
        "decoder.embedding": decoder.embedding.embedding,
        "decoder.dense.w": decoder.dense.kernel,
        "decoder.dense.b": decoder.dense.bias,
    }
    parts = {"decoder": decoder}
    if len(decoder.cells) > 0:
        named |= gru_weights(encoder, decoder)
    else:  # as in chapter 09, whose encoder names its weights itself
        parts["encoder"] = encoder
    for part, module in parts.items():
        for name, weight in module.own_weights().items():
            named[f"{part}.{name}"] = weight
    return named


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
    Decoder = decoders.get(config["kind"], Seq2SeqDecoder)
    names = "embed_size", "num_hiddens", "num_layers", "dropout"
    sizes = {name: config[name] for name in names} | {"rngs": nnx.Rngs(0)}
    options = {name: config[name] for name in exchange.OPTIONS[config["kind"]]}
    if config["kind"] == "transformer":  # of chapter 09
        del sizes["embed_size"]  # that is num_hiddens
        encoder = Decoder.Encoder(config["src_vocab_size"], **sizes, **options)
        decoder = Decoder(config["tgt_vocab_size"], **sizes, **options)
        return Seq2Seq(encoder, decoder)
    encoder = Seq2SeqEncoder(
        config["src_vocab_size"], bidirectional=config["bidirectional"], **sizes
    )
    decoder = Decoder(
        config["tgt_vocab_size"], memory_size=encoder.output_size, **options, **sizes
    )
    return Seq2Seq(encoder, decoder)


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


# From notebooks/07_global_attention.md, section "Global attention"
class GlobalAttention(Attention):
    """Attention to all source states, by a score that one chooses.

    Args:
        query_size: size of a query.
        key_size: size of a key; for the score "dot" that of a query.
        num_hiddens: number of hidden units of the score "concat".
        score: "dot", q · k; "general", q · W k; or "concat",
            w_v · tanh(W_q q + W_k k).
        dropout: probability with which training drops a weight.
        rngs: random streams of the weights and of dropout.

    Raises ValueError if there is no such score, or the sizes do not fit it.

    Source: Luong et al. 2015, section 3.1.
    """

    def __init__(self, query_size, key_size, num_hiddens, score="general", dropout=0, *, rngs):
        super().__init__(dropout, rngs=rngs)
        sizes = dict(query_size=query_size, key_size=key_size, rngs=rngs)
        if score == "dot" and query_size == key_size:
            self.scorer = DotProductAttention(scaled=False)
        elif score == "general":
            self.scorer = BilinearAttention(**sizes)
        elif score == "concat":
            self.scorer = AdditiveAttention(num_hiddens=num_hiddens, **sizes)
        elif score == "dot":
            raise ValueError(
                f"queries of size {query_size} and keys of size {key_size} "
                'have no dot product; take the score "general" or "concat"'
            )
        else:
            raise ValueError(f"score is {score!r}; expected one of {exchange.SCORES}")

    def project_keys(self, keys):
        """Do the part of the score that needs the keys alone."""
        return self.scorer.project_keys(keys)

    def score(self, queries, projected_keys):
        """Score (batch, queries, keys): how well they match."""
        return self.scorer.score(queries, projected_keys)

    def own_weights(self):
        return super().own_weights() | self.scorer.own_weights()


# From notebooks/07_global_attention.md, section "Local attention"
class LocalAttention(GlobalAttention):
    """Attention to a window of the source states around a center.

    Args:
        query_size, key_size, score, dropout: those of `GlobalAttention`.
        num_hiddens: number of hidden units of the predicted center, and of
            the score "concat".
        alignment: where the center p of a query q is. "monotonic": at the
            number of the query's step, from 0. "predictive": at
            S · sigmoid(v_p · tanh(W_p q)) in a sentence of S states; weights
            fall off from there as a Gaussian of standard deviation
            window / 2, so that a row sums to less than 1.
        window: number of states on each side of the center, 1 or more.
        rngs: random streams of the weights and of dropout.

    States outside the window, or behind the valid lengths, get weight 0; if
    the window holds no state, all weights and the output are 0.

    Raises ValueError if there is no such alignment, score or window, or the
    sizes do not fit the score.

    Source: Luong et al. 2015, section 3.2.
    """

    def __init__(
        self,
        query_size,
        key_size,
        num_hiddens,
        alignment="predictive",
        window=10,
        score="general",
        dropout=0,
        *,
        rngs,
    ):
        super().__init__(query_size, key_size, num_hiddens, score, dropout, rngs=rngs)
        if alignment not in exchange.ALIGNMENTS:
            raise ValueError(f"alignment is {alignment!r}; expected one of {exchange.ALIGNMENTS}")
        if window < 1:
            raise ValueError(f"window is {window}; expected 1 or more")
        self.alignment, self.window = alignment, window
        if alignment == "predictive":
            plain = dict(use_bias=False, kernel_init=glorot, rngs=rngs)
            self.W_p = nnx.Linear(query_size, num_hiddens, **plain)
            self.v_p = nnx.Linear(num_hiddens, 1, **plain)

    def centers(self, queries, valid_lens, first_step=0):
        """Return the centers p (batch, queries) around which queries look.

        Of valid_lens there is one a sentence or one a query, (batch, 1 or
        queries); first_step is that of `attend`.
        """
        if self.alignment == "predictive":
            p = self.v_p(jnp.tanh(self.W_p(queries))).squeeze(-1)
            p = valid_lens * nnx.sigmoid(p)
        else:
            p = jnp.reshape(first_step, (-1, 1)) + jnp.arange(queries.shape[1])
        return jnp.broadcast_to(p, queries.shape[:2]).astype(queries.dtype)

    def find_windows(self, queries, values, valid_lens, first_step):
        """Find the window of each query.

        Args: those of `attend`.

        Returns:
            The centers (batch, queries); the positions (batch, queries,
            2 * window + 1) of the states in each window; and how many of them,
            counted from the first, are there and valid (batch, queries).
        """
        num_keys, D = values.shape[1], self.window
        if valid_lens is None:
            valid_lens = jnp.full(queries.shape[:1], num_keys)
        # Clip lengths in their own type: JAX would cut off NumPy's 64 bits
        most = min(num_keys, jnp.iinfo(valid_lens.dtype).max)
        lens = jnp.asarray(valid_lens.clip(0, most))
        if lens.shape not in (queries.shape[:1], queries.shape[:2]):
            raise ValueError(
                f"valid_lens must be (batch,) = {queries.shape[:1]} or (batch, "
                f"queries) = {queries.shape[:2]}, not {lens.shape}"
            )
        lens = lens if lens.ndim == 2 else lens[:, None]
        p = self.centers(queries, lens, first_step)  # (batch, queries)
        first = jnp.ceil(p - D).clip(0).astype(int)
        last = jnp.floor(p + D).astype(int)
        count = jnp.minimum(last + 1, lens) - first
        return p, first[..., None] + jnp.arange(2 * D + 1), count

    def attend(self, queries, projected_keys, values, valid_lens=None, first_step=0):
        """Attend to windows of keys that have been projected already.

        As `Attention.attend`, with `first_step`, the number of the first query's
        step: an integer, or (batch,) integers.
        """
        (batch, num_queries), num_keys = queries.shape[:2], values.shape[1]
        p, positions, count = self.find_windows(queries, values, valid_lens, first_step)
        # Behind the last state JAX reads that state again, which counts as
        # padding, and writes nothing
        row, D = jnp.arange(batch)[:, None, None], self.window
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
        output = output.reshape(batch, num_queries, values.shape[-1])
        everywhere = jnp.zeros((batch, num_queries, num_keys), weights.dtype)
        query = jnp.arange(num_queries)[:, None]
        return output, everywhere.at[row, query, positions].set(weights)


# From notebooks/07_global_attention.md, section "The decoder"
class Seq2SeqGlobalDecoder(AttentionDecoder):
    """The decoder of Luong et al. 2015, which attends behind the GRU.

    Args:
        vocab_size, embed_size, num_hiddens, num_layers, dropout: see `Sizes`;
            num_hiddens and num_layers are the encoder's. The attentional
            vector has size num_hiddens; attention drops weights, too.
        score: "dot", "general" or "concat"; "dot" wants encoder outputs of
            size num_hiddens.
        input_feeding: whether the GRU's input is the attentional vector of
            the step before, beside the embedding.
        local: None to look at all source states, or the alignment of
            `LocalAttention`: "monotonic" or "predictive".
        window: number of states that `LocalAttention` sees on each side.
        memory_size: width of the encoder's outputs; None for num_hiddens.
        rngs: random streams of the weights and of dropout.

    The state's context has, beside keys, values and valid lengths, the
    attentional vector (batch, num_hiddens) of the step before, 0 at first, and
    the number of the next step (batch,).

    Raises ValueError if the attention does.

    Source: Luong et al. 2015, section 3.
    """

    kind = "global"
    option_names = "score", "input_feeding", "local", "window"

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
        *,
        memory_size=None,
        rngs,
    ):
        sizes = Sizes(vocab_size, embed_size, num_hiddens, num_layers, dropout)
        memory_size = memory_size or num_hiddens
        input_size = embed_size + input_feeding * num_hiddens
        super().__init__(sizes, input_size, memory_size, rngs=rngs)
        self.score, self.input_feeding = score, input_feeding
        self.local, self.window = local, window
        attention = num_hiddens, memory_size, num_hiddens
        if local is None:
            self.attention = GlobalAttention(*attention, score, dropout, rngs=rngs)
        else:
            self.attention = LocalAttention(*attention, local, window, score, dropout, rngs=rngs)
        both = memory_size + num_hiddens  # context and state
        plain = dict(use_bias=False, kernel_init=glorot, rngs=rngs)
        self.W_c = nnx.Linear(both, num_hiddens, **plain)

    def own_weights(self):
        return super().own_weights() | {"attentional.w": self.W_c.kernel}

    def init_state(self, enc_outputs, enc_valid_lens):
        outputs, hidden = enc_outputs
        keys = self.attention.project_keys(outputs)  # once for all steps
        h_tilde = jnp.zeros_like(hidden[-1])
        step = jnp.zeros_like(enc_valid_lens)
        return DecoderState(hidden, (keys, outputs, enc_valid_lens, h_tilde, step))

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
            outputs, hidden = self.read(outputs, hidden)
            outputs, weights = self.look_back(outputs, source, step)
            carry = hidden, outputs[:, -1], step + X.shape[1]
        else:
            carry, (outputs, weights) = run_steps(self, carry, outputs, source)
        hidden, h_tilde, step = carry
        state = DecoderState(hidden, (*source, h_tilde, step))
        return self.dense(outputs), state, weights


# From notebooks/09_transformer.md, section "Positions"
class PositionalEncoding(nnx.Module):
    """Adds to each step what tells its position: `sinusoids`.

    Args:
        num_hiddens: size of a step.
        max_steps: number of positions.
        dropout: probability with which training drops a number of the sum.
        rngs: random streams of the weights and of dropout.
    """

    def __init__(self, num_hiddens, max_steps=1024, dropout=0, *, rngs):
        self.dropout = nnx.Dropout(dropout, rngs=rngs)
        self.max_steps, self.num_hiddens = max_steps, num_hiddens

    def __call__(self, X, first_step=0):
        """Add the positions.

        Args:
            X: (batch, steps, num_hiddens).
            first_step: position of the first step, an integer or (batch,).

        Returns:
            The sum, of X's shape.

        Raises:
            ValueError: if X has steps without a position, or of another size.
        """
        compiled = isinstance(first_step, jax.core.Tracer)
        known = None if compiled else first_step
        check_steps(X.shape, known, self.max_steps, self.num_hiddens)
        P = jnp.asarray(sinusoids(self.max_steps, self.num_hiddens))
        steps = jnp.reshape(first_step, (-1, 1)) + jnp.arange(X.shape[1])
        return self.dropout(X + jnp.take(P, steps, axis=0))


# From notebooks/09_transformer.md, section "The class"
class MultiHeadAttention(DotProductAttention):
    """Several dot-product attentions side by side.

    Each head has its own projections of queries, keys and values to
    num_hiddens / num_heads numbers; a last matrix mixes what they find.

    Args:
        query_size, key_size, value_size: sizes of a query, key and value.
        num_hiddens: size of the output, and of what all heads see together.
        num_heads: how many; it must divide num_hiddens.
        dropout: probability with which training drops a weight.
        rngs: random streams of the weights and of dropout.

    Called as every `Attention`; the output is (batch, queries, num_hiddens),
    and the weights have an axis more, (batch, num_heads, queries, keys).

    Raises ValueError if the heads do not divide num_hiddens.

    Source: Vaswani et al. 2017, section 3.2.2.
    """

    def __init__(
        self, query_size, key_size, value_size, num_hiddens, num_heads, dropout=0, *, rngs
    ):
        super().__init__(dropout, rngs=rngs)
        check_sizes(num_hiddens, num_heads)
        self.num_heads, self.head_size = num_heads, num_hiddens // num_heads
        options = dict(kernel_init=glorot, use_bias=False, rngs=rngs)
        self.W_q = nnx.Linear(query_size, num_hiddens, **options)
        self.W_k = nnx.Linear(key_size, num_hiddens, **options)
        self.W_v = nnx.Linear(value_size, num_hiddens, **options)
        self.W_o = nnx.Linear(num_hiddens, num_hiddens, **options)

    def own_weights(self):
        """Return the matrices by their small names."""
        names = "W_q", "W_k", "W_v", "W_o"
        return {name.lower(): getattr(self, name).kernel for name in names}

    def split(self, X):
        """(batch, steps, num_hiddens) to (batch * heads, steps, size)."""
        batch, steps, _ = X.shape
        X = X.reshape(batch, steps, self.num_heads, self.head_size)
        X = X.swapaxes(1, 2)
        return X.reshape(batch * self.num_heads, steps, self.head_size)

    def apart(self, X):
        """(batch * heads, ...) to (batch, heads, ...)."""
        shape = len(X) // self.num_heads, self.num_heads, *X.shape[1:]
        return X.reshape(shape)

    def join(self, X):
        """(batch * heads, steps, size) to (batch, steps, num_hiddens)."""
        X = self.apart(X).swapaxes(1, 2)
        return X.reshape(*X.shape[:2], self.num_heads * self.head_size)

    def project(self, keys, values):
        """Do all that needs no query: the projected keys and values."""
        return self.W_k(keys), self.W_v(values)

    def attend_projected(self, queries, projected_keys, projected_values, valid_lens=None):
        """Do the same with keys and values that `project` returned."""
        if valid_lens is not None:  # each head has the same
            valid_lens = jnp.repeat(valid_lens, self.num_heads, axis=0)
        queries, keys, values = map(
            self.split, (self.W_q(queries), projected_keys, projected_values)
        )
        # (batch * heads, queries, size), (batch * heads, queries, keys)
        output, weights = DotProductAttention.attend(self, queries, keys, values, valid_lens)
        return self.W_o(self.join(output)), self.apart(weights)

    def project_keys(self, keys):
        """Project the keys of all heads: (batch, keys, num_hiddens)."""
        return self.W_k(keys)

    def attend(self, queries, projected_keys, values, valid_lens=None):
        """Do the same with keys that have been projected already."""
        projected_values = self.W_v(values)
        return self.attend_projected(queries, projected_keys, projected_values, valid_lens)


# From notebooks/09_transformer.md, section "The block"
class PositionWiseFFN(nnx.Module):
    """A perceptron with one hidden layer, the same for every step.

    Args:
        num_hiddens: size of a step, before and after.
        ffn_num_hiddens: number of hidden units.
        rngs: random streams of the weights and of dropout.
    """

    def __init__(self, num_hiddens, ffn_num_hiddens, *, rngs):
        self.W_1 = nnx.Linear(num_hiddens, ffn_num_hiddens, kernel_init=glorot, rngs=rngs)
        self.W_2 = nnx.Linear(ffn_num_hiddens, num_hiddens, kernel_init=glorot, rngs=rngs)

    def __call__(self, X):
        """Return W_2 relu(W_1 x + b_1) + b_2 for each x of X."""
        return self.W_2(jax.nn.relu(self.W_1(X)))

    def own_weights(self):
        """Return matrices and biases by their small names."""
        return {
            "w_1": self.W_1.kernel,
            "b_1": self.W_1.bias,
            "w_2": self.W_2.kernel,
            "b_2": self.W_2.bias,
        }


class AddNorm(nnx.Module):
    """The residual connection around a part of a block, and its norm.

    Args:
        num_hiddens: size of a step.
        dropout: probability with which training drops a number of what the
            part adds.
        norm_first: whether the part reads its input normalized; if not, the
            sum behind it is normalized.
        rngs: random streams of the weights and of dropout.

    Source: Ba et al. 2016; Xiong et al. 2020 on the place of the norm.
    """

    def __init__(self, num_hiddens, dropout=0, norm_first=True, *, rngs):
        self.norm_first, self.dropout = (norm_first, nnx.Dropout(dropout, rngs=rngs))
        self.norm = nnx.LayerNorm(num_hiddens, epsilon=1e-5, use_fast_variance=False, rngs=rngs)

    def before(self, X):
        """Return what the part reads."""
        return self.norm(X) if self.norm_first else X

    def after(self, X, Y):
        """Return the sum of the input X and what the part made of it, Y."""
        X = X + self.dropout(Y)
        return X if self.norm_first else self.norm(X)

    def own_weights(self):
        """Return gain and bias."""
        return {"gain": self.norm.scale, "bias": self.norm.bias}


# From notebooks/09_transformer.md, section "Encoder and decoder"
class TransformerEncoderBlock(nnx.Module):
    """Self-attention and a feed-forward network, each with its `AddNorm`.

    Args:
        num_hiddens, ffn_num_hiddens, num_heads, dropout, norm_first: those
            of `TransformerEncoder`.
        rngs: random streams of the weights and of dropout.
    """

    def __init__(
        self, num_hiddens, ffn_num_hiddens, num_heads, dropout=0, norm_first=True, *, rngs
    ):
        sizes = 3 * [num_hiddens]  # of queries, keys and values
        self.attention = MultiHeadAttention(*sizes, num_hiddens, num_heads, dropout, rngs=rngs)
        self.ffn = PositionWiseFFN(num_hiddens, ffn_num_hiddens, rngs=rngs)
        self.norms = nnx.data(
            [AddNorm(num_hiddens, dropout, norm_first, rngs=rngs) for _ in range(2)]
        )

    def __call__(self, X, valid_lens):
        """Return the next X (batch, steps, num_hiddens), and all weights."""
        Y = self.norms[0].before(X)
        Y, weights = self.attention(Y, Y, Y, valid_lens)
        X = self.norms[0].after(X, Y)
        Y = self.ffn(self.norms[1].before(X))
        return self.norms[1].after(X, Y), weights

    def own_weights(self):
        """Return all weights by their names in a file."""
        parts = {"self": self.attention, "ffn": self.ffn}
        parts |= {f"norm.{i}": norm for i, norm in enumerate(self.norms)}
        return gather_weights(parts)


class TransformerEncoder(nnx.Module):
    """Embeddings, positions and blocks that read the source sentence.

    Args:
        vocab_size: number of tokens.
        num_hiddens: size of an embedding, and of each step in every block.
        ffn_num_hiddens: hidden units of the feed-forward networks.
        num_heads: heads of each attention; they divide num_hiddens.
        num_layers: number of blocks.
        dropout: probability of dropping a number of the embeddings, of what
            a part adds, or an attention weight.
        norm_first: whether blocks normalize what their parts read, not what
            they give; then there is a last norm behind all blocks.
        rngs: random streams of the weights and of dropout.

    Padding never changes a sentence's result; an empty sentence's are 0.

    Source: Vaswani et al. 2017, section 3.
    """

    bidirectional = True

    def __init__(
        self,
        vocab_size,
        num_hiddens,
        ffn_num_hiddens,
        num_heads,
        num_layers,
        dropout=0,
        norm_first=True,
        *,
        rngs,
    ):
        check_sizes(num_hiddens, num_heads, num_layers)
        sizes = vocab_size, num_hiddens, num_hiddens, num_layers, dropout
        self.sizes, self.output_size = Sizes(*sizes), num_hiddens
        self.num_heads, self.ffn_num_hiddens = num_heads, ffn_num_hiddens
        self.norm_first = norm_first
        self.embedding = nnx.Embed(
            vocab_size, num_hiddens, embedding_init=standard_normal, rngs=rngs
        )
        self.positions = PositionalEncoding(num_hiddens, dropout=dropout, rngs=rngs)
        block = num_hiddens, ffn_num_hiddens, num_heads, dropout, norm_first
        layers = range(num_layers)
        self.blocks = nnx.data([TransformerEncoderBlock(*block, rngs=rngs) for _ in layers])
        self.last = AddNorm(num_hiddens, rngs=rngs) if norm_first else None

    def own_weights(self):
        """Return all but the embedding by their names in a file."""
        parts = {f"block.{i}": block for i, block in enumerate(self.blocks)}
        return gather_weights(parts | ({"norm": self.last} if self.last else {}))

    def run_blocks(self, X, valid_lens):
        """Return the outputs, and a list of each block's attention weights."""
        X, all_weights = self.positions(self.embedding(X)), []
        for block in self.blocks:
            X, weights = block(X, valid_lens)
            all_weights.append(weights)  # (batch, heads, steps, steps)
        X = X if self.last is None else self.last.before(X)
        return sequence_mask(X, valid_lens), all_weights

    def __call__(self, X, valid_lens):
        """Read a batch of sentences.

        Args:
            X: (batch, steps) token ids.
            valid_lens: (batch,) integers.

        Returns:
            The pair of outputs (batch, steps, num_hiddens), 0 behind each
            sentence's end, and None: there is no state.
        """
        return self.run_blocks(X, valid_lens)[0], None


class TransformerDecoderBlock(nnx.Module):
    """Self-attention, attention to the source, a feed-forward network.

    Args:
        num_hiddens, ffn_num_hiddens, num_heads, dropout, norm_first: those
            of `TransformerDecoder`.
        rngs: random streams of the weights and of dropout.
    """

    def __init__(
        self, num_hiddens, ffn_num_hiddens, num_heads, dropout=0, norm_first=True, *, rngs
    ):
        sizes = 3 * [num_hiddens]  # of queries, keys and values
        self.self_attention = MultiHeadAttention(
            *sizes, num_hiddens, num_heads, dropout, rngs=rngs
        )
        self.cross_attention = MultiHeadAttention(
            *sizes, num_hiddens, num_heads, dropout, rngs=rngs
        )
        self.ffn = PositionWiseFFN(num_hiddens, ffn_num_hiddens, rngs=rngs)
        self.norms = nnx.data(
            [AddNorm(num_hiddens, dropout, norm_first, rngs=rngs) for _ in range(3)]
        )

    def own_weights(self):
        """Return all weights by their names in a file."""
        parts = {"self": self.self_attention, "cross": self.cross_attention}
        parts |= {f"norm.{i}": norm for i, norm in enumerate(self.norms)}
        return gather_weights(parts | {"ffn": self.ffn})

    def __call__(self, X, past, own_lens, memory, enc_valid_lens):
        """Make the steps of X, which follow those of the past.

        Args:
            X: (batch, steps, num_hiddens).
            past: projected keys and values of the steps before, (batch,
                steps before, num_hiddens) each.
            own_lens: (batch, steps), how many steps each of these may see.
            memory: projected keys and values of the source, (batch, source
                steps, num_hiddens) each.
            enc_valid_lens: (batch,), the source's lengths.

        Returns:
            The next X; past with these steps; and the weights of both
            attentions (batch, heads, steps, steps so far or source steps).
        """
        Y = self.norms[0].before(X)
        new = self.self_attention.project(Y, Y)
        keys, values = (put_behind(*arrays, own_lens) for arrays in zip(past, new))
        Y, own_weights = self.self_attention.attend_projected(Y, keys, values, own_lens)
        X = self.norms[0].after(X, Y)
        Y = self.norms[1].before(X)
        Y, weights = self.cross_attention.attend_projected(Y, *memory, enc_valid_lens)
        X = self.norms[1].after(X, Y)
        Y = self.ffn(self.norms[2].before(X))
        return (self.norms[2].after(X, Y), (keys, values), (own_weights, weights))


def put_behind(past, new, lens):
    """Put new steps behind those of the past, and behind these a reserve.

    XLA compiles for each shape anew. So the past is longer than what it
    holds, and an array of lens says how much that is.

    Args:
        past: (batch, room, size).
        new: (batch, steps, size).
        lens: (batch, steps): lens - 1 are the places of the new steps.

    Returns:
        (batch, room + steps, size).
    """
    first = jnp.max(lens[:, :1], initial=1) - 1
    reserve = jnp.zeros_like(new)
    past = jnp.concat((past, reserve), axis=1)
    return lax.dynamic_update_slice_in_dim(past, new, first, axis=1)


class TransformerDecoder(AttentionDecoder):
    """Embeddings, positions and blocks that write the target sentence.

    Args:
        vocab_size, num_hiddens, ffn_num_hiddens, num_heads, num_layers,
            dropout, norm_first: as `TransformerEncoder`, whose num_hiddens
            and num_layers they are, too.
        memory_size: width of the encoder's outputs: num_hiddens, or None.
        rngs: random streams of the weights and of dropout.

    The state's hidden part is the past: projected keys and values of each
    block (2 * num_layers, batch, steps so far, num_hiddens). The context has
    the same of the source, (batch, source steps, num_hiddens) each, the valid
    lengths, and the number of the next step (batch,). The attention weights
    that it returns are the mean over the heads of the last block.

    Raises ValueError if memory_size is another, or a number is not positive.

    Source: Vaswani et al. 2017, section 3.
    """

    kind = "transformer"
    option_names = "num_heads", "ffn_num_hiddens", "norm_first"
    Encoder = TransformerEncoder
    steps_multiple = 8  # few shapes to compile, as in chapter 04

    def __init__(
        self,
        vocab_size,
        num_hiddens,
        ffn_num_hiddens,
        num_heads,
        num_layers,
        dropout=0,
        norm_first=True,
        *,
        memory_size=None,
        rngs,
    ):
        sizes = Sizes(vocab_size, num_hiddens, num_hiddens, num_layers, dropout)
        check_sizes(num_hiddens, num_heads, num_layers, memory_size)
        super().__init__(sizes, None, num_hiddens, rngs=rngs)
        self.num_heads, self.ffn_num_hiddens = num_heads, ffn_num_hiddens
        self.norm_first = norm_first
        self.positions = PositionalEncoding(num_hiddens, dropout=dropout, rngs=rngs)
        block = num_hiddens, ffn_num_hiddens, num_heads, dropout, norm_first
        layers = range(num_layers)
        self.blocks = nnx.data([TransformerDecoderBlock(*block, rngs=rngs) for _ in layers])
        self.last = AddNorm(num_hiddens, rngs=rngs) if norm_first else None

    def own_weights(self):
        parts = {f"block.{i}": block for i, block in enumerate(self.blocks)}
        return gather_weights(parts | ({"norm": self.last} if self.last else {}))

    def init_state(self, enc_outputs, enc_valid_lens):
        outputs, _ = enc_outputs
        memory = []
        for block in self.blocks:  # once for all steps
            memory += block.cross_attention.project(outputs, outputs)
        shape = 2 * len(self.blocks), len(outputs), 0, outputs.shape[-1]
        past = jnp.zeros(shape)  # keys and values of no step yet
        step = jnp.zeros_like(enc_valid_lens)
        return DecoderState(past, (*memory, enc_valid_lens, step))

    def trim_state(self, state):
        """Return a state that has room for the steps so far and few more.

        The room is a multiple of 32, so that XLA compiles for few shapes.
        """
        past, context = state
        made = int(numpy.max(context[-1], initial=0))
        width = past.shape[-1]
        check_steps((None, made, width), 0, self.positions.max_steps, width)
        room = made + -made % 32
        past = past[:, :, :room]
        missing = room - past.shape[2]
        past = jnp.pad(past, ((0, 0), (0, 0), (0, missing), (0, 0)))
        return DecoderState(past, context)

    def run_blocks(self, X, state):
        """Return logits, the next state, and a list of pairs of weights."""
        past, (*memory, enc_valid_lens, step) = state
        # The causal mask: step 0 may see 1 step, step 1 may see 2, ...
        own_lens = step[:, None] + jnp.arange(X.shape[1]) + 1
        context = *memory, enc_valid_lens, step + X.shape[1]
        X, now, all_weights = self.positions(self.embedding(X), step), [], []
        for i, block in enumerate(self.blocks):
            before = past[2 * i : 2 * i + 2]
            source = memory[2 * i : 2 * i + 2]
            X, pair, weights = block(X, before, own_lens, source, enc_valid_lens)
            now += pair
            all_weights.append(weights)
        X = X if self.last is None else self.last.before(X)
        return (self.dense(X), DecoderState(jnp.stack(now), context), all_weights)

    def __call__(self, X, state):
        logits, state, all_weights = self.run_blocks(X, state)
        _, weights = all_weights[-1]  # (batch, heads, steps, source steps)
        return logits, state, weights.mean(axis=1)


# From notebooks/10_scaling_out.md, section "One batch, cut in two"
def summed_loss(logits, labels, valid_lens):
    """Cross-entropy summed over the real tokens.

    Args:
        logits: (batch, steps, vocabulary).
        labels: (batch, steps) ids of the right tokens.
        valid_lens: (batch,) numbers of real tokens.

    Returns:
        The sum in nats, and the number of real tokens as a float, scalars.
    """
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)  # (batch, steps)
    total = sequence_mask(losses, valid_lens).sum()
    return total, valid_lens.sum().astype(total.dtype)


# From notebooks/10_scaling_out.md, section "Four engines"
class Worker:
    """One of several processes that train together.

    The variables of the framework's engine say which one, and where the others
    are; docs/cluster.md lists them.

    Attributes:
        rank: its number, from 0.
        size: how many workers there are.
    """

    def __init__(self):
        given = {
            name: int(os.environ["JAX_" + name.upper()])
            for name in ("num_processes", "process_id")
            if "JAX_" + name.upper() in os.environ
        }  # without them JAX looks for a scheduler that it knows
        jax.distributed.initialize(heartbeat_timeout_seconds=30, **given)
        self.rank, self.size = jax.process_index(), jax.process_count()
        platform = device().platform
        self.mesh = jax.sharding.Mesh(jax.devices(platform), "data")
        self.add_up = jax.jit(
            lambda arrays: arrays.sum(axis=0),  # (workers, ...)
            out_shardings=NamedSharding(self.mesh, PartitionSpec()),
        )
        # Connects all; later one may have to wait for another's compiler
        self.total(numpy.zeros(1, "float32"))

    def total(self, array):
        """Return the sum of all workers' NumPy float32 arrays of a shape."""
        return numpy.array(self.add_up(self.split(array[None])))

    def split(self, array):
        """Return all workers' arrays as one, split along its first axis."""
        sharding = NamedSharding(self.mesh, PartitionSpec("data"))
        return jax.make_array_from_process_local_data(sharding, array)

    def share(self, *modules):
        """Make modules' arrays, equal on all workers, one that all have."""
        sharding = NamedSharding(self.mesh, PartitionSpec())

        def shared(array):
            return jax.make_array_from_single_device_arrays(array.shape, sharding, [array])

        for module in modules:
            nnx.update(module, jax.tree.map(shared, nnx.state(module)))

    def keep(self, *modules):
        """Make arrays that all workers have the worker's own again."""

        def own(array):
            return array.addressable_data(0)

        for module in modules:
            nnx.update(module, jax.tree.map(own, nnx.state(module)))

    def close(self):
        """Take leave of the other workers."""
        jax.distributed.shutdown()


class ParallelSeq2Seq(ParallelInterface, Seq2Seq):
    """A `Seq2Seq` that several workers train, as if it were one.

    Args:
        model: a `Seq2Seq`, the same on every worker; its encoder and decoder
            are this one's, too.
        worker: a `Worker`.
    """

    def make_steps(self, learning_rate, grad_clip):
        steps = super().make_steps(learning_rate, grad_clip)

        def evaluate(part):
            batch = round_up(part.mine, rows=64, steps=9)
            batch = tuple(self.worker.split(array) for array in batch)
            self.worker.share(self)
            loss = without_dropout(Seq2Seq.batch_loss, self, batch)
            self.worker.keep(self)
            return loss.addressable_data(0)

        return steps._replace(evaluate=evaluate)

    def training_step(self, batch, optimizer, grad_clip):
        """Learn from one batch of each worker.

        Args:
            batch: src, src_valid_len, tgt_in, tgt_out, tgt_valid_len.
            optimizer: what `make_steps` made.
            grad_clip: largest global norm of the gradient.

        Returns the loss of all batches together before the step, a scalar.
        """
        batch = tuple(self.worker.split(array) for array in batch)
        self.worker.share(self, optimizer)
        loss = Seq2Seq.training_step(self, batch, optimizer, grad_clip)
        self.worker.keep(self, optimizer)
        return loss.addressable_data(0)


__getattr__ = compat.fall_through("jax")
