// Counts come after the rows: <div data-later hx-get="…" hx-trigger="load, again" hx-target="#counts">.
// While one is awaited its old content stays, dimmed. A newer filter calls off what is still on its way, and an answer
// that is overtaken never lands. After a failure [data-later-failed] offers [data-later-again].
const newest = new Map(); // the id of an element that is filled → the latest request for it
const laters = () => [...document.querySelectorAll("[data-later]")];
const of = (later) => document.querySelector(later.getAttribute("hx-target"));
const failure = (part) => document.querySelector(`[data-later-failed="${part.id}"]`);
const isLater = (event) => event.detail.requestConfig?.elt.matches("[data-later]");

document.addEventListener("htmx:beforeRequest", (event) => {
  const { target, xhr } = event.detail;
  if (!isLater(event) && target.id !== "panes") return;
  newest.get(target.id)?.abort();
  newest.set(target.id, xhr);
  if (target.id !== "panes") {
    target.setAttribute("aria-busy", "true");
    if (failure(target)) failure(target).hidden = true;
    return;
  }
  for (const later of laters()) {
    newest.get(of(later)?.id)?.abort();
    of(later)?.setAttribute("aria-busy", "true");
  }
});

document.addEventListener("htmx:beforeSwap", (event) => {
  const { target, xhr } = event.detail;
  if ((isLater(event) || target.id === "panes") && newest.get(target.id) !== xhr) event.detail.shouldSwap = false;
});

document.addEventListener("htmx:afterSwap", (event) => {
  if (isLater(event)) event.detail.target.removeAttribute("aria-busy");
});

for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, (event) => {
    const { target, xhr } = event.detail;
    if (newest.get(target?.id) !== xhr) return;
    if (target.id === "panes") laters().forEach((later) => htmx.trigger(later, "again"));
    else if (isLater(event)) {
      target.removeAttribute("aria-busy");
      target.replaceChildren();
      if (failure(target)) failure(target).hidden = false;
    }
  });
}

document.addEventListener("click", (event) => {
  const again = event.target.closest("[data-later-again]")?.dataset.laterAgain;
  if (again) laters().filter((later) => of(later)?.id === again).forEach((later) => htmx.trigger(later, "again"));
});
