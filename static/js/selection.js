// Which rows are chosen: these ids, or all matching except these. The state lives here and is written into the hidden
// inputs of [data-selection], which stands outside the fragment that htmx swaps. See docs/design.md for the attributes.
// It is kept for the tab too, and taken up again when the person comes back to the list or reloads it.
const state = { mode: "ids", ids: new Set(), excluded: new Set(), q: "" };
const number = new Intl.NumberFormat("en-GB");
const KEPT = "portal-selection";
let anchor = null; // the id of the box that was last pressed

function keep() {
  const { mode, q } = state;
  try {
    if (!list()) return;
    if (!count()) sessionStorage.removeItem(KEPT);
    else sessionStorage.setItem(KEPT, JSON.stringify({ mode, q, ids: [...state.ids], excluded: [...state.excluded] }));
  } catch { /* No room, or no storage at all: then it lasts as long as the page. */ }
}

function takeUp() {
  const came = performance.getEntriesByType("navigation")[0]?.type;
  if (!["back_forward", "reload"].includes(came)) return;
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
    if (kept) Object.assign(state, { mode: kept.mode, q: kept.q, ids: new Set(kept.ids), excluded: new Set(kept.excluded) });
  } catch { /* What cannot be read is no selection. */ }
}

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
  const pair = bar.querySelector("[data-selection-two]"); // a link that compares exactly two
  if (pair) {
    const [a, b] = state.ids;
    pair.hidden = state.mode !== "ids" || state.ids.size !== 2;
    pair.href = `${pair.pathname}?${new URLSearchParams({ a, b })}`;
  }
  bar.hidden = count() === 0;
  keep();
}

// One box, or with Shift every box from the last pressed one to it, if that one is on this page.
function press(box, on, far) {
  const all = boxes();
  const [from, to] = [all.findIndex((each) => each.value === anchor), all.indexOf(box)];
  const range = far && from >= 0 ? all.slice(Math.min(from, to), Math.max(from, to) + 1) : [box];
  for (const each of range) put(each.value, on);
  anchor = box.value;
}

document.addEventListener("click", (event) => {
  const box = event.target.closest("[data-select]");
  if (box) {
    press(box, box.checked, event.shiftKey);
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
  if (event.key.toLowerCase() !== "x" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input:not([type=checkbox]), textarea, select") || document.querySelector("dialog[open]")) return;
  const box = document.querySelector("[data-row].cur [data-select]");
  if (!box) return;
  press(box, event.shiftKey || !chosen(box.value), event.shiftKey);
  draw();
});

for (const name of ["htmx:afterSettle", "htmx:historyRestore"]) document.addEventListener(name, draw);
addEventListener("pageshow", draw);
takeUp();
draw();
