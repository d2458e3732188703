// The table's columns: their widths, dragged by an edge or moved with the arrows, and their order.
// The address keeps both.
const ours = (target) => ["pane", "panes"].includes(target?.id);
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
