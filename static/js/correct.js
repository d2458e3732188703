// The editor of a correction (form data-correct-form): fields grow with their text, Ctrl or ⌘ Enter saves, Escape goes to
// data-correct-cancel. What was typed is not left without a question, neither by a link, nor with the drawer, nor the page.
const form = () => document.querySelector("[data-correct-form]");
const fields = () => [...(form()?.querySelectorAll("textarea") ?? [])];
const grows = CSS.supports("field-sizing", "content");
const QUESTION = "Leave what you typed?";
let begun = null; // the form whose texts are remembered, and those texts

// An editor that came back because of somebody else holds what was typed, so it counts as changed.
function begin() {
  const now = form();
  if (!now || begun?.form === now) return;
  begun = { form: now, texts: fields().map((field) => field.value), again: Boolean(now.querySelector("[role=alert], [aria-invalid]")) };
  fields().forEach(grow);
  now.querySelector("[role=alert]")?.scrollIntoView({ block: "start" });
}

function changed() {
  return Boolean(begun?.form.isConnected) && (begun.again || fields().some((field, n) => field.value !== begun.texts[n]));
}

function grow(field) {
  if (grows) return;
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight + 2}px`;
}

document.addEventListener("input", (event) => {
  if (event.target.closest?.("[data-correct-form]")) grow(event.target);
});

document.addEventListener("keydown", (event) => {
  const own = event.target.closest?.("[data-correct-form]");
  if (!own || document.querySelector("dialog[open]")) return;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) own.requestSubmit(own.querySelector("button.pri"));
  else if (event.key === "Escape") own.querySelector("[data-correct-cancel]").click();
  else return;
  event.preventDefault();
  event.stopPropagation();
}, true);

// Every request that would take the editor away asks first; the dialog for it is the one of hx-confirm.
document.addEventListener("htmx:confirm", (event) => {
  const { elt, target } = event.detail;
  const stays = !target?.contains(begun?.form ?? null) || (elt === begun?.form);
  if (stays || event.detail.question || !changed()) return;
  event.detail.question = QUESTION;
}, true);

// The drawer closes without a request: the editor is left first.
document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-drawer-close]") || !changed()) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  form().querySelector("[data-correct-cancel]").click();
}, true);

addEventListener("beforeunload", (event) => { if (changed()) event.preventDefault(); });

// What somebody said elsewhere on the page, or took back, may be the correction.
document.addEventListener("reviewed", (event) => {
  const versions = document.querySelector("#drawer [data-answer-redraw]");
  const message = versions?.closest(".msg");
  if (!event.detail?.drawn || !versions?.dataset.answerRedraw) return;
  htmx.ajax("GET", versions.dataset.answerRedraw, { source: message, target: message, swap: "outerHTML" });
});

document.addEventListener("htmx:afterSettle", begin);
begin();
