// The rows of the filter editor. What is typed as a key or a label is whose values are proposed beside it, a value that was
// taken from the proposals counts as typed, and a new row is there to be filled.
const form = () => document.querySelector("form[data-editor]");

document.addEventListener("input", (event) => {
  const key = event.target;
  if (!key.matches?.("[data-editor-key]")) return;
  for (const value of key.closest(".cond").querySelectorAll(".values [data-complete]")) value.dataset.completeOf = `${key.dataset.completeOf}${key.value}`;
});

document.addEventListener("complete:done", (event) => {
  if (form()?.contains(event.target)) event.target.dispatchEvent(new Event("input", { bubbles: true }));
});

// A choice draws the rows anew; what was typed while they were on their way is put back into the same fields.
let typed = null;
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.target.id !== "builder") return;
  const chosen = event.detail.requestConfig?.elt.matches("select");
  typed = chosen ? new Map([...form().querySelectorAll("input.input")].map((input) => [input.id, input.value])) : null;
});

document.addEventListener("htmx:afterSettle", (event) => {
  if (event.target.id !== "builder" || !form()) return;
  const late = [...form().querySelectorAll("input.input")].filter((input) => typed?.has(input.id) && typed.get(input.id) !== input.value);
  for (const input of late) input.value = typed.get(input.id);
  late.at(-1)?.dispatchEvent(new Event("input", { bubbles: true }));
  if (!typed) form().querySelector("[data-editor-next]")?.focus();
  typed = null;
});
