// The pane keeps the search field in hand when its filter changes.
// Backspace in the empty search field takes the last condition back.
let searching = false;

document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target?.id === "panes") searching = document.activeElement?.id === "add";
});

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target?.id === "panes" && searching) document.getElementById("add")?.focus();
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Backspace" || event.target.id !== "add" || event.target.value) return;
  [...document.querySelectorAll(".qbar .chip .x")].at(-1)?.click();
});
