// Facets keep their place when they are drawn anew: scroll, open sheet, what was searched for, the link in focus.
// Which of them are not as they come, closed or open, is remembered in this browser. Up and down move between the values.
const TURNED = "portal-facets-turned";
const panel = () => document.getElementById("facets");
const kept = { top: 0, open: false, focus: null };

function turned() {
  try {
    return new Set(JSON.parse(localStorage.getItem(TURNED)) ?? []);
  } catch {
    return new Set();
  }
}

function turn() {
  const names = turned();
  for (const facet of document.querySelectorAll("[data-facet]")) {
    facet.open = names.has(facet.dataset.facet) === facet.hasAttribute("data-extra");
  }
}

document.addEventListener("toggle", (event) => {
  const name = event.target.dataset?.facet;
  if (name === undefined) return;
  const names = turned();
  const asItComes = event.target.open !== event.target.hasAttribute("data-extra");
  if (names.has(name) === !asItComes) return;
  if (asItComes) names.delete(name);
  else names.add(name);
  try {
    localStorage.setItem(TURNED, JSON.stringify([...names].slice(-200)));
  } catch { /* a browser that keeps nothing keeps this neither */ }
}, true);

// A link has no id that could be made from its value, so it is found again by what it says and where it stands.
function place(element) {
  if (element?.matches("#counts .inside")) return { facet: element.closest("[data-facet]")?.dataset.facet, typed: element.value };
  const line = element?.closest("#counts .value-line");
  if (!line) return null;
  return { facet: line.closest("[data-facet]").dataset.facet, value: line.dataset.value, at: [...line.querySelectorAll("a")].indexOf(element) };
}

function focusAgain() {
  const wanted = kept.focus;
  kept.focus = null;
  if (!wanted || (document.activeElement && document.activeElement !== document.body)) return;
  const facet = [...document.querySelectorAll("[data-facet]")].find((each) => each.dataset.facet === wanted.facet);
  if (wanted.typed !== undefined) {
    const field = facet?.querySelector(".inside");
    if (!field) return;
    field.value = wanted.typed;
    field.focus();
    field.dispatchEvent(new Event("input", { bubbles: true }));
    return;
  }
  const line = [...(facet?.querySelectorAll(".value-line") ?? [])].find((each) => each.dataset.value === wanted.value);
  (line?.querySelectorAll("a")[wanted.at] ?? facet?.querySelector("summary"))?.focus();
}

const swapsPanes = (event) => event.detail.target?.id === "panes" && panel();

document.addEventListener("htmx:beforeSwap", (event) => {
  if (swapsPanes(event)) {
    kept.top = panel().scrollTop;
    kept.open = panel().classList.contains("open");
  }
  if (swapsPanes(event) || event.detail.target?.id === "counts") kept.focus = place(document.activeElement) ?? kept.focus;
});

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target?.id === "counts") {
    const top = panel().scrollTop;
    turn();
    panel().scrollTop = Math.max(top, kept.top);
    focusAgain();
  } else if (swapsPanes(event)) panel().scrollTop = kept.top;
});

// Only now are the new element's own attributes in place.
document.addEventListener("htmx:afterSettle", (event) => {
  if (!swapsPanes(event) || !kept.open || panel().classList.contains("open")) return;
  const focused = document.activeElement;
  document.querySelector('[data-sheet-open="facets"]')?.click();
  if (panel().contains(focused)) focused.focus();
  panel().scrollTop = kept.top;
});

document.addEventListener("keydown", (event) => {
  const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const here = event.target.closest?.("#counts .value, #counts summary, #counts .inside");
  if (!way || !here || event.altKey || event.ctrlKey || event.metaKey) return;
  const stops = [...document.querySelectorAll("#counts .value, #counts summary, #counts .inside")].filter((each) => each.checkVisibility());
  stops[stops.indexOf(here) + way]?.focus();
  event.preventDefault();
});

turn();
