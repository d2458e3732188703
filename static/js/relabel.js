// A teacher's answers by keyboard: J and K go through them, A accepts, D dismisses, U takes a verdict back.
const answers = () => [...document.querySelectorAll("[data-answer]")];
const current = () => document.querySelector("[data-answer][data-current]");

function mark(answer, { scroll = true } = {}) {
  for (const each of answers()) each.toggleAttribute("data-current", each === answer);
  answer?.focus({ preventScroll: true });
  if (scroll) answer?.scrollIntoView({ block: "nearest" });
}

function move(step) {
  const all = answers();
  const at = all.indexOf(current());
  const next = all[at < 0 ? 0 : Math.min(Math.max(at + step, 0), all.length - 1)];
  if (next) mark(next);
}

function press(key) {
  const button = current()?.querySelector(`[data-key="${key}"]`);
  if (!button || button.form.classList.contains("htmx-request")) return;
  button.click();
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (document.querySelector("dialog[open]")) return;
  if (event.target.closest("input, textarea, select, [contenteditable], details.menu[open]")) return;
  const key = event.key.toLowerCase();
  if (key === "j") move(1);
  else if (key === "k") move(-1);
  else if ("adu".includes(key) && key.length === 1) press(key);
  else return;
  event.preventDefault();
}, true); // before the drawer's, which has the same keys

document.addEventListener("focusin", (event) => {
  const answer = event.target.closest?.("[data-answer]");
  if (answer && answer !== current()) mark(answer, { scroll: false });
});

// A judged answer comes back in its place: the next one that is still to be judged is marked.
document.addEventListener("htmx:afterSwap", (event) => {
  const { target, requestConfig } = event.detail;
  if (!target?.id?.startsWith("answer-")) return;
  const all = answers();
  const at = all.findIndex((each) => each.id === target.id);
  const took = requestConfig?.formData?.get("do") ?? requestConfig?.parameters?.do;
  const rest = all.slice(at + 1).find((each) => each.querySelector('[data-key="a"]'));
  mark(took === "undo" ? all[at] : rest ?? all[at]);
});
