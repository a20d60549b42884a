// The explorer: a trained model that runs in the reader's browser, step by step, number by number.
//
// <attention-explorer> is one element. A script of type application/json within it says what to show:
// models ({name, url} or {name, data}, in base64), examples (source, target and alignment), and, for
// the book, where its pages are. model.js computes; what stands here shows it.

import { LINES } from "./lines.js";
import { AS_TRAINED, beamSearch, largest, loadModel, logSoftmax, teacherForcing } from "./model.js";
import { STYLE } from "./style.js";

// Everything that a link carries. `force` is words that the reader has put in, as "2:la 4:petit".
const AT_FIRST = {
  ...AS_TRAINED, model: 0, s: null, beam: 1, truth: false, force: "", gold: true, gates: false,
  look: "source", block: -1, head: -1, at: 0, step: 1,
};
const LIMITS = { temperature: [0.1, 10], padding: [0, 8], beam: [1, 8], step: [1, 999], at: [0, 127] };
const LOOKS = { source: "the source", own: "its own words", encoder: "each other, in the encoder" };

// What to try: settings, and what to look for. Words to put in are for a sentence of the grammar.
const TRIES = [
  { name: "Force a word", set: { s: "this small white car is very new .", force: "0:ces", step: 2 },
    see: "The first word was to be cette, and is now ces. So petite becomes petits: the decoder answers to what is written. Choose another word yourself, at any step." },
  { name: "Feed the truth", set: { s: "must we not sing ?", truth: true, step: 4 },
    see: "Each step reads the reference, as in training, so a wrong word is forgotten at once. Fed its own words, the model has to live with it." },
  { name: "Softer softmax", set: { temperature: 4 },
    see: "Scores divided by 4: the weights spread, and the context becomes a mixture. At 0.1 one word has it all." },
  { name: "Mask off", set: { padding: 4, masked: false, temperature: 3 },
    see: "Four places of padding and nothing to keep them out: they get weight, which real words lose. (The softmax is softened, to show it.)" },
  { name: "Mask on", set: { padding: 4, temperature: 3 },
    see: "The same behind the mask: padding weighs exactly 0." },
  { name: "Scaled or not", set: { rescaled: true },
    see: "Bahdanau’s scores divided by √d, the Transformer’s no longer. It acts like a temperature that the model was not trained for." },
  { name: "Keys for values", set: { swapped: true },
    see: "Bahdanau’s keys and values are the same vectors: nothing changes. Choose the Transformer below, whose are not, and it falls apart." },
  { name: "One-way encoder", set: { s: "we work in the big hotel .", oneWay: true },
    see: "No word knows what stands behind it: the outputs’ backward half is 0, or masked. The model was not trained so. What is left of the translation?" },
  { name: "Uniform weights", set: { uniform: true },
    see: "Every word weighs the same, at each step: one context for all, the bottleneck of chapter 04. See where it begins to repeat itself." },
  { name: "Beam of 2", set: { s: "the actress 's cake is good .", beam: 2, step: 3 },
    see: "Greedy search starts with l’, and no noun fits. Here le stays in the race, and wins. Struck out is what was dropped." },
  { name: "Beam of 4", set: { s: "is the cow tired when i arrive ?", beam: 4, step: 99 },
    see: "Four beginnings; thick is the way to the best. Was it the first at every step? Compare with beam 1, which forgets half of the question." },
  { name: "Gold alignment", set: { s: "this tired girl does not speak to these neighbors .", truth: true, step: 3 },
    see: "Frames: the word that it comes from, as the grammar knows. Look for weight beside its frame, under a word that is right all the same." },
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
  const buttons = () => [...group.querySelectorAll(selector)].filter(e => !e.disabled && e.style.visibility !== "hidden");
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
const spoken = token => (token === " " ? "␣" : token.replace(/^ /, "␣"));

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
      return;
    }
    this.useModel();
  }

  async fetchModel({ url, data }) {
    if (data !== undefined) return Uint8Array.from(atob(data), c => c.charCodeAt(0)).buffer;
    const answer = await fetch(new URL(url, document.baseURI));
    if (!answer.ok) throw new Error(`${url} answers ${answer.status}`);
    return answer.arrayBuffer();
  }

  /** A file that the reader has chosen or dropped. What is wrong with it is said; the page lives on. */
  async openFile(file) {
    try {
      if (file.size > 2e8) throw new Error(`it has ${Math.round(file.size / 1e6)} MB, and the explorer takes up to 200`);
      const model = loadModel(await file.arrayBuffer());
      this.config.models.push({ name: file.name });
      this.settings = { ...AT_FIRST, model: this.config.models.length - 1 };
      this.loaded.set(this.settings.model, model);
      this.model = model;
      this.fillModels();
    } catch (error) {
      this.say(`${file.name} cannot be shown: ${error.message}. The model that was here is still here.`, true);
      return;
    }
    this.useModel();
  }

  /** Show the model's sentence: the one asked for, an example, or some of its words. */
  useModel() {
    const { srcVocab, tgtVocab } = this.model;
    this.examples = this.config.examples.filter(([source, target]) =>
      source.every(word => srcVocab.has(word)) && target.every(word => tgtVocab.has(word)));
    this.settings.s ??= this.examples.length ? this.examples[0][0].join(" ")
      : srcVocab.detokenize(srcVocab.tokens.filter(token => !/^<.*>$/.test(token)).slice(0, 4));
    if (!this.config.small)
      TRIES.forEach(({ set }, i) => { // what speaks of a sentence is for models that know its words
        this.tryButtons[i].parentNode.hidden = set.s && !set.s.split(" ").every(word => srcVocab.has(word));
      });
    if (document.activeElement !== this.host || this.root.activeElement !== this.input) this.input.value = this.settings.s;
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
      if (LIMITS[name]) value = Math.max(LIMITS[name][0], Math.min(value, LIMITS[name][1]));
      if (name === "model" && !this.config.models[value]) continue;
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

  /** Words that the reader has put in, by their places. */
  get forced() {
    const forced = new Map();
    for (const part of this.settings.force.split(" ")) {
      const [, place, word] = /^(\d+):(.*)$/.exec(part) ?? [];
      if (this.model.tgtVocab.has(word)) forced.set(Number(place), word);
    }
    return forced;
  }

  force(place, word) {
    const forced = this.forced;
    for (const later of forced.keys()) if (later > place) forced.delete(later); // they answered to another beginning
    if (word === null) forced.delete(place);
    else forced.set(place, word);
    const force = [...forced].map(([at, one]) => `${at}:${one}`).join(" ");
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
    this.message = null;
    try {
      this.run = this.compute();
    } catch (error) {
      this.run = null;
      this.say(`${error.message[0].toUpperCase()}${error.message.slice(1)}.`, true);
    }
    this.showRun();
  }

  /** Everything about a sentence: its words, the steps of decoding, and the words that they write. */
  compute() {
    const { model, settings } = this, { srcVocab, tgtVocab } = model;
    const tokens = srcVocab.tokenize(settings.s);
    if (tokens.length === 0) throw new Error("there is no word in the sentence; type one");
    const ids = model.encode(tokens);
    const how = Object.fromEntries(Object.keys(AS_TRAINED).map(key => [key, settings[key]]));
    const pair = this.examples.find(([source]) => source.join(" ") === tokens.join(" "));
    const forced = this.forced;
    const source = [...tokens, "<eos>", ...Array(how.padding).fill("<pad>")];
    const run = { source, length: tokens.length, unknown: tokens.filter(token => !srcVocab.has(token)), pair, forced };
    if (settings.truth && pair) {
      const words = [...pair[1].map((word, place) => forced.get(place) ?? word), "<eos>"];
      const fed = words.map(word => tgtVocab.idOf(word));
      run.steps = teacherForcing(model, ids, [tgtVocab.bos, ...fed.slice(0, -1)], how);
      Object.assign(run, { words, truth: true });
    } else {
      const places = new Map([...forced].map(([place, word]) => [place, tgtVocab.idOf(word)]));
      const found = beamSearch(model, ids, { beamSize: settings.beam, how, forced: places });
      Object.assign(run, found, { words: found.ids.map(id => tgtVocab.tokens[id]) });
    }
    run.encoded = run.steps[0].state.encoded;
    run.words.forEach((word, k) => {
      const step = run.steps[k];
      step.logProbs = logSoftmax(step.logits);
      step.best = largest(step.logProbs, 5);
      step.said = tgtVocab.tokens[step.best[0]];
    });
    // Gold links hold for as long as the words are the reference's
    const reference = pair ? [...pair[1], "<eos>"] : [];
    const same = run.words.findIndex((word, k) => word !== reference[k]);
    run.right = same < 0 ? run.words.length : same;
    run.gold = new Set(pair?.[2].filter(([, j]) => j < run.right).map(([i, j]) => `${i} ${j}`));
    return run;
  }

  /** The looks of a block's heads that are shown, for the step; and the words that they look at. */
  looksOf(k) {
    const { look, at } = this.settings, { run } = this, step = run.steps[k];
    if (look === "own") return { blocks: step.own, keys: ["<bos>", ...run.words.slice(0, k)] };
    if (look === "encoder") {
      const place = Math.min(at, run.length);
      return { blocks: run.encoded.looks.map(rows => rows[place]), keys: run.source.slice(0, run.length + 1) };
    }
    return { blocks: step.looks, keys: run.source };
  }

  /** The look that is shown: one head's, or the mean of a block's. */
  lookOf(k) {
    const { blocks, keys } = this.looksOf(k), { block, head } = this.settings;
    const heads = blocks.at(Math.min(block, blocks.length - 1));
    if (heads.length === 1 || heads[head]) return { ...(heads[head] ?? heads[0]), keys };
    const weights = heads[0].weights.map((_, i) => heads.reduce((sum, one) => sum + one.weights[i], 0) / heads.length);
    return { weights, keys, scores: null, query: null, output: null };
  }

  // --- The page, once ---

  build() {
    const { small } = this.config;
    this.input = make("input", { type: "text", autocomplete: "off", spellcheck: false,
      oninput: () => { this.offer(); this.change({ s: this.input.value, force: "", step: 1, at: 0 }); } });
    const another = make("button", { type: "button", onclick: () => this.another() }, "Another one");
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
    this.inspector = make("aside", { className: "inspect", "aria-label": "The numbers and the code" });
    this.body = make("div", {},
      make("div", { className: "row" }, make("span", {}, "Source"), this.source),
      make("div", { className: "row" }, make("span", {}, "Target"), this.target),
      transport, this.status);
    this.root.append(
      make("div", { className: "sentence" }, make("label", {}, "Sentence", this.input), another),
      this.offers, this.note, this.body);
    if (small) {
      this.more = make("a", {}, "Open the explorer: every number of these steps, and what to try");
      this.body.append(make("p", {}, this.more));
      return;
    }
    this.buildStep();
    this.root.append(this.buildTries(), this.buildSettings());
    this.inspectNothing();
    for (const event of ["dragover", "dragleave", "drop"])
      this.host.addEventListener(event, one => {
        one.preventDefault();
        this.body.classList.toggle("dropping", event === "dragover");
        if (event === "drop" && one.dataTransfer.files[0]) this.openFile(one.dataTransfer.files[0]);
      });
  }

  buildStep() {
    this.lookTitle = make("caption");
    this.lookBody = make("tbody");
    this.settleLook = rove(this.lookBody);
    const head = make("tr", {}, ...["word", "score", "weight"].map(name => make("th", { scope: "col" }, name)));
    const look = make("section", {}, make("table", {}, this.lookTitle, make("thead", {}, head), this.lookBody), this.inspector);
    this.strips = make("section");
    this.nextTitle = make("caption");
    this.nextBody = make("tbody");
    this.settleNext = rove(this.nextBody);
    const columns = make("tr", {}, ...["word", "probability", ""].map(name => make("th", { scope: "col" }, name || make("span", { className: "unseen" }, "choose"))));
    this.own = make("input", { type: "text", list: "target-words", autocomplete: "off", "aria-label": "Another word for this place" });
    this.words = make("datalist", { id: "target-words" });
    this.undo = make("button", { type: "button", onclick: () => this.force(this.settings.step - 1, null) }, "Let the model choose");
    const put = () => {
      const word = this.own.value.trim();
      if (this.model.tgtVocab.has(word)) this.force(this.settings.step - 1, word);
      else this.say(`“${word}” is not in the target's vocabulary.`, true);
    };
    this.own.addEventListener("keydown", event => { if (event.key === "Enter") put(); });
    const next = make("section", {},
      make("table", {}, this.nextTitle, make("thead", {}, columns), this.nextBody),
      make("div", { className: "force" }, this.own, this.words, make("button", { type: "button", onclick: put }, "Write this word"), this.undo));
    this.heads = make("div", { className: "heads" });
    this.settleHeads = rove(this.heads);
    this.kind = make("select", { onchange: () => this.change({ look: this.kind.value, head: -1 }) },
      ...Object.entries(LOOKS).map(([value, text]) => make("option", { value }, text)));
    this.headsPart = make("section", {}, make("h2", {}, "Heads and layers"),
      make("label", {}, "Words look at ", this.kind), this.heads);
    this.tree = make("div", { className: "tree", role: "group", "aria-label": "The beginnings that the search followed" });
    this.settleTree = rove(this.tree);
    this.treePart = make("section", {}, make("h2", {}, "The search"),
      make("p", { className: "soft" }, "A column for each step, the best first. Struck out: dropped. Thick: the way to the best. The number is the mean log-probability."),
      this.tree);
    this.allTable = make("table");
    this.all = make("details", { className: "all", ontoggle: () => this.showAll() },
      make("summary", {}, "All steps so far, as a table of weights"), make("div", { className: "wide", tabIndex: 0, role: "region", "aria-label": "Weights of all steps" }, this.allTable));
    this.body.append(make("div", { className: "columns" }, look, make("div", {}, next, this.strips)),
      this.headsPart, this.treePart, this.all);
  }

  buildTries() {
    const list = make("ul", { className: "tries" }, ...TRIES.map(({ name, set, see }) => {
      const press = make("button", { type: "button", "aria-pressed": "false", onclick: () => {
        const { s, model } = this.settings;
        this.input.value = set.s ?? s;
        this.change({ ...AT_FIRST, s, model, ...set });
      } }, name);
      return make("li", {}, press, make("span", {}, see));
    }));
    this.tryButtons = [...list.querySelectorAll("button")];
    const reset = make("button", { type: "button", onclick: () => {
      const { s, model } = this.settings;
      this.change({ ...AT_FIRST, s, model });
    } }, "As it was trained");
    return make("section", { className: "tries-part" }, make("h2", {}, "Things to try"), list, make("p", {}, reset));
  }

  buildSettings() {
    const inputs = this.controls = {};
    const check = (name, text) => {
      inputs[name] = make("input", { type: "checkbox", onchange: () => this.change({ [name]: inputs[name].checked }) });
      return make("label", {}, inputs[name], text);
    };
    const range = (name, text, options) => {
      inputs[name] = make("input", { type: "range", ...options, oninput: () => this.change({ [name]: options.read?.(inputs[name].valueAsNumber) ?? inputs[name].valueAsNumber }) });
      this[`${name}Shown`] = make("span");
      return make("label", {}, text, inputs[name], this[`${name}Shown`]);
    };
    const radios = (name, choices) => make("div", { className: "radios" }, ...choices.map(([value, text]) => {
      const input = make("input", { type: "radio", name, value: String(value), onchange: () => this.change({ [name]: value, step: 1 }) });
      (inputs[name] ??= []).push(input);
      return make("label", {}, input, text);
    }));
    const group = (title, ...children) => make("fieldset", {}, make("legend", {}, title), ...children);
    this.chooser = make("select", { onchange: () => {
      this.touched = true;
      this.pause();
      this.settings = { ...this.settings, model: Number(this.chooser.value), look: "source", block: -1, head: -1 };
      this.writeLink();
      this.start();
    } });
    this.fillModels();
    const file = make("input", { type: "file", accept: ".safetensors", className: "unseen", tabIndex: -1, "aria-label": "A model's file",
      onchange: () => { if (file.files[0]) this.openFile(file.files[0]); file.value = ""; } });
    const copy = make("button", { type: "button", onclick: async () => {
      this.touched = true;
      this.writeLink();
      try {
        await navigator.clipboard.writeText(new URL(this.link(), location.href).href);
        copy.textContent = "Copied";
      } catch {
        copy.textContent = "It is in the address bar";
      }
      setTimeout(() => { copy.textContent = "Copy a link to this"; }, 2000);
    } }, "Copy a link to this");
    copy.hidden = location.protocol === "about:";
    this.truthNote = make("small");
    const trained = group("Attention to the source",
      range("temperature", "Temperature ", { min: -1, max: 1, step: 0.05, read: x => Number((10 ** x).toFixed(2)) }),
      range("padding", "Padding ", { min: 0, max: 8, step: 1 }),
      check("masked", "mask: keep padding out"), check("rescaled", "change the scale by √d"),
      check("swapped", "keys for values, values for keys"), check("uniform", "uniform weights"),
      check("oneWay", "encoder reads one way only"));
    return make("section", { className: "settings-part" }, make("h2", {}, "Settings"), make("div", { className: "settings" },
      make("div", {},
        group("The decoder is fed", radios("truth", [[false, "its own words"], [true, "the truth"]]), this.truthNote),
        group("Beam", radios("beam", [[1, "1, greedy"], [2, "2"], [4, "4"]])),
        group("Shown", check("gold", "gold alignment"), check("gates", "gates of the recurrent unit")),
        group("Model", make("label", {}, "Model", this.chooser),
          make("button", { type: "button", onclick: () => file.click() }, "Open a file, or drop one here"), file, " ", copy)),
      trained));
  }

  fillModels() {
    this.chooser.replaceChildren(...this.config.models.map(({ name }, i) => make("option", { value: i }, name)));
  }

  // --- What the reader does ---

  another() {
    if (!this.examples?.length) {
      this.say("No sentence is stored for this model; type one.", true);
      return;
    }
    const at = this.examples.findIndex(([source]) => source.join(" ") === this.settings.s);
    this.input.value = this.examples[(at + 1) % this.examples.length][0].join(" ");
    this.offer();
    this.change({ s: this.input.value, force: "", step: 1, at: 0 });
  }

  /** Words of the vocabulary that begin as the last one that was typed. */
  offer() {
    const vocab = this.model?.srcVocab;
    if (!vocab) return;
    const [, before, begun] = /^(.*?)([^\s]*)$/s.exec(this.input.value);
    const found = vocab.tokens.filter(token => !/^<.*>$/.test(token) && token !== begun && token.trim() === token
      && token.startsWith(begun.toLowerCase())).slice(0, 8);
    fill(this.offers, found, () => make("button", { type: "button", onclick: event => {
      const [, kept] = /^(.*?)([^\s]*)$/s.exec(this.input.value);
      this.input.value = `${kept}${event.currentTarget.textContent} `;
      this.offer();
      this.change({ s: this.input.value, force: "", step: 1, at: 0 });
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
    this.message = text;
    this.note.textContent = text;
    this.note.classList.toggle("wrong", wrong);
    this.note.hidden = !text;
  }

  // --- Showing ---

  /** The sentence and its settings, after a change. */
  showRun() {
    const { run, settings } = this;
    this.body.hidden = !run;
    if (!this.config.small) this.showSettings();
    this.writeLink();
    if (!run) return;
    if (!this.message) {
      const unknown = [...new Set(run.unknown)];
      this.say(unknown.length ? `Not in the vocabulary, read as <unk>: ${unknown.join(", ")}.` : "", unknown.length > 0);
    }
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
    if (!this.config.small) {
      this.showTree();
      this.words.replaceChildren(...this.model.tgtVocab.tokens.slice(3).map(value => make("option", { value })));
    }
    this.showStep();
    this.settleTarget();
  }

  makeWord(press, point) {
    const word = make("button", { type: "button", className: "word", onclick: press }, make("span"), make("small"));
    for (const event of ["pointerenter", "focus"]) word.addEventListener(event, point);
    return word;
  }

  /** One step: what it looked at, and what it writes. */
  showStep() {
    const { run, settings, config } = this, k = settings.step - 1, step = run.steps[k];
    const look = this.lookOf(k);
    this.slider.value = settings.step;
    this.count.textContent = `step ${settings.step} of ${run.words.length}`;
    const gold = i => settings.gold && settings.look === "source" && run.gold.has(`${i} ${k}`);
    const weigh = (group, weights) => [...group.children].forEach((word, i) => {
      const weight = weights?.[i];
      word.style.setProperty("--w", weight === undefined ? 0 : weight.toFixed(3));
      word.lastChild.textContent = weight === undefined ? "\u00a0" : weight.toFixed(2);
    });
    weigh(this.source, settings.look === "own" ? null : look.weights);
    weigh(this.target, settings.look === "own" ? look.weights.subarray(1) : null);
    [...this.source.children].forEach((word, i) => {
      word.classList.toggle("gold", gold(i));
      word.classList.toggle("now", settings.look === "encoder" && i === Math.min(settings.at, run.length));
    });
    [...this.target.children].forEach((word, j) => {
      word.classList.toggle("later", j > k);
      word.classList.toggle("now", j === k);
      word.disabled = j > k;
      if (j === k) word.setAttribute("aria-current", "step");
      else word.removeAttribute("aria-current");
    });
    const most = look.weights.indexOf(Math.max(...look.weights));
    const chance = Math.exp(step.logProbs[this.model.tgtVocab.idOf(run.words[k])]);
    const why = run.forced.has(k) ? ", because you say so" : run.truth ? ", because it is the truth" : "";
    this.status.textContent = `“${spoken(run.words[k])}” is written${why} (${percent(chance)}`
      + `${step.said === run.words[k] ? "" : `; likelier here: “${spoken(step.said)}”`})`
      + `; most weight: “${spoken(look.keys[most])}” ${look.weights[most].toFixed(2)}.`;
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
    if (this.all.open) this.showAll();
    this.refreshInspector();
  }

  showLook({ keys, scores, weights }, gold) {
    const { run, settings } = this, transformer = this.model.config.kind === "transformer";
    const word = settings.look === "encoder" ? run.source[Math.min(settings.at, run.length)] : run.words[settings.step - 1];
    this.lookTitle.textContent = `What ${settings.look === "own" ? "the step that writes" : settings.look === "encoder" ? "the source word" : "the step that writes"} `
      + `“${spoken(word)}” looks at`;
    const limit = scores ? scores.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-9) : 1;
    fill(this.lookBody, keys, i => {
      const cell = kind => {
        const number = make("button", { type: "button", className: "plain number" });
        for (const event of ["pointerenter", "focus", "click"]) number.addEventListener(event, () => this.inspectLook(kind, i));
        const bar = make("span", { className: "bar" });
        if (kind === "score") bar.classList.add("signed");
        bar.addEventListener("pointerenter", () => this.inspectLook(kind, i));
        return make("td", {}, make("div", { className: "cell" }, number, bar));
      };
      return make("tr", {}, make("th", { scope: "row" }), cell("score"), cell("weight"));
    }, (row, key, i) => {
      const [name, score, weight] = row.children;
      name.textContent = spoken(key);
      row.classList.toggle("gold", gold(i));
      name.classList.toggle("gold", gold(i));
      if (gold(i)) name.append(make("span", { className: "unseen" }, " (gold)"));
      const set = (cell, value, part) => {
        const [number, bar] = cell.firstChild.children;
        number.textContent = value === undefined ? "–" : show(value);
        bar.style.setProperty("--v", value === undefined ? 0 : part.toFixed(4));
        bar.classList.toggle("below", value < 0);
      };
      set(score, scores?.[i], scores ? scores[i] / limit : 0);
      set(weight, weights[i], weights[i]);
    });
    this.settleLook();
    this.lookTitle.append(transformer && !scores ? make("small", {}, " (the mean of the block's heads; choose a head below for its scores)") : "");
  }

  showNext(k, step) {
    const { run, settings } = this, { tgtVocab } = this.model;
    const ids = [...step.best], chosen = tgtVocab.idOf(run.words[k]);
    if (!ids.includes(chosen)) ids.push(chosen);
    this.nextTitle.textContent = run.truth ? "The likeliest words; bold is the one that is fed" : "The likeliest next words";
    fill(this.nextBody, ids, () => {
      const number = make("button", { type: "button", className: "plain number" });
      const bar = make("span", { className: "bar" });
      const row = make("tr", {}, make("th", { scope: "row" }), make("td", {}, make("div", { className: "cell" }, number, bar)),
        make("td", {}, make("button", { type: "button", onclick: () => this.force(this.settings.step - 1, tgtVocab.tokens[row.word]) }, "write it")));
      for (const event of ["pointerenter", "focus", "click"]) number.addEventListener(event, () => this.inspectWord(row.word));
      bar.addEventListener("pointerenter", () => this.inspectWord(row.word));
      return row;
    }, (row, id) => {
      row.word = id;
      const p = Math.exp(step.logProbs[id]), [name, cell, choose] = row.children, [number, bar] = cell.firstChild.children;
      name.textContent = spoken(tgtVocab.tokens[id]);
      row.classList.toggle("now", id === chosen);
      number.textContent = percent(p);
      number.style.width = "4.6rem";
      bar.style.setProperty("--v", p.toFixed(4));
      choose.firstChild.disabled = id === chosen;
      choose.firstChild.setAttribute("aria-label", `write it: ${tgtVocab.tokens[id]}`);
    });
    this.settleNext();
    this.undo.hidden = !run.forced.has(k);
    this.own.value = "";
    this.headsPart.hidden = this.model.config.kind !== "transformer";
    this.kind.value = settings.look;
  }

  /** The vectors of a step, each a strip: query, context and, if asked for, the gates. */
  showStrips(look, step) {
    const head = this.model.config.kind === "transformer";
    const shown = look.query ? [[head ? "headQuery" : "query", "Query", look.query], [head ? "headOutput" : "context", head ? "Output of the head" : "Context", look.output]] : [];
    if (this.settings.gates)
      step.gates.forEach((gates, layer) => {
        const of = step.gates.length > 1 ? `, layer ${layer + 1}` : "";
        for (const [name, text] of [["r", "Reset gate r"], ["z", "Update gate z"], ["n", "Candidate n"], ["h", "New state"]])
          shown.push([name, text + of, gates[name]]);
      });
    fill(this.strips, shown, () => {
      const canvas = make("canvas", { tabIndex: 0, role: "img" });
      const strip = make("div", { className: "strip" }, make("span"), canvas);
      const inspect = i => this.inspect(strip.key, strip.title_, strip.numbers, i);
      canvas.addEventListener("focus", () => inspect());
      canvas.addEventListener("pointermove", event => inspect(Math.min(strip.numbers.length - 1,
        Math.max(0, Math.floor((event.offsetX / canvas.clientWidth) * strip.numbers.length)))));
      return strip;
    }, (strip, [key, title, numbers]) => {
      Object.assign(strip, { key, title_: title, numbers });
      const low = numbers.reduce((a, b) => Math.min(a, b)), high = numbers.reduce((a, b) => Math.max(a, b));
      strip.firstChild.textContent = `${title}, ${numbers.length} numbers from ${show(low)} to ${show(high)}`;
      strip.lastChild.setAttribute("aria-label", strip.firstChild.textContent);
      paint(strip.lastChild, numbers, Math.max(1, high, -low));
    });
  }

  /** A small picture of every head: a row for each step so far, a column for each word looked at. */
  showHeads() {
    if (this.headsPart.hidden) return;
    const { run, settings } = this, k = settings.step - 1, { num_layers, num_heads } = this.model.config;
    const place = Math.min(settings.at, run.length);
    const rows = settings.look === "encoder" ? run.encoded.looks[0].map((_, t) => t) : run.steps.slice(0, k + 1).map((_, t) => t);
    const looks = t => (settings.look === "encoder" ? run.encoded.looks.map(all => all[t])
      : run.steps[t][settings.look === "own" ? "own" : "looks"]);
    const all = rows.map(looks), current = settings.look === "encoder" ? place : k;
    const total = settings.look === "encoder" ? rows.length : run.steps.length;
    const width = all.at(-1)[0][0].weights.length;
    const block = settings.block < 0 ? num_layers - 1 : Math.min(settings.block, num_layers - 1);
    const blocks = Array.from({ length: num_layers }, (_, i) => i);
    fill(this.heads, blocks, layer => {
      const buttons = Array.from({ length: num_heads + 1 }, (_, head) => {
        const text = head < num_heads ? `head ${head + 1}` : "mean";
        const button = make("button", { type: "button", "aria-label": `block ${layer + 1}, ${text}`,
          onclick: () => this.change({ block: layer, head: head < num_heads ? head : -1 }) }, make("span", {}, text));
        if (head < num_heads) button.append(make("canvas"));
        return button;
      });
      return make("div", {}, make("span", {}, `Block ${layer + 1}`), ...buttons);
    }, (line, layer) => [...line.children].slice(1).forEach((button, head) => {
      const chosen = layer === block && (head === settings.head || (head === num_heads && settings.head < 0));
      button.setAttribute("aria-pressed", chosen);
      const canvas = button.querySelector("canvas");
      if (!canvas) return;
      canvas.width = width, canvas.height = total;
      const pixels = new ImageData(width, total);
      all.forEach((looks, t) => looks[layer][head].weights.forEach((weight, i) => {
        pixels.data.set(t === current ? [230, 159, 0] : [0, 114, 178], 4 * (t * width + i));
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
    const WIDTH = 124, HEIGHT = 48, em = { width: 102, height: 40 };
    const best = new Set(path), places = new Map();
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const buttons = [];
    const line = (from, to, thick) => {
      const one = document.createElementNS("http://www.w3.org/2000/svg", "line");
      const ends = { x1: from.x + em.width, y1: from.y + em.height / 2, x2: to.x, y2: to.y + em.height / 2 };
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
        const button = make("button", { type: "button", className: "node", onclick: () => this.inspectBeam(beam, out) }, label, make("small", {}, show(beam.score, 3)));
        button.setAttribute("aria-label", `step ${t + 1}, ${label}, score ${show(beam.score, 3)}${out ? ", dropped" : best.has(beam) ? ", on the best way" : ""}`);
        for (const event of ["pointerenter", "focus"]) button.addEventListener(event, () => this.inspectBeam(beam, out));
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
    if (!this.treePart.hidden) this.tree.scrollLeft = (this.settings.step + 1) * 124 - this.tree.clientWidth;
  }

  showAll() {
    if (!this.all.open || !this.run) return;
    const { run, settings } = this, last = settings.look === "encoder" ? run.length + 1 : settings.step;
    const keys = settings.look === "own" ? ["<bos>", ...run.words.slice(0, last - 1)] : this.looksOf(0).keys;
    const rows = settings.look === "encoder" ? run.source.slice(0, last) : run.words.slice(0, last);
    const at = settings.at;
    this.allTable.replaceChildren(
      make("thead", {}, make("tr", {}, make("td"), ...keys.map(key => make("th", { scope: "col" }, spoken(key))))),
      make("tbody", {}, ...rows.map((word, j) => {
        settings.at = settings.look === "encoder" ? j : at;
        const { weights } = this.lookOf(settings.look === "encoder" ? 0 : j);
        return make("tr", {}, make("th", { scope: "row" }, spoken(word)), ...keys.map((_, i) => {
          const cell = make("td", {}, weights[i] === undefined ? "" : weights[i].toFixed(2));
          if (weights[i] !== undefined) cell.style.setProperty("--w", weights[i].toFixed(3));
          cell.classList.toggle("gold", settings.gold && settings.look === "source" && run.gold.has(`${i} ${j}`));
          return cell;
        }));
      })));
    settings.at = at;
    this.all.classList.toggle("many", keys.length > 12);
  }

  showSettings() {
    const { settings, controls, run } = this;
    for (const [name, input] of Object.entries(controls)) {
      if (Array.isArray(input)) for (const one of input) one.checked = one.value === String(settings[name]);
      else if (input.type === "checkbox") input.checked = settings[name];
    }
    controls.temperature.value = Math.log10(settings.temperature);
    this.temperatureShown.textContent = settings.temperature.toFixed(2);
    controls.padding.value = settings.padding;
    this.paddingShown.textContent = settings.padding;
    this.chooser.value = settings.model;
    const transformer = this.model?.config.kind === "transformer";
    controls.gates.disabled = transformer;
    const [, truth] = controls.truth;
    truth.disabled = !run?.pair;
    this.truthNote.textContent = run?.pair ? "" : "The truth is known of the stored sentences only (“Another one”), and so is the gold alignment.";
    const { s, model, step, ...others } = settings;
    TRIES.forEach(({ set }, i) => {
      const { s: sentence = s, step: place, ...asked } = { ...AT_FIRST, ...set, s: set.s ?? s };
      const { model: _, ...wanted } = asked;
      this.tryButtons[i].setAttribute("aria-pressed", sentence === s && Object.keys(wanted).every(key => wanted[key] === others[key]));
    });
  }

  // --- Pointing at something ---

  inspectNothing() {
    this.inspector.replaceChildren(make("p", { className: "soft" },
      "Point at a number, a bar, a strip or a word, or reach it with Tab and the arrow keys: here stand its numbers, and the line of the chapter that makes them."));
  }

  /** Say what a thing is: its numbers, one of which may be pointed at, and its code. */
  inspect(key, title, numbers, at) {
    if (this.config.small) return;
    this.inspected = null;
    const { how, code, at: place } = LINES[key], [chapter, section] = place.split("#");
    const framework = document.documentElement.dataset.framework ?? this.config.framework ?? "pytorch";
    const number = `chapter ${chapter.slice(0, 2)}`;
    const where = this.config.pages === null ? number
      : make("a", { href: `${this.config.pages}${chapter}.html#${section}` }, number);
    const children = [make("p", {}, make("strong", {}, title), at === undefined ? "" : `, number ${at + 1} of ${numbers.length}: ${show(numbers[at], 4)}`)];
    if (numbers && numbers.length > 1) children.push(make("p", { className: "numbers", tabIndex: 0, role: "group", "aria-label": "all numbers" }, [...numbers].map(x => show(x, 3)).join("  ")));
    children.push(make("p", {}, how), make("pre", {}, (code[framework] ?? code.pytorch)), make("p", { className: "soft" }, "from ", where));
    this.inspector.replaceChildren(...children);
  }

  /** After a step, what is pointed at has other numbers. */
  refreshInspector() { this.inspected?.(); }

  inspectSource(i) {
    const { run } = this;
    const weight = this.lookOf(this.settings.step - 1).weights[i];
    if (i > run.length) this.inspect("source", `<pad>: its output is 0 everywhere; weight ${weight?.toFixed(4)}`);
    else this.inspect("source", `“${spoken(run.source[i])}”, its output of the encoder`, run.encoded.outputs[i]);
  }

  inspectTarget(k) {
    if (k < this.settings.step) this.inspectStep(k);
  }

  inspectStep(k) {
    const { run } = this, id = this.model.tgtVocab.idOf(run.words[k]);
    this.inspect("word", `“${spoken(run.words[k])}”, word ${k + 1}: logit ${show(run.steps[k].logits[id], 3)}, log-probability ${show(run.steps[k].logProbs[id], 3)}`);
  }

  inspectLook(kind, i) {
    const look = this.lookOf(this.settings.step - 1), word = spoken(look.keys[i]);
    const transformer = this.model.config.kind === "transformer";
    if (kind === "score" && !look.scores) this.inspect("headScore", `score of “${word}”: every head has its own; choose one`);
    else if (kind === "score") this.inspect(transformer ? "headScore" : "score", `score of “${word}”: ${show(look.scores[i], 4)}; all scores`, look.scores);
    else this.inspect("weight", `weight of “${word}”: ${show(look.weights[i], 4)}; all weights`, look.weights);
    this.inspected = () => this.inspectLook(kind, Math.min(i, this.lookOf(this.settings.step - 1).keys.length - 1));
  }

  inspectWord(id) {
    const step = this.run.steps[this.settings.step - 1];
    this.inspect("word", `“${spoken(this.model.tgtVocab.tokens[id])}”: logit ${show(step.logits[id], 4)}, log-probability ${show(step.logProbs[id], 4)}, probability ${Math.exp(step.logProbs[id]).toFixed(5)}`);
  }

  inspectBeam(beam, dropped) {
    const words = [];
    for (let one = beam; one.parent; one = one.parent) words.unshift(this.model.tgtVocab.tokens[one.token]);
    this.inspect("beam", `${dropped ? "Dropped" : "Kept"}: ${this.model.tgtVocab.detokenize(words)} — ${show(beam.total, 3)} in all, ${beam.length} words, mean ${show(beam.score, 4)}`);
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
