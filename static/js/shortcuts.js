// "/" goes to the page's search field (data-search), "?" shows the keys.
function find() {
  const field = document.querySelector("[data-search]");
  field?.focus();
  field?.select?.();
  return Boolean(field);
}

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-find]") && find()) event.preventDefault();
});

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]") || document.querySelector("dialog[open]")) return;
  if (event.key === "/") {
    event.preventDefault();
    if (!find()) document.querySelector("[data-find]")?.click();
  } else if (event.key === "?") document.getElementById("keys")?.showModal();
});

if (location.hash === "#search") find();
