// The drawer: links with data-drawer-open fill #drawer by their own hx- attributes and have a real href.
// Rows carry data-row (its key) on <tr>; the drawer carries data-key; data-drawer-close is a link to the page without it.
// J and K go through the rows (or data-drawer-next / data-drawer-previous when the drawer is open), Enter opens, Escape closes.
const slot = () => document.getElementById("drawer");
const drawer = () => slot()?.querySelector(".drawer");
const rows = () => [...document.querySelectorAll("[data-row]")];
let opener = null;

function mark(row, focus = false) {
  for (const other of rows()) other.classList.toggle("cur", other === row);
  if (!row) return;
  row.scrollIntoView({ block: "nearest" });
  if (focus) row.querySelector("[data-drawer-open]")?.focus({ preventScroll: true });
}

const current = () => rows().find((row) => row.classList.contains("cur"));
const keyed = (key) => rows().find((row) => row.dataset.row === key);

function close() {
  const link = slot()?.querySelector("[data-drawer-close]");
  if (!link) return false;
  slot().replaceChildren();
  // Marked as htmx's own, so that the Back and Forward buttons restore it like every other state.
  history.pushState({ htmx: true }, "", link.href);
  (current()?.querySelector("[data-drawer-open]") ?? (opener?.isConnected ? opener : null))?.focus();
  return true;
}

function move(step) {
  const link = slot()?.querySelector(step > 0 ? "[data-drawer-next]" : "[data-drawer-previous]");
  if (drawer()) { link?.click(); return; }
  const all = rows();
  const at = all.indexOf(current());
  mark(all[Math.min(all.length - 1, Math.max(0, at + step))], true);
}

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-drawer-close]")) {
    event.preventDefault();
    close();
    return;
  }
  const link = event.target.closest("[data-drawer-open]");
  if (link) opener = link;
  const row = event.target.closest("[data-row]");
  // A click anywhere in a row opens it, unless it was meant for a control or marks text.
  if (row && !link && !event.target.closest("a, button, input, label, summary") && !String(getSelection())) {
    opener = row.querySelector("[data-drawer-open]");
    opener?.click();
  }
});

document.addEventListener("htmx:afterSettle", (event) => {
  if (event.detail.target?.id === "drawer") {
    mark(keyed(drawer()?.dataset.key));
    if (!slot().contains(document.activeElement)) drawer()?.querySelector("h2")?.focus({ preventScroll: true });
  } else if (drawer()) mark(keyed(drawer().dataset.key));
});

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]") || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape") { if (close()) event.preventDefault(); }
  else if (event.key === "j" || event.key === "k") { move(event.key === "j" ? 1 : -1); event.preventDefault(); }
});

if (drawer()) mark(keyed(drawer().dataset.key));
