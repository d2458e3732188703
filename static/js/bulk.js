// What is said of many completions runs on when its dialog is closed: then a message leads to it. When it has ended
// ("reviewed-many" from the server) the rows behind the dialog are read again.
let running = null; // what the dialog shows, while it has not ended

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target?.id !== "dialog") return;
  const shown = event.detail.target.querySelector("[data-running]");
  running = shown && { text: `${shown.dataset.title}: under way.`, href: shown.dataset.running, label: "Watch it" };
});

document.addEventListener("close", (event) => {
  if (event.target.id !== "dialog" || !running) return;
  document.body.dispatchEvent(new CustomEvent("toast", { bubbles: true, detail: { ...running, kind: "info" } }));
  running = null;
}, true);

document.addEventListener("reviewed-many", () => {
  const panes = document.getElementById("panes");
  if (panes) htmx.ajax("GET", location.pathname + location.search, { source: panes, target: "#panes", swap: "outerHTML" });
});
