// Ctrl K, ⌘K or [data-palette-open] opens the palette. What is typed asks for options (htmx); up and down go through
// them, Enter takes one: data-href is gone to, data-post is sent as a form, data-press presses a button of the page.
const dialog = () => document.getElementById("palette");
const field = () => document.getElementById("palette-typed");
const options = () => [...document.querySelectorAll("#palette-list [role=option]")];
const PRESSES = { theme: "[data-theme-toggle]", keys: '[data-dialog-open="keys"]' };
let asked = 0; // requests on their way
let entered = null; // Enter was pressed before the answer to what was typed came

function open() {
  if (!dialog() || dialog().open) return;
  document.querySelectorAll("details[data-menu][open]").forEach((menu) => { menu.open = false; });
  field().value = "";
  dialog().showModal();
  field().focus();
  htmx.trigger(field(), "palette-open");
}

function mark(at) {
  const all = options();
  all.forEach((option, place) => option.setAttribute("aria-selected", String(place === at)));
  if (at < 0 || !all[at]) field().removeAttribute("aria-activedescendant");
  else {
    field().setAttribute("aria-activedescendant", all[at].id);
    all[at].scrollIntoView({ block: "nearest" });
  }
}

function take(option, apart) {
  const { href, post, press } = option.dataset;
  if (href && apart) { window.open(href, "_blank", "noopener"); return; }
  dialog().close();
  if (href) location.assign(href);
  else if (post) {
    const form = document.querySelector("[data-palette-post]");
    form.action = post;
    form.submit();
  } else document.querySelector(PRESSES[press])?.click();
}

// Before everything else that listens to these keys.
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "k") {
    if (!dialog() || (document.querySelector("dialog[open]") && !dialog().open)) return;
    event.preventDefault();
    event.stopPropagation();
    if (dialog().open) dialog().close();
    else open();
    return;
  }
  if (event.target !== field() || event.isComposing) return;
  const all = options();
  const at = all.findIndex((option) => option.getAttribute("aria-selected") === "true");
  if (event.key === "ArrowDown") mark((at + 1) % Math.max(1, all.length));
  else if (event.key === "ArrowUp") mark((at - 1 + all.length) % Math.max(1, all.length));
  else if (event.key === "Enter") {
    if (asked || field().value !== field().dataset.answered) entered = event.ctrlKey || event.metaKey ? "apart" : "here";
    else if (all[at]) take(all[at], event.ctrlKey || event.metaKey);
  } else return;
  event.preventDefault();
  event.stopPropagation();
}, true);

document.addEventListener("input", (event) => { if (event.target === field()) entered = null; });

const ours = (event) => event.detail.elt === field();
document.addEventListener("htmx:beforeRequest", (event) => { if (ours(event)) asked += 1; });
document.addEventListener("htmx:afterRequest", (event) => {
  if (!ours(event)) return;
  asked -= 1;
  if (!event.detail.successful) return;
  const { typed } = event.detail.requestConfig.parameters;
  field().dataset.answered = typed ?? "";
  if (entered && !asked && field().value === typed) {
    const [first] = options();
    const apart = entered === "apart";
    entered = null;
    if (first) take(first, apart);
  }
});

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target?.id !== "palette-list") return;
  mark(0);
  const n = options().length;
  document.getElementById("palette-told").textContent = `${n} ${n === 1 ? "entry" : "entries"}`;
});

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-palette-open]")) open();
  const option = event.target.closest("#palette-list [role=option]");
  if (option) take(option, event.ctrlKey || event.metaKey);
});

document.addEventListener("mousedown", (event) => {
  if (event.target.closest("#palette-list")) event.preventDefault(); // the field keeps the caret
});

for (const kbd of document.querySelectorAll("[data-palette-open] kbd")) {
  if (/Mac|iPhone|iPad/.test(navigator.platform)) kbd.textContent = "⌘K";
}
