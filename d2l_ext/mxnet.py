"""What the chapters save for MXNet; other names come from the d2l book.

Generated from notebooks/*.md, tab mxnet. To change a block, edit the
chapter that it names, then run `python -m tabbook build`.
"""

from d2l_ext import compat

compat.prepare("mxnet")

import functools
import time
import warnings
from typing import Any, NamedTuple

import mxnet as mx
import numpy
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn, rnn

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
    "LocalAttention",
    "Seq2Seq",
    "Seq2SeqAttentionDecoder",
    "Seq2SeqDecoder",
    "Seq2SeqEncoder",
    "Seq2SeqGlobalDecoder",
    "Translation",
    "beam_search",
    "compiled_attend",
    "decode_step",
    "device",
    "extend_beams",
    "from_numpy",
    "get_config",
    "get_weights",
    "load_model",
    "make_steps",
    "masked_loss",
    "masked_softmax",
    "mean_loss",
    "named_weights",
    "new_model",
    "oriented",
    "read_back",
    "read_sentences",
    "save_model",
    "select_rows",
    "sequence_mask",
    "set_weights",
    "show_attention",
    "start_beams",
    "start_decoding",
    "teacher_forcing",
    "tensors",
    "to_numpy",
    "train_seq2seq",
    "translate",
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


# From notebooks/02_masked_softmax.md, section "Why batches are padded", cell 9fbe6826cae4
def device():
    """Say where arrays and models go: to the first GPU, or else the CPU.

    The environment variable D2L_EXT_DEVICE, cpu or gpu, overrides the choice.

    Returns:
        The device, as the framework names it.

    Raises:
        ValueError: if D2L_EXT_DEVICE is neither.
        RuntimeError: if it is gpu, and the framework sees none.
    """
    gpu = devices.use_gpu("MXNet", npx.num_gpus() > 0)
    return npx.gpu() if gpu else npx.cpu()


# From notebooks/02_masked_softmax.md, section "Why batches are padded", cell 1669c1c73214
def from_numpy(x):
    """Make an MXNet array on `device()` from a NumPy one, of the same type."""
    return np.array(x, dtype=x.dtype, ctx=device())


def to_numpy(x):
    """Make a NumPy array from an MXNet array."""
    return x.asnumpy()


# From notebooks/02_masked_softmax.md, section "Masking a sequence", cell 154531b70b6e
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
        if X.size == 0:  # MXNet's operators want a number or more
            return X.copy()
    else:
        valid_lens = valid_lens.astype("float32")
    # A length beyond the steps would make MXNet write past the row's end.
    steps = F.np.ones_like(F.npx.arange_like(X, axis=1)).astype("float32")
    lens = F.np.clip(F.np.minimum(valid_lens, steps.sum()), 0, None)
    return F.npx.sequence_mask(X, lens, use_sequence_length=True, value=value, axis=1)


# From notebooks/02_masked_softmax.md, section "From scores to weights", cell 2aee8248e014
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
        if X.size == 0:  # MXNet's operators want a number or more
            return X.copy()
    else:
        valid_lens = valid_lens.astype("float32")
    # A length beyond the keys would make MXNet read past the row's end.
    keys = F.np.ones_like(F.npx.arange_like(X, axis=2)).astype("float32")
    queries = F.np.ones_like(F.npx.arange_like(X, axis=1)).astype("float32")
    lens = F.npx.reshape(valid_lens, (-2, -1))  # (batch, 1 or queries)
    lens = F.np.clip(F.np.minimum(lens, keys.sum()), 0, None) * queries
    return F.npx.softmax(X, axis=-1, length=lens.astype("int32"), use_length=True)


# From notebooks/03_scoring_functions.md, section "What all attentions share", cell 89ce6fd082fb
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


# From notebooks/03_scoring_functions.md, section "Dot product", cell d4f5ff2b8b94
class DotProductAttention(Attention):
    """Scores by the dot product, q · k / sqrt(d) (Vaswani et al. 2017).

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


# From notebooks/03_scoring_functions.md, section "Additive", cell 9a505ca06a11
class AdditiveAttention(Attention):
    """Scores by a perceptron, w_v · tanh(W_q q + W_k k).

    Queries and keys may differ in size (Bahdanau et al. 2015, section A.1.2).

    Args:
        num_hiddens: number of hidden units of the perceptron.
        dropout: probability with which training drops a weight.
    """

    def __init__(self, num_hiddens, dropout=0):
        super().__init__(dropout)
        options = dict(use_bias=False, flatten=False, weight_initializer=init.Xavier())
        self.num_hiddens = num_hiddens
        self.W_q = nn.Dense(num_hiddens, **options)
        self.W_k = nn.Dense(num_hiddens, **options)
        self.w_v = nn.Dense(1, **options)
        # Deferred: sizes are found at the first call
        self.initialize(ctx=device())

    def project_keys(self, keys):
        """Compute W_k k for all keys: (batch, keys, num_hiddens)."""
        return self.W_k(keys)

    def score(self, queries, projected_keys):
        """Score (batch, queries, keys): how well they match."""
        F = mx.sym if isinstance(queries, mx.sym.Symbol) else mx.nd
        # One query for all keys: broadcasting would do, but its gradient is
        # slow in MXNet, and that of a product with ones is not
        ones = F.np.ones_like(projected_keys[:, :, :1])  # (batch, keys, 1)
        row = F.npx.reshape(self.W_q(queries), (-2, 1, -1))
        projected_queries = F.npx.reshape(
            F.npx.batch_dot(ones, row), (-2, -2, -1, self.num_hiddens)
        )
        # (batch, keys, queries, hiddens) + (batch, keys, 1, hiddens)
        hiddens = F.npx.activation(
            projected_queries + F.np.expand_dims(projected_keys, 2),
            act_type="tanh",
        )
        scores = F.np.squeeze(self.w_v(hiddens), -1)
        return F.np.swapaxes(scores, 1, 2)


# From notebooks/03_scoring_functions.md, section "Bilinear", cell 60ac8137c257
class BilinearAttention(Attention):
    """Scores by a bilinear form, q · W k (Luong et al. 2015, 'general').

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
        self.initialize(ctx=device())

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
                self.W.initialize(ctx=device())
            F, W = mx.nd, self.W.data(queries.ctx)
        projected_queries = F.np.dot(queries, W)  # (batch, queries, key size)
        return F.npx.batch_dot(projected_queries, projected_keys, transpose_b=True)


# From notebooks/04_seq2seq.md, section "The gated recurrent unit", cell fcb5b7115188
class GRUCell(nn.HybridBlock):
    """One step of a gated recurrent unit, in the form that cuDNN computes.

    Args:
        num_hiddens: size of the state.

    Called with `x` (batch, inputs) and `h` (batch, num_hiddens), it returns
    the next state (batch, num_hiddens).

    Source: Cho et al. 2014, with the reset gate behind the matrix product.
    """

    def __init__(self, num_hiddens):
        super().__init__()
        self.W_x = nn.Dense(3 * num_hiddens, flatten=False)
        self.W_h = nn.Dense(3 * num_hiddens, flatten=False)
        self.num_hiddens = num_hiddens
        self.initialize(init.Xavier(), ctx=device())
        self.hybridize()

    def hybrid_forward(self, F, x, h):
        # Slices are faster than np.split, npx.activation than np.tanh
        starts = [i * self.num_hiddens for i in range(3)]
        sums_x, sums_h = self.W_x(x), self.W_h(h)
        x_r, x_z, x_n = (sums_x[:, i : i + self.num_hiddens] for i in starts)
        h_r, h_z, h_n = (sums_h[:, i : i + self.num_hiddens] for i in starts)
        r = F.npx.activation(x_r + h_r, "sigmoid")  # (batch, num_hiddens)
        z = F.npx.activation(x_z + h_z, "sigmoid")  # (batch, num_hiddens)
        n = F.npx.activation(x_n + r * h_n, "tanh")  # (batch, num_hiddens)
        return (1 - z) * n + z * h


# From notebooks/04_seq2seq.md, section "The encoder", cell ffa7551d607e
class Seq2SeqEncoder(nn.Block):
    """Embedding and GRU layers that read the source sentence.

    Args:
        vocab_size: number of source tokens.
        embed_size: length of an embedding.
        num_hiddens: size of a GRU layer's state.
        num_layers: number of GRU layers.
        dropout: probability of dropping a value between layers.
        bidirectional: read in both directions, as Bahdanau et al. 2015 do.

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
    ):
        super().__init__()
        self.bidirectional = bidirectional
        self.embedding = nn.Embedding(vocab_size, embed_size, weight_initializer=init.Normal(1))
        self.rnn, self.backward_rnn = nn.Sequential(), nn.Sequential()
        self.W_s = nn.Sequential()
        for _ in range(num_layers):
            self.rnn.add(rnn.GRU(num_hiddens, layout="NTC"))
            if bidirectional:
                self.backward_rnn.add(rnn.GRU(num_hiddens, layout="NTC"))
                self.W_s.add(nn.Dense(num_hiddens, use_bias=False, flatten=False))
        self.dropout = nn.Dropout(dropout)
        self.initialize(init.Xavier(), ctx=device(), force_reinit=True)

    def forward(self, X, valid_lens):
        steps = np.arange(X.shape[1], dtype="int32", ctx=X.ctx)
        # Products with these pick and reorder steps, and are fast to derive
        last = npx.one_hot(  # (batch, 1, steps), all 0 if nothing is valid
            np.expand_dims(valid_lens, 1) - 1, len(steps)
        )
        turn = npx.one_hot(  # (batch, steps, steps): last valid token first
            (np.expand_dims(valid_lens, 1) - 1 - steps) % len(steps),
            len(steps),
        )
        outputs, state = self.embedding(X), []  # (batch, steps, embed_size)
        for i, layer in enumerate(self.rnn):
            inputs = self.dropout(outputs) if i else outputs
            outputs = layer(inputs)  # (batch, steps, num_hiddens)
            if self.bidirectional:
                back = self.backward_rnn[i](npx.batch_dot(turn, inputs))
                h = self.W_s[i](npx.batch_dot(last, back))
                state.append(np.tanh(np.squeeze(h, 1)))
                outputs = np.concatenate([outputs, npx.batch_dot(turn, back)], axis=-1)
            else:
                state.append(np.squeeze(npx.batch_dot(last, outputs), 1))
        return sequence_mask(outputs, valid_lens), np.stack(state)


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


# From notebooks/04_seq2seq.md, section "The decoder", cell 55f3957fd078
class Seq2SeqDecoder(nn.Block):
    """GRU decoder that sees the source through a single vector.

    Args:
        vocab_size: number of target tokens.
        embed_size: length of an embedding.
        num_hiddens: size of a GRU layer's state, the encoder's.
        num_layers: number of GRU layers, the encoder's.
        dropout: probability of dropping a value between layers.

    Called with `X` (batch, steps) of target ids and a `DecoderState`, it
    returns logits (batch, steps, vocab_size), the next state, and None where
    a decoder with attention returns its weights.

    Source: Cho et al. 2014.
    """

    def __init__(self, vocab_size, embed_size, num_hiddens, num_layers, dropout=0):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_size, weight_initializer=init.Normal(1))
        self.cells = nn.Sequential()
        self.cells.add(*[GRUCell(num_hiddens) for _ in range(num_layers)])
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Dense(vocab_size, flatten=False)
        self.initialize(init.Xavier(), ctx=device(), force_reinit=True)

    def init_state(self, enc_outputs, enc_valid_lens):
        """Return the first `DecoderState` from what the encoder returned."""
        _, hidden = enc_outputs
        return DecoderState(hidden, hidden[-1])

    def forward(self, X, state):
        hidden, outputs = list(state.hidden), []
        for embedding in self.embedding(X.T):  # (batch, embed_size)
            x = np.concatenate([state.context, embedding], axis=-1)
            for i, cell in enumerate(self.cells):
                # dropout between layers
                x = hidden[i] = cell(self.dropout(x) if i else x, hidden[i])
            outputs.append(x)
        logits = self.dense(np.stack(outputs, axis=1))
        return logits, state._replace(hidden=np.stack(hidden)), None


# From notebooks/04_seq2seq.md, section "The decoder", cell b95ab0bfb167
class Seq2Seq(nn.Block):
    """An encoder and a decoder that are trained together.

    Args:
        encoder: a `Seq2SeqEncoder`.
        decoder: a `Seq2SeqDecoder` or a decoder with attention.

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

    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.src_vocab = self.tgt_vocab = None
        self.max_steps = 128
        self.initialize(init.Xavier(), ctx=device(), force_reinit=True)
        token = np.ones((1, 1), dtype="int32", ctx=device())
        self(token, token[0], token)

    def forward(self, src, src_valid_len, tgt_in):
        enc_outputs = self.encoder(src, src_valid_len)
        state = self.decoder.init_state(enc_outputs, src_valid_len)
        logits, _, attention_weights = self.decoder(tgt_in, state)
        return logits, attention_weights


# From notebooks/04_seq2seq.md, section "A loss that counts real tokens", cell 99a8758304d9
def masked_loss(logits, labels, valid_lens):
    """Cross-entropy summed over the real tokens, divided by their number.

    Args:
        logits: (batch, steps, vocabulary).
        labels: (batch, steps) ids of the right tokens.
        valid_lens: (batch,) numbers of real tokens.

    Returns:
        The loss in nats per token, a scalar.
    """
    losses = -npx.pick(npx.log_softmax(logits, axis=-1), labels, axis=-1)
    return sequence_mask(losses, valid_lens).sum() / valid_lens.sum()


# From notebooks/04_seq2seq.md, section "Training", cell 035edf0c0226
def tensors(model, *arrays):
    """Return NumPy arrays as arrays on the device of the model's weights."""
    device = model.decoder.embedding.weight.list_ctx()[0]
    return [np.array(a, dtype=a.dtype, ctx=device) for a in arrays]


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
    mx.random.seed(seed)
    weights = model.collect_params()
    optimizer = mx.optimizer.Adam()
    trainer = gluon.Trainer(weights, optimizer)

    def loss_of(batch):
        src, src_len, tgt_in, tgt_out, tgt_len = tensors(model, *batch)
        logits, _ = model(src, src_len, tgt_in)
        return masked_loss(logits, tgt_out, tgt_len)

    def train_step(batch):
        with autograd.record():  # dropout is on in here only
            loss = loss_of(batch)
        loss.backward()
        # clip_global_norm takes MXNet's older arrays: the same memory
        gradients = [w.grad().as_nd_ndarray() for w in weights.values()]
        gluon.utils.clip_global_norm(  # checking would wait for the result
            gradients, grad_clip, check_isfinite=False
        )
        step = optimizer.num_update  # 0 at the first
        trainer.set_learning_rate(lr * max(0, 1 - step / num_steps))
        # MXNet adds epsilon before it corrects the bias, the paper after it
        optimizer.epsilon = 1e-8 * (1 - optimizer.beta2 ** (step + 1)) ** 0.5
        # Without attention one direction of the encoder may have no gradient
        trainer.step(1, ignore_stale_grad=True)
        return loss

    return train_step, loss_of  # no dropout outside of record()


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


# From notebooks/04_seq2seq.md, section "Looking inside with the truth as input", cell 8b048f51b6b6
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
    with autograd.pause():  # even inside of record()
        logits, weights = model(*tensors(model, src, src_valid_len, tgt_in))
    return logits.asnumpy(), None if weights is None else weights.asnumpy()


# From notebooks/05_bahdanau_decoder.md, section "The interface", cell 3e86ef34266e
class AttentionDecoder(nn.Block):
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


# From notebooks/05_bahdanau_decoder.md, section "The class", cell 632d835e83aa
@functools.lru_cache(maxsize=8)
def compiled_attend(attention):
    """Return `attention.attend` as a block: Gluon compiles blocks only.

    Args:
        attention: an attention block such as `AdditiveAttention`.

    Returns:
        A block of the same weights, called with queries, projected keys,
        values and valid_lens.
    """
    types = {
        "queries": "float32",
        "keys": "float32",
        "values": "float32",
        "valid_lens": "int32",
    }
    inputs = [mx.sym.var(name, dtype=dtype).as_np_ndarray() for name, dtype in types.items()]
    outputs = attention.attend(*inputs)
    block = gluon.SymbolBlock(list(outputs), inputs, attention.collect_params())
    block.hybridize()
    return block


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

    Called with `X` (batch, steps) of target ids and a `DecoderState`, it
    returns logits (batch, steps, vocab_size), the next state, and attention
    weights (batch, steps, source steps).

    Source: Bahdanau et al. 2015, section 3.1 and appendix A.2.
    """

    kind = "attention"

    def __init__(self, vocab_size, embed_size, num_hiddens, num_layers, dropout=0):
        super().__init__()
        self.attention = AdditiveAttention(num_hiddens, dropout)
        self.embedding = nn.Embedding(vocab_size, embed_size, weight_initializer=init.Normal(1))
        self.cells = nn.Sequential()
        self.cells.add(*[GRUCell(num_hiddens) for _ in range(num_layers)])
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Dense(vocab_size, flatten=False)
        self.initialize(init.Xavier(), ctx=device(), force_reinit=True)

    def own_weights(self):
        """Return the weights that only decoders of this kind have, by name."""
        return {
            "attention.w_q": self.attention.W_q.weight,
            "attention.w_k": self.attention.W_k.weight,
            "attention.w_v": self.attention.w_v.weight,
        }

    def init_state(self, enc_outputs, enc_valid_lens):
        """Return the first state from what the encoder returned."""
        outputs, hidden = enc_outputs
        keys = self.attention.project_keys(outputs)  # once for all steps
        return DecoderState(hidden, (keys, outputs, enc_valid_lens))

    def forward(self, X, state):
        attend = compiled_attend(self.attention)
        hidden, outputs, weights = list(state.hidden), [], []
        for embedding in self.embedding(X.T):  # (batch, embed_size)
            query = np.expand_dims(hidden[-1], 1)  # state of the step before
            context, weight = attend(query, *state.context)
            x = np.concatenate([np.squeeze(context, 1), embedding], axis=-1)
            for i, cell in enumerate(self.cells):
                x = hidden[i] = cell(self.dropout(x) if i else x, hidden[i])
            outputs.append(x)
            weights.append(weight)
        logits = self.dense(np.stack(outputs, axis=1))
        state = state._replace(hidden=np.stack(hidden))
        return logits, state, np.concatenate(weights, axis=1)


# From notebooks/06_training_vs_prediction.md, section "Decoding a batch", cell 987e224045dd
def select_rows(state, rows):
    """Return the `DecoderState` whose row i is row rows[i] of `state`.

    Args:
        state: a `DecoderState`.
        rows: NumPy integers, in any number and order.
    """
    hidden, context = state
    rows = np.array(rows, dtype="int32", ctx=hidden.ctx)
    if isinstance(context, tuple):
        context = tuple(np.take(c, rows, axis=0) for c in context)
    else:
        context = np.take(context, rows, axis=0)
    return DecoderState(np.take(hidden, rows, axis=1), context)


# From notebooks/06_training_vs_prediction.md, section "Decoding a batch", cell cc1842864c04
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
    src, src_valid_len = tensors(model, src, src_valid_len)
    with autograd.pause():  # even inside of record()
        state = model.decoder.init_state(model.encoder(src, src_valid_len), src_valid_len)
    return select_rows(state, numpy.arange(len(src)).repeat(beam_size))


# From notebooks/06_training_vs_prediction.md, section "Decoding a batch", cell 6d0acf256e41
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
    (X,) = tensors(model, tokens[:, None])
    with autograd.pause():  # even inside of record()
        logits, state, weights = model.decoder(X, state)
    log_probs = npx.log_softmax(logits[:, 0], axis=-1).asnumpy()
    if weights is not None:
        weights = weights[:, 0].asnumpy()
    return log_probs, weights, state


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


# From notebooks/06_training_vs_prediction.md, section "A model in a file", cell b5e3cdecd90e
def get_config(model):
    """Return what it takes to build a model of the same form again.

    Args:
        model: a `Seq2Seq`.

    Returns:
        Dict of its kind, sizes and options, as `new_model` takes it.
    """
    encoder, decoder = model.encoder, model.decoder
    attends = isinstance(decoder, AttentionDecoder)
    src_vocab_size, embed_size = encoder.embedding.weight.shape
    return {
        "kind": decoder.kind if attends else "plain",
        "src_vocab_size": src_vocab_size,
        "tgt_vocab_size": decoder.embedding.weight.shape[0],
        "embed_size": embed_size,
        "num_hiddens": decoder.cells[0].num_hiddens,
        "num_layers": len(decoder.cells),
        "dropout": decoder.dropout._rate,
        "bidirectional": encoder.bidirectional,
        **(decoder.options if attends else {}),
    }


# From notebooks/06_training_vs_prediction.md, section "A model in a file", cell 91eabdcf3cfe
def named_weights(model):
    """Return the model's weights by their names in the exchange format."""
    encoder, decoder = model.encoder, model.decoder
    named = {
        "encoder.embedding": encoder.embedding.weight,
        "decoder.embedding": decoder.embedding.weight,
        "decoder.dense.w": decoder.dense.weight,
        "decoder.dense.b": decoder.dense.bias,
    }

    def add(name, w_x, w_h, b_x, b_h):
        named.update(
            {
                f"{name}.w_x": w_x,
                f"{name}.w_h": w_h,
                f"{name}.b_x": b_x,
                f"{name}.b_h": b_h,
            }
        )

    for part, layers in (
        ("", encoder.rnn),
        (".backward", encoder.backward_rnn),
    ):
        for i, layer in enumerate(layers):
            add(
                f"encoder.gru.{i}{part}",
                layer.l0_i2h_weight,
                layer.l0_h2h_weight,
                layer.l0_i2h_bias,
                layer.l0_h2h_bias,
            )
    for i, layer in enumerate(encoder.W_s):
        named[f"encoder.init.{i}.w"] = layer.weight
    for i, cell in enumerate(decoder.cells):
        add(
            f"decoder.gru.{i}",
            cell.W_x.weight,
            cell.W_h.weight,
            cell.W_x.bias,
            cell.W_h.bias,
        )
    if isinstance(decoder, AttentionDecoder):
        for name, weight in decoder.own_weights().items():
            named[f"decoder.{name}"] = weight
    return named


def oriented(name, array):
    """Turn a matrix round: a Dense layer keeps (outputs, inputs)."""
    kept = name.endswith(("embedding", ".attention.w"))  # not of such layers
    return array if kept or array.ndim != 2 else array.T


def get_weights(model):
    """Return a model's weights in the exchange format.

    Args:
        model: a `Seq2Seq`.

    Returns:
        Dict of name -> NumPy float32: matrices as (inputs, outputs), a GRU's
        gates in the order r, z, n.
    """
    return {
        name: numpy.ascontiguousarray(oriented(name, w.data().asnumpy()))
        for name, w in named_weights(model).items()
    }


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
        weight.set_data(from_numpy(oriented(name, weights[name])))


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


# From notebooks/07_global_attention.md, section "Global attention", cell 75338cebc995
class GlobalAttention(Attention):
    """Attention to all source states, by a score that one chooses.

    Args:
        num_hiddens: number of hidden units of the score "concat".
        score: "dot", q · k; "general", q · W k; or "concat",
            w_v · tanh(W_q q + W_k k).
        dropout: probability with which training drops a weight.

    Raises ValueError if there is no such score.

    Source: Luong et al. 2015, section 3.1.
    """

    def __init__(self, num_hiddens, score="general", dropout=0):
        super().__init__(dropout)
        if score == "dot":
            self.scorer = DotProductAttention(scaled=False)
        elif score == "general":
            self.scorer = BilinearAttention()
        elif score == "concat":
            self.scorer = AdditiveAttention(num_hiddens)
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
        if isinstance(self.scorer, BilinearAttention):
            return {"w": self.scorer.W}
        return {
            name.lower(): getattr(self.scorer, name).weight
            for name in ("W_q", "W_k", "w_v")
            if hasattr(self.scorer, name)
        }

    def infer_shape(self, queries, keys, values, *_):
        """Find the weights' shapes (Gluon calls this when hybridized)."""
        self.attend(queries, self.project_keys(keys), values)  # eagerly


# From notebooks/07_global_attention.md, section "Local attention", cell 0e83cd45f6bf
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
    ):
        super().__init__(num_hiddens, score, dropout)
        if alignment not in exchange.ALIGNMENTS:
            raise ValueError(f"alignment is {alignment!r}; expected one of {exchange.ALIGNMENTS}")
        if window < 1:
            raise ValueError(f"window is {window}; expected 1 or more")
        self.alignment, self.window = alignment, window
        if alignment == "predictive":
            options = dict(
                use_bias=False,
                flatten=False,
                weight_initializer=init.Xavier(),
            )
            self.W_p = nn.Dense(num_hiddens, **options)
            self.v_p = nn.Dense(1, **options)
            # Deferred: sizes are found at the first call
            self.initialize(ctx=device())

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
        F = mx.sym if isinstance(queries, mx.sym.Symbol) else mx.nd
        if self.alignment == "predictive":
            hiddens = F.npx.activation(self.W_p(queries), act_type="tanh")
            p = F.np.squeeze(self.v_p(hiddens), -1)
            return valid_lens * F.npx.sigmoid(p)
        if F is mx.nd:
            first_step = np.array(first_step, dtype="int32", ctx=queries.ctx)
            first_step = first_step.reshape(-1, 1)  # (batch or 1, 1)
        elif isinstance(first_step, mx.sym.Symbol):
            first_step = F.np.expand_dims(first_step, 1)
        zeros = F.np.zeros_like(F.npx.arange_like(queries, axis=0))  # (batch,)
        steps = F.npx.arange_like(queries, axis=1)  # (queries,)
        return first_step + F.np.expand_dims(zeros, 1) + steps

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
        F = mx.sym if isinstance(queries, mx.sym.Symbol) else mx.nd
        ctx = None if F is mx.sym else queries.ctx
        if F is mx.nd and 0 in (*queries.shape[:2], values.shape[1]):
            # MXNet's operators want a number or more: nothing to look at
            return super().attend(queries, projected_keys, values, valid_lens)
        D = self.window
        # A Symbol does not know its shape, so the graph counts the keys
        ones = F.np.ones_like(F.npx.arange_like(values, axis=1))  # (keys,)
        if valid_lens is None:
            batch = F.np.ones_like(F.npx.arange_like(values, axis=0))
            lens = batch * ones.sum()
        elif F is mx.sym:
            lens = valid_lens.astype("float32")
        else:
            lens = np.array(valid_lens, dtype="float32", ctx=ctx)
        # as float32 until they are small: int32 holds no 2^31
        lens = F.np.clip(F.np.minimum(lens, ones.sum()), 0, None)
        lens, num_keys = lens.astype("int32"), ones.sum().astype("int32")
        lens = F.npx.reshape(lens, (-2, -1))  # (batch, 1 or queries)
        p = self.centers(queries, lens, first_step)  # (batch, queries)
        # The window, without what lies before the first state: its first
        # state, and how many there are up to p + D or the sentence's end
        first = F.np.clip(F.np.ceil(p - D), 0, None).astype("int32")
        last = F.np.floor(p + D).astype("int32")
        count = F.np.minimum(last + 1, lens) - first
        first = F.np.expand_dims(first, 2)
        positions = first + F.np.arange(2 * D + 1, dtype="int32", ctx=ctx)
        # (batch, queries, 2D + 1)
        at = F.np.minimum(positions, num_keys - 1)

        def places_of(at):  # of x[i, at[i, ...]], as gather_nd wants it
            rows = F.np.zeros_like(at).T + F.npx.arange_like(at, axis=0)
            return F.np.stack([rows.T, at])

        def each(x):  # each query by itself: (batch * queries, ...)
            return F.npx.reshape(x, (-5, -4))

        window = places_of(at)
        scores = self.score(
            F.np.expand_dims(each(queries), 1),
            each(F.npx.gather_nd(projected_keys, window)),
        )  # (batch * queries, 1, 2D + 1)
        weights = masked_softmax(F.npx.reshape_like(scores, at), count)
        if self.alignment == "predictive":
            z = (positions - F.np.expand_dims(p, 2)) / (D / 2)
            weights = weights * F.np.exp(-F.np.square(z) / 2)
        dropped = F.np.expand_dims(each(self.dropout(weights)), 1)
        output = F.npx.batch_dot(dropped, each(F.npx.gather_nd(values, window)))
        output = F.npx.reshape_like(  # (batch, queries, value size)
            F.np.squeeze(output, 1), p, lhs_end=1, rhs_end=2
        )
        # Each key finds its weight in the window, or a 0 on either side of it
        at = F.np.clip(F.npx.arange_like(ones) - first, -1, 2 * D + 1) + 1
        padded = F.np.pad(weights, ((0, 0), (0, 0), (1, 1)))
        everywhere = F.npx.gather_nd(each(padded), places_of(each(at)))
        return output, F.npx.reshape_like(everywhere, at)

    def own_weights(self):
        """Return the attention's weights by name."""
        named = super().own_weights()
        if self.alignment == "predictive":
            named["w_p"], named["v_p"] = self.W_p.weight, self.v_p.weight
        return named

    @functools.cached_property
    def compiled(self):
        """Return `attend` as a block that takes the first steps (batch,) too.

        `compiled_attend` is for what all attentions take.
        """
        types = 3 * ["float32"] + 2 * ["int32"]
        inputs = [
            mx.sym.var(f"input_{i}", dtype=dtype).as_np_ndarray() for i, dtype in enumerate(types)
        ]
        outputs = list(self.attend(*inputs))
        block = gluon.SymbolBlock(outputs, inputs, self.collect_params())
        block.hybridize()
        return block


# From notebooks/07_global_attention.md, section "The decoder", cell cfb81d8173e7
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
    ):
        super().__init__()
        self.settings = dict(
            score=score,
            input_feeding=input_feeding,
            local=local,
            window=window,
        )
        if local is None:
            self.attention = GlobalAttention(num_hiddens, score, dropout)
        else:
            self.attention = LocalAttention(num_hiddens, local, window, score, dropout)
        self.embedding = nn.Embedding(vocab_size, embed_size, weight_initializer=init.Normal(1))
        self.cells = nn.Sequential()
        self.cells.add(*[GRUCell(num_hiddens) for _ in range(num_layers)])
        self.dropout = nn.Dropout(dropout)
        self.W_c = nn.Dense(num_hiddens, use_bias=False, flatten=False)
        self.dense = nn.Dense(vocab_size, flatten=False)
        self.initialize(init.Xavier(), ctx=device(), force_reinit=True)

    @property
    def options(self):
        """Return what the constructor took beyond the sizes, as a dict."""
        return dict(self.settings)

    def own_weights(self):
        """Return the weights that only decoders of this kind have, by name."""
        named = {"attentional.w": self.W_c.weight}
        for name, weight in self.attention.own_weights().items():
            named[f"attention.{name}"] = weight
        return named

    def init_state(self, enc_outputs, enc_valid_lens):
        """Return the first state from what the encoder returned."""
        outputs, hidden = enc_outputs
        keys = self.attention.project_keys(outputs)  # once for all steps
        # Gluon can't find the shape of W of "general" once it has compiled
        self.attention.score(np.expand_dims(hidden[-1], 1), keys)
        h_tilde = np.zeros_like(hidden[-1])
        step = np.zeros_like(enc_valid_lens)
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
        if self.settings["local"] == "monotonic":  # needs the step
            context, weights = self.attention.compiled(h, *source, step)
        else:
            context, weights = compiled_attend(self.attention)(h, *source)
        both = np.concatenate([context, h], axis=-1)
        return npx.activation(self.W_c(both), act_type="tanh"), weights

    def forward(self, X, state):
        hidden, (*source, h_tilde, step) = state
        embeddings = self.embedding(X.T)  # (steps, batch, embed_size)
        outputs, weights = [], []
        if self.settings["input_feeding"]:
            for i, embedding in enumerate(embeddings):
                x = np.concatenate([h_tilde, embedding], axis=-1)
                hidden = self.advance(x, hidden)
                h = np.expand_dims(hidden[-1], 1)
                output, weight = self.look_back(h, source, step + i)
                h_tilde = output[:, 0]
                outputs.append(output)
                weights.append(weight)
            outputs = np.concatenate(outputs, axis=1)
            weights = np.concatenate(weights, axis=1)
        else:  # no step waits for attention: one call for all of them
            for embedding in embeddings:
                hidden = self.advance(embedding, hidden)
                outputs.append(hidden[-1])
            h = np.stack(outputs, axis=1)
            outputs, weights = self.look_back(h, source, step)
            h_tilde = outputs[:, -1]
        context = (*source, h_tilde, step + X.shape[1])
        state = DecoderState(np.stack(list(hidden)), context)
        return self.dense(outputs), state, weights


__getattr__ = compat.fall_through("mxnet")
