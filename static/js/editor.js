// The rows of the filter editor. A choice that changes which fields a row has draws the rows again; typing only asks
// what the rows now say. A value that was taken from the suggestions counts as typed.
const rows = (element) => element?.closest?.("form[data-editor]");
const press = (form, name) => form.querySelector(`[data-editor-${name}]`)?.click();

document.addEventListener("change", (event) => {
  const form = rows(event.target);
  if (!form) return;
  if (event.target.matches("select")) press(form, "redraw");
});

document.addEventListener("complete:done", (event) => {
  if (rows(event.target)) event.target.dispatchEvent(new Event("input", { bubbles: true }));
});

// A new row is there to be filled.
document.addEventListener("htmx:afterSettle", (event) => {
  const form = document.querySelector("form[data-editor]");
  if (!form || !form.contains(event.detail.elt) && event.detail.elt !== form) return;
  form.querySelector("[data-editor-next]")?.focus();
});
