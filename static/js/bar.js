// The typed bar. A condition is edited where it is typed: a click on its chip, or Backspace in the empty field for the
// last one, brings its text into the field; F2 or "Edit as text" brings all of them. Escape puts back what stood there.
const bar = () => document.getElementById("bar");
const field = () => document.getElementById("add");
const chips = () => [...bar().querySelectorAll("[data-chip]")];
const texts = () => chips().map((chip) => chip.dataset.chip);
let taken = null; // { form, all, at, chip }: what stood there, and the place of the condition that is being edited

function begin(text, hidden, rest, at) {
  const form = bar();
  taken ??= { form, q: form.elements.q.value };
  taken.at = at;
  hidden.forEach((chip) => { chip.hidden = true; });
  form.elements.q.value = rest;
  form.elements.place.value = at;
  form.classList.add("editing");
  field().value = text;
  field().focus();
  field().setSelectionRange(text.length, text.length);
}

// With text still in the field that nobody sent, everything becomes text, so that nothing typed is lost.
function editAll() {
  const now = field().value.trim();
  const all = texts();
  if (taken?.form === bar() && taken.at !== "") all[taken.at] = now;
  else if (taken?.form === bar()) return;
  else if (now) all.push(now);
  begin(all.filter(Boolean).join(" "), chips(), "", "");
}

function edit(chip) {
  if (field().value.trim() || taken?.form === bar()) { editAll(); return; }
  const at = chips().indexOf(chip);
  begin(chip.dataset.chip, [chip], texts().filter((_, place) => place !== at).join(" "), String(at));
}

function restore() {
  if (taken?.form !== bar()) return false;
  bar().elements.q.value = taken.q;
  bar().elements.place.value = "";
  bar().classList.remove("editing");
  chips().forEach((chip) => { chip.hidden = false; });
  field().value = "";
  taken = null;
  return true;
}

document.addEventListener("click", (event) => {
  const chip = event.target.closest("#bar [data-chip-edit]")?.closest("[data-chip]");
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (chip) edit(chip);
  else if (event.target.closest("[data-bar-text]")) editAll();
  else return;
  event.preventDefault();
});

// Another page of the same filter has another form; what was taken from the old one is gone with it.
document.addEventListener("htmx:afterSwap", () => { if (taken && taken.form !== bar()) taken = null; });

document.addEventListener("complete:done", (event) => { if (event.target === field()) bar().requestSubmit(); });

document.addEventListener("keydown", (event) => {
  if (!bar() || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  const here = event.target === field();
  if (event.key === "F2" && !document.querySelector("dialog[open]")) editAll();
  else if (here && event.key === "Backspace" && !field().value && taken?.form !== bar() && chips().length) edit(chips().at(-1));
  else if (here && event.key === "Escape" && restore()) field().focus();
  else return;
  event.preventDefault();
});
