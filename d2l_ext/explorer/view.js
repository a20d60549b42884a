// The explorer: a trained model that runs in the reader's browser, step by step, number by number.
//
// <attention-explorer> is one element. A script of type application/json within it says what to show:
// models ({name, data}, in base64, or {name, url} of a script that holds it), examples (source, target
// and alignment), and, for the book, where its pages are. model.js computes; what stands here shows it.

import { LINES } from "./lines.js";
import { AS_TRAINED, beamSearch, largest, loadModel, logSoftmax, teacherForcing } from "./model.js";
import { STYLE } from "./style.js";

// Everything that a link carries. `force` is words that the reader has put in, as "2:la 4:petit".
const AT_FIRST = {
  ...AS_TRAINED, model: 0, s: null, beam: 1, truth: false, force: "", gold: true, gates: false,
  look: "source", block: -1, head: -1, at: 0, step: 1,
};
const LIMITS = { temperature: [0.1, 10], padding: [0, 8], beam: [1, 8], step: [1, 999], at: [0, 127],
  block: [-1, 99], head: [-1, 99] };
// What is not as it was trained, in a few words
const CHANGES = {
  force: () => "a word was put in", truth: () => "fed the truth", beam: beam => `beam of ${beam}`,
  temperature: temperature => `temperature ${temperature}`, padding: padding => `${padding} of padding`,
  masked: () => "mask off", rescaled: () => "scale changed by √d", swapped: () => "keys for values",
  uniform: () => "uniform weights", oneWay: () => "one-way encoder",
};
// Settings that do nothing to a model: its keys and values are the same vectors, it reads one way
const idle = ({ kind, bidirectional }) => (kind === "transformer" ? ["gates"]
  : ["look", "swapped", ...(bidirectional ? [] : ["oneWay"])]);
const LOOKS = { source: "the source", own: "its own words", encoder: "each other, in the encoder" };

// What to try: settings, and what to look for. Words to put in are for a sentence of the grammar.
// A kind of model may have a sentence and settings of its own, or nothing to try (null).
const TRIES = [
  { name: "Force a word", set: { s: "this small white car is very new .", force: "0:ces", step: 2 },
    see: "The first word was to be cette, and is now ces. So petite becomes petits: the decoder answers to what is written. Choose another word yourself, at any step." },
  { name: "Feed the truth", set: { s: "must we not sing ?", truth: true, step: 4 },
    see: "Each step reads the reference, as in training, so a wrong word is forgotten at once. Fed its own words, it has to live with it, and nobody has taught it how: exposure bias, chapter 06.",
    transformer: { set: { s: "she is going to arrive tomorrow because paul sleeps with your big tired brothers .", truth: true, step: 5 } } },
  { name: "Softer softmax", set: { temperature: 4 },
    see: "Scores divided by 4: the weights spread, and the context becomes a mixture. At 0.1 one word has it all." },
  { name: "Mask off", set: { padding: 4, masked: false, temperature: 3 },
    see: "Four places of padding and nothing to keep them out: they get weight, which real words lose. (The softmax is softened, to show it.)" },
  { name: "Mask on", set: { padding: 4, temperature: 3 },
    see: "The same behind the mask: padding weighs exactly 0." },
  { name: "Scaled or not", set: { rescaled: true },
    see: "Bahdanau’s scores divided by √d, the Transformer’s no longer. It acts like a temperature that the model was not trained for." },
  { name: "Keys for values", set: { swapped: true },
    see: "Each head compares its query with what were the values, and adds up what were the keys. What is left of the translation? (Bahdanau’s keys and values are the same vectors: there is nothing to exchange.)" },
  { name: "One-way encoder", set: { s: "we work in the big hotel .", oneWay: true },
    see: "No word knows what stands behind it: the backward states are 0, and so is the decoder’s first state, which is made of the last of them. The model was not trained so. What is left of the translation?",
    transformer: { see: "No word knows what stands behind it: it is masked. The model was not trained so. Which word is wrong now, and which later word would it have needed?" } },
  { name: "Uniform weights", set: { uniform: true },
    see: "Every word weighs the same, at each step: one context for all, the bottleneck of chapter 04. See where it begins to repeat itself.",
    transformer: { see: "Every source word weighs the same, for every block and head of the decoder. Is it still a sentence? Is it still a translation of this one?" } },
  { name: "Beam of 2", set: { s: "the actress 's cake is good .", beam: 2, step: 3 },
    see: "Greedy search starts with l’, and no noun fits. Here le stays in the race, and wins. Struck out is what was dropped.",
    transformer: { set: { s: "she is going to arrive tomorrow because paul sleeps with your big tired brothers .", beam: 2, step: 6 },
      see: "Greedy search ends the sentence after demain. Here parce stays in the race, and wins. Struck out is what was dropped." } },
  { name: "Beam of 4", set: { s: "is the cow tired when i arrive ?", beam: 4, step: 99 },
    see: "Four beginnings; thick is the way to the best. Was it the first at every step? Compare with beam 1, which forgets half of the question.",
    transformer: { see: "Four beginnings; thick is the way to the best. Was it the first at every step? Then greedy search finds it, too." } },
  { name: "Gold alignment", set: { s: "this tired girl does not speak to these neighbors .", truth: true, step: 3 },
    see: "Frames: the word that it comes from, as the grammar knows. Look for weight beside its frame, under a word that is right all the same." },
  { name: "One head", attention: null, set: { s: "this tired girl does not speak to these neighbors .", block: 1, head: 1, step: 3 },
    see: "A single head of the last block: now there are scores, a query and an output. Choose other heads: which of them looks at the adjective’s noun?" },
  { name: "Inside the encoder", attention: null, set: { s: "this tired girl does not speak to these neighbors .", look: "encoder", block: 1, head: 0, at: 2 },
    see: "Here the source words look at each other. Press one, above: what does it look at? And in another head?" },
];

// --- Making elements --------------------------------------------------------------------------------

/** An element with properties and children; strings become text, never markup. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && !name.includes("-") && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** As many children as items, each brought up to date; those that are there stay, with their focus. */
function fill(parent, items, create, update) {
  while (parent.children.length > items.length) parent.lastElementChild.remove();
  while (parent.children.length < items.length) parent.append(create(parent.children.length));
  items.forEach((item, i) => update(parent.children[i], item, i));
}

/** Of a group of buttons Tab reaches one; the arrow keys move between them. */
function rove(group, selector = "button") {
  const buttons = () => [...group.querySelectorAll(selector)].filter(e => !e.disabled && !e.hidden && e.style.visibility !== "hidden");
  const settle = () => {
    const all = buttons();
    const reached = all.find(e => e.tabIndex === 0 && e.dataset.chosen) ?? all[0];
    for (const e of all) e.tabIndex = e === reached ? 0 : -1;
  };
  group.addEventListener("focusin", event => {
    for (const e of group.querySelectorAll(selector)) {
      e.tabIndex = e === event.target ? 0 : -1;
      delete e.dataset.chosen;
    }
    event.target.dataset.chosen = "yes";
  });
  group.addEventListener("keydown", event => {
    const all = buttons(), at = all.indexOf(event.target);
    const to = { ArrowLeft: at - 1, ArrowUp: at - 1, ArrowRight: at + 1, ArrowDown: at + 1,
      Home: 0, End: all.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    all[Math.max(0, Math.min(to, all.length - 1))].focus();
  });
  return settle;
}

const show = (x, digits = 2) => (Math.abs(x) < 0.5 / 10 ** digits ? 0 : x).toFixed(digits).replace("-", "−");
const percent = p => (p >= 0.9995 ? "100 %" : p < 0.001 ? "< 0.1 %" : `${(100 * p).toFixed(1)} %`);
const equal = (some, others) => some.length === others.length && some.every((one, i) => one === others[i]);
const spoken = token => token.replaceAll(" ", "␣"); // pieces of words may begin with a space
const heard = text => text.replaceAll("␣", " ");

/** Numbers as a strip of colors: blue above 0, orange below, strongest at `limit`. */
function paint(canvas, numbers, limit) {
  canvas.width = numbers.length;
  canvas.height = 1;
  const pixels = new ImageData(numbers.length, 1);
  numbers.forEach((x, i) => {
    pixels.data.set(x < 0 ? [230, 130, 0] : [0, 114, 178], 4 * i);
    pixels.data[4 * i + 3] = 255 * Math.min(1, Math.abs(x) / limit);
  });
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

// --- The element -------------------------------------------------------------------------------------

class Explorer {
  constructor(host, config) {
    this.host = host;
    this.config = { models: [], examples: [], small: false, pages: null, start: {}, ...config };
    this.settings = { ...AT_FIRST, ...this.config.start };
    this.loaded = new Map();
    this.root = host.attachShadow({ mode: "open" });
    this.root.append(make("style", { textContent: STYLE }));
    this.build();
    if (!this.config.small) {
      this.readLink();
      addEventListener("hashchange", () => this.readLink() && this.start());
    }
    this.start();
  }

  /** Load the model that the settings ask for, and show the sentence. */
  async start() {
    const asked = this.settings.model;
    try {
      if (!this.loaded.has(asked)) {
        this.say("Loading the model …");
        this.loaded.set(asked, loadModel(await this.fetchModel(this.config.models[asked])));
      }
      if (asked !== this.settings.model) return; // the reader has gone on meanwhile
      this.model = this.loaded.get(asked);
    } catch (error) {
      this.say(`The model could not be loaded: ${error.message}.`, true);
      for (const [number, model] of this.loaded) if (model === this.model) this.settings.model = number; // it stays
      this.showRun();
      return;
    }
    this.useModel();
  }

  /** A model's file: from the page, or from a script, which a page on the disk may load, too. */
  async fetchModel({ url, data }) {
    if (data === undefined) {
      const script = make("script", { src: url });
      const loaded = new Promise((resolve, reject) => {
        script.onload = resolve;
        script.onerror = () => reject(new Error(`${url} does not come`));
      });
      document.head.append(script);
      await loaded;
      ({ model: data } = script);
    }
    return Uint8Array.from(atob(data), c => c.charCodeAt(0)).buffer;
  }

  /** A file that the reader has chosen or dropped. What is wrong with it is said; the page lives on. */
  async openFile(file) {
    const { models } = this.config, before = this.settings, number = models.length;
    try {
      if (file.size > 2e8) throw new Error(`it has ${Math.round(file.size / 1e6)} MB, and the explorer takes up to 200`);
      this.loaded.set(number, loadModel(await file.arrayBuffer()));
      models.push({ name: file.name });
      this.fillModels();
      this.settings = { ...AT_FIRST, model: number };
      this.model = this.loaded.get(number);
      this.useModel();
    } catch (error) {
      if (models.length > number) { // it could be read, but not be shown
        models.pop();
        this.fillModels();
        this.settings = before;
        await this.start();
      }
      this.say(`${file.name} cannot be shown: ${error.message}. The model that was here is still here.`, true);
      this.note.scrollIntoView({ block: "nearest" });
    }
  }

  /** Show the model's sentence: the one asked for, an example, or some of its words. */
  useModel() {
    const { settings, model } = this, { srcVocab, tgtVocab, config: { kind } } = model;
    this.pause();
    const known = ([source, target]) => source.every(word => srcVocab.has(word)) && target.every(word => tgtVocab.has(word));
    this.examples = this.config.examples.filter(known).map(([source, target, links]) => {
      const text = srcVocab.detokenize(source), tokens = srcVocab.tokenize(text); // as one types it
      return { text, tokens, target, links: equal(tokens, source) ? links : [] };
    });
    this.another.hidden = this.examples.length === 0;
    settings.s ??= this.examples[0]?.text
      ?? srcVocab.detokenize(srcVocab.tokens.filter(token => /^ ?\p{L}+$/u.test(token)).slice(0, 4));
    for (const name of idle(model.config)) settings[name] = AT_FIRST[name];
    if (this.root.activeElement !== this.input) this.input.value = settings.s;
    if (!this.config.small) {
      this.tries = TRIES.map(one => ({ ...one, ...one[kind] }));
      this.tries.forEach(({ set, [kind]: own }, i) => { // what speaks of a sentence is for models that know its words
        this.tryButtons[i].hidden = own === null || idle(model.config).some(name => name in set) || (set.s && !set.s.split(" ").every(word => srcVocab.has(word)));
      });
      this.words.replaceChildren(...tgtVocab.tokens.slice(3).map(token => make("option", { value: spoken(token) })));
      this.inspectNothing();
    }
    this.offer();
    this.update({});
  }

  // --- The link ---

  /** Settings from the page's address. Returns whether there were any. */
  readLink() {
    const preset = this.config.links?.[location.hash.slice(1)];
    const asked = new URLSearchParams(preset ?? (location.hash.includes("=") ? location.hash.slice(1) : ""));
    if ([...asked].length === 0) return false;
    this.settings = { ...AT_FIRST };
    for (const [name, text] of asked) {
      if (!Object.hasOwn(AT_FIRST, name)) continue;
      const kind = typeof AT_FIRST[name];
      let value = kind === "number" ? Number(text) : kind === "boolean" ? text === "1" : text;
      if (kind === "number" && !Number.isFinite(value)) continue;
      if (kind === "number" && name !== "temperature") value = Math.round(value);
      if (LIMITS[name]) value = Math.max(LIMITS[name][0], Math.min(value, LIMITS[name][1]));
      if (name === "model" && !this.config.models[value]) {
        this.missing = "The link is to a model that is not on this page; if it was a file, open it again. This is another one.";
        continue;
      }
      if (name === "look" && !Object.hasOwn(LOOKS, value)) continue;
      this.settings[name] = value;
    }
    if (preset) { // the anchor stands elsewhere on the page, where browsers go
      const come = () => this.host.scrollIntoView({ behavior: "instant" });
      come();
      if (document.readyState !== "complete") addEventListener("load", () => setTimeout(come));
    }
    return true;
  }

  /** The settings that are not as at first, as the end of an address. */
  link() {
    const asked = new URLSearchParams();
    for (const [name, value] of Object.entries(this.settings))
      if (value !== AT_FIRST[name]) asked.set(name, typeof value === "boolean" ? Number(value) : value);
    return `#${asked}`;
  }

  writeLink() {
    if (this.config.small || !this.touched || location.protocol === "about:") return;
    clearTimeout(this.writing); // browsers do not like an address that changes all the time
    this.writing = setTimeout(() => history.replaceState(history.state, "", this.link()), 150);
  }

  /** Words that the reader has put in, by their places. A link may also ask for what is no word. */
  get forced() { return new Map(this.asked.filter(([, word]) => this.model.tgtVocab.has(word))); }

  get asked() {
    return this.settings.force.split(" ").filter(Boolean).map(part => {
      const [, place, word] = /^(\d+):(.*)$/.exec(part) ?? [null, 0, part];
      return [Number(place), heard(word)];
    });
  }

  force(place, word) {
    const forced = this.forced;
    for (const later of forced.keys()) if (later > place) forced.delete(later); // they answered to another beginning
    if (word === null) forced.delete(place);
    else forced.set(place, word);
    const force = [...forced].map(([at, one]) => `${at}:${spoken(one)}`).join(" ");
    this.change({ force, step: place + 1 });
  }

  // --- Computing ---

  /** What the reader does: settings change, and the link with them. */
  change(settings) {
    this.touched = true;
    this.pause();
    this.update(settings);
  }

  update(settings) {
    Object.assign(this.settings, settings);
    try {
      this.run = this.compute();
      const unknown = [...new Set(this.run.unknown)].join(", "), { tgtVocab } = this.model;
      const ignored = this.asked.map(([, word]) => word).filter(word => !tgtVocab.has(word)).join(", ");
      const said = [this.missing, unknown && `Not in the vocabulary, read as <unk>: ${unknown}.`,
        ignored && `Not in the target's vocabulary, so not put in: ${ignored}.`].filter(Boolean).join(" ");
      this.say(said, said !== "");
      this.missing = ""; // it is said once
    } catch (error) {
      this.run = null;
      this.say(`${error.message[0].toUpperCase()}${error.message.slice(1)}.`, true);
    }
    this.showRun();
  }

  /** Everything about a sentence: its words, the steps of decoding, and the words that they write. */
  compute() {
    const { model, settings } = this, { srcVocab, tgtVocab } = model;
    const tokens = srcVocab.tokenize(settings.s.trim());
    if (tokens.length === 0) throw new Error("there is no word in the sentence; type one");
    const ids = model.encode(tokens);
    const how = Object.fromEntries(Object.keys(AS_TRAINED).map(key => [key, settings[key]]));
    const pair = this.examples.find(one => equal(one.tokens, tokens));
    const forced = this.forced;
    const source = [...tokens, "<eos>", ...Array(how.padding).fill("<pad>")];
    const run = { source, length: tokens.length, unknown: tokens.filter(token => !srcVocab.has(token)), pair, forced };
    if (settings.truth && pair) {
      const words = [...pair.target.map((word, place) => forced.get(place) ?? word), "<eos>"];
      const fed = words.map(word => tgtVocab.idOf(word));
      run.steps = teacherForcing(model, ids, [tgtVocab.bos, ...fed.slice(0, -1)], how);
      Object.assign(run, { words, truth: true });
    } else {
      const places = new Map([...forced].map(([place, word]) => [place, tgtVocab.idOf(word)]));
      const found = beamSearch(model, ids, { beamSize: settings.beam, how, forced: places });
      Object.assign(run, found, { words: found.ids.map(id => tgtVocab.tokens[id]) });
    }
    if (!run.steps.every(step => step.logits.every(Number.isFinite)))
      throw new Error("the model computes infinite numbers or NaN; its training may have diverged");
    run.encoded = run.steps[0].state.encoded;
    run.words.forEach((word, k) => {
      const step = run.steps[k];
      step.logProbs = logSoftmax(step.logits);
      step.best = largest(step.logProbs, 5);
      step.said = tgtVocab.tokens[step.best[0]];
    });
    // Gold links hold for as long as the words are the reference's
    const reference = pair ? [...pair.target, "<eos>"] : [];
    const same = run.words.findIndex((word, k) => word !== reference[k]);
    run.right = same < 0 ? run.words.length : same;
    run.gold = new Set(pair?.links.filter(([, j]) => j < run.right).map(([i, j]) => `${i} ${j}`));
    return run;
  }

  // What is shown has a row for each step so far or, in the encoder, for each source word

  get row() { return this.settings.look === "encoder" ? Math.min(this.settings.at, this.run.length) : this.settings.step - 1; }

  get rows() {
    const { run, settings } = this;
    return settings.look === "encoder" ? run.source.slice(0, run.length + 1) : run.words.slice(0, settings.step);
  }

  /** What a row looks with, each block's heads; and the words that they look at. */
  looksOf(row) {
    const { run } = this, { look } = this.settings;
    if (look === "own") return { blocks: run.steps[row].own, keys: ["<bos>", ...run.words.slice(0, row)] };
    if (look === "encoder")
      return { blocks: run.encoded.looks.map(places => places[row]), keys: run.source.slice(0, run.length + 1) };
    return { blocks: run.steps[row].looks, keys: run.source };
  }

  /** The block that is shown; as long as nobody has asked for one, the last. */
  get block() {
    const { block } = this.settings, last = this.run.steps[0].looks.length - 1;
    return block < 0 ? last : Math.min(block, last);
  }

  /** The look that is shown: one head's, or the mean of a block's. */
  lookOf(row = this.row, block = this.block, head = this.settings.head) {
    const { blocks, keys } = this.looksOf(row), heads = blocks[block];
    const one = heads.length === 1 ? heads[0] : heads[head];
    if (one) return { ...one, keys };
    const weights = heads[0].weights.map((_, i) => heads.reduce((sum, { weights }) => sum + weights[i], 0) / heads.length);
    return { weights, keys, scores: null, query: null, output: null };
  }

  // --- The page, once ---

  build() {
    const { small } = this.config;
    this.input = make("input", { type: "text", autocomplete: "off", autocapitalize: "off", spellcheck: false,
      oninput: () => this.type() });
    this.another = make("button", { type: "button", hidden: true, onclick: () => this.showAnother() }, "Another one");
    this.offers = make("div", { className: "offers", role: "group", "aria-label": "Words of the vocabulary" });
    this.settleOffers = rove(this.offers);
    this.note = make("p", { className: "message" });
    this.note.setAttribute("role", "status");
    this.source = make("div", { className: "words", role: "group", "aria-label": "Source words" });
    this.target = make("div", { className: "words", role: "group", "aria-label": "Target words" });
    this.settleSource = rove(this.source);
    this.settleTarget = rove(this.target);
    this.slider = make("input", { type: "range", min: 1, "aria-label": "Step",
      oninput: () => { this.pause(); this.go(this.slider.valueAsNumber); } });
    this.count = make("span", { className: "count" });
    this.player = make("button", { type: "button", onclick: () => (this.timer ? this.pause() : this.play()) }, "Play");
    const button = (text, label, to) => make("button", { type: "button", "aria-label": label,
      onclick: () => { this.pause(); this.go(to()); } }, text);
    const transport = make("div", { className: "transport", role: "group", "aria-label": "Steps" },
      button("«", "First step", () => 1), button("‹", "Step back", () => this.settings.step - 1), this.player,
      button("›", "Step forward", () => this.settings.step + 1), button("»", "Last step", () => Infinity),
      this.slider, this.count);
    this.status = make("p", { className: "message" });
    this.status.setAttribute("role", "status");
    this.body = make("div", {},
      make("div", { className: "row" }, make("span", {}, "Source"), this.source),
      make("div", { className: "row" }, make("span", {}, "Target"), this.target),
      transport, this.status);
    const sentence = make("div", { className: "sentence" }, make("label", {}, "Sentence", this.input), this.another);
    this.root.append(sentence, this.offers, this.note, this.body);
    this.parts = [this.body]; // what is hidden if there is nothing to show
    if (small) {
      this.more = make("a", {}, "Open the explorer: every number of these steps, and what to try");
      this.body.append(make("p", {}, this.more));
      return;
    }
    sentence.append(this.buildLink(), make("label", { className: "model" }, "Model", this.buildChooser()));
    const numbers = this.buildNumbers();
    this.inspector = make("aside", { className: "inspect", "aria-label": "The numbers and the code" });
    this.inspectNothing();
    this.root.append(this.buildTries(), this.buildSettings(), numbers, this.inspector);
    this.parts.push(numbers, this.inspector);
    this.host.addEventListener("pointermove", event => this.moved(event));
    for (const event of ["dragover", "dragleave", "drop"]) // wherever on the page
      addEventListener(event, one => {
        if (!one.dataTransfer?.types.includes("Files")) return; // a word, dragged into a field
        one.preventDefault();
        this.host.classList.toggle("dropping", event === "dragover");
        if (event === "drop" && one.dataTransfer.files[0]) this.openFile(one.dataTransfer.files[0]);
      });
  }

  buildLink() {
    const text = "Copy a link to this";
    const copy = make("button", { type: "button", hidden: location.protocol === "about:", onclick: async () => {
      this.touched = true;
      this.writeLink();
      try {
        await navigator.clipboard.writeText(new URL(this.link(), location.href).href);
        copy.textContent = "Copied";
      } catch {
        copy.textContent = "It is in the address bar";
      }
      setTimeout(() => { copy.textContent = text; }, 2000);
    } }, text);
    return copy;
  }

  buildChooser() {
    this.chooser = make("select", { onchange: () => {
      this.touched = true;
      this.settings.model = Number(this.chooser.value);
      this.writeLink();
      this.start();
    } });
    this.fillModels();
    return this.chooser;
  }

  /** Everything below the settings: heads, search, and the numbers of the step. */
  buildNumbers() {
    const columnHead = names => make("thead", {}, make("tr", {}, ...names.map(name => make("th", { scope: "col" }, name))));
    this.lookTitle = make("caption");
    this.lookBody = make("tbody");
    this.settleLook = rove(this.lookBody);
    const look = make("section", {}, make("table", {}, this.lookTitle, columnHead(["word", "score", "weight"]), this.lookBody));
    this.strips = make("div");
    this.stripsPart = make("section", {}, make("p", { className: "soft" }, "Vectors, number by number: blue is above 0, orange below."), this.strips);
    this.nextTitle = make("caption");
    this.nextBody = make("tbody");
    this.settleNext = rove(this.nextBody);
    this.own = make("input", { type: "text", list: "target-words", autocomplete: "off", autocapitalize: "off",
      "aria-label": "Another word for this place", placeholder: "another word" });
    this.words = make("datalist", { id: "target-words" });
    const put = () => {
      const typed = this.own.value.trim(), { tgtVocab } = this.model;
      const word = [heard(typed), ` ${typed}`].find(one => tgtVocab.has(one));
      if (word !== undefined) return this.force(this.settings.step - 1, word);
      this.own.setCustomValidity(typed ? `“${typed}” is not in the target's vocabulary.` : "Type a word of the target's vocabulary.");
      this.own.reportValidity();
    };
    this.own.addEventListener("input", () => this.own.setCustomValidity(""));
    this.own.addEventListener("keydown", event => { if (event.key === "Enter") put(); });
    this.undo = make("button", { type: "button", onclick: () => {
      if (this.run.forced.has(this.settings.step - 1)) this.force(this.settings.step - 1, null);
    } }, "Let the model choose");
    const next = make("section", { className: "next" },
      make("table", {}, this.nextTitle, columnHead(["word", "probability", make("span", { className: "unseen" }, "choose")]), this.nextBody),
      make("div", { className: "force" }, this.own, this.words, make("button", { type: "button", onclick: put }, "Write this word"), this.undo));
    this.heads = make("div", { className: "heads" });
    this.settleHeads = rove(this.heads);
    this.kind = make("select", { onchange: () => this.change({ look: this.kind.value }) },
      ...Object.entries(LOOKS).map(([value, text]) => make("option", { value }, text)));
    this.headsNote = make("p", { className: "soft" });
    this.headsPart = make("section", {}, make("h2", {}, "Heads and layers"),
      make("label", {}, "Words look at ", this.kind), this.headsNote, this.heads);
    this.tree = make("div", { className: "tree", role: "group", "aria-label": "The beginnings that the search followed" });
    this.settleTree = rove(this.tree);
    this.treePart = make("section", {}, make("h2", {}, "The search"),
      make("p", { className: "soft" }, "A column for each step, the best first. Struck out: dropped. Thick: the way to the best. The number is the mean log-probability."),
      this.tree);
    this.allTable = make("table");
    this.allTitle = make("summary");
    this.all = make("details", { className: "all", ontoggle: () => this.showAll() }, this.allTitle,
      make("div", { className: "wide", tabIndex: 0, role: "region", "aria-label": "Weights of all steps" }, this.allTable));
    return make("div", {}, this.headsPart, this.treePart,
      make("div", { className: "columns" }, look, make("div", {}, next, this.stripsPart)), this.all);
  }

  buildTries() {
    const button = (name, onclick) => make("button", { type: "button", onclick }, name);
    this.tryButtons = TRIES.map(({ name }, i) => button(name, () => {
      const { s, model } = this.settings, { set } = this.tries[i];
      this.input.value = set.s ?? s;
      this.change({ ...AT_FIRST, s, model, ...set });
    }));
    this.reset = button("As it was trained", () => {
      const { s, model } = this.settings;
      this.showHint(null);
      this.change({ ...AT_FIRST, s, model });
    });
    const title = make("span", { id: "tries-title" }, "Things to try");
    const group = make("div", { className: "pills", role: "group", "aria-labelledby": title.id }, title, this.reset, ...this.tryButtons);
    this.settleTries = rove(group);
    this.hintText = make("p", { className: "hint", "aria-live": "polite" });
    this.showHint(null);
    this.triesPart = make("section", { className: "tries-part" }, group, this.hintText);
    return this.triesPart;
  }

  buildSettings() {
    const inputs = this.controls = {};
    const check = (name, text) => {
      inputs[name] = make("input", { type: "checkbox", onchange: () => this.change({ [name]: inputs[name].checked }) });
      return make("label", {}, inputs[name], text);
    };
    const range = (name, text, options, read = x => x) => {
      inputs[name] = make("input", { type: "range", ...options, oninput: () => this.change({ [name]: read(inputs[name].valueAsNumber) }) });
      this[`${name}Shown`] = make("span");
      return make("label", {}, text, inputs[name], this[`${name}Shown`]);
    };
    const radios = (name, choices) => make("div", { className: "radios" }, ...choices.map(([value, text]) => {
      const input = make("input", { type: "radio", name, value: String(value), onchange: () => this.change({ [name]: value, step: 1 }) });
      (inputs[name] ??= []).push(input);
      return make("label", {}, input, text);
    }));
    const group = (title, ...children) => make("fieldset", {}, make("legend", {}, title), ...children);
    const file = make("input", { type: "file", accept: ".safetensors", className: "unseen", tabIndex: -1, "aria-label": "A model's file",
      onchange: () => { if (file.files[0]) this.openFile(file.files[0]); file.value = ""; } });
    this.truthNote = make("small");
    this.changes = make("small");
    return make("details", { className: "settings-part" }, make("summary", {}, "Settings ", this.changes),
      make("div", { className: "settings" },
        make("div", {},
          group("The decoder is fed", radios("truth", [[false, "its own words"], [true, "the truth"]]), this.truthNote),
          group("Beam", radios("beam", [[1, "1, greedy"], [2, "2"], [4, "4"]])),
          group("Shown", check("gold", "gold alignment"), check("gates", "gates of the recurrent unit"))),
        make("div", {},
          group("Attention to the source",
            range("temperature", "Temperature ", { min: -1, max: 1, step: 0.05 }, x => Number((10 ** x).toFixed(2))),
            range("padding", "Padding ", { min: 0, max: 8, step: 1 }),
            check("masked", "mask: keep padding out"), check("rescaled", "change the scale by √d"),
            check("swapped", "keys for values, values for keys"), check("uniform", "uniform weights"),
            check("oneWay", "encoder reads one way only")),
          group("A model of your own", make("button", { type: "button", onclick: () => file.click() }, "Open a file, or drop one here"), file))));
  }

  fillModels() {
    this.chooser.replaceChildren(...this.config.models.map(({ name }, i) => make("option", { value: i }, name)));
  }

  // --- What the reader does ---

  showAnother() {
    const at = this.examples.indexOf(this.run?.pair);
    this.input.value = this.examples[(at + 1) % this.examples.length].text;
    this.type();
  }

  /** The sentence is another one. */
  type() {
    this.offer();
    this.change({ s: this.input.value, force: "", step: 1, at: 0 });
  }

  /** Words of the vocabulary that begin as the last one that was typed. */
  offer() {
    const vocab = this.model?.srcVocab;
    if (!vocab) return;
    const begun = /\S*$/.exec(this.input.value)[0], lower = vocab.lower === false ? begun : begun.toLowerCase();
    const before = vocab.spaced ? " " : ""; // pieces that begin a word begin with a space
    const found = vocab.tokens.filter(token => token.startsWith(before + lower) && !/^<.*>$/.test(token))
      .map(token => token.slice(before.length)).filter(word => word && word !== begun && !/\s/.test(word)).slice(0, 8);
    fill(this.offers, found, () => make("button", { type: "button", onclick: event => {
      this.input.value = this.input.value.replace(/\S*$/, () => `${event.currentTarget.textContent} `);
      this.type();
      this.input.focus();
    } }), (button, token) => { button.textContent = token; });
    this.settleOffers();
  }

  go(step) {
    if (!this.run) return;
    this.touched = true;
    this.settings.step = Math.max(1, Math.min(step, this.run.words.length));
    this.showStep();
  }

  play() {
    if (!this.run) return;
    if (this.settings.step >= this.run.words.length) this.go(1);
    this.player.textContent = "Pause";
    this.timer = setInterval(() => {
      this.go(this.settings.step + 1);
      if (this.settings.step >= this.run.words.length) this.pause();
    }, 1000);
  }

  pause() {
    clearInterval(this.timer);
    this.timer = null;
    this.player.textContent = "Play";
  }

  say(text, wrong = false) {
    this.note.textContent = text;
    this.note.classList.toggle("wrong", wrong);
  }

  // --- Showing ---

  /** The sentence and its settings, after a change. */
  showRun() {
    const { run, settings } = this;
    for (const part of this.parts) part.hidden = !run;
    if (!this.config.small) this.showSettings();
    this.writeLink();
    if (!run) return;
    settings.step = Math.max(1, Math.min(settings.step, run.words.length));
    this.slider.max = run.words.length;
    fill(this.source, run.source, i => this.makeWord(() => {
      if (this.settings.look === "encoder" && i <= this.run.length) this.change({ at: i });
    }, () => this.inspectSource(i)), (word, token, i) => {
      word.firstChild.textContent = spoken(token);
      word.classList.toggle("unknown", i < run.length && !this.model.srcVocab.has(token));
      word.classList.toggle("padding", i > run.length);
    });
    fill(this.target, run.words, k => this.makeWord(() => { this.pause(); this.go(k + 1); }, () => this.inspectTarget(k)),
      (word, token, k) => {
        word.firstChild.textContent = spoken(token);
        word.classList.toggle("forced", run.forced.has(k));
      });
    this.settleSource();
    if (this.isTransformer) this.blue = getComputedStyle(this.slider).accentColor.match(/\d+/g); // lighter on black
    if (!this.config.small) this.showTree();
    this.showStep();
    this.settleTarget();
  }

  makeWord(press, point) {
    const word = make("button", { type: "button", className: "word", onclick: press }, make("span"), make("small"));
    this.watch(word, point);
    return word;
  }

  /** One step: what it looked at, and what it writes. */
  showStep() {
    const { run, settings, config } = this, k = settings.step - 1, step = run.steps[k];
    const look = this.lookOf();
    this.slider.value = settings.step;
    this.count.textContent = `step ${settings.step} of ${run.words.length}`;
    const gold = i => settings.gold && settings.look === "source" && run.gold.has(`${i} ${k}`);
    const weigh = (group, weights) => [...group.children].forEach((word, i) => {
      const weight = weights?.[i];
      word.style.setProperty("--w", weight === undefined ? 0 : weight.toFixed(3));
      word.lastChild.textContent = weights ? weight?.toFixed(2) ?? "\u00a0" : "";
    });
    weigh(this.source, settings.look === "own" ? null : look.weights);
    weigh(this.target, settings.look === "own" ? look.weights.subarray(1) : null);
    [...this.source.children].forEach((word, i) => {
      word.classList.toggle("gold", gold(i));
      word.classList.toggle("now", settings.look === "encoder" && i === this.row);
    });
    [...this.target.children].forEach((word, j) => {
      word.classList.toggle("later", j > k);
      word.classList.toggle("now", j === k);
      word.disabled = j > k;
      if (j === k) word.setAttribute("aria-current", "step");
      else word.removeAttribute("aria-current");
    });
    this.status.textContent = this.describe(k, step, look, gold);
    this.writeLink();
    if (config.small) {
      this.more.href = `${config.explorer}#${new URLSearchParams({ s: settings.s, step: settings.step })}`;
      return;
    }
    this.showLook(look, gold);
    this.showNext(k, step);
    this.showStrips(look, step);
    this.showHeads();
    this.showNodes();
    this.showAll();
    this.pointed?.(); // what is pointed at has other numbers now
  }

  /** The step in a sentence. */
  describe(k, step, { keys, weights }, gold) {
    const { run, settings, model } = this, word = run.words[k];
    const quote = token => `“${spoken(token)}”`;
    const why = run.forced.has(k) ? ", because you say so" : run.truth ? ", because it is the truth" : "";
    const chance = percent(Math.exp(step.logProbs[model.tgtVocab.idOf(word)]));
    const likelier = step.said === word ? "" : `; likelier here: ${quote(step.said)}`;
    const most = weights.indexOf(Math.max(...weights)), at = `${quote(keys[most])} ${weights[most].toFixed(2)}`;
    const golden = keys.filter((_, i) => gold(i)).map(quote).join(", ");
    const end = word === "<eos>" ? ", the end," : "";
    const givesUp = k === run.words.length - 1 && word !== "<eos>";
    return `${quote(word)}${end} is written${why} (${chance}${likelier}); `
      + `${settings.look === "encoder" ? `${quote(this.rows[this.row])} gives most weight to` : "most weight:"} ${at}`
      + `${golden && `; gold: ${golden}`}.${givesUp ? ` Here the search gives up: no <eos> after ${k + 1} words.` : ""}`;
  }

  showLook({ keys, scores, weights }, gold) {
    const { settings } = this;
    this.lookTitle.textContent = `What ${settings.look === "encoder" ? "the source word" : "the step that writes"} `
      + `“${spoken(this.rows[this.row])}” looks at`;
    if (this.isTransformer)
      this.lookTitle.append(make("small", {}, scores ? ` (block ${this.block + 1}, head ${settings.head + 1})`
        : ` (block ${this.block + 1}, the mean of the block's heads; choose a head above for its scores)`));
    const limit = scores ? scores.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-9) : 1;
    fill(this.lookBody, keys, i => {
      const cell = kind => {
        const number = make("button", { type: "button", className: "plain number" });
        const bar = make("span", { className: kind === "score" ? "bar signed" : "bar" });
        for (const part of [number, bar]) this.watch(part, () => this.inspectLook(kind, i));
        return make("td", {}, make("div", { className: "cell" }, number, bar));
      };
      const name = make("th", { scope: "row" });
      this.watch(name, () => this.inspectKey(i));
      return make("tr", {}, name, cell("score"), cell("weight"));
    }, (row, key, i) => {
      const [name, score, weight] = row.children;
      name.textContent = spoken(key);
      name.classList.toggle("gold", gold(i));
      if (gold(i)) name.append(make("span", { className: "unseen" }, " (gold)"));
      const set = (cell, value, part) => {
        const [number, bar] = cell.firstChild.children;
        number.textContent = value === undefined ? "–" : show(value);
        bar.style.visibility = value === undefined ? "hidden" : "";
        bar.style.setProperty("--v", value === undefined ? 0 : part.toFixed(4));
        bar.classList.toggle("below", value < 0);
      };
      set(score, scores?.[i], scores ? scores[i] / limit : 0);
      set(weight, weights[i], weights[i]);
    });
    this.settleLook();
  }

  showNext(k, step) {
    const { run } = this, { tgtVocab } = this.model;
    const ids = [...step.best], chosen = tgtVocab.idOf(run.words[k]);
    if (!ids.includes(chosen)) ids.push(chosen);
    this.nextTitle.textContent = run.truth ? "The likeliest words; bold is the one that is fed" : "The likeliest next words";
    fill(this.nextBody, ids, () => {
      const number = make("button", { type: "button", className: "plain number chance" });
      const bar = make("span", { className: "bar" });
      const name = make("th", { scope: "row" });
      const row = make("tr", {}, name, make("td", {}, make("div", { className: "cell" }, number, bar)),
        make("td", {}, make("button", { type: "button", onclick: () => {
          const place = this.settings.step - 1, word = this.model.tgtVocab.tokens[row.word];
          if (word !== this.run.words[place]) this.force(place, word);
        } }, "write it")));
      for (const part of [name, number, bar]) this.watch(part, () => this.inspectWord(row.word));
      return row;
    }, (row, id) => {
      row.word = id;
      const p = Math.exp(step.logProbs[id]), [name, cell, choose] = row.children, [number, bar] = cell.firstChild.children;
      name.textContent = spoken(tgtVocab.tokens[id]);
      row.classList.toggle("now", id === chosen);
      number.textContent = percent(p);
      bar.style.setProperty("--v", p.toFixed(4));
      choose.firstChild.setAttribute("aria-disabled", id === chosen); // disabled, it would lose the focus
      choose.firstChild.setAttribute("aria-label", `write it: ${tgtVocab.tokens[id]}`);
    });
    this.settleNext();
    this.undo.setAttribute("aria-disabled", !run.forced.has(k));
    this.own.value = "";
    this.own.setCustomValidity("");
  }

  /** The vectors of a step, each a strip: query, context and, if asked for, the gates. */
  showStrips(look, step) {
    const head = this.isTransformer;
    const shown = look.query ? [[head ? "headQuery" : "query", "Query", look.query], [head ? "headOutput" : "context", head ? "Output of the head" : "Context", look.output]] : [];
    if (this.settings.gates)
      step.gates.forEach((gates, layer) => {
        const of = step.gates.length > 1 ? `, layer ${layer + 1}` : "";
        for (const [name, text] of [["r", "Reset gate r"], ["z", "Update gate z"], ["n", "Candidate n"], ["h", "New state"]])
          shown.push([name, text + of, gates[name]]);
      });
    this.stripsPart.hidden = shown.length === 0;
    fill(this.strips, shown, () => {
      const canvas = make("canvas", { tabIndex: 0, role: "img" });
      const strip = make("div", { className: "strip" }, make("span"), canvas);
      const point = i => this.point(() => (strip.isConnected ? this.inspect(...strip.shown, i) : this.inspectNothing()));
      const pointAt = ({ offsetX }) => point(Math.min(canvas.width - 1,
        Math.max(0, Math.floor((offsetX / canvas.clientWidth) * canvas.width))));
      canvas.addEventListener("focus", () => point());
      canvas.addEventListener("click", pointAt); // a finger's, which comes after the focus
      canvas.addEventListener("pointermove", event => { if (this.moved(event)) pointAt(event); });
      return strip;
    }, (strip, [key, title, numbers]) => {
      strip.shown = [key, title, numbers];
      const low = numbers.reduce((a, b) => Math.min(a, b)), high = numbers.reduce((a, b) => Math.max(a, b));
      strip.firstChild.textContent = `${title}, ${numbers.length} numbers from ${show(low)} to ${show(high)}`;
      strip.lastChild.setAttribute("aria-label", strip.firstChild.textContent);
      paint(strip.lastChild, numbers, Math.max(1, high, -low));
    });
  }

  /** A small picture of every head: a row for each step so far, a column for each word looked at. */
  showHeads() {
    const { settings } = this, { kind, num_layers, num_heads } = this.model.config;
    this.headsPart.hidden = kind !== "transformer";
    if (this.headsPart.hidden) return;
    this.kind.value = settings.look;
    this.headsNote.textContent = `A row for each ${settings.look === "encoder" ? "source word" : "step so far"}, gold for this one; `
      + "a column for each word that is looked at; the stronger, the more weight. Press a head to see its numbers.";
    const all = this.rows.map((_, row) => this.looksOf(row).blocks);
    const total = settings.look === "encoder" ? all.length : this.run.steps.length;
    const width = all.at(-1)[0][0].weights.length;
    const { blue } = this;
    const blocks = Array.from({ length: num_layers }, (_, i) => i);
    fill(this.heads, blocks, layer => {
      const buttons = Array.from({ length: num_heads + 1 }, (_, head) => {
        const text = head < num_heads ? `head ${head + 1}` : "mean";
        const button = make("button", { type: "button", "aria-label": `block ${layer + 1}, ${text}`,
          onclick: () => this.change({ block: layer, head: head < num_heads ? head : -1 }) }, make("span", {}, text));
        if (head < num_heads) button.append(make("canvas"));
        this.watch(button, () => this.inspectHead(layer, head < num_heads ? head : -1));
        return button;
      });
      return make("div", {}, make("span", {}, `Block ${layer + 1}`), ...buttons);
    }, (line, layer) => [...line.children].slice(1).forEach((button, head) => {
      const chosen = layer === this.block && (head === settings.head || (head === num_heads && settings.head < 0));
      button.setAttribute("aria-pressed", chosen);
      const canvas = button.querySelector("canvas");
      if (!canvas) return;
      canvas.width = width, canvas.height = total;
      const pixels = new ImageData(width, total);
      all.forEach((blocks, t) => blocks[layer][head].weights.forEach((weight, i) => {
        pixels.data.set(t === this.row ? [230, 159, 0] : blue, 4 * (t * width + i));
        pixels.data[4 * (t * width + i) + 3] = 255 * weight;
      }));
      canvas.getContext("2d").putImageData(pixels, 0, 0);
    }));
    this.settleHeads();
  }

  /** The search as a tree: a column for each step, lines from what was kept to what came of it. */
  showTree() {
    const { tree, path } = this.run;
    this.treePart.hidden = !(tree && this.settings.beam > 1);
    this.nodes = []; // and lines, with their steps
    if (this.treePart.hidden) {
      this.tree.replaceChildren();
      return;
    }
    const WIDTH = 124, HEIGHT = 48, NODE = { width: 102, height: 40 };
    const best = new Set(path), places = new Map();
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const buttons = [];
    const line = (from, to, thick) => {
      const one = document.createElementNS("http://www.w3.org/2000/svg", "line");
      const ends = { x1: from.x + NODE.width, y1: from.y + NODE.height / 2, x2: to.x, y2: to.y + NODE.height / 2 };
      for (const [name, value] of Object.entries(ends)) one.setAttribute(name, value);
      if (thick) one.setAttribute("class", "best");
      svg.append(one);
      return one;
    };
    let rows = 0;
    tree.forEach(({ kept, dropped }, t) => {
      const before = new Map(places);
      [...kept, ...dropped.slice(0, 3)].forEach((beam, rank) => {
        const at = { x: t * WIDTH + 2, y: (rank + (rank >= kept.length ? 0.25 : 0)) * HEIGHT + 4 };
        const from = before.get(before.has(beam) ? beam : beam.parent);
        if (from) this.nodes.push({ node: line(from, at, best.has(beam)), t });
        const out = rank >= kept.length, again = before.has(beam);
        if (!out) places.set(beam, at);
        const label = again ? "(ended)" : spoken(this.model.tgtVocab.tokens[beam.token]);
        const unseen = text => make("i", { className: "unseen" }, text); // said, not shown
        const button = make("button", { type: "button", className: "node" }, unseen(`step ${t + 1}, `), make("span", {}, label),
          unseen(", score "), make("small", {}, show(beam.score, 3)), unseen(out ? ", dropped" : best.has(beam) ? ", on the best way" : ""));
        this.watch(button, () => (button.isConnected ? this.inspectBeam(beam, out) : this.inspectNothing()));
        button.style.left = `${at.x}px`, button.style.top = `${at.y}px`;
        button.classList.toggle("dropped", out);
        button.classList.toggle("best", best.has(beam));
        buttons.push(button);
        this.nodes.push({ node: button, t });
        rows = Math.max(rows, at.y + HEIGHT);
      });
    });
    const canvas = make("div", { className: "canvas" }, svg, ...buttons);
    canvas.style.width = `${tree.length * WIDTH}px`, canvas.style.height = `${rows}px`;
    svg.setAttribute("width", tree.length * WIDTH), svg.setAttribute("height", rows);
    this.tree.replaceChildren(canvas);
    this.settleTree();
  }

  /** The tree grows with the steps. */
  showNodes() {
    for (const { node, t } of this.nodes) node.style.visibility = t < this.settings.step ? "" : "hidden";
    if (this.treePart.hidden) return;
    requestAnimationFrame(() => { // when the page is laid out anyway
      this.tree.scrollLeft = (this.settings.step + 1) * 124 - this.tree.clientWidth;
    });
  }

  showAll() {
    if (!this.run) return;
    this.allTitle.textContent = this.settings.look === "encoder" ? "All source words, as a table of weights"
      : "All steps so far, as a table of weights";
    if (!this.all.open) return;
    const { run, settings, rows } = this, { keys } = this.looksOf(rows.length - 1);
    const name = (scope, text, inspect) => {
      const head = make("th", { scope }, spoken(text));
      this.watch(head, inspect);
      return head;
    };
    this.allTable.replaceChildren(
      make("thead", {}, make("tr", {}, make("td"), ...keys.map((key, i) => name("col", key, () => this.inspectKey(i))))),
      make("tbody", {}, ...rows.map((word, j) => {
        const { weights } = this.lookOf(j);
        return make("tr", {}, name("row", word, () => this.inspectRow(j)), ...keys.map((_, i) => {
          const cell = make("td", {}, weights[i] === undefined ? "" : weights[i].toFixed(2));
          if (weights[i] !== undefined) cell.style.setProperty("--w", weights[i].toFixed(3));
          cell.classList.toggle("gold", settings.gold && settings.look === "source" && run.gold.has(`${i} ${j}`));
          this.watch(cell, () => this.inspectLook("weight", i, j));
          return cell;
        }));
      })));
    this.all.classList.toggle("many", keys.length > 12);
  }

  showSettings() {
    const { settings, controls, run } = this, fed = Boolean(run?.truth);
    for (const [name, input] of Object.entries(controls)) {
      if (Array.isArray(input)) for (const one of input) one.checked = one.value === String(name === "truth" ? fed : settings[name]);
      else if (input.type === "checkbox") input.checked = settings[name];
    }
    controls.temperature.value = Math.log10(settings.temperature);
    this.temperatureShown.textContent = settings.temperature.toFixed(2);
    controls.temperature.setAttribute("aria-valuetext", settings.temperature.toFixed(2)); // its own value is the logarithm
    controls.padding.value = settings.padding;
    this.paddingShown.textContent = settings.padding;
    this.chooser.value = settings.model;
    for (const name of ["gates", "swapped", "oneWay"]) controls[name].disabled = this.model && idle(this.model.config).includes(name);
    controls.truth[1].disabled = !run?.pair;
    for (const one of controls.beam) one.disabled = fed; // then nothing is searched
    this.truthNote.textContent = run?.pair ? "" : "The truth, like the gold alignment, is known for the stored sentences only: press “Another one”.";
    const changes = this.changesOf(Object.keys(CHANGES));
    this.changes.textContent = changes.length ? `changed: ${changes.join(", ")}`
      : "what the decoder is fed, beam, temperature, mask, gates, a model of your own";
    this.triesPart.hidden = !this.model;
    if (this.model) this.showTries(changes.length === 0);
  }

  /** A try is pressed for as long as its settings stand; its hint stays for as long as the sentence does. */
  showTries(trained) {
    const { settings, tries, tryButtons } = this;
    const usual = Object.fromEntries(Object.keys(CHANGES).map(name => [name, AT_FIRST[name]]));
    const stands = tries.map(({ set }) => Object.entries({ ...usual, ...set })
      .every(([name, value]) => name === "step" || name === "at" || settings[name] === value));
    tryButtons.forEach((button, i) => button.setAttribute("aria-pressed", stands[i]));
    const found = tries.find((_, i) => stands[i] && !tryButtons[i].hidden) ?? null;
    this.reset.setAttribute("aria-pressed", trained && !found);
    if (found || this.hinted !== settings.s) this.showHint(found);
    this.hinted = settings.s;
    this.settleTries();
  }

  /** What to look for. It is read out, so it is written only if it is another. */
  showHint(one) {
    if (one === this.hint) return;
    this.hint = one;
    this.hintText.replaceChildren(...(one ? [make("strong", {}, one.name), ` – ${one.see}`]
      : ["Press one: what to look for is said here. Sentences and words are those of this book’s models; yours may write others."]));
  }

  /** Those of the settings that are not as the model was trained, in words. */
  changesOf(names) {
    const fed = this.run?.truth, idle = name => (name === "truth" ? !fed : name === "beam" && fed);
    return names.filter(name => this.settings[name] !== AT_FIRST[name] && !idle(name)).map(name => CHANGES[name](this.settings[name]));
  }

  // --- Pointing at something ---

  /** Show what `inspect` says; and again after each step, since it has other numbers then. */
  point(inspect) {
    if (this.config.small) return;
    this.pointed = inspect;
    inspect();
  }

  /** Inspect what the pointer enters, and what gets the focus or is pressed. */
  watch(element, inspect) {
    const point = () => this.point(inspect);
    element.addEventListener("focus", point);
    element.addEventListener("click", point);
    element.addEventListener("pointerenter", event => { if (this.moved(event)) point(); });
  }

  /** Whether the pointer has moved: a page that scrolls below it makes it enter things, too. */
  moved({ clientX, clientY }) {
    const before = this.pointer;
    this.pointer = `${clientX} ${clientY}`;
    return this.pointer !== before;
  }

  inspectNothing() {
    this.pointed = null;
    this.inspector.replaceChildren(make("p", { className: "soft" },
      "Point at a number, a word or a strip, or go there with Tab and the arrow keys: its numbers and its line of code stand here."));
  }

  /** Say what a thing is: its numbers, one of which may be pointed at, and its code. */
  inspect(key, title, numbers, at) {
    const { how, code, at: place } = LINES[key], [chapter, section] = place.split("#");
    const framework = document.documentElement.dataset.framework ?? this.config.framework ?? "pytorch";
    const number = `chapter ${chapter.slice(0, 2)}`;
    const where = this.config.pages === null ? number
      : make("a", { href: `${this.config.pages}${chapter}.html#${section}` }, number);
    const children = [make("p", {}, make("strong", {}, title), at === undefined ? "" : `, number ${at + 1} of ${numbers.length}: ${show(numbers[at], 4)}`)];
    if (numbers && numbers.length > 1) children.push(make("p", { className: "numbers", tabIndex: 0, role: "group", "aria-label": "all numbers" }, [...numbers].map(x => show(x, 3)).join("  ")));
    const changes = this.changesOf(Object.keys(AS_TRAINED));
    this.inspector.replaceChildren(make("div", {}, ...children), make("div", {}, make("p", {}, how),
      ...(changes.length ? [make("p", {}, `But not as the model was trained: ${changes.join(", ")}.`)] : []),
      make("pre", {}, code[framework] ?? code.pytorch), make("p", { className: "soft" }, "from ", where)));
  }

  get isTransformer() { return this.model.config.kind === "transformer"; }

  /** A word that is looked at, and one that looks. */
  inspectKey(i) {
    if (this.settings.look === "own") this.inspectTarget(i - 1); // <bos> is fed first
    else this.inspectSource(i);
  }

  inspectRow(j) {
    if (this.settings.look === "encoder") this.inspectSource(j);
    else this.inspectTarget(j);
  }

  inspectSource(i) {
    const { source, length, encoded } = this.run, line = this.isTransformer ? "encoded" : "source";
    if (i >= source.length) this.inspectNothing();
    else if (i > length) this.inspect(line, "<pad>: its output is 0 everywhere");
    else this.inspect(line, `“${spoken(source[i])}”, its output of the encoder`, encoded.outputs[i]);
  }

  inspectTarget(k) {
    const { words, steps } = this.run;
    if (k < 0 || k >= this.settings.step) return this.inspectNothing();
    const id = this.model.tgtVocab.idOf(words[k]);
    this.inspect("word", `“${spoken(words[k])}”, word ${k + 1}: logit ${show(steps[k].logits[id], 3)}, log-probability ${show(steps[k].logProbs[id], 3)}`);
  }

  inspectHead(block, head) {
    const { isTransformer, row, rows } = this, name = `block ${block + 1}, ${head < 0 ? "the mean of its heads" : `head ${head + 1}`}`;
    if (!isTransformer) return this.inspectNothing();
    this.inspect(head < 0 ? "mean" : "heads", `${name}: the weights of “${spoken(rows[row])}”`, this.lookOf(row, block, head).weights);
  }

  inspectLook(kind, i, row = this.row) {
    if (row >= this.rows.length) return this.inspectNothing();
    const { keys, scores, weights } = this.lookOf(row);
    if (i >= keys.length || weights[i] === undefined) return this.inspectNothing();
    const score = this.isTransformer ? "headScore" : "score";
    const word = `“${spoken(keys[i])}”${row === this.row ? "" : `, in the row of “${spoken(this.rows[row])}”`}`;
    if (kind === "weight") this.inspect(scores ? "weight" : "mean", `weight of ${word}: ${show(weights[i], 4)}; all weights`, weights);
    else if (scores) this.inspect(score, `score of ${word}: ${show(scores[i], 4)}; all scores`, scores);
    else this.inspect(score, `score of ${word}: every head has its own; choose one`);
  }

  inspectWord(id) {
    const step = this.run.steps[this.settings.step - 1];
    this.inspect("word", `“${spoken(this.model.tgtVocab.tokens[id])}”: logit ${show(step.logits[id], 4)}, log-probability ${show(step.logProbs[id], 4)}, probability ${Math.exp(step.logProbs[id]).toFixed(5)}`);
  }

  inspectBeam(beam, dropped) {
    const words = [];
    for (let one = beam; one.parent; one = one.parent) words.unshift(this.model.tgtVocab.tokens[one.token]);
    this.inspect("beam", `${dropped ? "Dropped" : "Kept"}: ${this.model.tgtVocab.detokenize(words)} — log-probability ${show(beam.total, 3)}, ${beam.length} ${beam.length > 1 ? "tokens" : "token"}, mean ${show(beam.score, 4)}`);
  }
}

customElements.define("attention-explorer", class extends HTMLElement {
  connectedCallback() {
    if (!this.shadowRoot)
      this.explorer = new Explorer(this, JSON.parse(this.querySelector('script[type="application/json"]').textContent));
  }
});

// In a notebook the frame around the page grows with it
if (window.frameElement)
  new ResizeObserver(() => { frameElement.height = document.documentElement.offsetHeight; }).observe(document.body);
