// Which framework the reader has chosen. sphinx-design's tabs keep the choice in the browser and
// follow ?framework=jax; this script adds what they leave out. It runs before the page is drawn.
(() => {
  const NAMES = ["pytorch", "mxnet", "jax", "tensorflow"];
  const KEY = "sphinx-design-tab-id-framework"; // where the tabs keep it

  function stored() {
    try { return localStorage.getItem(KEY); } catch { return null; } // storage may be forbidden
  }

  // A framework that there is not must not replace the reader's choice.
  const address = new URL(location);
  const asked = address.searchParams.get("framework");
  if (asked !== null && !NAMES.includes(asked)) {
    address.searchParams.delete("framework");
    history.replaceState(null, "", address);
  }

  // Parts of the page that are for some frameworks only: book.css shows them by this name.
  const choose = name => { document.documentElement.dataset.framework = name; };
  choose([asked, stored()].find(name => NAMES.includes(name)) ?? NAMES[0]);

  // Where tabs above change their heights, and views in them a moment later, the tab that was
  // clicked stays where it is, until the reader goes on.
  let clicked = null, top = 0;
  const tabs = event => event.target.closest?.(".sd-tab-set");
  const hold = () => {
    if (clicked) scrollBy({ top: clicked.getBoundingClientRect().top - top, behavior: "instant" });
  };
  document.addEventListener("change", event => {
    clicked = tabs(event);
    top = clicked?.getBoundingClientRect().top;
  }, { capture: true }); // before the tabs' own listeners
  document.addEventListener("change", event => {
    const label = event.target.nextElementSibling;
    if (!tabs(event) || label?.dataset.syncGroup !== "framework") return;
    choose(label.dataset.syncId);
    hold();
    measure();
  });
  for (const event of ["pointerdown", "keydown", "wheel", "touchmove"])
    addEventListener(event, () => { clicked = null; }, { capture: true, passive: true });
  addEventListener("DOMContentLoaded", () => {
    new ResizeObserver(hold).observe(document.body);
  });

  // The theme lets Tab reach the boxes that scroll. It looks for them when the window's size changes;
  // new tabs and opened solutions show others.
  const measure = () => { dispatchEvent(new Event("resize")); };
  document.addEventListener("toggle", measure, { capture: true });

  // The theme names this button "Search", but it reads "Search Ctrl+K": who says what stands there
  // should hit it.
  addEventListener("DOMContentLoaded", () => {
    document.querySelector(".search-button-field")?.removeAttribute("aria-label");
  });

  // A line may end after any formula: keep commas and brackets that follow one in its box.
  addEventListener("DOMContentLoaded", () => {
    for (const formula of document.querySelectorAll("span.math")) {
      const next = formula.nextSibling, marks = /^[.,;:!?)\]’”]+/.exec(next?.nodeValue);
      if (marks) formula.append(next.nodeValue.slice(0, marks[0].length)), next.deleteData(0, marks[0].length);
    }
  });

  // A Chinese question has no spaces: cut it into the words that the search knows, long ones first.
  if (document.documentElement.lang.startsWith("zh")) {
    const words = run => {
      const { terms = {}, titleterms = {} } = window.eval("Search")._index ?? {};
      const found = [];
      for (let start = 0; start < run.length;) {
        let end = run.length;
        while (end > start + 1 && !((run.slice(start, end)) in terms || run.slice(start, end) in titleterms)) end--;
        if (end > start + 1) found.push(run.slice(start, end));
        start = end;
      }
      return found.length ? found : [run];
    };
    window.splitQuery = query => query
      .replace(/\p{Script=Han}+/gu, " $& ")
      .split(/[^\p{Letter}\p{Number}_]+/u)
      .filter(term => term)
      .flatMap(term => /\p{Script=Han}/u.test(term) ? words(term) : [term]);
  }

  // What the theme has in English only
  const CHINESE = {
    "Color mode": "颜色模式", "System Settings": "跟随系统", "Main": "全书导航", "Page": "本页导航",
    "Toggle primary sidebar": "显示或隐藏目录", "Toggle secondary sidebar": "显示或隐藏本页内容",
  };
  addEventListener("DOMContentLoaded", () => {
    if (!document.documentElement.lang.startsWith("zh")) return;
    for (const name of ["title", "data-bs-original-title", "aria-label"])
      for (const element of document.querySelectorAll(`[${name}]`)) {
        const words = CHINESE[element.getAttribute(name)];
        if (words) element.setAttribute(name, words);
      }
    for (const button of document.querySelectorAll(".theme-change-button"))
      button.lastChild.nodeValue = CHINESE[button.textContent.trim()] ?? button.textContent;
  });

  // The other language's page opens at the section that is being read. A section has one id in both.
  addEventListener("DOMContentLoaded", () => {
    const link = document.querySelector("a.language");
    const reading = () => {
      const sections = [...document.querySelectorAll("article section[id]")];
      return sections.findLast(one => one.getBoundingClientRect().top < innerHeight / 3);
    };
    link?.addEventListener("click", () => {
      const there = new URL(link.getAttribute("href"), location.href);
      there.search = location.search; // what is searched for, too
      there.hash = scrollY > 0 ? reading()?.id ?? "" : location.hash;
      link.href = there;
    });
  });

  // Tabs may have changed their heights above the place that the address names.
  addEventListener("load", () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target) target.scrollIntoView();
  });
})();
