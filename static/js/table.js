// The table: its pages and first row by keyboard, its columns, what is said aloud, and waiting and failing in place.
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

// Widths: an edge is dragged or moved with the arrows, and the address keeps where it is.
const NARROWEST = 48, WIDEST = 960, STEP = 16;
const columnOf = (grip) => grip.closest("table").querySelectorAll("col")[grip.closest("th").cellIndex];
const nameOf = (grip) => columnOf(grip).dataset.column.split(":")[0];
const gripOf = (name) => [...document.querySelectorAll(".grip")].find((grip) => nameOf(grip) === name);
let drag = null;
let pressing = null; // { name, width, timer }: a width that the arrows have reached and the address does not know yet

function widen(grip, width) {
  const size = Math.round(Math.min(WIDEST, Math.max(NARROWEST, width)));
  const column = columnOf(grip);
  column.width = size;
  column.dataset.column = `${column.dataset.column.split(":")[0]}:${size}`;
  grip.setAttribute("aria-valuenow", size);
}

function keep(grip) {
  const table = grip.closest("table");
  const columns = [...table.querySelectorAll("col[data-column]")].map((column) => column.dataset.column).join(",");
  const here = new URL(location.href), page = new URL(table.dataset.here, location.href);
  for (const url of [here, page]) url.searchParams.set("columns", columns);
  history.replaceState(history.state, "", here);
  htmx.ajax("GET", page.pathname + page.search, { source: "#pane", target: "#pane", swap: "outerHTML" });
}

document.addEventListener("pointerdown", (event) => {
  const grip = event.target.closest(".grip");
  if (!grip || event.button) return;
  event.preventDefault();
  grip.setPointerCapture(event.pointerId);
  grip.focus({ preventScroll: true });
  drag = { grip, from: event.clientX, width: grip.closest("th").offsetWidth, moved: false };
});

document.addEventListener("pointermove", (event) => {
  if (!drag) return;
  drag.moved ||= Math.abs(event.clientX - drag.from) > 2;
  if (drag.moved) widen(drag.grip, drag.width + event.clientX - drag.from);
});

for (const name of ["pointerup", "pointercancel"]) {
  document.addEventListener(name, () => {
    if (drag?.moved) keep(drag.grip);
    drag = null;
  });
}

document.addEventListener("keydown", (event) => {
  const grip = event.target.closest?.(".grip");
  const step = { ArrowLeft: -STEP, ArrowRight: STEP }[event.key];
  if (!grip || !step) return;
  event.preventDefault();
  widen(grip, grip.closest("th").offsetWidth + step);
  clearTimeout(pressing?.timer);
  pressing = { name: nameOf(grip), width: Number(grip.getAttribute("aria-valuenow")), timer: setTimeout(settle, 500) };
});

// Rows that come meanwhile bring the width of before.
function settle() {
  const grip = gripOf(pressing.name);
  if (grip) {
    widen(grip, pressing.width);
    keep(grip);
  }
  pressing = null;
}

document.addEventListener("htmx:afterSwap", (event) => {
  const grip = pressing && ours(event.detail.target) && gripOf(pressing.name);
  if (grip) widen(grip, pressing.width);
});

// The choice of columns: their order is the order in the list.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-earlier], [data-later-place]");
  const entry = button?.closest("li");
  if (!entry) return;
  if ("earlier" in button.dataset) entry.previousElementSibling?.before(entry);
  else entry.nextElementSibling?.after(entry);
  button.focus();
});
