// The timeline: drag over the bars with mouse, pen or finger to see only that time; a click takes one bar.
// By keyboard: arrows move, with Shift they stretch the choice, Home and End, Enter applies, Escape takes back, + and - zoom.
import "./zone.js";

const TWICE = 250; // milliseconds between the two clicks of a double click
const SLACK = 4; // a hand is not still while it clicks
let drag = null; // { plot, id, x, from, to }
let waiting = 0; // the timer of a click that may become a double click
let cursor = null; // { at, anchor }: the bar in hand by keyboard and where the choice began

const plotOf = (element) => element.closest?.("[data-timeline]");
const barsOf = (plot) => [...plot.querySelectorAll(".bars a")];
const counted = (n) => `${n.toLocaleString("en-GB")} completion${n === 1 ? "" : "s"}`;

function words(first, last) {
  const [begin, until] = [first.dataset.begin, last.dataset.until];
  if (begin === until) return begin;
  if (begin.endsWith(" 00:00") && until.endsWith(" 24:00")) {
    const [day, lastDay] = [begin.slice(0, -6), until.slice(0, -6)];
    return day === lastDay ? day : `${day} – ${lastDay}`;
  }
  const sameDay = begin.includes(":") && begin.slice(0, begin.lastIndexOf(" ")) === until.slice(0, until.lastIndexOf(" "));
  return `${begin} – ${sameDay ? until.slice(until.lastIndexOf(" ") + 1) : until}`;
}

function read(plot, from, to) {
  const some = barsOf(plot).slice(Math.min(from, to), Math.max(from, to) + 1);
  const n = some.reduce((sum, bar) => sum + Number(bar.dataset.n), 0);
  return `${words(some[0], some.at(-1))}: ${counted(n)}`;
}

function show(plot, from, to) {
  const bars = barsOf(plot);
  const [first, last] = [bars[Math.min(from, to)], bars[Math.max(from, to)]];
  const draft = plot.querySelector(".draft");
  const left = parseFloat(first.lastElementChild.getAttribute("x"));
  const right = parseFloat(last.lastElementChild.getAttribute("x")) + parseFloat(last.lastElementChild.getAttribute("width"));
  draft.setAttribute("x", `${left}%`);
  draft.setAttribute("width", `${right - left}%`);
  draft.setAttribute("visibility", "visible");
  tell(plot, read(plot, from, to));
}

function tell(plot, text) {
  const under = plot.parentElement.querySelector(".under");
  under.querySelector(".reading").textContent = text;
  under.classList.toggle("told", Boolean(text));
}

function hide(plot) {
  plot.querySelector(".draft").setAttribute("visibility", "hidden");
  tell(plot, "");
}

function apply(plot, from, to) {
  const bars = barsOf(plot);
  const form = plot.parentElement.querySelector("[data-timeline-range]");
  form.elements.from.value = bars[Math.min(from, to)].dataset.start;
  form.elements.to.value = Number(bars[Math.max(from, to)].dataset.end) - 1;
  form.requestSubmit();
}

// By pointer.

function barAt(plot, x) {
  const box = plot.querySelector(".bars").getBoundingClientRect();
  const bars = barsOf(plot);
  const [low, high] = [Number(bars[0].dataset.start), Number(bars.at(-1).dataset.end)];
  const at = low + (Math.min(Math.max((x - box.left) / box.width, 0), 1) * (high - low));
  const found = bars.findIndex((bar) => at < Number(bar.dataset.end));
  return found < 0 ? bars.length - 1 : found;
}

document.addEventListener("pointerdown", (event) => {
  const plot = plotOf(event.target);
  if (!plot || event.button !== 0 || !event.isPrimary || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const at = barAt(plot, event.clientX);
  drag = { plot, id: event.pointerId, x: event.clientX, from: at, to: at, moved: false };
});

document.addEventListener("pointermove", (event) => {
  const plot = plotOf(event.target);
  if (!drag) {
    if (plot && event.pointerType === "mouse") { const at = barAt(plot, event.clientX); tell(plot, read(plot, at, at)); }
    return;
  }
  if (event.pointerId !== drag.id) return;
  if (!drag.moved && Math.abs(event.clientX - drag.x) < SLACK) return;
  if (!drag.moved) {
    drag.moved = true;
    drag.plot.setPointerCapture(drag.id);
  }
  drag.to = barAt(drag.plot, event.clientX);
  show(drag.plot, drag.from, drag.to);
});

document.addEventListener("pointerup", (event) => {
  if (!drag || event.pointerId !== drag.id) return;
  const { plot, from, to, moved } = drag;
  drag = null;
  if (!moved || !plot.isConnected) return;
  addEventListener("click", (click) => { if (plotOf(click.target)) { click.preventDefault(); click.stopPropagation(); } }, { capture: true, once: true });
  setTimeout(() => apply(plot, from, to));
});

function drop() {
  if (drag?.plot.isConnected) hide(drag.plot);
  drag = null;
}

document.addEventListener("pointercancel", drop);
document.addEventListener("pointerout", (event) => {
  const plot = plotOf(event.target);
  if (plot && !drag && !plot.contains(event.relatedTarget) && !plot.contains(document.activeElement)) hide(plot);
});
document.addEventListener("mousedown", (event) => { if (plotOf(event.target)) event.preventDefault(); }); // no link in focus, no text chosen
document.addEventListener("dragstart", (event) => { if (plotOf(event.target)) event.preventDefault(); });

document.addEventListener("click", (event) => {
  const bar = event.target.closest?.("[data-timeline] .bars a");
  if (!bar || event.defaultPrevented || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  const plot = plotOf(bar);
  const at = barsOf(plot).indexOf(bar);
  clearTimeout(waiting);
  // Where a double click has a meaning, one click waits for the second.
  if (event.detail < 2) waiting = setTimeout(() => { if (plot.isConnected) apply(plot, at, at); }, plot.parentElement.querySelector("[data-wider]") ? TWICE : 0);
});

document.addEventListener("dblclick", (event) => {
  if (plotOf(event.target)) plotOf(event.target).parentElement.querySelector("[data-wider]")?.click();
});

// By keyboard.

function move(plot, at, stretch) {
  const last = barsOf(plot).length - 1;
  const where = Math.min(Math.max(at, 0), last);
  cursor = { at: where, anchor: stretch ? cursor.anchor : where };
  const slider = plot.querySelector(".cursor");
  slider.setAttribute("aria-valuenow", where + 1);
  slider.setAttribute("aria-valuetext", read(plot, cursor.anchor, where));
  show(plot, cursor.anchor, where);
}

function zoomIn(plot) {
  const bars = barsOf(plot);
  if (cursor.at !== cursor.anchor) return apply(plot, cursor.anchor, cursor.at);
  const reach = Math.floor(bars.length / 6);
  return apply(plot, Math.max(0, cursor.at - reach), Math.min(bars.length - 1, cursor.at + reach));
}

document.addEventListener("focusin", (event) => {
  if (!event.target.matches?.("[data-timeline] .cursor")) return;
  const plot = plotOf(event.target);
  const chosen = barsOf(plot).findLastIndex((bar) => bar.querySelector(".on"));
  cursor = null;
  move(plot, chosen < 0 ? barsOf(plot).length - 1 : chosen, false);
});

document.addEventListener("focusout", (event) => {
  if (event.target.matches?.("[data-timeline] .cursor")) hide(plotOf(event.target));
});

document.addEventListener("keydown", (event) => {
  if (!event.target.matches?.("[data-timeline] .cursor") || !cursor || event.ctrlKey || event.metaKey || event.altKey) return;
  const plot = plotOf(event.target);
  const page = Math.max(2, Math.round(barsOf(plot).length / 10));
  const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -page, PageUp: page, Home: -Infinity, End: Infinity }[event.key];
  if (step !== undefined) move(plot, cursor.at + step, event.shiftKey);
  else if (event.key === "Enter" || event.key === " ") apply(plot, cursor.anchor, cursor.at);
  else if (event.key === "+" || event.key === "=") zoomIn(plot);
  else if (event.key === "-" || event.key === "_") plot.parentElement.querySelector("[data-wider]")?.click();
  else if (event.key === "Escape" && cursor.anchor !== cursor.at) move(plot, cursor.at, false);
  else if (event.key === "Escape" && plot.parentElement.querySelector("[data-all-time]")) plot.parentElement.querySelector("[data-all-time]").click();
  else return;
  event.preventDefault();
  event.stopPropagation();
});

// The slider is for those who have this script; it stays in hand when the timeline is drawn anew.
let held = false;
function ready() {
  for (const slider of document.querySelectorAll("[data-timeline] .cursor[hidden]")) slider.hidden = false;
}
document.addEventListener("htmx:beforeSwap", (event) => {
  if (["panes", "timeline"].includes(event.detail.target?.id)) held ||= document.activeElement?.matches("#timeline .cursor, #timeline .ib") ?? false;
});
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target?.id !== "timeline") return;
  ready();
  if (held && document.activeElement === document.body) document.querySelector("#timeline .cursor")?.focus();
  held = false;
});
ready();
