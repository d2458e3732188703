// Suggestions below a text field: <input data-complete="address"> asks the address with what is typed and where the caret
// stands, and shows the options that it answers. data-complete-of="field" asks for the values of one field alone.
// Down and up go through them, Enter takes one, Tab the first, Escape closes. The field is a plain one without this script.
// An option that completes a condition sends "complete:done" from the field when it is taken by Enter or by a click.
const WAIT = 70;
let shown = null; // { input, list, active }
let asking = null;
let timer = 0;

const options = () => [...(shown?.list.children ?? [])];
// Places are counted in characters, of which some are two units long here.
const length = (text) => [...text].length;

function listOf(input) {
  if (input.getAttribute("role") === "combobox") return document.getElementById(input.getAttribute("aria-controls"));
  const list = document.createElement("ul");
  list.id = `${input.id}-suggestions`;
  list.className = "suggest";
  list.hidden = true;
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Suggestions");
  const told = document.createElement("span");
  told.className = "sr";
  told.setAttribute("role", "status");
  (input.closest("[data-complete-in]") ?? input.parentElement).append(list, told);
  for (const [name, value] of Object.entries({
    role: "combobox", "aria-expanded": "false", "aria-controls": list.id, "aria-autocomplete": "list", "aria-haspopup": "listbox",
  })) input.setAttribute(name, value);
  return list;
}

function close() {
  asking?.abort();
  clearTimeout(timer);
  if (!shown) return false;
  shown.list.hidden = true;
  shown.list.replaceChildren();
  shown.list.nextElementSibling.textContent = "";
  shown.input.setAttribute("aria-expanded", "false");
  shown.input.removeAttribute("aria-activedescendant");
  shown = null;
  return true;
}

function mark(at) {
  const all = options();
  shown.active = at;
  all.forEach((option, place) => option.setAttribute("aria-selected", String(place === at)));
  if (at < 0) shown.input.removeAttribute("aria-activedescendant");
  else {
    shown.input.setAttribute("aria-activedescendant", all[at].id);
    all[at].scrollIntoView({ block: "nearest" });
  }
}

async function ask(input) {
  asking?.abort();
  asking = new AbortController();
  const of = input.dataset.completeOf;
  const caret = length(input.value.slice(0, input.selectionStart ?? input.value.length));
  const query = new URLSearchParams({ q: input.value, caret, ...(of === undefined ? {} : { of }) });
  try {
    const answer = await fetch(`${input.dataset.complete}?${query}`, { signal: asking.signal, headers: { "HX-Request": "true" } });
    if (!answer.ok) throw new Error(answer.statusText);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (document.activeElement === input) show(input, [...page.querySelectorAll("[role=option]")]);
  } catch {
    // Superseded, or the portal cannot be reached: typing goes on without suggestions.
  }
}

function show(input, found) {
  const list = listOf(input);
  if (!found.length) { close(); return; }
  found.forEach((option, place) => { option.id = `${list.id}-${place}`; });
  list.replaceChildren(...found);
  list.hidden = false;
  list.scrollTop = 0;
  list.nextElementSibling.textContent = `${found.length} suggestion${found.length === 1 ? "" : "s"}`;
  input.setAttribute("aria-expanded", "true");
  shown = { input, list, active: -1 };
}

function take(option, settled) {
  const { input } = shown;
  const { insert, start, end } = option.dataset;
  const text = [...input.value];
  const done = "done" in option.dataset;
  const rest = text.slice(Number(end)).join("");
  const head = text.slice(0, Number(start)).join("") + insert;
  const gap = done && !settled && !rest && input.dataset.completeOf === undefined ? " " : "";
  input.value = head + gap + rest;
  input.setSelectionRange(head.length + gap.length, head.length + gap.length);
  close();
  if (done && settled) input.dispatchEvent(new CustomEvent("complete:done", { bubbles: true }));
  else if (!done) ask(input);
}

document.addEventListener("focusin", (event) => {
  if (event.target.matches?.("[data-complete]")) listOf(event.target);
  if (shown && event.target !== shown.input) close();
});

document.addEventListener("input", (event) => {
  if (!event.target.matches?.("[data-complete]")) return;
  clearTimeout(timer);
  timer = setTimeout(ask, WAIT, event.target);
});

document.addEventListener("click", (event) => {
  const option = event.target.closest?.(".suggest [role=option]");
  if (option && shown) take(option, true);
  else if (event.target.matches?.("[data-complete]")) ask(event.target);
  else close();
});

// The field keeps the caret when an option is clicked.
document.addEventListener("mousedown", (event) => { if (event.target.closest?.(".suggest")) event.preventDefault(); });
// What comes in elsewhere, such as late counts, leaves the suggestions alone.
document.addEventListener("htmx:beforeSwap", (event) => { if (shown && event.detail.target.contains(shown.input)) close(); });
document.addEventListener("submit", close, true);

// Before everything else that listens to these keys.
document.addEventListener("keydown", (event) => {
  const input = event.target;
  if (!input.matches?.("[data-complete]") || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
  const all = options();
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    if (!shown) ask(input);
    else {
      const step = event.key === "ArrowDown" ? 1 : -1;
      // One place more than there are options: none of them.
      mark(((shown.active + 1 + step + all.length + 1) % (all.length + 1)) - 1);
    }
  } else if (shown && event.key === "Enter" && shown.active >= 0) take(all[shown.active], true);
  else if (shown && event.key === "Tab" && !event.shiftKey && (shown.active >= 0 || input.value)) take(all[Math.max(0, shown.active)], false);
  else if (shown && event.key === "Escape") close();
  else return;
  event.preventDefault();
  event.stopPropagation();
}, true);
