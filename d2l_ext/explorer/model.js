// The models of this book, as a fifth tab: plain JavaScript, one sentence at a time.
//
// It reads the file that `save_model` of any framework writes, runs the Bahdanau decoder of chapter
// 05 and the Transformer of chapter 09, and searches as chapter 06 does. A vector is a Float64Array, a
// sequence a list of vectors, and a matrix {shape: [inputs, outputs], data: Float32Array}. Names are
// those of the other tabs. Every step hands out all numbers that it has computed, and `how` bends it
// in the ways that the explorer has buttons for.

// --- Files ----------------------------------------------------------------------------------------

const CONFIG_KEYS = ["kind", "src_vocab_size", "tgt_vocab_size", "embed_size", "num_hiddens",
  "num_layers", "dropout", "bidirectional"];
const OPTIONS = { attention: [], transformer: ["num_heads", "ffn_num_hiddens", "norm_first"] };
const READABLE = ["1", "2"];
const isObject = x => x !== null && typeof x === "object" && !Array.isArray(x);
const areStrings = x => Array.isArray(x) && x.every(one => typeof one === "string");
const areCounts = x => Array.isArray(x) && x.every(one => Number.isSafeInteger(one) && one >= 0);

/** Read a safetensors file, an ArrayBuffer: {arrays: {name: {dtype, shape, data}}, metadata}. */
export function readSafetensors(buffer) {
  const broken = why => new Error(`it is no safetensors file, or not all of one (${why})`);
  if (buffer.byteLength < 8) throw broken(`it has ${buffer.byteLength} bytes`);
  const size = Number(new DataView(buffer).getBigUint64(0, true));
  if (size > buffer.byteLength - 8) throw broken("it ends within its header");
  let header;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array(buffer, 8, size)));
  } catch {
    throw broken("its header cannot be read");
  }
  if (!isObject(header) || !isObject(header.__metadata__ ?? {})) throw broken("its header cannot be read");
  const { __metadata__, ...entries } = header, metadata = __metadata__ ?? {};
  const arrays = {};
  for (const [name, entry] of Object.entries(entries)) {
    const { dtype, shape, data_offsets } = isObject(entry) ? entry : {};
    if (!areCounts(shape) || !areCounts(data_offsets) || data_offsets.length !== 2)
      throw broken(`its header does not say where ${name} stands`);
    const [from, to] = data_offsets;
    if (8 + size + to > buffer.byteLength) throw broken(`it ends before ${name} does`);
    if (dtype === "F32" && to - from !== 4 * shape.reduce((a, b) => a * b, 1))
      throw broken(`${name} is not as long as its shape says`);
    // A copy, since an array of floats must start at a multiple of 4
    const data = dtype === "F32" ? new Float32Array(buffer.slice(8 + size + from, 8 + size + to)) : null;
    arrays[name] = { dtype, shape, data };
  }
  return { arrays, metadata };
}

/** Name every array that a configuration asks for and give its shape, as d2l_ext/weights.py does. */
export function expectedShapes(config) {
  const { src_vocab_size, tgt_vocab_size, embed_size, num_hiddens, num_layers } = config;
  const shapes = {
    "encoder.embedding": [src_vocab_size, embed_size],
    "decoder.embedding": [tgt_vocab_size, embed_size],
    "decoder.dense.w": [num_hiddens, tgt_vocab_size],
    "decoder.dense.b": [tgt_vocab_size],
  };
  if (config.kind === "transformer") {
    const square = [num_hiddens, num_hiddens], inner = config.ffn_num_hiddens;
    const norm = name => { shapes[`${name}.gain`] = shapes[`${name}.bias`] = [num_hiddens]; };
    for (const [part, attentions] of [["encoder", ["self"]], ["decoder", ["self", "cross"]]]) {
      for (let layer = 0; layer < num_layers; layer++) {
        const block = `${part}.block.${layer}`;
        for (const attention of attentions)
          for (const letter of "qkvo") shapes[`${block}.${attention}.w_${letter}`] = square;
        shapes[`${block}.ffn.w_1`] = [num_hiddens, inner];
        shapes[`${block}.ffn.b_1`] = [inner];
        shapes[`${block}.ffn.w_2`] = [inner, num_hiddens];
        shapes[`${block}.ffn.b_2`] = [num_hiddens];
        for (let i = 0; i <= attentions.length; i++) norm(`${block}.norm.${i}`);
      }
      if (config.norm_first) norm(`${part}.norm`);
    }
    return shapes;
  }
  const gru = (name, inputs) => Object.assign(shapes, {
    [`${name}.w_x`]: [inputs, 3 * num_hiddens], [`${name}.w_h`]: [num_hiddens, 3 * num_hiddens],
    [`${name}.b_x`]: [3 * num_hiddens], [`${name}.b_h`]: [3 * num_hiddens],
  });
  const memory = (config.bidirectional ? 2 : 1) * num_hiddens;
  for (let layer = 0; layer < num_layers; layer++) {
    gru(`encoder.gru.${layer}`, layer ? memory : embed_size);
    gru(`decoder.gru.${layer}`, layer ? num_hiddens : memory + embed_size);
    if (!config.bidirectional) continue;
    gru(`encoder.gru.${layer}.backward`, layer ? memory : embed_size);
    shapes[`encoder.init.${layer}.w`] = [num_hiddens, num_hiddens];
  }
  shapes["decoder.attention.w_q"] = [num_hiddens, num_hiddens];
  shapes["decoder.attention.w_k"] = [memory, num_hiddens];
  shapes["decoder.attention.w_v"] = [num_hiddens, 1];
  return shapes;
}

/** Whether a configuration says all that a model needs, and no more layers than there are arrays. */
function checkConfiguration(config, numArrays) {
  if (!Object.keys(OPTIONS).includes(config.kind))
    throw new Error(`its model is of kind ${JSON.stringify(config.kind)}; the explorer runs the kinds `
      + Object.keys(OPTIONS).join(" and "));
  const keys = [...CONFIG_KEYS, ...OPTIONS[config.kind]];
  const missing = keys.filter(key => !(key in config));
  if (missing.length) throw new Error(`its configuration lacks ${missing.join(", ")}`);
  const wrong = (key, expected) => new Error(
    `its configuration says ${key} ${JSON.stringify(config[key])}; expected ${expected}`);
  for (const key of keys) {
    const value = config[key];
    if (/size$|^num_|hiddens$/.test(key) && !(Number.isSafeInteger(value) && value > 0))
      throw wrong(key, "a positive integer");
    if (["bidirectional", "norm_first"].includes(key) && typeof value !== "boolean")
      throw wrong(key, "true or false");
  }
  if (config.num_layers > numArrays) throw wrong("num_layers", `fewer, since it holds ${numArrays} arrays`);
  if (config.kind === "transformer"
      && (config.num_hiddens % config.num_heads || config.embed_size !== config.num_hiddens))
    throw new Error(`its ${config.num_heads} heads and embeddings of ${config.embed_size} do not fit `
      + `${config.num_hiddens} hidden units`);
}

/** Read a model from a file, an ArrayBuffer. Errors say, in a sentence, what is wrong with it. */
export function loadModel(buffer) {
  const { arrays, metadata } = readSafetensors(buffer);
  const version = metadata.format_version;
  if (!READABLE.includes(version))
    throw new Error(version === undefined
      ? "it has no format version: no model that d2l.save_model has written"
      : `it has format version ${version}; the explorer reads versions ${READABLE.join(" and ")}`);
  for (const key of ["config", "src_vocab", "tgt_vocab"])
    if (!(key in metadata)) throw new Error(`it has no ${key} in its metadata`);
  const read = key => {
    let value = null;
    try {
      value = JSON.parse(metadata[key]);
    } catch { /* said below */ }
    if (value === null || typeof value !== "object")
      throw new Error(`the ${key} in its metadata cannot be read`);
    return value;
  };
  const config = read("config");
  checkConfiguration(config, Object.keys(arrays).length);
  const shapes = expectedShapes(config);
  const problems = [];
  for (const name in shapes) {
    if (!(name in arrays)) problems.push(`${name} is missing`);
    else if (`${arrays[name].shape}` !== `${shapes[name]}`)
      problems.push(`${name} has shape (${arrays[name].shape}), expected (${shapes[name]})`);
    else if (arrays[name].dtype !== "F32")
      problems.push(`${name} holds numbers of type ${arrays[name].dtype}, expected F32`);
  }
  for (const name in arrays) if (!(name in shapes)) problems.push(`${name} is unknown`);
  if (problems.length)
    throw new Error(`its weights do not fit its configuration: ${problems.slice(0, 3).join("; ")}`
      + (problems.length > 3 ? `; and ${problems.length - 3} more` : ""));
  const vocabs = ["src", "tgt"].map(side => {
    const vocab = makeVocab(read(`${side}_vocab`));
    const size = config[`${side}_vocab_size`];
    if (vocab.tokens.length !== size)
      throw new Error(`its ${side}_vocab_size is ${size}, but the vocabulary has `
        + `${vocab.tokens.length} tokens`);
    return vocab;
  });
  return new Seq2Seq(config, arrays, ...vocabs);
}

// --- Vocabularies: d2l_ext/vocab.py ---------------------------------------------------------------

const SPECIAL_TOKENS = ["<unk>", "<pad>", "<bos>", "<eos>"];
// Python's \w and \b know all scripts, JavaScript's do not
const W = "[\\p{L}\\p{N}_]", END = `(?!${W})`;
const ENGLISH_ENDING = `'(?:s|m|re|ve|ll|d)${END}`;
const ELIDED = "(?:[cdjlmnst]|qu|jusqu|lorsqu|puisqu|quoiqu)'";
const TOKEN = new RegExp([
  "\\p{Nd}+(?:[.,:]\\p{Nd}+)+", `(?:${W}\\.){2,}`, `n't${END}`, ENGLISH_ENDING, ELIDED,
  `${W}+?(?=n't${END})`, `${W}+(?:(?:-|(?!${ENGLISH_ENDING})')${W}+)*`,
  "\\.\\.\\.", "[^\\p{L}\\p{N}_\\s]",
].join("|"), "gu");
const NO_SPACE_BEFORE = new RegExp(`^(?:n't$|${ENGLISH_ENDING}$|\\.\\.\\.$|[.,:;!?%)\\]]$)`, "u");
const NO_SPACE_AFTER = new RegExp(`^(?:${ELIDED}$|[($\\[]$)`, "u");

/** A list of tokens and the way back to their indices; text is cut into words. */
export class Vocab {
  unk = 0; pad = 1; bos = 2; eos = 3;

  constructor({ tokens }) {
    if (!SPECIAL_TOKENS.every((token, i) => tokens[i] === token))
      throw new Error(`a vocabulary in it does not start with ${SPECIAL_TOKENS.join(" ")}`);
    this.tokens = tokens;
    this.index = new Map(tokens.map((token, i) => [token, i]));
  }

  has(token) { return this.index.has(token); }

  idOf(token) { return this.index.get(token) ?? this.unk; }

  tokenize(text) {
    return text.normalize("NFC").toLowerCase().replace(/[\u2018\u2019]/g, "'").match(TOKEN) ?? [];
  }

  detokenize(tokens) {
    let text = "", glue = true, quoted = false;
    for (const token of tokens) {
      if (!(glue || (token === '"' && quoted) || NO_SPACE_BEFORE.test(token))) text += " ";
      text += token;
      if (token === '"') quoted = !quoted;
      glue = NO_SPACE_AFTER.test(token) || (token === '"' && quoted);
    }
    return text;
  }
}

const PIECE = / ?(?:[\p{L}\p{M}]+['’]?|\p{N}|[^\s\p{L}\p{M}\p{N}]+)|\s+/gu;
const byteToken = value => `<0x${value.toString(16).toUpperCase().padStart(2, "0")}>`;

/** Pieces of text by byte-pair encoding, with bytes for the rest. */
export class Subwords extends Vocab {
  constructor({ merges = [], lower = true, spaced = true, ...parts }) {
    super(parts);
    this.ranks = new Map(merges.map((pair, rank) => [pair.join("\0"), rank]));
    Object.assign(this, { lower, spaced });
  }

  tokenize(text) {
    text = text.normalize("NFC");
    if (this.lower) text = text.toLowerCase().normalize("NFC");
    if (!text.trim()) return [];
    return ((this.spaced ? " " : "") + text).match(PIECE)?.flatMap(piece => this.cut(piece)) ?? [];
  }

  /** Join the neighbors that were found first, again and again. */
  cut(piece) {
    const parts = [...piece].flatMap(character => this.has(character) ? [character]
      : [...new TextEncoder().encode(character)].map(byteToken));
    for (;;) {
      let best = Infinity, at = -1;
      for (let i = 0; i + 1 < parts.length; i++) {
        const rank = this.ranks.get(`${parts[i]}\0${parts[i + 1]}`) ?? Infinity;
        if (rank < best) [best, at] = [rank, i];
      }
      if (at < 0) return parts;
      parts.splice(at, 2, parts[at] + parts[at + 1]);
    }
  }

  detokenize(tokens) {
    let text = "", waiting = [];
    for (const token of [...tokens, ""]) {
      const byte = /^<0x([0-9A-F]{2})>$/.exec(token);
      if (byte) {
        waiting.push(parseInt(byte[1], 16));
      } else {
        text += new TextDecoder().decode(new Uint8Array(waiting)) + token;
        waiting = [];
      }
    }
    return this.spaced && text.startsWith(" ") ? text.slice(1) : text;
  }
}

function makeVocab(parts) {
  if (Array.isArray(parts)) parts = { kind: "words", tokens: parts }; // as release 0.1 wrote it
  const kinds = { words: Vocab, subwords: Subwords, characters: Subwords };
  const { kind, tokens, merges = [] } = parts;
  if (!Object.keys(kinds).includes(kind))
    throw new Error(`a vocabulary in it is of kind ${JSON.stringify(kind)}; expected one of `
      + Object.keys(kinds).join(", "));
  if (!areStrings(tokens) || new Set(tokens).size < tokens.length)
    throw new Error("a vocabulary in it is no list of words, each of them once");
  if (!Array.isArray(merges) || !merges.every(pair => areStrings(pair) && pair.length === 2))
    throw new Error("a vocabulary in it has merges that are no pairs of tokens");
  return new kinds[kind](parts);
}

// --- Vectors and matrices -------------------------------------------------------------------------

/** x W + b. */
function linear(x, { shape: [inputs, outputs], data }, b = null) {
  const y = new Float64Array(outputs);
  if (b) y.set(b.data);
  for (let i = 0; i < inputs; i++)
    for (let j = 0, row = i * outputs; j < outputs; j++) y[j] += x[i] * data[row + j];
  return y;
}

const lookUp = ({ shape: [, width], data }, token) =>
  Float64Array.from(data.subarray(token * width, (token + 1) * width));
const zeros = length => new Float64Array(length);
const zip = (x, y, f) => x.map((_, i) => f(x[i], y[i]));
const add = (x, y) => zip(x, y, (a, b) => a + b);
const sigmoid = x => 1 / (1 + Math.exp(-x));

function concat(...vectors) {
  const all = zeros(vectors.reduce((length, x) => length + x.length, 0));
  let at = 0;
  for (const x of vectors) {
    all.set(x, at);
    at += x.length;
  }
  return all;
}

function dot(x, y) {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i] * y[i];
  return sum;
}

/** Sum of the vectors, each times its weight. */
function average(weights, vectors) {
  const sum = zeros(vectors[0].length);
  vectors.forEach((vector, k) => { for (let i = 0; i < sum.length; i++) sum[i] += weights[k] * vector[i]; });
  return sum;
}

/** log p of every word, from the logits. */
export function logSoftmax(logits) {
  const most = logits.reduce((a, b) => Math.max(a, b));
  const total = Math.log(logits.reduce((sum, x) => sum + Math.exp(x - most), 0));
  return logits.map(x => x - most - total);
}

/** Softmax over the first validLen scores; all others weigh exactly 0. */
export function maskedSoftmax(scores, validLen = scores.length) {
  const weights = zeros(scores.length);
  if (validLen > 0) weights.set(logSoftmax(scores.subarray(0, validLen)).map(Math.exp));
  return weights;
}

/** The indices of the `count` largest numbers, largest first; the first of equal ones wins. */
export function largest(numbers, count) {
  const best = [];
  numbers.forEach((x, i) => {
    if (best.length === count && !(x > numbers[best.at(-1)])) return;
    const at = best.findIndex(j => x > numbers[j]);
    best.splice(at < 0 ? best.length : at, 0, i);
    if (best.length > count) best.pop();
  });
  return best;
}

// --- Attention ------------------------------------------------------------------------------------

// What the explorer may change about the look at the source; as trained, nothing is changed.
export const AS_TRAINED = Object.freeze({
  temperature: 1, // the scores are divided by it
  padding: 0, // so many <pad> stand behind the sentence
  masked: true, // whether <pad> is kept out of the softmax
  rescaled: false, // divide by sqrt(d) where the model does not, and the other way round
  swapped: false, // values are asked, keys are averaged
  uniform: false, // every word weighs the same
  oneWay: false, // the encoder does not know what stands behind a word: it has no states from there
});

/** Scores become weights, and weights an average of the values: all numbers of a look. */
function attend(query, scores, values, validLen, how) {
  const weights = how.uniform
    ? maskedSoftmax(zeros(scores.length), validLen)
    : maskedSoftmax(scores.map(score => score / how.temperature), validLen);
  return { query, scores, weights, output: average(weights, values) };
}

/** What is looked at: the encoder's outputs, padding behind them, and how many of both count. */
function memoryOf(outputs, how) {
  const padding = Array.from({ length: how.padding }, () => zeros(outputs[0].length));
  return { values: [...outputs, ...padding], validLen: outputs.length + (how.masked ? 0 : how.padding) };
}

// --- Chapter 05: the Bahdanau decoder -------------------------------------------------------------

/** One step of a gated recurrent unit, in the form that cuDNN computes: its gates, and the state h. */
function gruStep(arrays, name, x, h) {
  const size = h.length;
  const fromX = linear(x, arrays[`${name}.w_x`], arrays[`${name}.b_x`]);
  const fromH = linear(h, arrays[`${name}.w_h`], arrays[`${name}.b_h`]);
  const gate = i => zip(fromX.subarray(i * size, (i + 1) * size), fromH.subarray(i * size), (a, b) => sigmoid(a + b));
  const r = gate(0), z = gate(1);
  const n = r.map((_, i) => Math.tanh(fromX[2 * size + i] + r[i] * fromH[2 * size + i]));
  return { r, z, n, h: n.map((_, i) => (1 - z[i]) * n[i] + z[i] * h[i]) };
}

class Seq2SeqEncoder {
  constructor(config, arrays) { Object.assign(this, { ...config, arrays }); }

  /** Outputs, one for each token, and the decoder's first state, one for each layer. */
  read(ids, how = AS_TRAINED) {
    const state = [];
    let outputs = ids.map(id => lookUp(this.arrays["encoder.embedding"], id));
    for (let layer = 0; layer < this.num_layers; layer++) {
      const name = `encoder.gru.${layer}`, inputs = outputs;
      outputs = this.run(name, inputs);
      if (!this.bidirectional) {
        state.push(outputs.at(-1));
        continue;
      }
      const backward = how.oneWay ? inputs.map(() => zeros(this.num_hiddens))
        : this.run(`${name}.backward`, inputs.toReversed()).reverse();
      outputs = outputs.map((h, t) => concat(h, backward[t]));
      state.push(linear(backward[0], this.arrays[`encoder.init.${layer}.w`]).map(Math.tanh));
    }
    return { outputs, state };
  }

  /** The states of a layer after each input. */
  run(name, inputs) {
    let h = zeros(this.num_hiddens);
    return inputs.map(x => { h = gruStep(this.arrays, name, x, h).h; return h; });
  }
}

class Seq2SeqAttentionDecoder {
  constructor(config, arrays) { Object.assign(this, { ...config, arrays }); }

  initState({ outputs, state }, how) {
    const { values, validLen } = memoryOf(outputs, how);
    // Keys are projected once. They and the values are the same vectors, so to swap them is nothing.
    const keys = values.map(h => linear(h, this.arrays["decoder.attention.w_k"]));
    return { hidden: state, keys, values, validLen, how };
  }

  /** Score w_v · tanh(W_q q + W_k k) of every key. */
  score(query, keys, how) {
    const projected = linear(query, this.arrays["decoder.attention.w_q"]);
    const w_v = this.arrays["decoder.attention.w_v"].data;
    const scale = how.rescaled ? Math.sqrt(w_v.length) : 1;
    return Float64Array.from(keys, key => {
      let score = 0;
      for (let i = 0; i < w_v.length; i++) score += Math.tanh(projected[i] + key[i]) * w_v[i];
      return score / scale;
    });
  }

  /** Feed a token: logits, the next state, and the numbers in between. */
  step(token, state) {
    const { arrays } = this, query = state.hidden.at(-1);
    const scores = this.score(query, state.keys, state.how);
    const look = attend(query, scores, state.values, state.validLen, state.how);
    const gates = [], hidden = [];
    let x = concat(look.output, lookUp(arrays["decoder.embedding"], token));
    for (const [layer, before] of state.hidden.entries()) {
      gates.push(gruStep(arrays, `decoder.gru.${layer}`, x, before));
      hidden.push(x = gates.at(-1).h);
    }
    const logits = linear(x, arrays["decoder.dense.w"], arrays["decoder.dense.b"]);
    return { logits, state: { ...state, hidden }, weights: look.weights, looks: [[look]], own: [], gates };
  }
}

// --- Chapter 09: the Transformer ------------------------------------------------------------------

/** Sines and cosines that tell where a token stands. */
function position(t, width) {
  return zeros(width).map((_, i) => {
    const angle = t / 10000 ** ((i - (i % 2)) / width);
    return i % 2 ? Math.cos(angle) : Math.sin(angle);
  });
}

/** What encoder and decoder share: the parts of a block, over one step. */
class Transformer {
  constructor(config, arrays, part) { Object.assign(this, { ...config, arrays, part }); }

  embed(token, t) {
    return add(lookUp(this.arrays[`${this.part}.embedding`], token), position(t, this.num_hiddens));
  }

  norm(name, x) {
    const mean = x.reduce((a, b) => a + b) / x.length;
    const centered = x.map(a => a - mean);
    const deviation = Math.sqrt(dot(centered, centered) / x.length + 1e-5);
    const gain = this.arrays[`${name}.gain`].data, bias = this.arrays[`${name}.bias`].data;
    return centered.map((a, i) => (a / deviation) * gain[i] + bias[i]);
  }

  /** x with what a part of a block adds to it, normalized before or after. */
  addNorm(name, x, part) {
    return this.norm_first ? add(x, part(this.norm(name, x))) : this.norm(name, add(x, part(x)));
  }

  feedForward(block, x) {
    const { [`${block}.ffn.w_1`]: w_1, [`${block}.ffn.b_1`]: b_1,
      [`${block}.ffn.w_2`]: w_2, [`${block}.ffn.b_2`]: b_2 } = this.arrays;
    return linear(linear(x, w_1, b_1).map(a => Math.max(a, 0)), w_2, b_2);
  }

  last(x) { return this.norm_first ? this.norm(`${this.part}.norm`, x) : x; }

  project(name, letter, x) { return linear(x, this.arrays[`${name}.w_${letter}`]); }

  /** Every head looks at its own part of the keys. Puts the looks into `looks`, returns their sum. */
  multiHead(name, x, keys, values, validLen, how, looks) {
    const query = this.project(name, "q", x), size = this.num_hiddens / this.num_heads;
    for (let head = 0; head < this.num_heads; head++) {
      const own = vector => vector.subarray(head * size, (head + 1) * size);
      const scale = how.rescaled ? 1 : Math.sqrt(size);
      const scores = Float64Array.from(keys, key => dot(own(query), own(key)) / scale);
      looks.push(attend(own(query), scores, values.map(own), validLen, how));
    }
    return linear(concat(...looks.map(look => look.output)), this.arrays[`${name}.w_o`]);
  }
}

class TransformerEncoder extends Transformer {
  /** Outputs, one for each token, and the looks of each block's heads. */
  read(ids, how = AS_TRAINED) {
    let xs = ids.map((id, t) => this.embed(id, t));
    const looks = [];
    for (let layer = 0; layer < this.num_layers; layer++) {
      const block = `encoder.block.${layer}`, name = `${block}.self`;
      const inputs = this.norm_first ? xs.map(x => this.norm(`${block}.norm.0`, x)) : xs;
      const [keys, values] = ["k", "v"].map(letter => inputs.map(x => this.project(name, letter, x)));
      looks.push(xs.map(() => []));
      xs = xs.map((x, t) => this.addNorm(`${block}.norm.0`, x, y => this.multiHead(
        name, y, keys, values, how.oneWay ? t + 1 : keys.length, AS_TRAINED, looks[layer][t])));
      xs = xs.map(x => this.addNorm(`${block}.norm.1`, x, y => this.feedForward(block, y)));
    }
    return { outputs: xs.map(x => this.last(x)), looks };
  }
}

class TransformerDecoder extends Transformer {
  initState({ outputs }, how) {
    const { values: padded, validLen } = memoryOf(outputs, how);
    const memory = [], past = [];
    for (let layer = 0; layer < this.num_layers; layer++) {
      const [keys, values] = ["k", "v"].map(letter => padded.map(
        h => this.project(`decoder.block.${layer}.cross`, letter, h)));
      memory.push(how.swapped ? { keys: values, values: keys } : { keys, values });
      past.push({ keys: [], values: [] });
    }
    return { memory, past, validLen, how };
  }

  /** Feed a token: logits, the next state, and the numbers in between. */
  step(token, state) {
    const past = [], looks = [], own = [];
    let x = this.embed(token, state.past[0].keys.length);
    for (let layer = 0; layer < this.num_layers; layer++) {
      const block = `decoder.block.${layer}`, { keys, values } = state.past[layer];
      const source = state.memory[layer];
      looks.push([]), own.push([]);
      x = this.addNorm(`${block}.norm.0`, x, y => {
        past.push({
          keys: [...keys, this.project(`${block}.self`, "k", y)],
          values: [...values, this.project(`${block}.self`, "v", y)],
        });
        const now = past[layer];
        return this.multiHead(`${block}.self`, y, now.keys, now.values, now.keys.length, AS_TRAINED, own[layer]);
      });
      x = this.addNorm(`${block}.norm.1`, x, y => this.multiHead(
        `${block}.cross`, y, source.keys, source.values, state.validLen, state.how, looks[layer]));
      x = this.addNorm(`${block}.norm.2`, x, y => this.feedForward(block, y));
    }
    const logits = linear(this.last(x), this.arrays["decoder.dense.w"], this.arrays["decoder.dense.b"]);
    const heads = looks.at(-1).map(look => look.weights); // `weights` is their mean
    const weights = average(heads.map(() => 1 / heads.length), heads);
    return { logits, state: { ...state, past }, weights, looks, own, gates: [] };
  }
}

// --- The model, and chapter 06: searching ---------------------------------------------------------

const PARTS = {
  attention: [Seq2SeqEncoder, Seq2SeqAttentionDecoder],
  transformer: [TransformerEncoder, TransformerDecoder],
};

export class Seq2Seq {
  maxSteps = 128; // the longest source sentence, in tokens with <eos>

  constructor(config, arrays, srcVocab, tgtVocab) {
    const [Encoder, Decoder] = PARTS[config.kind];
    this.encoder = new Encoder(config, arrays, "encoder");
    this.decoder = new Decoder(config, arrays, "decoder");
    Object.assign(this, { config, srcVocab, tgtVocab });
  }

  /** The ids of a sentence's tokens, <eos> last. */
  encode(tokens) {
    if (tokens.length + 1 > this.maxSteps)
      throw new Error(`the sentence has ${tokens.length} tokens, but the model takes at most `
        + `${this.maxSteps - 1}; split it`);
    return [...tokens.map(token => this.srcVocab.idOf(token)), this.srcVocab.eos];
  }

  startDecoding(ids, how = AS_TRAINED) {
    const encoded = this.encoder.read(ids, how);
    return { ...this.decoder.initState(encoded, how), encoded };
  }
}

/** Feed the target, <bos> first, whatever the model would say: a step for each token. */
export function teacherForcing(model, ids, tgtIn, how = AS_TRAINED) {
  let state = model.startDecoding(ids, how);
  return tgtIn.map(token => {
    const step = model.decoder.step(token, state);
    ({ state } = step);
    return step;
  });
}

/**
 * Search for the target with the best mean log-probability; a beam of 1 is greedy search.
 *
 * @param model a Seq2Seq.
 * @param ids of the source, <eos> last.
 * @param options beamSize; maxSteps, after which to give up; how, as AS_TRAINED; and forced, a Map
 *   from a place in the target to the only word that may stand there.
 * @returns {ids, score, steps, tree}: the words with their <eos>, if it was reached; what the decoder
 *   computed before each of them; and for each step all that was kept, and the best that was dropped.
 */
export function beamSearch(model, ids,
  { beamSize = 1, maxSteps = 2 * ids.length + 10, how = AS_TRAINED, forced = new Map() } = {}) {
  const vocab = model.tgtVocab, tree = [];
  const start = { token: vocab.bos, total: 0, length: 0, score: 0, finished: false, parent: null };
  let beams = [{ ...start, state: model.startDecoding(ids, how) }];
  for (let t = 0; t < maxSteps && beams.some(beam => !beam.finished); t++) {
    const longer = beams.flatMap(beam => {
      if (beam.finished) return [beam];
      const step = model.decoder.step(beam.token, beam.state);
      const logProbs = logSoftmax(step.logits);
      const words = forced.has(t) ? [forced.get(t)] : largest(logProbs, beamSize + 7)
        .filter(word => word !== vocab.pad && word !== vocab.bos);
      return words.map(token => {
        const total = beam.total + logProbs[token], length = beam.length + 1;
        const finished = token === vocab.eos;
        return { token, total, length, score: total / length, finished, parent: beam, step, state: step.state };
      });
    });
    longer.sort((a, b) => b.score - a.score); // a stable sort: of equal ones the first stays first
    beams = longer.slice(0, beamSize);
    tree.push({ kept: beams, dropped: longer.slice(beamSize, beamSize + 5) });
  }
  const path = [];
  for (let beam = beams[0]; beam.parent; beam = beam.parent) path.unshift(beam);
  return { ids: path.map(beam => beam.token), steps: path.map(beam => beam.step), score: beams[0].score, path, tree };
}
