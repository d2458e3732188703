// The timeline by keyboard: arrows move, with Shift they stretch the choice, Page, Home and End go far, Enter applies,
// Escape takes back, + and - zoom. The slider that takes the keys stays in hand when the timeline is drawn anew.
import { allTime, apply, barsOf, hide, plotOf, read, show, wider } from "./timeline_bars.js";

let cursor = null; // { at, anchor }: the bar in hand, and where the choice began
let held = false;
const isSlider = (element) => element?.matches?.("[data-timeline] .cursor");

function move(plot, at, stretch) {
  const where = Math.min(Math.max(at, 0), barsOf(plot).length - 1);
  cursor = { at: where, anchor: stretch ? cursor.anchor : where };
  const slider = plot.querySelector(".cursor");
  slider.setAttribute("aria-valuenow", where + 1);
  slider.setAttribute("aria-valuetext", read(plot, cursor.anchor, where));
  show(plot, cursor.anchor, where);
}

function zoomIn(plot) {
  const last = barsOf(plot).length - 1;
  const reach = cursor.at === cursor.anchor ? Math.floor(last / 6) : 0;
  const [from, to] = [cursor.anchor, cursor.at].sort((one, other) => one - other);
  apply(plot, Math.max(0, from - reach), Math.min(last, to + reach));
}

function stepOf(plot, key) {
  const page = Math.max(2, Math.round(barsOf(plot).length / 10));
  return { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -page, PageUp: page, Home: -Infinity, End: Infinity }[key];
}

document.addEventListener("focusin", (event) => {
  if (!isSlider(event.target)) return;
  const plot = plotOf(event.target);
  const chosen = barsOf(plot).findLastIndex((bar) => bar.querySelector(".on"));
  move(plot, chosen < 0 ? barsOf(plot).length - 1 : chosen, false);
});

document.addEventListener("focusout", (event) => { if (isSlider(event.target)) hide(plotOf(event.target)); });

document.addEventListener("keydown", (event) => {
  if (!isSlider(event.target) || !cursor || event.ctrlKey || event.metaKey || event.altKey) return;
  const plot = plotOf(event.target);
  const step = stepOf(plot, event.key);
  if (step !== undefined) move(plot, cursor.at + step, event.shiftKey);
  else if (event.key === "Enter" || event.key === " ") apply(plot, cursor.anchor, cursor.at);
  else if (event.key === "+" || event.key === "=") zoomIn(plot);
  else if (event.key === "-" || event.key === "_") wider(plot)?.click();
  else if (event.key === "Escape" && cursor.anchor !== cursor.at) move(plot, cursor.at, false);
  else if (event.key === "Escape" && allTime(plot)) allTime(plot).click();
  else return;
  event.preventDefault();
  event.stopImmediatePropagation();
}, true);

document.addEventListener("htmx:beforeSwap", (event) => {
  const ours = ["panes", "timeline"].includes(event.detail.target?.id);
  if (ours && document.activeElement?.matches("#timeline .cursor, #timeline .ib")) held = true;
});

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target?.id !== "timeline") return;
  ready();
  if (held && document.activeElement === document.body) document.querySelector("#timeline .cursor")?.focus();
  held = false;
});

// Without this script there is no slider.
function ready() {
  for (const slider of document.querySelectorAll("[data-timeline] .cursor[hidden]")) slider.hidden = false;
}
ready();
