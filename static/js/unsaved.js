// form[data-unsaved]: leaving it by anything but its own buttons is asked about once a field was changed; with
// data-unsaved="already" what it shows is not saved even so, as after "Add".
const form = () => document.querySelector("form[data-unsaved]");
let sent = false;

function isChanged(field) {
  if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
  if (field.type === "select-one") {
    const begun = [...field.options].findIndex((option) => option.defaultSelected);
    return field.selectedIndex !== Math.max(0, begun);
  }
  return "defaultValue" in field && field.value !== field.defaultValue;
}

document.addEventListener("submit", (event) => {
  if (!event.defaultPrevented && event.target === form()) sent = true;
});
// Escape ends the loading of the next page; on the way back this one is shown again.
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") sent = false;
});
addEventListener("pageshow", () => { sent = false; });
addEventListener("beforeunload", (event) => {
  const found = form();
  if (!found || sent) return;
  if (found.dataset.unsaved === "already" || [...found.elements].some(isChanged)) event.preventDefault();
});
