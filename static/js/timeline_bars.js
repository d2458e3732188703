// The bars of the timeline: which they are, what a stretch of them is called and holds, and the way into it.
export const plotOf = (element) => element.closest?.("[data-timeline]");
export const barsOf = (plot) => [...plot.querySelectorAll(".bars a")];
export const wider = (plot) => plot.parentElement.querySelector("[data-wider]");
export const allTime = (plot) => plot.parentElement.querySelector("[data-all-time]");

const counted = (n) => `${n.toLocaleString("en-GB")} completion${n === 1 ? "" : "s"}`;
const dayOf = (moment) => moment.slice(0, moment.lastIndexOf(" "));

function words(begin, until) {
  if (begin.endsWith(" 00:00") && until.endsWith(" 24:00")) return words(dayOf(begin), dayOf(until));
  if (begin === until) return begin;
  if (begin.includes(":") && dayOf(begin) === dayOf(until)) return `${begin} – ${until.slice(until.lastIndexOf(" ") + 1)}`;
  return `${begin} – ${until}`;
}

function stretch(plot, from, to) {
  const some = barsOf(plot).slice(Math.min(from, to), Math.max(from, to) + 1);
  return [some[0], some.at(-1), some];
}

export function read(plot, from, to) {
  const [first, last, some] = stretch(plot, from, to);
  const n = some.reduce((sum, bar) => sum + Number(bar.dataset.n), 0);
  return `${words(first.dataset.begin, last.dataset.until)}: ${counted(n)}`;
}

// In place of the axis; an empty text brings the axis back.
export function tell(plot, text) {
  const under = plot.parentElement.querySelector(".under");
  under.querySelector(".reading").textContent = text;
  under.classList.toggle("told", Boolean(text));
}

export function show(plot, from, to) {
  const [first, last] = stretch(plot, from, to).slice(0, 2).map((bar) => bar.lastElementChild);
  const left = parseFloat(first.getAttribute("x"));
  const right = parseFloat(last.getAttribute("x")) + parseFloat(last.getAttribute("width"));
  const draft = plot.querySelector(".draft");
  draft.setAttribute("x", `${left}%`);
  draft.setAttribute("width", `${right - left}%`);
  draft.setAttribute("visibility", "visible");
  tell(plot, read(plot, from, to));
}

export function hide(plot) {
  plot.querySelector(".draft").setAttribute("visibility", "hidden");
  tell(plot, "");
}

// The server writes the filter; see the form beside the bars.
export function apply(plot, from, to) {
  const [first, last] = stretch(plot, from, to);
  const form = plot.parentElement.querySelector("[data-timeline-range]");
  form.elements.from.value = first.dataset.start;
  form.elements.to.value = Number(last.dataset.end) - 1;
  form.requestSubmit();
}
