// Which rows are chosen: these ids, or all matching except these. The state lives here and is written into the hidden
// inputs of [data-selection], which stands outside the fragment that htmx swaps. See docs/design.md for the attributes.
const state = { mode: "ids", ids: new Set(), excluded: new Set(), q: "" };
const number = new Intl.NumberFormat("en-GB");
let anchor = null;

const form = () => document.querySelector("[data-selection]");
const list = () => document.querySelector("[data-rows]");
const boxes = () => [...document.querySelectorAll("[data-select]")];
const total = () => Number(list()?.dataset.total ?? 0);
const chosen = (id) => (state.mode === "all" ? !state.excluded.has(id) : state.ids.has(id));
// A list that is too long to count says so: "10,000+".
const more = () => (list()?.hasAttribute("data-more") ? "+" : "");
const count = () => (state.mode === "all" ? Math.max(0, total() - state.excluded.size) : state.ids.size);

function put(id, on) {
  if (state.mode === "all") on ? state.excluded.delete(id) : state.excluded.add(id);
  else on ? state.ids.add(id) : state.ids.delete(id);
}

function clear() {
  state.mode = "ids";
  state.ids.clear();
  state.excluded.clear();
  anchor = null;
}

function draw() {
  const bar = form();
  if (!bar || !list()) return;
  // "All matching" belongs to one question; with another question it would mean other rows.
  if (state.mode === "all" && state.q !== list().dataset.q) clear();
  state.q = list().dataset.q ?? "";
  for (const box of boxes()) {
    box.checked = chosen(box.value);
    box.closest("tr")?.classList.toggle("sel", box.checked);
  }
  const on = boxes().filter((box) => box.checked).length;
  for (const page of document.querySelectorAll("[data-select-page]")) {
    page.checked = on > 0 && on === boxes().length;
    page.indeterminate = on > 0 && on < boxes().length;
  }
  bar.elements.mode.value = state.mode;
  bar.elements.ids.value = [...state.ids].join(",");
  bar.elements.excluded.value = [...state.excluded].join(",");
  bar.elements.q.value = state.q;
  bar.querySelector("[data-selection-count]").textContent = number.format(count()) + (state.mode === "all" ? more() : "");
  bar.querySelector("[data-selection-all]").hidden = state.mode === "all" || total() <= state.ids.size;
  for (const text of bar.querySelectorAll("[data-selection-total]")) text.textContent = number.format(total()) + more();
  bar.hidden = count() === 0;
}

document.addEventListener("click", (event) => {
  const box = event.target.closest("[data-select]");
  if (box) {
    const all = boxes();
    const [from, to] = [all.indexOf(anchor), all.indexOf(box)].sort((a, b) => a - b);
    const range = event.shiftKey && from >= 0 ? all.slice(from, to + 1) : [box];
    for (const each of range) put(each.value, box.checked);
    anchor = box;
  } else if (event.target.closest("[data-select-page]")) {
    for (const each of boxes()) put(each.value, event.target.checked);
  } else if (event.target.closest("[data-selection-all]")) {
    clear();
    state.mode = "all";
  } else if (event.target.closest("[data-selection-clear]")) clear();
  else return;
  draw();
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "x" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input:not([type=checkbox]), textarea, select") || document.querySelector("dialog[open]")) return;
  const box = document.querySelector("[data-row].cur [data-select]");
  if (!box) return;
  put(box.value, !chosen(box.value));
  draw();
});

document.addEventListener("htmx:afterSettle", draw);
addEventListener("pageshow", draw);
draw();
