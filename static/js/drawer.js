// The drawer: links with data-drawer-open fill #drawer by their own hx- attributes and have a real href.
// Rows carry data-row (its key) on <tr>; the drawer carries data-key; data-drawer-close is a link to the page without it.
// J and K go through the rows (or data-drawer-next / data-drawer-previous when the drawer is open), Enter opens, Escape closes.
// While one completion is read the next one in the same direction is fetched, so that J shows it at once.
const slot = () => document.getElementById("drawer");
const drawer = () => slot()?.querySelector(".drawer");
const rows = () => [...document.querySelectorAll("[data-row]")];
const FRESH = 30_000;
let opener = null;
let direction = 1;
let ahead = null; // { address, at, html, stop }
let waiting = 0;
let showing = null; // the link whose answer is about to be shown

function mark(row, focus = false) {
  for (const other of rows()) other.classList.toggle("cur", other === row);
  if (!row) return;
  row.scrollIntoView({ block: "nearest" });
  if (focus) row.querySelector("[data-drawer-open]")?.focus({ preventScroll: true });
}

const current = () => rows().find((row) => row.classList.contains("cur"));
const keyed = (key) => rows().find((row) => row.dataset.row === key);
const towards = (step) => slot()?.querySelector(step > 0 ? "[data-drawer-next]" : "[data-drawer-previous]");

function close() {
  const link = slot()?.querySelector("[data-drawer-close]");
  if (!link) return false;
  forget();
  slot().replaceChildren();
  document.dispatchEvent(new CustomEvent("drawer:closed"));
  // Marked as htmx's own, so that the Back and Forward buttons restore it like every other state.
  history.pushState({ htmx: true }, "", link.href);
  (current()?.querySelector("[data-drawer-open]") ?? (opener?.isConnected ? opener : null))?.focus();
  return true;
}

function move(step) {
  if (drawer()) { towards(step)?.click(); return; }
  const all = rows();
  const at = all.indexOf(current());
  mark(all[Math.min(all.length - 1, Math.max(0, at + step))], true);
}

// The next one, ahead of time.

function forget() {
  clearTimeout(waiting);
  ahead?.stop.abort();
  ahead = null;
}

function fetchAhead() {
  const link = towards(direction);
  if (!link || ahead?.address === link.href || navigator.connection?.saveData) return;
  forget();
  const stop = new AbortController();
  const headers = { "HX-Request": "true", "HX-Target": "drawer", "HX-Current-URL": location.href };
  const html = fetch(link.href, { headers, redirect: "error", signal: stop.signal })
    .then((answer) => (answer.ok ? answer.text() : null))
    .catch(() => null);
  ahead = { address: link.href, at: Date.now(), html, stop };
}

async function showAhead(link) {
  const { address, html } = ahead;
  ahead = null;
  showing = link;
  const text = await html;
  showing = null;
  if (!link.isConnected) return; // something else was opened meanwhile
  if (text === null) { link.click(); return; }
  history.pushState({ htmx: true }, "", address);
  htmx.swap(slot(), text, { swapStyle: "innerHTML", swapDelay: 0, settleDelay: 0, ignoreTitle: true }, {
    eventInfo: { target: slot(), elt: slot() },
  });
}

document.addEventListener("htmx:beforeRequest", (event) => {
  const link = event.detail.elt.closest?.("[data-drawer-next], [data-drawer-previous]");
  if (!link) {
    // How text is shown may change with this one, so what was fetched may be of the old kind.
    if (event.detail.elt.closest?.("#drawer [data-redraws]")) forget();
    return;
  }
  if (showing === link) { event.preventDefault(); return; }
  direction = link.matches("[data-drawer-next]") ? 1 : -1;
  if (ahead?.address !== link.href || Date.now() - ahead.at > FRESH) { forget(); return; }
  event.preventDefault();
  showAhead(link);
});

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
  const target = event.detail.target;
  if (target?.id === "drawer") {
    mark(keyed(drawer()?.dataset.key));
    if (!slot().contains(document.activeElement)) drawer()?.querySelector("h2")?.focus({ preventScroll: true });
    clearTimeout(waiting);
    waiting = setTimeout(fetchAhead, 60);
  } else if (drawer()) {
    mark(keyed(drawer().dataset.key));
    // What was unfolded takes its own link away, and with it the focus.
    if (document.activeElement === document.body && /^(talk|m\d+)$/.test(target?.id ?? "")) {
      slot().querySelector(".db")?.focus({ preventScroll: true });
    }
  }
});

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]") || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape") { if (close()) event.preventDefault(); }
  else if (event.key === "j" || event.key === "k") { move(event.key === "j" ? 1 : -1); event.preventDefault(); }
});

if (drawer()) {
  mark(keyed(drawer().dataset.key));
  waiting = setTimeout(fetchAhead, 300);
}
