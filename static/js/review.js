// Reviewing by keyboard, where the panel (data-review) offers it: A V R states, G B ratings, 1–9 the answers of the
// marked label (data-active), L marks the next one, N writes a note, E corrects, U takes back what one said last.
// A key presses the button that carries it (data-key). One that holds already is left alone: only a click clears it.
import { panel, send } from "./review_send.js";

const FIELDS = "input:not([type=checkbox]), textarea, select, [contenteditable]";
const questions = () => [...(panel()?.querySelectorAll("[data-question]") ?? [])];
const active = () => questions().find((question) => "active" in question.dataset);

function rest() {
  document.querySelector("#drawer .db")?.focus({ preventScroll: true });
}

function activate(question) {
  for (const each of questions()) each.toggleAttribute("data-active", each === question);
}

function press(button) {
  const held = button.getAttribute("aria-pressed") === "true";
  if (!held || button.name === "remove") send(button.form, button);
}

function nextLabel(step) {
  const all = questions();
  const next = all[(all.indexOf(active()) + step + all.length) % all.length];
  if (!next) return;
  activate(next);
  next.scrollIntoView({ block: "nearest" });
  const field = next.querySelector("[data-draft]");
  if (field) { field.focus(); field.select(); } else if (document.activeElement?.closest("[data-question]")) rest();
}

function answer(key) {
  if (key === "n") panel().querySelector("[data-note]")?.focus();
  else if (key === "e") document.querySelector("#drawer [data-correct]")?.click();
  else if (key === "l") nextLabel(1);
  else {
    const where = /\d/.test(key) ? active() : panel();
    const button = where?.querySelector(`[data-key="${key}"]`);
    if (!button) return /\d/.test(key) && Boolean(active());
    press(button);
  }
  return true;
}

document.addEventListener("keydown", (event) => {
  const field = event.target.closest(FIELDS);
  if (field?.closest("[data-review]")) return inside(event, field);
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.repeat || field) return undefined;
  if (event.key === "?") explain(); // the list opens by the same key, before or after this
  if (document.querySelector("dialog[open]")) return undefined;
  if (event.key === "L" && questions().length) { nextLabel(-1); event.preventDefault(); }
  else if (panel()?.querySelector("[data-say]") && /^[avrgbneul0-9]$/.test(event.key) && answer(event.key)) event.preventDefault();
  return undefined;
});

// In a field of the panel: Ctrl Enter (or Enter in a line) sends, Escape leaves it and keeps what is typed.
function inside(event, field) {
  if (event.key === "Escape") rest();
  else if (event.key === "Enter" && (event.ctrlKey || event.metaKey || field.matches("input"))) {
    const form = field.form;
    rest();
    send(form, form.querySelector("button")).then((kept) => {
      if (kept) return;
      const again = document.getElementById(field.id);
      again?.focus();
      if (again?.matches("input")) again.select();
    });
  } else return;
  event.preventDefault();
}

// The keys are listed where they work.
function explain() {
  const works = Boolean(panel()?.querySelector("[data-say]"));
  for (const line of document.querySelectorAll("[data-review-key]")) {
    line.hidden = !works || (line.dataset.reviewKey === "e" && !document.querySelector("#drawer [data-correct]"));
  }
  for (const line of document.querySelectorAll("[data-list-key]")) line.hidden = works;
}

document.addEventListener("focusin", (event) => {
  const question = event.target.closest?.("[data-question]");
  if (question) activate(question);
});
