// Runs before the first paint. The modules, which say what buttons and keys do, run once the page is read to its end. A press
// before that would send a form unasked or be heard by nobody: it is held, shown as busy, and given when they are there.
(() => {
  const waiting = {
    click: "button, a[hx-get], a[data-drawer-open]",
    change: "input, select, textarea",
    keydown: ":not(input, select, textarea)", // letters and signs; others scroll and move, which a page does by itself
  };
  const held = new Map();

  function hold(event) {
    const { type, target, key } = event;
    const element = type === "click" ? target.closest?.(waiting.click) : target;
    if (!element?.matches?.(waiting[type]) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (type === "click" ? event.shiftKey : type === "keydown" && (key.length > 1 || key === " ")) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (type === "click") element.setAttribute("aria-busy", "true");
    held.set(type === "keydown" ? event : element, { element, event });
  }

  function give() {
    for (const type in waiting) removeEventListener(type, hold, true);
    for (const { element, event } of held.values()) {
      if (!element.isConnected) continue;
      element.removeAttribute("aria-busy");
      if (event.type === "click") element.click();
      else element.dispatchEvent(new event.constructor(event.type, event));
    }
  }

  for (const type in waiting) addEventListener(type, hold, true);
  addEventListener("DOMContentLoaded", give); // of the window: after the document's, with which htmx begins
})();
