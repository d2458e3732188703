// Looking inside a version by keyboard: [data-look] holds .look-row, each with [data-look-at] that takes the focus and a
// checkbox that chooses it. J and K move, Enter opens (a <details> does so by itself), X chooses, ] is the next page.
// Which row is open stands in the address (`open`), so that it can be sent to somebody.
const look = document.querySelector("[data-look]");
const rows = () => [...look.querySelectorAll(".look-row")];
const current = () => document.activeElement?.closest?.(".look-row");
const box = (row) => row?.querySelector("input[name=row]");

function move(step) {
  const all = rows();
  const at = all.indexOf(current());
  const row = all[at < 0 ? 0 : Math.min(all.length - 1, Math.max(0, at + step))];
  row?.querySelector("[data-look-at]")?.focus();
  row?.scrollIntoView({ block: "nearest" });
}

function tell() {
  const place = document.querySelector("[data-look-count]");
  if (!place) return;
  const count = look.querySelectorAll("input[name=row]:checked").length;
  place.textContent = count === 1 ? "One row" : `${count} rows`;
}

function choose(row) {
  const field = box(row);
  if (!field) return;
  field.checked = !field.checked;
  tell();
}

function keep(example) {
  const address = new URL(location.href);
  if (example.open) address.searchParams.set("open", example.dataset.line);
  else if (address.searchParams.get("open") === example.dataset.line) address.searchParams.delete("open");
  else return;
  history.replaceState(history.state, "", address);
}

if (look) {
  look.addEventListener("change", tell);
  // Those that come open tell so once; only what a person does after that is kept.
  look.addEventListener("click", (event) => {
    const example = event.target.closest("summary[data-look-at]")?.closest(".example");
    if (example) example.addEventListener("toggle", () => keep(example), { once: true });
  });
  // Before the drawer's keys, which mean the same for rows of completions.
  window.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]")) return;
    if (document.querySelector("dialog[open]")) return;
    const act = {
      j: () => move(1),
      k: () => move(-1),
      x: () => choose(current()),
      "]": () => document.querySelector(".pager a[rel=next]")?.click(),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }, { capture: true });
  tell();
}
