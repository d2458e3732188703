// The rows of the filter editor. What is typed as a metadata key is whose values are proposed beside it, a value that was
// taken from the proposals counts as typed, and a new row is there to be filled.
const form = () => document.querySelector("form[data-editor]");

document.addEventListener("input", (event) => {
  const key = event.target;
  if (!key.matches?.("[data-editor-key]")) return;
  for (const value of key.closest(".cond").querySelectorAll(".values [data-complete]")) value.dataset.completeOf = `meta.${key.value}`;
});

document.addEventListener("complete:done", (event) => {
  if (form()?.contains(event.target)) event.target.dispatchEvent(new Event("input", { bubbles: true }));
});

document.addEventListener("htmx:afterSettle", (event) => {
  if (event.target.contains?.(form()) && !event.target.matches("#panes")) form().querySelector("[data-editor-next]")?.focus();
});
