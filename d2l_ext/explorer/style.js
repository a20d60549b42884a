// How the explorer looks, in light, in dark and in print. It takes the page's own color scheme.

export const STYLE = `
:host {
  --blue: 0 114 178; /* #0072B2 and #E69F00, as in plots.py */
  --gold: #E69F00;
  --text: light-dark(#111, #f2f2f2);
  --soft: light-dark(#555, #bbb);
  --line: light-dark(#bbb, #666);
  --faint: light-dark(#e4e4e4, #3a3a3a);
  --paper: light-dark(#fff, #181818);
  --panel: light-dark(#f4f6f8, #242628);
  --negative: light-dark(#b35c00, #f0a04b);
  --bar: light-dark(#0072b2, #3aa0dc);
  --warn: light-dark(#a01414, #ff9c8f);
  display: block;
  container-type: inline-size;
  scroll-margin-top: 4rem; /* below the book's bar */
  color: var(--text);
  font: 16px/1.4 "DejaVu Sans", system-ui, sans-serif;
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
h2 { margin: 1.5rem 0 .5rem; font-size: 1.2rem; line-height: 1.3; }
p { margin: .4rem 0; }
a { color: light-dark(#00558a, #7cc4f0); }
.soft, small, caption { color: var(--soft); font-size: .875rem; }
button, input, select {
  padding: .3rem .6rem;
  border: 1px solid var(--line);
  border-radius: .3rem;
  background: var(--paper);
  color: inherit;
  font: inherit;
  font-size: .9375rem;
}
button { cursor: pointer; }
button:hover:not(:disabled, [aria-disabled="true"]) { border-color: var(--text); }
button:disabled, button[aria-disabled="true"] { color: var(--soft); cursor: default; }
button[aria-pressed="true"] { border-color: var(--text); box-shadow: inset 0 0 0 2px var(--text); }
:focus-visible { outline: 3px solid var(--bar); outline-offset: 1px; }
input[type="range"] { padding: 0; accent-color: var(--bar); }
input[type="checkbox"], input[type="radio"] { accent-color: var(--bar); margin: 0 .4rem 0 0; }
label { font-size: .9375rem; }

.sentence { display: flex; flex-wrap: wrap; gap: .5rem; align-items: end; }
.sentence label { flex: 1 1 18rem; min-width: 0; color: var(--soft); font-size: .875rem; }
.sentence input { display: block; width: 100%; font-size: 1.0625rem; color: var(--text); }
.sentence .model { flex: 0 1 auto; }
.sentence select { display: block; max-width: 100%; color: var(--text); }
.offers, .pills { display: flex; flex-wrap: wrap; gap: .3rem; align-items: center; margin: .4rem 0; }
.offers { min-height: 2.1rem; }
.offers button, .pills button { padding: .1rem .5rem; border-radius: 1rem; font-size: .875rem; }
.pills { margin-top: .8rem; }
.pills span { margin-right: .4rem; font-weight: 600; }
.hint { min-height: 2.8em; padding: .3rem .7rem; border-left: 4px solid var(--bar); background: var(--panel); font-size: .9375rem; }
.message { margin: .4rem 0; font-size: .9375rem; }
.message:empty { margin: 0; }
.message.wrong { padding: .4rem .7rem; border-left: 4px solid var(--warn); background: var(--panel); }

.row { display: flex; align-items: baseline; gap: .75rem; margin: .5rem 0; }
.row > :first-child { flex: 0 0 4rem; color: var(--soft); font-size: .875rem; }
@container (max-width: 30rem) { .row { display: block; } }
.words { display: flex; flex-wrap: wrap; gap: .25rem; min-width: 0; }
.word { min-width: 2.9rem; padding: .15rem .4rem; text-align: center; font-size: 1rem; }
.word, .all td { background-color: light-dark(rgb(var(--blue) / calc(var(--w, 0) * .85)), rgb(var(--blue) / var(--w, 0))); }
.word small:empty { display: none; }
.word small { display: block; font-size: .8125rem; color: inherit; }
.word.now { outline: 3px solid var(--text); outline-offset: 0; }
.word.now:focus-visible { outline-color: var(--bar); }
.word.later { visibility: hidden; }
.word.unknown { text-decoration: underline wavy var(--warn); }
.word.forced { border: 2px dashed var(--negative); }
.word.padding { border-style: dotted; }
.word.gold, td.gold, th.gold { box-shadow: inset 0 0 0 3px var(--gold); }

.transport { display: flex; flex-wrap: wrap; align-items: center; gap: .35rem; margin: .7rem 0; }
.transport input { flex: 1 1 8rem; min-width: 6rem; max-width: 22rem; }
.transport .count { min-width: 6.5em; color: var(--soft); font-size: .875rem; }

.columns { display: grid; gap: 1rem 2rem; margin-top: 1rem; }
.columns > *, .columns section { min-width: 0; }
@container (min-width: 42rem) { .columns { grid-template-columns: 1fr 1fr; } }
.columns section + section { margin-top: 1rem; }
.columns *, .heads *, .node, summary { scroll-margin-bottom: 14rem; } /* above .inspect */
table { border-collapse: collapse; width: 100%; font-size: .9375rem; font-variant-numeric: tabular-nums; }
caption { padding-bottom: .3rem; text-align: left; }
th { font-weight: normal; text-align: left; }
thead th { color: var(--soft); font-size: .8125rem; }
td, th { padding: .05rem .4rem .05rem 0; }
tbody tr { border-top: 1px solid var(--faint); }
tbody th { padding-left: .35rem; }
tr.now th { font-weight: 600; }
.plain { padding: .1rem .2rem; border: 0; background: none; width: 100%; text-align: inherit; }
.plain.number { text-align: right; width: 3.6rem; padding-inline: 0; white-space: nowrap; flex: none; }
.plain.chance { width: 4.6rem; }
.cell { display: flex; align-items: center; gap: .4rem; }
.bar { position: relative; flex: 1 1 auto; min-width: 2.5rem; height: .8rem; background: var(--faint); }
@container (max-width: 22rem) { .bar { min-width: 1.5rem; } }
.bar::after { content: ""; position: absolute; top: 0; bottom: 0; left: 0; width: calc(var(--v) * 100%); background: var(--bar); }
.bar.signed::after { left: calc(50% + min(0, var(--v)) * 50%); width: calc(max(var(--v), -1 * var(--v)) * 50%); }
.bar.signed.below::after { background: var(--negative); }
.bar.signed::before { content: ""; position: absolute; inset: -.1rem auto -.1rem 50%; width: 1px; background: var(--soft); }

.strip { margin: .3rem 0 .6rem; }
.strip canvas { display: block; width: 100%; height: 1.1rem; border: 1px solid var(--line); image-rendering: pixelated; cursor: crosshair; }
.strip span { font-size: .875rem; }
.force { display: flex; flex-wrap: wrap; gap: .4rem; align-items: center; margin: .5rem 0; }
.force input { width: 9rem; }

.inspect:has(pre) { position: sticky; bottom: 0; z-index: 1; } /* until something is pointed at it covers nothing */
.inspect { max-height: min(13rem, 35vh); overflow: auto; margin: 1rem 0 0; padding: .6rem .8rem;
  border: 1px solid var(--line); border-radius: .3rem; background: var(--panel); font-size: .875rem; }
@container (min-width: 42rem) { .inspect { display: flex; gap: 0 2rem; } .inspect:has(pre) { min-height: 6.5rem; } .inspect > * { flex: 1; min-width: 0; } }
.inspect p { margin: .1rem 0; }
.inspect pre { margin: .3rem 0; white-space: pre-wrap; font: .8125rem/1.45 "DejaVu Sans Mono", ui-monospace, monospace; }
.inspect .numbers { max-height: 3.9em; overflow: auto; font: .8125rem/1.4 "DejaVu Sans Mono", ui-monospace, monospace; }

.settings { display: grid; gap: .6rem 2rem; }
@container (min-width: 42rem) { .settings { grid-template-columns: 1fr 1fr; } }
fieldset { min-width: 0; margin: 0; padding: .5rem .8rem .7rem; border: 1px solid var(--line); border-radius: .3rem; }
legend { padding: 0 .3rem; color: var(--soft); font-size: .875rem; }
fieldset label { display: flex; flex-wrap: wrap; align-items: center; margin: .25rem 0; }
fieldset label input[type="range"] { flex: 1 1 6rem; max-width: 12rem; margin: 0 .5rem; }
fieldset .radios { display: flex; flex-wrap: wrap; gap: .2rem 1rem; }
fieldset + fieldset { margin-top: .4rem; }

.wide { overflow-x: auto; }
.heads div { display: flex; flex-wrap: wrap; gap: .4rem; align-items: center; margin-bottom: .5rem; }
.heads button { display: block; padding: .2rem; }
.heads canvas { display: block; width: 6.5rem; height: auto; image-rendering: pixelated; border: 1px solid var(--faint); }
.heads span { display: block; padding: 0 .2rem; font-size: .8125rem; }
.heads div > span { width: 4.2rem; padding: 0; color: var(--soft); }
@container (max-width: 42rem) { .heads canvas { width: 4.4rem; } .heads div > span { width: 100%; } }
.all table { width: auto; border-collapse: separate; border-spacing: 1px; }
.all td { min-width: 2.4rem; padding: .2rem .3rem; text-align: center; font-size: .8125rem; }
.all tbody tr { border: 0; }
.all th { padding: .2rem .4rem; }
.all thead th { text-align: center; }
.all.many thead th { writing-mode: vertical-rl; text-align: end; }
summary { cursor: pointer; margin: .8rem 0 .3rem; }

.tree { position: relative; overflow-x: auto; padding-bottom: .5rem; }
.tree .canvas { position: relative; }
.tree svg { position: absolute; inset: 0; pointer-events: none; }
.tree line { stroke: var(--line); stroke-width: 1.5; }
.tree line.best { stroke: var(--bar); stroke-width: 3; }
.node { position: absolute; width: 6.4rem; height: 2.5rem; padding: .05rem .3rem; overflow: hidden; text-align: left; font-size: .8125rem; line-height: 1.2; white-space: nowrap; }
.node small { display: block; font-size: .75rem; color: inherit; }
.node.dropped { border-style: dashed; color: var(--soft); }
.node.dropped span { text-decoration: line-through; }
.node.best { border: 2px solid var(--bar); font-weight: 600; }
:host(.dropping) { outline: 3px dashed var(--bar); outline-offset: 4px; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }

@media print {
  .offers, .sentence button, .transport, .tries-part, .settings-part, .force, .inspect, .next button:not(.plain) { display: none; }
  :host { color-scheme: light; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .columns > *, .strip, tr { break-inside: avoid; }
  .wide, .tree { overflow: visible; }
  .tree { zoom: .5; } /* ten steps to a page */
}
`;
