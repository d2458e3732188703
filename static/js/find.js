// Find inside the drawer: the field data-find-inside marks every hit in the drawer's content, Enter and Shift Enter (or
// the buttons data-find-step) go through them, Escape ends it. "/" comes here while the focus is in the drawer.
// The page is not changed for it: hits are ranges that CSS paints, ::highlight(found) and ::highlight(found-now).
const MOST = 5_000;
const BLOCKS = "p, div, li, pre, td, th, h1, h2, h3, h4, h5, h6, dt, dd, summary, details, blockquote, section";
const field = () => document.querySelector("#drawer [data-find-inside]");
const content = () => document.querySelector("#drawer .db");
const paints = Boolean(window.CSS?.highlights && window.Highlight);
let term = "";
let hits = [];
let at = -1;
let waiting = 0;

function pieces(root) {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT, (node) =>
    node.parentElement.closest("button, [hidden], .treebar, .sr") ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT);
  const found = [];
  let text = "";
  let block = null;
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const own = node.parentElement.closest(BLOCKS);
    if (own !== block) text += "\n"; // no hit reaches from one paragraph into another
    block = own;
    found.push({ node, start: text.length });
    text += node.data;
  }
  return { found, text };
}

function ranges(root, patterns) {
  const { found, text } = pieces(root);
  const made = [];
  for (const pattern of patterns) {
    let piece = 0;
    for (const match of text.matchAll(pattern)) {
      if (made.length >= MOST) return made;
      const end = match.index + match[0].length;
      while (piece + 1 < found.length && found[piece + 1].start <= match.index) piece += 1;
      let last = piece;
      while (last + 1 < found.length && found[last + 1].start < end) last += 1;
      const range = new Range();
      range.setStart(found[piece].node, Math.min(match.index - found[piece].start, found[piece].node.length));
      range.setEnd(found[last].node, Math.min(end - found[last].start, found[last].node.length));
      made.push(range);
    }
  }
  return made;
}

const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&");
const literal = (text) => escaped(text.trim()).replace(/\s+/g, "\\s+");

function paint(name, list) {
  if (!paints) return;
  const highlight = new Highlight();
  for (const range of list) highlight.add(range);
  if (list.length) CSS.highlights.set(name, highlight);
  else CSS.highlights.delete(name);
}

// Words that the pane's filter looks for: [text, begins a word, ends a word].
function paintWords() {
  const words = JSON.parse(content()?.dataset.words || "[]");
  const patterns = words.map(([text, before, after]) =>
    new RegExp(`${before ? "(?<![\\p{L}\\p{N}])" : ""}${literal(text)}${after ? "(?![\\p{L}\\p{N}])" : ""}`, "giu"));
  paint("matched", patterns.length ? ranges(content(), patterns) : []);
}

function tell() {
  const root = field()?.closest(".tools");
  if (!root) return;
  const count = hits.length >= MOST ? `${MOST.toLocaleString("en")}+` : hits.length.toLocaleString("en");
  const folded = content()?.querySelector("[data-later]") ? ", in what is unfolded" : "";
  root.querySelector("[data-find-count]").textContent = !term ? "" : hits.length ? `${at + 1} of ${count}${folded}` : `No hits${folded}`;
  for (const button of root.querySelectorAll("[data-find-step]")) button.hidden = !hits.length;
}

function show() {
  const range = hits[at];
  paint("found-now", range ? [range] : []);
  tell();
  if (!range) return;
  for (let box = range.startContainer.parentElement.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
  if (!paints) { getSelection().removeAllRanges(); getSelection().addRange(range.cloneRange()); }
  const outer = content();
  const scroller = range.startContainer.parentElement.closest("pre, table, .json");
  const sideways = scroller?.getBoundingClientRect();
  const place = range.getBoundingClientRect();
  if (sideways && (place.right > sideways.right || place.left < sideways.left)) scroller.scrollLeft += place.left - sideways.left - 40;
  const view = outer.getBoundingClientRect();
  if (place.top < view.top + 8 || place.bottom > view.bottom - 8) outer.scrollTop += place.top - view.top - view.height / 3;
}

function find(keep = false) {
  const root = content();
  hits = root && term ? ranges(root, [new RegExp(literal(term), "giu")]) : [];
  at = hits.length ? (keep ? Math.min(Math.max(at, 0), hits.length - 1) : 0) : -1;
  paint("found", hits);
  show();
}

function step(by) {
  if (hits.length) { at = (at + by + hits.length) % hits.length; show(); }
}

// What is folded is not on the page yet; it has to come before it can be searched.
function unfold() {
  const talk = document.querySelector("#talk");
  const address = field()?.dataset.findWhole;
  if (!talk?.querySelector("[data-unfold]") || !address) return false;
  htmx.ajax("GET", address, { source: talk, target: talk, swap: "outerHTML" });
  return true;
}

function look() {
  clearTimeout(waiting);
  term = field()?.value.trim() ?? "";
  find();
  if (term) waiting = setTimeout(unfold, 250);
}

document.addEventListener("input", (event) => { if (event.target === field()) look(); });

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-find-step]");
  if (button) step(Number(button.dataset.findStep));
});

document.addEventListener("keydown", (event) => {
  const own = field();
  if (!own || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target === own) {
    if (event.key === "Enter") { event.preventDefault(); step(event.shiftKey ? -1 : 1); }
    else if (event.key === "Escape") {
      event.preventDefault();
      if (own.value) { own.value = ""; look(); } else content().focus({ preventScroll: true });
    }
  } else if (event.key === "/" && !event.defaultPrevented && event.target.closest("#drawer") && !event.target.closest("input, textarea, select")) {
    event.preventDefault();
    own.focus();
    own.select();
  }
});

document.addEventListener("htmx:afterSettle", () => {
  const own = field();
  if (!own) { term = ""; hits = []; return; }
  if (own.value !== term && document.activeElement !== own) own.value = term;
  paintWords();
  if (term) { find(own.dataset.searched === "true"); own.dataset.searched = "true"; unfold(); }
});

document.addEventListener("drawer:closed", () => {
  term = "";
  for (const name of ["found", "found-now", "matched"]) paint(name, []);
});

if (field()) paintWords();
