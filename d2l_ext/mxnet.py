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
    "named_weights", "oriented", "new_model", "load_model", "GlobalAttention",
    "LocalAttention", "Seq2SeqGlobalDecoder",
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
        input_size: size of the first GRU layer's input.
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

    def make_steps(self, lr, grad_clip, num_steps, seed):
        mx.random.seed(seed)
        adam = mx.optimizer.Adam()
        trainer = gluon.Trainer(self.collect_params(), adam)

        def train_step(batch):
            step = adam.num_update  # 0 at the first
            trainer.set_learning_rate(lr * max(0, 1 - step / num_steps))
            # MXNet adds epsilon before it corrects the bias, the paper after it
            adam.epsilon = 1e-8 * (1 - adam.beta2 ** (step + 1)) ** 0.5
            return self.training_step(tensors(self, *batch), trainer, grad_clip)

        def evaluate(batch):
            return self.batch_loss(tensors(self, *batch))

        return train_step, evaluate

    # From notebooks/04_seq2seq.md, section "Fed the truth, or its own words"
    def start_decoding(self, src, src_valid_len):
        src, src_valid_len = tensors(self, src, src_valid_len)
        with autograd.pause():  # even inside of record()
            enc_outputs = self.encoder(src, src_valid_len)
            return self.decoder.init_state(enc_outputs, src_valid_len)

    def decode(self, tokens, state, rows=None):
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
        weights = None if weights is None else to_numpy(weights)
        return to_numpy(logits), weights, state

    # From notebooks/06_training_vs_prediction.md, section "A model in a file"
    def export_weights(self):
        return {
            name: numpy.ascontiguousarray(oriented(name, w.data().asnumpy()))
            for name, w in named_weights(self).items()
        }

    def import_weights(self, weights):
        for name, weight in named_weights(self).items():
            weight.set_data(from_numpy(oriented(name, weights[name])))


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
def named_weights(model):
    """Return the model's weights by their names in the exchange format."""
    encoder, decoder = model.encoder, model.decoder
    named = {
        "encoder.embedding": encoder.embedding.weight,
        "decoder.embedding": decoder.embedding.weight,
        "decoder.dense.w": decoder.dense.weight,
        "decoder.dense.b": decoder.dense.bias,
    }
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
    for name, weight in decoder.own_weights().items():
        named[f"decoder.{name}"] = weight
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
    encoder = Seq2SeqEncoder(
        config["src_vocab_size"], bidirectional=config["bidirectional"], **sizes
    )
    decoder = Decoder(
        config["tgt_vocab_size"],
        memory_size=encoder.output_size,
        **{name: config[name] for name in exchange.OPTIONS[config["kind"]]},
        **sizes,
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


__getattr__ = compat.fall_through("mxnet")
