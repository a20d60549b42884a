"""The models of DESIGN.md in NumPy's float64, a sentence at a time: no padding, no masks.

Weights are a dict in the exchange format, as `get_weights` returns it. That format says it all:
the number of layers, the directions of the encoder and whether the decoder attends.
"""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    exponentials = np.exp(x - x.max())
    return exponentials / exponentials.sum()


def gru_step(weights, name, x, h):
    """Next state (hiddens,) of the GRU layer `name`, in the form that cuDNN computes."""
    x = x @ weights[f"{name}.w_x"] + weights[f"{name}.b_x"]
    h_x = h @ weights[f"{name}.w_h"] + weights[f"{name}.b_h"]
    (x_r, x_z, x_n), (h_r, h_z, h_n) = np.split(x, 3), np.split(h_x, 3)
    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    return (1 - z) * np.tanh(x_n + r * h_n) + z * h


def gru(weights, name, inputs):
    """All states (steps, hiddens) of a layer that starts from 0, and its last one."""
    h = np.zeros(len(weights[f"{name}.w_h"]))
    states = np.zeros((len(inputs), len(h)))
    for step, x in enumerate(inputs):
        states[step] = h = gru_step(weights, name, x, h)
    return states, h


def num_layers(weights):
    return sum(f"decoder.gru.{i}.w_x" in weights for i in range(len(weights)))


def encode(weights, tokens):
    """Outputs (len(tokens), width) and the decoder's first state (layers, hiddens)."""
    outputs, state = weights["encoder.embedding"].astype(np.float64)[tokens], []
    for i in range(num_layers(weights)):
        inputs = outputs
        outputs, h = gru(weights, f"encoder.gru.{i}", inputs)
        if f"encoder.init.{i}.w" in weights:
            backward, h = gru(weights, f"encoder.gru.{i}.backward", inputs[::-1])
            outputs = np.concatenate([outputs, backward[::-1]], axis=1)
            h = np.tanh(h @ weights[f"encoder.init.{i}.w"])
        state.append(h)
    return outputs, np.array(state)


def attend(weights, query, keys):
    """Weights (keys,) of additive attention; none for no keys."""
    hiddens = np.tanh(
        query @ weights["decoder.attention.w_q"] + keys @ weights["decoder.attention.w_k"]
    )
    scores = (hiddens @ weights["decoder.attention.w_v"])[:, 0]
    return softmax(scores) if len(keys) else scores


def decode(weights, outputs, state, tokens):
    """Logits (len(tokens), vocabulary) and attention weights (len(tokens), len(outputs))."""
    fixed_context, hidden, logits, attention = state[-1], list(state), [], []
    for token in tokens:
        context = fixed_context
        if "decoder.attention.w_q" in weights:
            attention.append(attend(weights, hidden[-1], outputs))
            context = attention[-1] @ outputs
        x = np.concatenate([context, weights["decoder.embedding"][token]])
        for i in range(len(hidden)):
            x = hidden[i] = gru_step(weights, f"decoder.gru.{i}", x, hidden[i])
        logits.append(x @ weights["decoder.dense.w"] + weights["decoder.dense.b"])
    return np.array(logits), np.array(attention)


def teacher_forcing(weights, src, src_valid_len, tgt_in):
    """Logits (batch, target steps, vocabulary) and attention weights, 0 on padding, or None."""
    weights = {name: array.astype(np.float64) for name, array in weights.items()}
    attends = "decoder.attention.w_q" in weights
    logits, attention = [], np.zeros((*tgt_in.shape, src.shape[1]))
    for row, (tokens, length) in enumerate(zip(src, src_valid_len)):
        outputs, state = encode(weights, tokens[:length])
        sentence_logits, sentence_attention = decode(weights, outputs, state, tgt_in[row])
        logits.append(sentence_logits)
        if attends:
            attention[row, :, :length] = sentence_attention
    return np.array(logits), attention if attends else None


def loss(logits, labels, valid_lens):
    """Cross-entropy (nats) of the real tokens, divided by their number."""
    total = 0
    for row, length in enumerate(valid_lens):
        for step in range(length):
            total -= np.log(softmax(logits[row, step].astype(np.float64))[labels[row, step]])
    return total / np.sum(valid_lens)


def batch_loss(weights, batch):
    """Loss of a `corpora.Batch` under teacher forcing."""
    logits, _ = teacher_forcing(weights, batch.src, batch.src_valid_len, batch.tgt_in)
    return loss(logits, batch.tgt_out, batch.tgt_valid_len)
