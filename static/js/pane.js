// The pane keeps its place when its filter changes: scroll of the facets, which of them are closed, the open sheet.
// The rows come first and the facets' new counts follow, so both swaps are looked after.
// Backspace in the empty search field takes the last condition back.
const kept = { top: 0, closed: new Set(), open: false, search: false };
const ours = (event) => ["panes", "facets"].includes(event.detail.target?.id) && facets();
const facets = () => document.getElementById("facets");

document.addEventListener("htmx:beforeSwap", (event) => {
  if (!ours(event)) return;
  kept.top = facets().scrollTop;
  kept.open = facets().classList.contains("open");
  kept.closed = new Set([...facets().querySelectorAll("details:not([open])")].map((facet) => facet.dataset.facet));
  kept.search = document.activeElement?.id === "add";
});

document.addEventListener("htmx:afterSwap", (event) => {
  if (!ours(event)) return;
  for (const facet of facets().querySelectorAll("details")) facet.open = !kept.closed.has(facet.dataset.facet);
  facets().scrollTop = kept.top;
  if (kept.search) document.getElementById("add")?.focus();
});

// Only now are the new element's own attributes in place.
document.addEventListener("htmx:afterSettle", (event) => {
  if (!ours(event) || !kept.open || facets().classList.contains("open")) return;
  document.querySelector('[data-sheet-open="facets"]')?.click();
  facets().scrollTop = kept.top;
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Backspace" || event.target.id !== "add" || event.target.value) return;
  [...document.querySelectorAll(".qbar .chip .x")].at(-1)?.click();
});
