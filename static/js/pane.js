// The pane keeps the search field in hand when its filter changes.
let searching = false;

document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target?.id === "panes") searching = document.activeElement?.id === "add";
});

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target?.id === "panes" && searching) document.getElementById("add")?.focus();
});
