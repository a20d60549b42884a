// What the explorer says of each number: its name, how it is made, and the lines of the chapters that
// make it, in each tab. tests/test_explorer.py looks for every line in its chapter.

const same = text => ({ pytorch: text, mxnet: text, jax: text, tensorflow: text });

export const LINES = {
  source: {
    at: "05_bahdanau_decoder#one-step-by-hand", name: "a source word",
    how: "Its embedding goes through the encoder. What comes out is what keys and values are made of.",
    code: same("outputs, hidden = encoder(src, src_valid_len)"),
  },
  encoded: {
    at: "09_transformer#what-the-heads-look-at", name: "a source word",
    how: "Its embedding, with its position, goes through the encoder's blocks, where it looks at the other words. Of what comes out keys and values are made.",
    code: same("outputs, found = self.encoder.run_blocks(src, src_valid_len)"),
  },
  query: {
    at: "05_bahdanau_decoder#the-class", name: "query",
    how: "The decoder's state of the step before.",
    code: {
      pytorch: "query = hidden[-1].unsqueeze(1)  # state of the step before",
      mxnet: "query = np.expand_dims(hidden[-1], 1)  # state of the step before",
      jax: "query = hidden[-1][:, None]  # state of the step before",
      tensorflow: "query = hidden[-1][:, None]  # state of the step before",
    },
  },
  score: {
    at: "03_scoring_functions#additive", name: "score",
    how: "w_v · tanh(W_q q + W_k k): how well the word's key matches the query.",
    code: {
      pytorch: "hiddens = torch.tanh(projected_queries + projected_keys[:, None])\nreturn self.w_v(hiddens).squeeze(-1)",
      mxnet: "scores = F.np.squeeze(self.w_v(hiddens), -1)",
      jax: "hiddens = jnp.tanh(projected_queries + projected_keys[:, None])\nreturn self.w_v(hiddens).squeeze(-1)",
      tensorflow: "hiddens = tf.tanh(projected_queries + projected_keys[:, tf.newaxis])\nreturn tf.squeeze(self.w_v(hiddens), -1)",
    },
  },
  weight: {
    at: "03_scoring_functions#what-all-attentions-share", name: "weight",
    how: "The softmax of the scores: all are positive, and they sum to 1.",
    code: same("weights = d2l.masked_softmax(scores, valid_lens)"),
  },
  context: {
    at: "03_scoring_functions#what-all-attentions-share", name: "context",
    how: "The values, each times its weight, added up.",
    code: {
      pytorch: "return torch.bmm(self.dropout(weights), values), weights",
      mxnet: "return F.npx.batch_dot(self.dropout(weights), values), weights",
      jax: "return self.dropout(weights) @ values, weights",
      tensorflow: "return tf.matmul(self.dropout(weights), values), weights",
    },
  },
  r: {
    at: "04_seq2seq#the-gated-recurrent-unit", name: "reset gate r",
    how: "How much of the old state the candidate n gets to see.",
    code: {
      pytorch: "r = torch.sigmoid(x_r + h_r)  # (batch, num_hiddens)",
      mxnet: 'r = F.npx.activation(x_r + h_r, "sigmoid")  # (batch, num_hiddens)',
      jax: "r = nnx.sigmoid(x_r + h_r)  # (batch, num_hiddens)",
      tensorflow: "r = tf.sigmoid(x_r + h_r)  # (batch, num_hiddens)",
    },
  },
  z: {
    at: "04_seq2seq#the-gated-recurrent-unit", name: "update gate z",
    how: "How much of the old state stays.",
    code: {
      pytorch: "z = torch.sigmoid(x_z + h_z)  # (batch, num_hiddens)",
      mxnet: 'z = F.npx.activation(x_z + h_z, "sigmoid")  # (batch, num_hiddens)',
      jax: "z = nnx.sigmoid(x_z + h_z)  # (batch, num_hiddens)",
      tensorflow: "z = tf.sigmoid(x_z + h_z)  # (batch, num_hiddens)",
    },
  },
  n: {
    at: "04_seq2seq#the-gated-recurrent-unit", name: "candidate n",
    how: "What the new state would be if nothing of the old one stayed.",
    code: {
      pytorch: "n = torch.tanh(x_n + r * h_n)  # (batch, num_hiddens)",
      mxnet: 'n = F.npx.activation(x_n + r * h_n, "tanh")  # (batch, num_hiddens)',
      jax: "n = jnp.tanh(x_n + r * h_n)  # (batch, num_hiddens)",
      tensorflow: "n = tf.tanh(x_n + r * h_n)  # (batch, num_hiddens)",
    },
  },
  h: {
    at: "04_seq2seq#the-gated-recurrent-unit", name: "new state",
    how: "The old state where z is near 1, the candidate where it is near 0. It is the next query.",
    code: same("return (1 - z) * n + z * h"),
  },
  word: {
    at: "04_seq2seq#fed-the-truth-or-its-own-words", name: "probability",
    how: "The softmax of the logits, which a dense layer makes of what the decoder has computed.",
    code: {
      pytorch: "found = torch.topk(torch.log_softmax(logits, dim=-1), best)",
      mxnet: "log_probs = npx.log_softmax(logits, axis=-1)",
      jax: "return jax.lax.top_k(jax.nn.log_softmax(logits), count)",
      tensorflow: "found = tf.math.top_k(tf.nn.log_softmax(logits), best)",
    },
  },
  beam: {
    at: "06_training_vs_prediction#beam-search", name: "a beginning",
    how: "Its score is the mean log-probability of its words. The best ones are kept.",
    code: same("scores = (totals / lengths[..., None]).reshape(batch, -1)"),
  },
  headQuery: {
    at: "09_transformer#several-heads", name: "query of a head",
    how: "The word's own vector, projected for this head.",
    code: same("self.split, (self.W_q(queries), projected_keys, projected_values)"),
  },
  headScore: {
    at: "03_scoring_functions#dot-product", name: "score",
    how: "q · k / sqrt(d): how well the key matches the query.",
    code: {
      pytorch: "return scores / math.sqrt(queries.shape[-1]) if self.scaled else scores",
      mxnet: "return scores / F.np.sqrt(d) if self.scaled else scores",
      jax: "return scores / math.sqrt(queries.shape[-1]) if self.scaled else scores",
      tensorflow: "return scores / math.sqrt(queries.shape[-1]) if self.scaled else scores",
    },
  },
  heads: {
    at: "09_transformer#what-the-heads-look-at", name: "weights of a head",
    how: "Each head has scores of its own, and their softmax: a row of its picture.",
    code: same("numbers = [d2l.to_numpy(weights) for weights in found]\nown, source = zip(*[map(d2l.to_numpy, pair) for pair in pairs])"),
  },
  mean: {
    at: "09_transformer#what-the-heads-look-at", name: "mean weight",
    how: "The mean of what the block's heads give to this word. Each head's weights are a softmax; so the mean sums to 1, too.",
    code: same("w.mean(axis=0)[: len(pair.target), : len(pair.source)]"),
  },
  headOutput: {
    at: "09_transformer#several-heads", name: "output of a head",
    how: "The head's values, each times its weight, added up. A last matrix mixes the heads.",
    code: same("return self.W_o(self.join(output)), self.apart(weights)"),
  },
};
