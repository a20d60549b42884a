"""The models of DESIGN.md in float64, a sentence at a time: no padding, no masks.

Weights are a dict in the exchange format, as `get_weights` returns it. That format says nearly
all: the number of layers, the directions of the encoder, whether and how the decoder attends. What
it does not say are the keywords `local` ("monotonic", "predictive" or None) and `window`, and the
`num_heads` of a Transformer. The model is plain NumPy; since it is written with what PyTorch knows
under the same names, PyTorch's autograd can differentiate it (`gradients`, `train`).
"""

import sys

import numpy as np


def library(array):
    """NumPy or PyTorch, wherever the array comes from."""
    return sys.modules["numpy" if isinstance(array, np.ndarray) else "torch"]


def float64(weights):
    return {name: array.astype(np.float64) for name, array in weights.items()}


def sigmoid(x):
    return 1 / (1 + library(x).exp(-x))


def log_softmax(x):
    x = x - x.max()
    return x - library(x).log(library(x).exp(x).sum())


# The model ---------------------------------------------------------------------------------------


def gru_step(weights, name, x, h):
    """Next state (hiddens,) of the GRU layer `name`, in the form that cuDNN computes."""
    x_r, x_z, x_n = (x @ weights[f"{name}.w_x"] + weights[f"{name}.b_x"]).reshape(3, -1)
    h_r, h_z, h_n = (h @ weights[f"{name}.w_h"] + weights[f"{name}.b_h"]).reshape(3, -1)
    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    return (1 - z) * library(h).tanh(x_n + r * h_n) + z * h


def gru(weights, name, inputs):
    """All states, a list, of a layer that starts from 0, and its last one."""
    h = 0 * weights[f"{name}.w_h"][:, 0]
    states = [h := gru_step(weights, name, x, h) for x in inputs]
    return states, h


def num_layers(weights):
    return sum(f"decoder.gru.{i}.w_x" in weights for i in range(len(weights)))


def encode(weights, tokens, num_heads=None, **local):
    """Outputs, one (width,) for each token, and the decoder's first state, one for each layer."""
    if num_heads:
        return list(transform_source(weights, tokens, num_heads)[0]), None
    outputs, state = list(weights["encoder.embedding"][list(tokens)]), []
    for i in range(num_layers(weights)):
        inputs = outputs
        outputs, h = gru(weights, f"encoder.gru.{i}", inputs)
        if f"encoder.init.{i}.w" in weights:
            backward, h = gru(weights, f"encoder.gru.{i}.backward", inputs[::-1])
            both = zip(outputs, backward[::-1])
            outputs = [library(h).concatenate(pair) for pair in both]
            h = library(h).tanh(h @ weights[f"encoder.init.{i}.w"])
        state.append(h)
    return outputs, state


def score(weights, query, keys):
    """How well each of the keys (keys, width) matches the query: additive, bilinear or dot."""
    if "decoder.attention.w_q" in weights:
        w_q, w_k, w_v = (weights[f"decoder.attention.w_{part}"] for part in "qkv")
        return (library(query).tanh(query @ w_q + keys @ w_k) @ w_v)[:, 0]
    if "decoder.attention.w" in weights:
        query = query @ weights["decoder.attention.w"]
    return keys @ query


def attend(weights, query, keys):
    """Weights (keys,) of attention to keys (keys, width)."""
    return library(query).exp(log_softmax(score(weights, query, keys)))


def attend_locally(weights, query, keys, step, local, window):
    """The same when the query sees nothing but a window of the keys."""
    center = step
    if local == "predictive":
        w_p, v_p = weights["decoder.attention.w_p"], weights["decoder.attention.v_p"]
        center = len(keys) * sigmoid(library(query).tanh(query @ w_p) @ v_p)[0]
    seen = [s for s in range(len(keys)) if abs(s - center) <= window]
    result = [0 * query[0]] * len(keys)
    for s, weight in zip(seen, attend(weights, query, keys[seen]) if seen else ()):
        if local == "predictive":
            weight = weight * library(query).exp(-((s - center) ** 2) / (2 * (window / 2) ** 2))
        result[s] = weight
    return library(query).stack(result)


def advance(weights, x, hidden):
    """Next states of the decoder's layers, a list."""
    hidden = list(hidden)
    for i in range(len(hidden)):
        x = hidden[i] = gru_step(weights, f"decoder.gru.{i}", x, hidden[i])
    return hidden


def decode(weights, outputs, state, tokens, local=None, window=None, num_heads=None):
    """For each token the logits (vocabulary,) and the attention weights (len(outputs),)."""
    if num_heads:
        logits, _, source_heads = transform_target(weights, outputs, tokens, num_heads)
        return list(logits), [row.mean(0) for row in source_heads[-1]] if outputs else []
    if "decoder.attentional.w" in weights:
        return decode_globally(weights, outputs, state, tokens, local, window)
    hidden, logits, attention = state, [], []
    attends = "decoder.attention.w_q" in weights
    context = 0 * weights["decoder.attention.w_k"][:, 0] if attends else state[-1]
    for token in tokens:
        if attends and outputs:
            keys = library(context).stack(outputs)
            attention.append(attend(weights, hidden[-1], keys))
            context = attention[-1] @ keys
        x = library(context).concatenate([context, weights["decoder.embedding"][token]])
        hidden = advance(weights, x, hidden)
        logits.append(hidden[-1] @ weights["decoder.dense.w"] + weights["decoder.dense.b"])
    return logits, attention


def decode_globally(weights, outputs, state, tokens, local, window):
    """`decode` as Luong et al. 2015 do it: attention comes behind the recurrent step."""
    hidden, logits, attention = state, [], []
    fed = 0 * state[-1]
    feeds = len(weights["decoder.gru.0.w_x"]) > weights["decoder.embedding"].shape[1]
    context = 0 * weights["decoder.attentional.w"][len(fed) :, 0]
    for step, token in enumerate(tokens):
        x = weights["decoder.embedding"][token]
        hidden = advance(weights, library(x).concatenate([fed, x]) if feeds else x, hidden)
        if outputs:
            keys = library(x).stack(outputs)
            if local:
                found = attend_locally(weights, hidden[-1], keys, step, local, window)
            else:
                found = attend(weights, hidden[-1], keys)
            attention.append(found)
            context = found @ keys
        both = library(x).concatenate([context, hidden[-1]])
        fed = library(x).tanh(both @ weights["decoder.attentional.w"])
        logits.append(fed @ weights["decoder.dense.w"] + weights["decoder.dense.b"])
    return logits, attention


# The Transformer, a step and a head at a time ---------------------------------------------------


def embed(weights, name, tokens):
    """Embeddings (tokens, width) with their positions."""
    x = weights[name][list(tokens)]
    width = weights[name].shape[1]
    positions = np.zeros((len(tokens), width))
    for t in range(len(tokens)):
        for i in range(width):
            angle = t / 10000 ** ((i - i % 2) / width)
            positions[t, i] = np.cos(angle) if i % 2 else np.sin(angle)
    return x + (positions if library(x) is np else library(x).tensor(positions))


def layer_norm(weights, name, x):
    """Each row of x (steps, width) with mean 0 and variance 1, then gain and bias."""
    centered = [row - row.mean() for row in x]
    rows = [row / ((row**2).mean() + 1e-5) ** 0.5 for row in centered]
    if not rows:
        return x
    return library(x).stack(rows) * weights[f"{name}.gain"] + weights[f"{name}.bias"]


def multi_head(weights, name, queries, keys, num_heads, causal):
    """Outputs (queries, width) and weights, for each query (heads, keys that it sees)."""
    q, k, v = queries @ weights[f"{name}.w_q"], *(keys @ weights[f"{name}.w_{c}"] for c in "kv")
    size = q.shape[1] // num_heads
    outputs, all_weights = [], []
    for t in range(len(q)):
        seen, found, rows = t + 1 if causal else len(k), [], []
        for head in range(num_heads):
            columns = slice(head * size, (head + 1) * size)
            if seen == 0:
                found.append(0 * q[t, columns])
                continue
            scores = k[:seen, columns] @ q[t, columns] / size**0.5
            rows.append(library(q).exp(log_softmax(scores)))
            found.append(rows[-1] @ v[:seen, columns])
        outputs.append(library(q).concatenate(found))
        all_weights.append(library(q).stack(rows) if rows else None)
    outputs = library(q).stack(outputs) if outputs else q
    return outputs @ weights[f"{name}.w_o"], all_weights


def feed_forward(weights, name, x):
    x = x @ weights[f"{name}.w_1"] + weights[f"{name}.b_1"]
    x = x * (x > 0)
    return x @ weights[f"{name}.w_2"] + weights[f"{name}.b_2"]


def transform(weights, part, x, parts):
    """Run the blocks of a part, encoder or decoder, over x (steps, width).

    `parts` is a function of a block's name; it gives a block's parts, each a function of x.
    """
    norm_first = f"{part}.norm.gain" in weights
    for layer in range(len(weights)):
        block = f"{part}.block.{layer}"
        if f"{block}.ffn.w_1" not in weights:
            break
        for i, function in enumerate(parts(block)):
            norm = f"{block}.norm.{i}"
            if norm_first:
                x = x + function(layer_norm(weights, norm, x))
            else:
                x = layer_norm(weights, norm, x + function(x))
    return layer_norm(weights, f"{part}.norm", x) if norm_first else x


def transform_source(weights, tokens, num_heads):
    """Outputs (tokens, width) and, for each block, each query's weights (heads, tokens)."""
    found = []

    def parts(block):
        def look(x):
            y, rows = multi_head(weights, f"{block}.self", x, x, num_heads, causal=False)
            found.append(rows)
            return y

        return look, lambda x: feed_forward(weights, f"{block}.ffn", x)

    x = embed(weights, "encoder.embedding", tokens)
    return transform(weights, "encoder", x, parts), found


def transform_target(weights, outputs, tokens, num_heads):
    """Logits (tokens, vocabulary), and each block's weights as above: own words, source."""
    own, source = [], []
    x = embed(weights, "decoder.embedding", tokens)
    keys = library(x).stack(list(outputs)) if len(outputs) else x[:0]

    def parts(block):
        def look(x):
            y, rows = multi_head(weights, f"{block}.self", x, x, num_heads, causal=True)
            own.append(rows)
            return y

        def look_back(x):
            y, rows = multi_head(weights, f"{block}.cross", x, keys, num_heads, causal=False)
            source.append(rows)
            return y

        return look, look_back, lambda x: feed_forward(weights, f"{block}.ffn", x)

    x = transform(weights, "decoder", x, parts)
    return x @ weights["decoder.dense.w"] + weights["decoder.dense.b"], own, source


def teacher_forcing(weights, src, src_valid_len, tgt_in, **local):
    """Logits (batch, target steps, vocabulary) and attention weights, 0 on padding, or None."""
    weights = float64(weights)
    all_logits, all_attention = [], np.zeros((*tgt_in.shape, src.shape[1]))
    for row, length in enumerate(src_valid_len):
        outputs, state = encode(weights, src[row, :length], **local)
        logits, attention = decode(weights, outputs, state, tgt_in[row], **local)
        all_logits.append(logits)
        if attention:
            all_attention[row, :, :length] = attention
    attends = {"decoder.attention.w_q", "decoder.attentional.w", "decoder.block.0.cross.w_q"}
    attends &= weights.keys()
    return np.array(all_logits), all_attention if attends else None


# Prediction --------------------------------------------------------------------------------------


def beam_search(weights, tokens, beam_size, max_steps, vocab, **local):
    """Target ids without <eos>, and their mean log-probability; a beam of 1 is greedy search."""
    weights = float64(weights)
    outputs, state = encode(weights, tokens, **local)
    beams = [((), ())]  # each the ids so far and their log-probabilities
    for _ in range(max_steps):
        longer = []
        for ids, log_probs in beams:
            if ids[-1:] == (vocab.eos,):
                longer.append((ids, log_probs))
                continue
            logits, _ = decode(weights, outputs, state, (vocab.bos, *ids), **local)
            longer += [
                ((*ids, token), (*log_probs, log_prob))
                for token, log_prob in enumerate(log_softmax(logits[-1]))
                if token not in (vocab.pad, vocab.bos)
            ]
        beams = sorted(longer, key=lambda beam: -sum(beam[1]) / len(beam[1]))[:beam_size]
    ids, log_probs = beams[0]
    return [token for token in ids if token != vocab.eos], np.mean(log_probs)


# Training ----------------------------------------------------------------------------------------


def loss(logits, labels, valid_lens):
    """Cross-entropy (nats) of the real tokens, divided by their number."""
    log_probs = [
        log_softmax(sentence[step])[labels[row, step]]
        for row, sentence in enumerate(logits)
        for step in range(valid_lens[row])
    ]
    return -sum(log_probs) / len(log_probs)


def logits(weights, batch, **local):
    """Logits of each sentence of a `corpora.Batch` under teacher forcing."""
    result = []
    for tokens, length, tgt_in in zip(batch.src, batch.src_valid_len, batch.tgt_in):
        outputs, state = encode(weights, tokens[:length], **local)
        result.append(decode(weights, outputs, state, tgt_in, **local)[0])
    return result


def batch_loss(weights, batch, **local):
    """Loss of a `corpora.Batch` under teacher forcing."""
    return loss(logits(float64(weights), batch, **local), batch.tgt_out, batch.tgt_valid_len)


def gradients(weights, batch, **local):
    """Gradient of the `batch_loss` for each weight, by PyTorch's autograd in float64."""
    import torch

    tensors = {
        name: torch.tensor(array, dtype=torch.float64, requires_grad=True)
        for name, array in weights.items()
    }
    loss(logits(tensors, batch, **local), batch.tgt_out, batch.tgt_valid_len).backward()
    return {
        name: np.zeros(tensor.shape) if tensor.grad is None else tensor.grad.numpy()
        for name, tensor in tensors.items()
    }


def train(weights, batch, num_steps, lr, grad_clip, **local):
    """Weights after each step of Adam (Kingma and Ba 2015) on one batch; lr falls to 0."""
    weights = float64(weights)
    m = {name: np.zeros(array.shape) for name, array in weights.items()}
    v = {name: np.zeros(array.shape) for name, array in weights.items()}
    for step in range(num_steps):
        gradient = gradients(weights, batch, **local)
        norm = np.sqrt(sum((g**2).sum() for g in gradient.values()))
        for name, g in gradient.items():
            g = g * min(1, grad_clip / norm)
            m[name] = 0.9 * m[name] + 0.1 * g
            v[name] = 0.999 * v[name] + 0.001 * g**2
            m_hat, v_hat = m[name] / (1 - 0.9 ** (step + 1)), v[name] / (1 - 0.999 ** (step + 1))
            rate = lr * (1 - step / num_steps)
            weights[name] = weights[name] - rate * m_hat / (np.sqrt(v_hat) + 1e-8)
        yield dict(weights)
