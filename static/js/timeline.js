// The timeline by mouse, pen and finger: a drag over the bars shows only that time, a click takes one bar, a double click
// widens what is chosen.
import "./zone.js";
import "./timeline_keys.js";
import { apply, barsOf, hide, plotOf, read, show, tell, wider } from "./timeline_bars.js";

const TWICE = 250; // milliseconds between the two clicks of a double click
const SLACK = 4; // pixels: a hand is not still while it clicks
let drag = null; // { plot, id, x, from, to, moved }
let waiting = 0; // the timer of a click that may become a double click
const changed = (event) => event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;

function barAt(plot, x) {
  const box = plot.querySelector(".bars").getBoundingClientRect();
  const bars = barsOf(plot);
  const [low, high] = [Number(bars[0].dataset.start), Number(bars.at(-1).dataset.end)];
  const at = low + Math.min(Math.max((x - box.left) / box.width, 0), 1) * (high - low);
  const found = bars.findIndex((bar) => at < Number(bar.dataset.end));
  return found < 0 ? bars.length - 1 : found;
}

document.addEventListener("pointerdown", (event) => {
  const plot = plotOf(event.target);
  if (!plot || event.button !== 0 || !event.isPrimary || changed(event)) return;
  const at = barAt(plot, event.clientX);
  drag = { plot, id: event.pointerId, x: event.clientX, from: at, to: at, moved: false };
});

document.addEventListener("pointermove", (event) => {
  const plot = plotOf(event.target);
  if (!drag && plot && event.pointerType === "mouse") {
    const at = barAt(plot, event.clientX);
    tell(plot, read(plot, at, at));
  }
  if (event.pointerId !== drag?.id || (!drag.moved && Math.abs(event.clientX - drag.x) < SLACK)) return;
  if (!drag.moved) drag.plot.setPointerCapture(drag.id);
  drag.moved = true;
  drag.to = barAt(drag.plot, event.clientX);
  show(drag.plot, drag.from, drag.to);
});

document.addEventListener("pointerup", (event) => {
  if (event.pointerId !== drag?.id) return;
  const { plot, from, to, moved } = drag;
  drag = null;
  if (!moved || !plot.isConnected) return;
  // The click that ends a drag is none.
  const swallow = (click) => { if (plotOf(click.target)) { click.preventDefault(); click.stopPropagation(); } };
  addEventListener("click", swallow, { capture: true, once: true });
  setTimeout(() => { removeEventListener("click", swallow, { capture: true }); apply(plot, from, to); });
});

document.addEventListener("pointercancel", () => {
  if (drag?.plot.isConnected) hide(drag.plot);
  drag = null;
});

document.addEventListener("pointerout", (event) => {
  const plot = plotOf(event.target);
  if (plot && !drag && !plot.contains(event.relatedTarget) && !plot.contains(document.activeElement)) hide(plot);
});

// Neither a link in focus nor a link or text that is carried away.
for (const name of ["mousedown", "dragstart"]) {
  document.addEventListener(name, (event) => { if (plotOf(event.target)) event.preventDefault(); });
}

document.addEventListener("click", (event) => {
  const bar = event.target.closest?.("[data-timeline] .bars a");
  if (!bar || event.defaultPrevented || event.button !== 0 || changed(event)) return;
  event.preventDefault();
  clearTimeout(waiting);
  const plot = plotOf(bar);
  const at = barsOf(plot).indexOf(bar);
  // Only where a double click has a meaning does one click wait for the second.
  if (event.detail < 2) waiting = setTimeout(() => { if (plot.isConnected) apply(plot, at, at); }, wider(plot) ? TWICE : 0);
});

document.addEventListener("dblclick", (event) => {
  const plot = plotOf(event.target);
  if (plot) wider(plot)?.click();
});
