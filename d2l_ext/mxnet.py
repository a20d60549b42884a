"""What the chapters save for MXNet; other names come from the d2l book.

Generated from notebooks/*.md, tab mxnet. To change a block, edit the
chapter that it names, then run `python -m tabbook build`.
"""

from d2l_ext import compat

compat.prepare("mxnet")

import weakref

import mxnet as mx
import numpy
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn, rnn

from d2l_ext import common, devices
from d2l_ext import weights as exchange
from d2l_ext.common import *

# fmt: off
__all__ = [
    *common.__all__, "device", "from_numpy", "to_numpy", "sequence_mask", "masked_softmax",
    "Attention", "DotProductAttention", "drawn", "AdditiveAttention", "BilinearAttention",
    "GRUCell", "Seq2SeqEncoder", "Decoder", "Seq2SeqDecoder", "tensors", "Seq2Seq",
    "masked_loss", "AttentionDecoder", "blocks", "compiled_attend", "Seq2SeqAttentionDecoder",
    "gru_weights", "named_weights", "oriented", "new_model", "load_model", "GlobalAttention",
    "LocalAttention", "Seq2SeqGlobalDecoder", "PositionalEncoding", "MultiHeadAttention",
    "PositionWiseFFN", "AddNorm", "TransformerEncoderBlock", "TransformerEncoder",
    "TransformerDecoderBlock", "TransformerDecoder", "summed_loss", "Worker",
    "ParallelSeq2Seq",
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
    gpu = devices.use_gpu("MXNet", npx.num_gpus() > 0)
    return npx.gpu() if gpu else npx.cpu()


def from_numpy(x):
    """Make an MXNet array on `device()` from a NumPy one, of the same type."""
    return np.array(x, dtype=x.dtype, ctx=device())


def to_numpy(x):
    """Make a NumPy array from an MXNet array."""
    return x.asnumpy()


# From notebooks/02_masked_softmax.md, section "Masking a sequence"
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


# From notebooks/02_masked_softmax.md, section "From scores to weights"
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


# From notebooks/03_scoring_functions.md, section "What all attentions share"
class Attention(nn.HybridBlock):
    """Weights from scores, then the average of the values by these weights.

    Subclasses say how a query and a key are scored. What no query may see, in
    keys or values, has no influence, even if it is NaN.

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
            ValueError: if the lengths do not fit the queries.
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
        in projected_keys (what project_keys returned) and values must be
        finite here.
        """
        F = mx.sym if isinstance(queries, mx.sym.Symbol) else mx.nd
        scores = self.score(queries, projected_keys)
        weights = masked_softmax(scores, valid_lens)
        return F.npx.batch_dot(self.dropout(weights), values), weights

    def own_weights(self):
        """Return the matrices that a subclass has, by their small names."""
        names = "W", "W_q", "W_k", "w_v", "W_p", "v_p"
        own = {name: getattr(self, name, None) for name in names}
        return {n.lower(): own[n].weight for n in names if own[n] is not None}


# From notebooks/03_scoring_functions.md, section "Dot product"
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


# From notebooks/03_scoring_functions.md, section "Additive"
def drawn(layer):
    """Draw a layer's weights on `device()`: matrices Glorot uniform, biases 0.

    Args:
        layer: any block that knows the sizes of its inputs.

    Returns:
        The layer.
    """
    layer.initialize(init.Xavier(), ctx=device())
    return layer


class AdditiveAttention(Attention):
    """Scores by a perceptron, w_v · tanh(W_q q + W_k k).

    Queries and keys may differ in size (Bahdanau et al. 2015, section A.1.2).

    Args:
        query_size, key_size: sizes of a query and of a key.
        num_hiddens: number of hidden units of the perceptron.
        dropout: probability with which training drops a weight.
    """

    def __init__(self, query_size, key_size, num_hiddens, dropout=0):
        super().__init__(dropout)
        self.num_hiddens = num_hiddens
        plain = dict(use_bias=False, flatten=False)  # Y = X W, and no more
        self.W_q = drawn(nn.Dense(num_hiddens, in_units=query_size, **plain))
        self.W_k = drawn(nn.Dense(num_hiddens, in_units=key_size, **plain))
        self.w_v = drawn(nn.Dense(1, in_units=num_hiddens, **plain))

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
            projected_queries + F.np.expand_dims(projected_keys, 2), act_type="tanh"
        )
        scores = F.np.squeeze(self.w_v(hiddens), -1)
        return F.np.swapaxes(scores, 1, 2)


# From notebooks/03_scoring_functions.md, section "Bilinear"
class BilinearAttention(Attention):
    """Scores by a bilinear form, q · W k (Luong et al. 2015, 'general').

    Queries and keys may differ in size.

    Args:
        query_size, key_size: sizes of a query and of a key.
        dropout: probability with which training drops a weight.
    """

    def __init__(self, query_size, key_size, dropout=0):
        super().__init__(dropout)
        plain = dict(use_bias=False, flatten=False)
        self.W = drawn(nn.Dense(key_size, in_units=query_size, **plain))

    def score(self, queries, projected_keys):
        """Score (batch, queries, keys): how well they match."""
        F = mx.sym if isinstance(queries, mx.sym.Symbol) else mx.nd
        return F.npx.batch_dot(self.W(queries), projected_keys, transpose_b=True)


# From notebooks/04_seq2seq.md, section "The gated recurrent unit"
class GRUCell(nn.HybridBlock):
    """One step of a gated recurrent unit, in the form that cuDNN computes.

    Args:
        input_size: size of the input.
        num_hiddens: size of the state.

    Source: Cho et al. 2014, with the reset gate behind the matrix product.
    """

    def __init__(self, input_size, num_hiddens):
        super().__init__()
        self.num_hiddens, gates = num_hiddens, 3 * num_hiddens
        self.W_x = drawn(nn.Dense(gates, in_units=input_size))
        self.W_h = drawn(nn.Dense(gates, in_units=num_hiddens))
        self.hybridize()

    def hybrid_forward(self, F, x, h):
        """Make one step.

        Args:
            x: (batch, input_size).
            h: (batch, num_hiddens), the state of the step before.

        Returns:
            The next state (batch, num_hiddens).
        """
        # Slices are faster than np.split, npx.activation than np.tanh
        starts = [i * self.num_hiddens for i in range(3)]
        sums_x, sums_h = self.W_x(x), self.W_h(h)
        x_r, x_z, x_n = (sums_x[:, i : i + self.num_hiddens] for i in starts)
        h_r, h_z, h_n = (sums_h[:, i : i + self.num_hiddens] for i in starts)
        r = F.npx.activation(x_r + h_r, "sigmoid")  # (batch, num_hiddens)
        z = F.npx.activation(x_z + h_z, "sigmoid")  # (batch, num_hiddens)
        n = F.npx.activation(x_n + r * h_n, "tanh")  # (batch, num_hiddens)
        return (1 - z) * n + z * h


# From notebooks/04_seq2seq.md, section "The encoder"
class Seq2SeqEncoder(nn.Block):
    """Embedding and GRU layers that read the source sentence.

    Args:
        vocab_size, embed_size, num_hiddens, num_layers, dropout: see `Sizes`.
        bidirectional: read in both directions, as Bahdanau et al. 2015 do.

    Padding never changes a sentence's result; an empty sentence's are 0.
    `output_size` is the width of the outputs: num_hiddens, or twice that when
    bidirectional.

    Source: Sutskever et al. 2014; Bahdanau et al. 2015, appendix A.2.
    """

    def __init__(
        self, vocab_size, embed_size, num_hiddens, num_layers, dropout=0, bidirectional=False
    ):
        super().__init__()
        self.sizes = Sizes(vocab_size, embed_size, num_hiddens, num_layers, dropout)
        self.bidirectional = bidirectional
        self.output_size = num_hiddens * (1 + bidirectional)
        embedding = nn.Embedding(vocab_size, embed_size, weight_initializer=init.Normal(1))
        self.embedding = drawn(embedding)
        self.rnn, self.backward_rnn = nn.Sequential(), nn.Sequential()
        self.W_s = nn.Sequential()
        for i in range(num_layers):
            size = self.output_size if i else embed_size
            options = dict(layout="NTC", input_size=size)
            self.rnn.add(drawn(rnn.GRU(num_hiddens, **options)))
            if bidirectional:
                back = rnn.GRU(num_hiddens, **options)
                self.backward_rnn.add(drawn(back))
                W = nn.Dense(num_hiddens, in_units=num_hiddens, use_bias=False)
                self.W_s.add(drawn(W))
        self.dropout = nn.Dropout(dropout)

    def forward(self, X, valid_lens):
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
        steps = np.arange(X.shape[1], dtype="int32", ctx=X.ctx)
        # Products with these pick and reorder steps, and are fast to derive
        last = npx.one_hot(  # (batch, 1, steps), all 0 if nothing is valid
            np.expand_dims(valid_lens, 1) - 1, len(steps)
        )
        turn = npx.one_hot(  # (batch, steps, steps): last valid token first
            (np.expand_dims(valid_lens, 1) - 1 - steps) % len(steps), len(steps)
        )
        outputs, state = self.embedding(X), []  # (batch, steps, embed_size)
        for i, layer in enumerate(self.rnn):
            inputs = self.dropout(outputs) if i else outputs
            outputs = layer(inputs)  # (batch, steps, num_hiddens)
            if self.bidirectional:
                back = self.backward_rnn[i](npx.batch_dot(turn, inputs))
                h = np.squeeze(npx.batch_dot(last, back), 1)
                state.append(np.tanh(self.W_s[i](h)))
                outputs = np.concatenate([outputs, npx.batch_dot(turn, back)], axis=-1)
            else:
                state.append(np.squeeze(npx.batch_dot(last, outputs), 1))
        return sequence_mask(outputs, valid_lens), np.stack(state)


# From notebooks/04_seq2seq.md, section "The decoder"
class Decoder(DecoderInterface, nn.Block):
    """What all decoders share: an embedding, GRU layers, and logits.

    Args:
        sizes: `Sizes`.
        input_size: size of the first GRU layer's input; None for a decoder
            without such layers, as chapter 09 has it.
        memory_size: width of the encoder's outputs that it was built for;
            None if it does not read them.
    """

    def __init__(self, sizes, input_size, memory_size=None):
        super().__init__()
        self.sizes, self.memory_size = sizes, memory_size
        vocab_size, embed_size, num_hiddens, num_layers, dropout = sizes
        embedding = nn.Embedding(vocab_size, embed_size, weight_initializer=init.Normal(1))
        self.embedding = drawn(embedding)
        input_sizes = [input_size] + [num_hiddens] * (num_layers - 1)
        if input_size is None:
            input_sizes = []
        self.cells = nn.Sequential()
        self.cells.add(*[GRUCell(size, num_hiddens) for size in input_sizes])
        self.dropout = nn.Dropout(dropout)
        dense = nn.Dense(vocab_size, in_units=num_hiddens, flatten=False)
        self.dense = drawn(dense)

    def forward(self, X, state):
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

    Source: Cho et al. 2014.
    """

    def __init__(
        self, vocab_size, embed_size, num_hiddens, num_layers, dropout=0, *, memory_size=None
    ):
        sizes = Sizes(vocab_size, embed_size, num_hiddens, num_layers, dropout)
        input_size = num_hiddens + embed_size  # the context and a token
        super().__init__(sizes, input_size, memory_size)

    def init_state(self, enc_outputs, enc_valid_lens):
        _, hidden = enc_outputs
        return DecoderState(hidden, hidden[-1])

    def forward(self, X, state):
        hidden, outputs = state.hidden, []
        for embedding in self.embedding(X.T):  # (batch, embed_size)
            x = np.concatenate([state.context, embedding], axis=-1)
            hidden = self.advance(x, hidden)
            outputs.append(hidden[-1])
        logits = self.dense(np.stack(outputs, axis=1))
        return logits, state._replace(hidden=np.stack(hidden)), None


def tensors(model, *arrays):
    """Return NumPy arrays as arrays on the device of the model's weights."""
    device = model.decoder.embedding.weight.list_ctx()[0]
    return [np.array(a, dtype=a.dtype, ctx=device) for a in arrays]


class Seq2Seq(Seq2SeqInterface, nn.Block):
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
        super().__init__()
        check_fit(encoder, decoder)
        self.encoder, self.decoder = encoder, decoder
        self.src_vocab = self.tgt_vocab = None
        self.max_steps = 128

    def forward(self, src, src_valid_len, tgt_in):
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

    def training_step(self, batch, optimizer, grad_clip):
        """Learn from one batch.

        Args:
            batch: src, src_valid_len, tgt_in, tgt_out, tgt_valid_len.
            optimizer: what `make_steps` made.
            grad_clip: largest global norm of the gradient.

        Returns the loss of the batch before the step, a scalar.
        """
        with autograd.record():  # dropout is on in here only
            loss = self.batch_loss(batch)
        loss.backward()
        # clip_global_norm takes MXNet's older arrays: the same memory
        weights = self.collect_params().values()
        gradients = [weight.grad().as_nd_ndarray() for weight in weights]
        gluon.utils.clip_global_norm(  # checking would wait for the result
            gradients, grad_clip, check_isfinite=False
        )
        # Without attention one direction of the encoder may have no gradient
        optimizer.step(1, ignore_stale_grad=True)
        return loss

    def reseed(self, seed):
        mx.random.seed(seed)

    def make_steps(self, learning_rate, grad_clip):
        adam = mx.optimizer.Adam()
        trainer = gluon.Trainer(self.collect_params(), adam)

        def train_step(batch):
            step = adam.num_update  # 0 at the first
            trainer.set_learning_rate(learning_rate(step))
            # MXNet adds epsilon before it corrects the bias, the paper after it
            adam.epsilon = 1e-8 * (1 - adam.beta2 ** (step + 1)) ** 0.5
            return self.training_step(tensors(self, *batch), trainer, grad_clip)

        def evaluate(batch):
            return self.batch_loss(tensors(self, *batch))

        # Trainer.save_states would write a pickle, which runs code when it is read
        (updater,) = trainer._updaters

        def get_state():
            return {
                f"{i}.{name}": array.asnumpy()
                for i, moments in updater.states.items()
                for name, array in zip(("mean", "variance"), moments)
            }

        def set_state(arrays, step):
            for i in {int(key.partition(".")[0]) for key in arrays}:
                mean, variance = adam.create_state(i, trainer._params[i].data())
                mean[:], variance[:] = arrays[f"{i}.mean"], arrays[f"{i}.variance"]
                updater.states[i], updater.states_synced[i] = ((mean, variance), True)
            adam.begin_num_update = adam.num_update = step

        return Steps(train_step, evaluate, get_state, set_state)

    # From notebooks/04_seq2seq.md, section "Fed the truth, or its own words"
    def start_decoding(self, src, src_valid_len):
        src, src_valid_len = tensors(self, src, src_valid_len)
        with autograd.pause():  # even inside of record()
            enc_outputs = self.encoder(src, src_valid_len)
            return self.decoder.init_state(enc_outputs, src_valid_len)

    def decode(self, tokens, state, rows=None, best=None):
        if rows is not None:
            (rows,) = tensors(self, rows.astype("int32"))
            hidden, context = state
            if isinstance(context, tuple):  # with attention: several arrays
                context = tuple(np.take(array, rows, axis=0) for array in context)
            else:
                context = np.take(context, rows, axis=0)
            state = DecoderState(np.take(hidden, rows, axis=1), context)
        with autograd.pause():  # even inside of record()
            logits, state, weights = self.decoder(*tensors(self, tokens), state)
        found = [logits]
        if best is not None:
            log_probs = npx.log_softmax(logits, axis=-1)
            found = npx.topk(log_probs, k=best, ret_typ="both", dtype="int32")
        weights = None if weights is None else to_numpy(weights)
        found = tuple(map(to_numpy, found))
        return found if best else found[0], weights, state

    # From notebooks/06_training_vs_prediction.md, section "A model in a file"
    def export_weights(self):
        return {
            name: numpy.ascontiguousarray(oriented(name, w.data().asnumpy()))
            for name, w in named_weights(self).items()
        }

    def import_weights(self, weights):
        for name, weight in named_weights(self).items():
            weight.set_data(from_numpy(oriented(name, weights[name])))

    # From notebooks/09_transformer.md, section "What the heads look at"
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
        arrays = tensors(self, src, src_valid_len, tgt_in)
        src, src_valid_len, tgt_in = arrays
        with autograd.pause():
            outputs, found = self.encoder.run_blocks(src, src_valid_len)
            state = self.decoder.init_state((outputs, None), src_valid_len)
            pairs = self.decoder.run_blocks(tgt_in, state)[-1]
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
    losses = -npx.pick(npx.log_softmax(logits, axis=-1), labels, axis=-1)
    return sequence_mask(losses, valid_lens).sum() / valid_lens.sum()


# From notebooks/05_bahdanau_decoder.md, section "The interface"
class AttentionDecoder(Decoder):
    """A decoder that looks back at the source: the base class.

    A subclass has an `attention`, and a `kind` of its own.

    Args:
        sizes, input_size, memory_size: see `Decoder`.
    """

    def own_weights(self):
        """Return the weights that only decoders of this kind have, by name."""
        named = self.attention.own_weights()
        return {f"attention.{name}": named[name] for name in named}

    def attention_weights(self, X, state):
        """Return the weights alone (batch, steps, source steps)."""
        return self(X, state)[2]


# From notebooks/05_bahdanau_decoder.md, section "The class"
blocks = weakref.WeakKeyDictionary()


def compiled_attend(attention, with_step=False):
    """Return `attention.attend` as a block: Gluon compiles blocks only.

    Args:
        attention: an attention block such as `AdditiveAttention`.
        with_step: whether `attend` takes the number of the first step, too,
            as chapter 07's local attention does.

    Returns:
        A block of the same weights, called with queries, projected keys,
        values, valid_lens (and the first steps, (batch,)).
    """
    if attention not in blocks:
        types = 3 * ["float32"] + (1 + with_step) * ["int32"]
        inputs = [
            mx.sym.var(f"input_{i}", dtype=dtype).as_np_ndarray() for i, dtype in enumerate(types)
        ]
        outputs = list(attention.attend(*inputs))
        weights = attention.collect_params()
        blocks[attention] = gluon.SymbolBlock(outputs, inputs, weights)
        blocks[attention].hybridize()
    return blocks[attention]


class Seq2SeqAttentionDecoder(AttentionDecoder):
    """The decoder of Bahdanau et al. 2015.

    Args:
        vocab_size, embed_size, num_hiddens, num_layers, dropout: see `Sizes`;
            num_hiddens and num_layers are the encoder's. The attention has
            num_hiddens hidden units, and drops weights, too.
        memory_size: width of the encoder's outputs; None for num_hiddens.

    Source: Bahdanau et al. 2015, section 3.1 and appendix A.2.
    """

    kind = "attention"

    def __init__(
        self, vocab_size, embed_size, num_hiddens, num_layers, dropout=0, *, memory_size=None
    ):
        sizes = Sizes(vocab_size, embed_size, num_hiddens, num_layers, dropout)
        memory_size = memory_size or num_hiddens
        super().__init__(sizes, memory_size + embed_size, memory_size)
        self.attention = AdditiveAttention(num_hiddens, memory_size, num_hiddens, dropout)

    def init_state(self, enc_outputs, enc_valid_lens):
        outputs, hidden = enc_outputs
        keys = self.attention.project_keys(outputs)  # once for all steps
        return DecoderState(hidden, (keys, outputs, enc_valid_lens))

    def forward(self, X, state):
        attend = compiled_attend(self.attention)
        hidden, outputs, weights = state.hidden, [], []
        for embedding in self.embedding(X.T):  # (batch, embed_size)
            query = np.expand_dims(hidden[-1], 1)  # state of the step before
            context, weight = attend(query, *state.context)
            x = np.concatenate([np.squeeze(context, 1), embedding], axis=-1)
            hidden = self.advance(x, hidden)
            outputs.append(hidden[-1])
            weights.append(weight)
        logits = self.dense(np.stack(outputs, axis=1))
        state = state._replace(hidden=np.stack(hidden))
        return logits, state, np.concatenate(weights, axis=1)


# From notebooks/06_training_vs_prediction.md, section "A model in a file"
def gru_weights(encoder, decoder):
    """Return the weights of all GRU layers, by their names in a file."""
    named = {}
    directions = ("", encoder.rnn), (".backward", encoder.backward_rnn)
    for direction, layers in directions:
        for i, gru in enumerate(layers):
            prefix = f"encoder.gru.{i}{direction}"
            for part, name in ("x", "l0_i2h"), ("h", "l0_h2h"):
                named[f"{prefix}.w_{part}"] = getattr(gru, f"{name}_weight")
                named[f"{prefix}.b_{part}"] = getattr(gru, f"{name}_bias")
    for i, layer in enumerate(encoder.W_s):
        named[f"encoder.init.{i}.w"] = layer.weight
    for i, cell in enumerate(decoder.cells):
        for part, layer in ("x", cell.W_x), ("h", cell.W_h):
            named[f"decoder.gru.{i}.w_{part}"] = layer.weight
            named[f"decoder.gru.{i}.b_{part}"] = layer.bias
    return named


def named_weights(model):
    """Return the model's weights by their names in the exchange format."""
    encoder, decoder = model.encoder, model.decoder
    named = {
        "encoder.embedding": encoder.embedding.weight,
        "decoder.embedding": decoder.embedding.weight,
        "decoder.dense.w": decoder.dense.weight,
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


def oriented(name, array):
    """Turn a matrix round, since Gluon keeps (outputs, inputs)."""
    return array.T if array.ndim == 2 and "embedding" not in name else array


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
    sizes = {name: config[name] for name in names}
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

    Raises ValueError if there is no such score, or the sizes do not fit it.

    Source: Luong et al. 2015, section 3.1.
    """

    def __init__(self, query_size, key_size, num_hiddens, score="general", dropout=0):
        super().__init__(dropout)
        sizes = dict(query_size=query_size, key_size=key_size)
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
    ):
        super().__init__(query_size, key_size, num_hiddens, score, dropout)
        if alignment not in exchange.ALIGNMENTS:
            raise ValueError(f"alignment is {alignment!r}; expected one of {exchange.ALIGNMENTS}")
        if window < 1:
            raise ValueError(f"window is {window}; expected 1 or more")
        self.alignment, self.window = alignment, window
        if alignment == "predictive":
            plain = dict(use_bias=False, flatten=False)
            W_p = nn.Dense(num_hiddens, in_units=query_size, **plain)
            self.W_p = drawn(W_p)
            self.v_p = drawn(nn.Dense(1, in_units=num_hiddens, **plain))

    def centers(self, queries, valid_lens, first_step=0):
        """Return the centers p (batch, queries) around which queries look.

        Of valid_lens there is one a sentence or one a query, (batch, 1 or
        queries); first_step is that of `attend`.
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

    def find_windows(self, queries, values, valid_lens, first_step):
        """Find the window of each query.

        Args: those of `attend`.

        Returns:
            The centers (batch, queries); the positions (batch, queries,
            2 * window + 1) of the states in each window; and how many of them,
            counted from the first, are there and valid (batch, queries).
        """
        F = mx.sym if isinstance(queries, mx.sym.Symbol) else mx.nd
        ctx, D = None if F is mx.sym else queries.ctx, self.window
        # A Symbol does not know its shape, so the graph counts the keys
        num_keys = F.np.ones_like(F.npx.arange_like(values, axis=1)).sum()
        if valid_lens is None:
            lens = F.np.ones_like(F.npx.arange_like(values, axis=0)) * num_keys
        elif F is mx.sym:
            lens = valid_lens.astype("float32")
        else:
            lens = np.array(valid_lens, dtype="float32", ctx=ctx)
        # as float32 until they are small: int32 holds no 2^31
        lens = F.np.clip(F.np.minimum(lens, num_keys), 0, None).astype("int32")
        lens = F.npx.reshape(lens, (-2, -1))  # (batch, 1 or queries)
        p = self.centers(queries, lens, first_step)  # (batch, queries)
        first = F.np.clip(F.np.ceil(p - D), 0, None).astype("int32")
        last = F.np.floor(p + D).astype("int32")
        count = F.np.minimum(last + 1, lens) - first
        steps = F.np.arange(2 * D + 1, dtype="int32", ctx=ctx)
        return p, F.np.expand_dims(first, 2) + steps, count

    def attend(self, queries, projected_keys, values, valid_lens=None, first_step=0):
        """Attend to windows of keys that have been projected already.

        As `Attention.attend`, with `first_step`, the number of the first query's
        step: an integer, or (batch,) integers.
        """
        F = mx.sym if isinstance(queries, mx.sym.Symbol) else mx.nd
        inputs = queries, projected_keys, values, valid_lens
        if F is mx.nd and 0 in (*queries.shape[:2], values.shape[1]):
            # MXNet's operators want a number or more: nothing to look at
            return Attention.attend(self, *inputs)
        p, positions, count = self.find_windows(queries, values, valid_lens, first_step)
        # Behind the last state: that state again, which counts as padding
        places, D = F.npx.arange_like(values, axis=1), self.window  # (keys,)
        num_keys = F.np.ones_like(places).sum().astype("int32")
        at = F.np.minimum(positions, num_keys - 1)  # (batch, queries, 2D + 1)

        def indices(at):  # of x[i, at[i, ...]], as gather_nd wants it
            rows = F.np.zeros_like(at).T + F.npx.arange_like(at, axis=0)
            return F.np.stack([rows.T, at])

        def each(x):  # each query by itself: (batch * queries, ...)
            return F.npx.reshape(x, (-5, -4))

        scores = self.score(
            F.np.expand_dims(each(queries), 1), each(F.npx.gather_nd(projected_keys, indices(at)))
        )  # (batch * queries, 1, 2D + 1)
        weights = masked_softmax(F.npx.reshape_like(scores, at), count)
        if self.alignment == "predictive":
            z = (positions - F.np.expand_dims(p, 2)) / (D / 2)
            weights = weights * F.np.exp(-F.np.square(z) / 2)
        dropped = F.np.expand_dims(each(self.dropout(weights)), 1)
        output = F.npx.batch_dot(dropped, each(F.npx.gather_nd(values, indices(at))))
        output = F.np.squeeze(output, 1)  # (batch * queries, value size)
        output = F.npx.reshape_like(output, p, lhs_end=1, rhs_end=2)
        # Each key finds its weight in the window, or a 0 on either side of it
        padded = F.np.pad(weights, ((0, 0), (0, 0), (1, 1)))
        at = F.np.clip(places - positions[:, :, :1], -1, 2 * D + 1) + 1
        everywhere = F.npx.gather_nd(each(padded), indices(each(at)))
        return output, F.npx.reshape_like(everywhere, at)


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
    ):
        sizes = Sizes(vocab_size, embed_size, num_hiddens, num_layers, dropout)
        memory_size = memory_size or num_hiddens
        input_size = embed_size + input_feeding * num_hiddens
        super().__init__(sizes, input_size, memory_size)
        self.score, self.input_feeding = score, input_feeding
        self.local, self.window = local, window
        attention = num_hiddens, memory_size, num_hiddens
        if local is None:
            self.attention = GlobalAttention(*attention, score, dropout)
        else:
            self.attention = LocalAttention(*attention, local, window, score, dropout)
        both = memory_size + num_hiddens  # context and state
        W_c = nn.Dense(num_hiddens, in_units=both, use_bias=False, flatten=False)
        self.W_c = drawn(W_c)

    def own_weights(self):
        return super().own_weights() | {"attentional.w": self.W_c.weight}

    def init_state(self, enc_outputs, enc_valid_lens):
        outputs, hidden = enc_outputs
        keys = self.attention.project_keys(outputs)  # once for all steps
        h_tilde = np.zeros_like(hidden[-1])
        step = np.zeros_like(enc_valid_lens)
        return DecoderState(hidden, (keys, outputs, enc_valid_lens, h_tilde, step))

    def look_back(self, h, source, step):
        """Return attentional vectors and weights for states h, from a step on.

        Args:
            h: (batch, steps, num_hiddens).
            source: keys, values and valid lengths.
            step: (batch,), the number of the first step.
        """
        with_step = self.local == "monotonic"
        attend = compiled_attend(self.attention, with_step)
        context, weights = attend(h, *source, *((step,) if with_step else ()))
        both = np.concatenate([context, h], axis=-1)
        return npx.activation(self.W_c(both), act_type="tanh"), weights

    def forward(self, X, state):
        hidden, (*source, h_tilde, step) = state
        embeddings = self.embedding(X.T)  # (steps, batch, embed_size)
        outputs, weights = [], []
        if self.input_feeding:
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


# From notebooks/09_transformer.md, section "Positions"
class PositionalEncoding(nn.Block):
    """Adds to each step what tells its position: `sinusoids`.

    Args:
        num_hiddens: size of a step.
        max_steps: number of positions.
        dropout: probability with which training drops a number of the sum.
    """

    def __init__(self, num_hiddens, max_steps=1024, dropout=0):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        P = sinusoids(max_steps, num_hiddens)
        self.P = np.array(P, ctx=device())

    def forward(self, X, first_step=0):
        """Add the positions.

        Args:
            X: (batch, steps, num_hiddens).
            first_step: position of the first step, an integer or (batch,).

        Returns:
            The sum, of X's shape.

        Raises:
            ValueError: if X has steps without a position, or of another size.
        """
        first = np.array(first_step, dtype="int32", ctx=X.ctx).reshape(-1, 1)
        check_steps(X.shape, to_numpy(first), *self.P.shape)
        steps = first + np.arange(X.shape[1], dtype="int32", ctx=X.ctx)
        return self.dropout(X + np.take(self.P, steps, axis=0))


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

    Called as every `Attention`; the output is (batch, queries, num_hiddens),
    and the weights have an axis more, (batch, num_heads, queries, keys).

    Raises ValueError if the heads do not divide num_hiddens.

    Source: Vaswani et al. 2017, section 3.2.2.
    """

    def __init__(self, query_size, key_size, value_size, num_hiddens, num_heads, dropout=0):
        super().__init__(dropout)
        check_sizes(num_hiddens, num_heads)
        self.num_heads, self.head_size = num_heads, num_hiddens // num_heads
        options = dict(flatten=False, use_bias=False)
        self.W_q = drawn(nn.Dense(num_hiddens, in_units=query_size, **options))
        self.W_k = drawn(nn.Dense(num_hiddens, in_units=key_size, **options))
        self.W_v = drawn(nn.Dense(num_hiddens, in_units=value_size, **options))
        self.W_o = drawn(nn.Dense(num_hiddens, in_units=num_hiddens, **options))

    def own_weights(self):
        """Return the matrices by their small names."""
        names = "W_q", "W_k", "W_v", "W_o"
        return {name.lower(): getattr(self, name).weight for name in names}

    def split(self, X):
        """(batch, steps, num_hiddens) to (batch * heads, steps, size)."""
        batch, steps, _ = X.shape
        X = X.reshape(batch, steps, self.num_heads, self.head_size)
        X = X.transpose(0, 2, 1, 3)
        return X.reshape(batch * self.num_heads, steps, self.head_size)

    def apart(self, X):
        """(batch * heads, ...) to (batch, heads, ...)."""
        shape = len(X) // self.num_heads, self.num_heads, *X.shape[1:]
        return X.reshape(shape)

    def join(self, X):
        """(batch * heads, steps, size) to (batch, steps, num_hiddens)."""
        X = self.apart(X).transpose(0, 2, 1, 3)
        return X.reshape(*X.shape[:2], self.num_heads * self.head_size)

    def project(self, keys, values):
        """Do all that needs no query: the projected keys and values."""
        return self.W_k(keys), self.W_v(values)

    def attend_projected(self, queries, projected_keys, projected_values, valid_lens=None):
        """Do the same with keys and values that `project` returned."""
        if valid_lens is not None:  # each head has the same
            valid_lens = np.repeat(valid_lens, self.num_heads, axis=0)
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
class PositionWiseFFN(nn.Block):
    """A perceptron with one hidden layer, the same for every step.

    Args:
        num_hiddens: size of a step, before and after.
        ffn_num_hiddens: number of hidden units.
    """

    def __init__(self, num_hiddens, ffn_num_hiddens):
        super().__init__()
        self.W_1 = drawn(nn.Dense(ffn_num_hiddens, in_units=num_hiddens, flatten=False))
        self.W_2 = drawn(nn.Dense(num_hiddens, in_units=ffn_num_hiddens, flatten=False))

    def forward(self, X):
        """Return W_2 relu(W_1 x + b_1) + b_2 for each x of X."""
        return self.W_2(npx.relu(self.W_1(X)))

    def own_weights(self):
        """Return matrices and biases by their small names."""
        return {
            "w_1": self.W_1.weight,
            "b_1": self.W_1.bias,
            "w_2": self.W_2.weight,
            "b_2": self.W_2.bias,
        }


class AddNorm(nn.Block):
    """The residual connection around a part of a block, and its norm.

    Args:
        num_hiddens: size of a step.
        dropout: probability with which training drops a number of what the
            part adds.
        norm_first: whether the part reads its input normalized; if not, the
            sum behind it is normalized.

    Source: Ba et al. 2016; Xiong et al. 2020 on the place of the norm.
    """

    def __init__(self, num_hiddens, dropout=0, norm_first=True):
        super().__init__()
        self.norm_first, self.dropout = norm_first, nn.Dropout(dropout)
        self.norm = drawn(nn.LayerNorm(epsilon=1e-5, in_channels=num_hiddens))

    def before(self, X):
        """Return what the part reads."""
        return self.norm(X) if self.norm_first else X

    def after(self, X, Y):
        """Return the sum of the input X and what the part made of it, Y."""
        X = X + self.dropout(Y)
        return X if self.norm_first else self.norm(X)

    def own_weights(self):
        """Return gain and bias."""
        return {"gain": self.norm.gamma, "bias": self.norm.beta}


# From notebooks/09_transformer.md, section "Encoder and decoder"
class TransformerEncoderBlock(nn.Block):
    """Self-attention and a feed-forward network, each with its `AddNorm`.

    Args:
        num_hiddens, ffn_num_hiddens, num_heads, dropout, norm_first: those
            of `TransformerEncoder`.
    """

    def __init__(self, num_hiddens, ffn_num_hiddens, num_heads, dropout=0, norm_first=True):
        super().__init__()
        sizes = 3 * [num_hiddens]  # of queries, keys and values
        self.attention = MultiHeadAttention(*sizes, num_hiddens, num_heads, dropout)
        self.ffn = PositionWiseFFN(num_hiddens, ffn_num_hiddens)
        self.norms = nn.Sequential()
        self.norms.add(*[AddNorm(num_hiddens, dropout, norm_first) for _ in range(2)])

    def forward(self, X, valid_lens):
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


class TransformerEncoder(nn.Block):
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
    ):
        super().__init__()
        check_sizes(num_hiddens, num_heads, num_layers)
        sizes = vocab_size, num_hiddens, num_hiddens, num_layers, dropout
        self.sizes, self.output_size = Sizes(*sizes), num_hiddens
        self.num_heads, self.ffn_num_hiddens = num_heads, ffn_num_hiddens
        self.norm_first = norm_first
        embedding = nn.Embedding(vocab_size, num_hiddens, weight_initializer=init.Normal(1))
        self.embedding = drawn(embedding)
        self.positions = PositionalEncoding(num_hiddens, dropout=dropout)
        block = num_hiddens, ffn_num_hiddens, num_heads, dropout, norm_first
        self.blocks = nn.Sequential()
        self.blocks.add(*[TransformerEncoderBlock(*block) for _ in range(num_layers)])
        self.last = AddNorm(num_hiddens) if norm_first else None

    def own_weights(self):
        """Return all but the embedding by their names in a file."""
        parts = {f"block.{i}": block for i, block in enumerate(self.blocks)}
        return gather_weights(parts | ({"norm": self.last} if self.last else {}))

    def run_blocks(self, X, valid_lens):
        """Return the outputs, and a list of each block's attention weights."""
        if X.size == 0:
            raise ValueError(f"MXNet takes no empty batch; X is {X.shape}")
        X, all_weights = self.positions(self.embedding(X)), []
        for block in self.blocks:
            X, weights = block(X, valid_lens)
            all_weights.append(weights)  # (batch, heads, steps, steps)
        X = X if self.last is None else self.last.before(X)
        return sequence_mask(X, valid_lens), all_weights

    def forward(self, X, valid_lens):
        """Read a batch of sentences.

        Args:
            X: (batch, steps) token ids.
            valid_lens: (batch,) integers.

        Returns:
            The pair of outputs (batch, steps, num_hiddens), 0 behind each
            sentence's end, and None: there is no state.
        """
        return self.run_blocks(X, valid_lens)[0], None


class TransformerDecoderBlock(nn.Block):
    """Self-attention, attention to the source, a feed-forward network.

    Args:
        num_hiddens, ffn_num_hiddens, num_heads, dropout, norm_first: those
            of `TransformerDecoder`.
    """

    def __init__(self, num_hiddens, ffn_num_hiddens, num_heads, dropout=0, norm_first=True):
        super().__init__()
        sizes = 3 * [num_hiddens]  # of queries, keys and values
        self.self_attention = MultiHeadAttention(*sizes, num_hiddens, num_heads, dropout)
        self.cross_attention = MultiHeadAttention(*sizes, num_hiddens, num_heads, dropout)
        self.ffn = PositionWiseFFN(num_hiddens, ffn_num_hiddens)
        self.norms = nn.Sequential()
        self.norms.add(*[AddNorm(num_hiddens, dropout, norm_first) for _ in range(3)])

    def own_weights(self):
        """Return all weights by their names in a file."""
        parts = {"self": self.self_attention, "cross": self.cross_attention}
        parts |= {f"norm.{i}": norm for i, norm in enumerate(self.norms)}
        return gather_weights(parts | {"ffn": self.ffn})

    def forward(self, X, past, own_lens, memory, enc_valid_lens):
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
        keys, values = self.self_attention.project(Y, Y)
        if past is not None:
            keys, values = (
                np.concatenate([old, new], axis=1) for old, new in zip(past, (keys, values))
            )
        Y, own_weights = self.self_attention.attend_projected(Y, keys, values, own_lens)
        X = self.norms[0].after(X, Y)
        Y = self.norms[1].before(X)
        Y, weights = self.cross_attention.attend_projected(Y, *memory, enc_valid_lens)
        X = self.norms[1].after(X, Y)
        Y = self.ffn(self.norms[2].before(X))
        return (self.norms[2].after(X, Y), (keys, values), (own_weights, weights))


class TransformerDecoder(AttentionDecoder):
    """Embeddings, positions and blocks that write the target sentence.

    Args:
        vocab_size, num_hiddens, ffn_num_hiddens, num_heads, num_layers,
            dropout, norm_first: as `TransformerEncoder`, whose num_hiddens
            and num_layers they are, too.
        memory_size: width of the encoder's outputs: num_hiddens, or None.

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
    ):
        sizes = Sizes(vocab_size, num_hiddens, num_hiddens, num_layers, dropout)
        check_sizes(num_hiddens, num_heads, num_layers, memory_size)
        super().__init__(sizes, None, num_hiddens)
        self.num_heads, self.ffn_num_hiddens = num_heads, ffn_num_hiddens
        self.norm_first = norm_first
        self.positions = PositionalEncoding(num_hiddens, dropout=dropout)
        block = num_hiddens, ffn_num_hiddens, num_heads, dropout, norm_first
        self.blocks = nn.Sequential()
        self.blocks.add(*[TransformerDecoderBlock(*block) for _ in range(num_layers)])
        self.last = AddNorm(num_hiddens) if norm_first else None

    def own_weights(self):
        parts = {f"block.{i}": block for i, block in enumerate(self.blocks)}
        return gather_weights(parts | ({"norm": self.last} if self.last else {}))

    def init_state(self, enc_outputs, enc_valid_lens):
        outputs, _ = enc_outputs
        memory = []
        for block in self.blocks:  # once for all steps
            memory += block.cross_attention.project(outputs, outputs)
        past = np.zeros((0, len(outputs)), ctx=outputs.ctx)  # no step yet
        step = np.zeros_like(enc_valid_lens)
        return DecoderState(past, (*memory, enc_valid_lens, step))

    def run_blocks(self, X, state):
        """Return logits, the next state, and a list of pairs of weights."""
        past, (*memory, enc_valid_lens, step) = state
        # The causal mask: step 0 may see 1 step, step 1 may see 2, ...
        own_lens = np.expand_dims(step, 1) + np.arange(X.shape[1], dtype="int32", ctx=X.ctx) + 1
        context = *memory, enc_valid_lens, step + X.shape[1]
        X, now, all_weights = self.positions(self.embedding(X), step), [], []
        for i, block in enumerate(self.blocks):
            before = (past[2 * i], past[2 * i + 1]) if len(past) else None
            source = memory[2 * i : 2 * i + 2]
            X, pair, weights = block(X, before, own_lens, source, enc_valid_lens)
            now += pair
            all_weights.append(weights)
        X = X if self.last is None else self.last.before(X)
        return (self.dense(X), DecoderState(np.stack(now), context), all_weights)

    def forward(self, X, state):
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
    losses = -npx.pick(npx.log_softmax(logits, axis=-1), labels, axis=-1)
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
        self.store = mx.kvstore.create("dist_sync")
        self.rank, self.size = self.store.rank, self.store.num_workers
        self.keys = {}  # of the shapes that were summed so far

    def total(self, array):
        """Return the sum of all workers' NumPy float32 arrays of a shape."""
        array = np.array(array, ctx=device())
        self.add_up([array])
        return array.asnumpy()

    def add_up(self, arrays):
        """Replace arrays by their sums over all workers."""
        shapes = tuple(array.shape for array in arrays)
        arrays = [array.as_nd_ndarray() for array in arrays]
        if shapes not in self.keys:
            first = sum(map(len, self.keys))
            self.keys[shapes] = list(range(first, first + len(shapes)))
            self.store.init(self.keys[shapes], arrays)
        self.store.push(self.keys[shapes], arrays)
        self.store.pull(self.keys[shapes], arrays)

    def close(self):
        """Take leave of the other workers."""
        mx.nd.waitall()
        self.store._barrier()


class ParallelSeq2Seq(ParallelInterface, Seq2Seq):
    """A `Seq2Seq` that several workers train, as if it were one.

    Args:
        model: a `Seq2Seq`, the same on every worker; its encoder and decoder
            are this one's, too.
        worker: a `Worker`.
    """

    def reseed(self, seed):
        super().reseed((seed + self.worker.rank) % 2**31)

    def batch_loss(self, batch):
        """Return the loss of all workers' batches together, a scalar."""
        src, src_len, tgt_in, tgt_out, tgt_len = batch
        logits, _ = self(src, src_len, tgt_in)
        sums = np.stack(summed_loss(logits, tgt_out, tgt_len))
        self.worker.add_up([sums])
        return sums[0] / sums[1]

    def training_step(self, batch, optimizer, grad_clip):
        """Learn from one batch of each worker.

        Args:
            batch: src, src_valid_len, tgt_in, tgt_out, tgt_valid_len.
            optimizer: what `make_steps` made.
            grad_clip: largest global norm of the gradient.

        Returns the loss of all batches together before the step, a scalar.
        """
        src, src_len, tgt_in, tgt_out, tgt_len = batch
        with autograd.record():  # dropout is on in here only
            logits, _ = self(src, src_len, tgt_in)
            loss, num_tokens = summed_loss(logits, tgt_out, tgt_len)
        loss.backward()
        weights = self.collect_params().values()
        gradients = [weight.grad() for weight in weights]
        sums = np.stack((loss, num_tokens))
        self.worker.add_up([sums, *gradients])
        for gradient in gradients:
            gradient /= sums[1]
        gluon.utils.clip_global_norm(
            [gradient.as_nd_ndarray() for gradient in gradients], grad_clip, check_isfinite=False
        )
        optimizer.step(1, ignore_stale_grad=True)
        return sums[0] / sums[1]


__getattr__ = compat.fall_through("mxnet")
