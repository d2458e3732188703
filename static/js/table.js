// The table: its pages and first row by keyboard, what is said aloud, and waiting and failing in place.
const results = () => document.getElementById("results");
const ours = (target) => ["pane", "panes"].includes(target?.id);
const REASONS = {
  "htmx:sendError": "The portal cannot be reached. Check the network, then try again.",
  "htmx:timeout": "The portal took too long to answer. Try again in a moment.",
  414: "The filter is too long for an address. Shorten it. What you see is how it was before.",
};
let running = null; // the request whose rows are awaited
let asked = null; // the element that asked last
let first = false; // the first row is to be marked once it is there

// Waiting: the rows stay, and only after a moment something moves (css). A newer request calls the older one off.
document.addEventListener("htmx:beforeRequest", (event) => {
  const { target, xhr, elt } = event.detail;
  if (!ours(target)) return;
  if (running && running !== xhr) running.abort();
  [running, asked] = [xhr, elt];
  results()?.querySelector(".notice.bad[role=alert]")?.remove();
  results()?.setAttribute("aria-busy", "true");
});

document.addEventListener("htmx:beforeSwap", (event) => {
  if (ours(event.detail.target) && event.detail.xhr !== running) event.detail.shouldSwap = false;
  else if (ours(event.detail.target)) document.querySelector("dialog[open] [data-columns]")?.closest("dialog").close();
});

document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.xhr !== running) return;
  results()?.removeAttribute("aria-busy");
});

for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, (event) => {
    if (!ours(event.detail.target) || event.detail.xhr !== running) return;
    const notice = document.getElementById("failed").content.cloneNode(true);
    const status = event.detail.xhr.status;
    notice.querySelector("[data-reason]").textContent =
      REASONS[name] ?? REASONS[status] ?? `The server failed with status ${status}. What you see is how it was before.`;
    results()?.prepend(notice);
    results()?.scrollTo({ top: 0 });
  });
}

document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-retry]") || !asked) return;
  if (asked.matches("form")) asked.requestSubmit();
  else asked.click();
});

document.addEventListener("htmx:afterSettle", (event) => {
  if (!ours(event.detail.target)) return;
  const told = document.getElementById("told");
  if (told) told.textContent = results()?.dataset.told ?? "";
  if (first) begin();
});

// Pages and the first row.
function begin() {
  first = false;
  const rows = [...document.querySelectorAll("[data-row]")];
  for (const row of rows) row.classList.toggle("cur", row === rows[0]);
  results()?.scrollTo({ top: 0 });
  rows[0]?.querySelector("[data-drawer-open]")?.focus({ preventScroll: true });
}

const turn = (rel) => document.querySelector(`.foot a[rel=${rel}]`)?.click();
let pressed = 0;

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey) return;
  if (!results() || document.querySelector("dialog[open]")) return;
  if (event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable], [role=slider], details[open]")) return;
  if (event.key === "[" || event.key === ",") turn("prev");
  else if (event.key === "]" || event.key === ".") turn("next");
  else if (event.key === "Home" || (event.key === "g" && event.timeStamp - pressed < 900)) {
    pressed = 0;
    first = Boolean(document.querySelector(".foot a[rel=first]"));
    if (first) turn("first");
    else begin();
  } else {
    if (event.key === "g") pressed = event.timeStamp;
    return;
  }
  event.preventDefault();
});
