// Answering without a mouse: letters choose state and rating, digits answer the marked label, L marks the next
// one, Enter submits, N goes to the note, S skips, P puts back.
const page = document.querySelector("[data-queue]");
const form = page?.querySelector("#answers");
const asked = () => [...(form?.querySelectorAll("[data-ask][data-digits]") ?? [])];
const isAnswered = (ask) => Boolean(ask.querySelector(":checked"));

function mark(ask) {
  for (const each of asked()) each.toggleAttribute("data-active", each === ask);
}

function markNext(from) {
  const every = asked();
  const at = every.indexOf(from);
  const round = [...every.slice(at + 1), ...every.slice(0, at + 1)];
  mark(round.find((each) => !isAnswered(each)) ?? round[0]);
}

function submit() {
  const button = form.querySelector("[data-submit]");
  if (!button.disabled) form.requestSubmit(button);
}

function choose(key) {
  const digit = /^[0-9]$/.test(key);
  const within = digit ? form.querySelector("[data-ask][data-active]") : form;
  const input = within?.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (!input) return false;
  if (input.type === "checkbox") input.checked = !input.checked;
  else {
    input.checked = true;
    if (digit) markNext(within);
  }
  return true;
}

const keys = {
  enter: submit,
  l: () => markNext(form.querySelector("[data-ask][data-active]")),
  n: () => form.querySelector("[data-note]").focus(),
  s: () => {
    const skip = page.querySelector("[data-skip]");
    if (skip) skip.open = true;
    skip?.querySelector("input[name=reason]").focus();
  },
  p: () => page.querySelector("[data-put-back]")?.click(),
};

document.addEventListener("keydown", (event) => {
  if (!form || event.defaultPrevented || event.altKey || event.repeat || document.querySelector("dialog[open]")) return;
  const on = event.target;
  const key = event.key.toLowerCase();
  if (event.ctrlKey || event.metaKey) {
    if (key === "enter" && form.contains(on)) {
      event.preventDefault();
      submit();
    }
    return;
  }
  if (key === "escape" && on.matches("input, textarea")) return on.blur();
  if (on.matches("textarea, select, input:not([type=radio], [type=checkbox])")) return;
  if (key === "enter" && on.closest("a, button, summary")) return;
  if (choose(key)) event.preventDefault();
  else if (keys[key]) {
    event.preventDefault();
    keys[key]();
  }
});

form?.addEventListener("focusin", (event) => {
  const ask = event.target.closest("[data-digits]");
  if (ask) mark(ask);
});

// A form is sent once: a second press would answer the next completion unseen.
page?.addEventListener("submit", (event) => {
  for (const button of page.querySelectorAll("button")) if (button !== event.submitter) button.disabled = true;
  if (event.submitter) setTimeout(() => (event.submitter.disabled = true));
});
window.addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

if (form) markNext(null);
