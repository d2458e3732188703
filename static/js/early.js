// Runs before the first paint. The modules, which say what buttons do, run once the page is read to its end. A press before
// that would send a form unasked or be heard by nobody: it is held, shown as busy, and given when they are there.
(() => {
  const waiting = { click: "button, a[hx-get], a[data-drawer-open]", change: "input, select, textarea" };
  const held = new Map();

  function hold(event) {
    const element = event.target.closest?.(waiting[event.type]);
    if (!element || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (event.type === "click") element.setAttribute("aria-busy", "true");
    held.set(element, event.type);
  }

  function give() {
    for (const kind in waiting) removeEventListener(kind, hold, true);
    for (const [element, kind] of held) {
      if (!element.isConnected) continue;
      element.removeAttribute("aria-busy");
      if (kind === "click") element.click();
      else element.dispatchEvent(new Event("change", { bubbles: true }));
    }
  }

  for (const kind in waiting) addEventListener(kind, hold, true);
  addEventListener("DOMContentLoaded", give); // of the window: after the document's, with which htmx begins
})();
