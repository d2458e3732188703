// What is said about a completion: forms with data-say are sent one after the other, so that quick keys are all
// kept in order, and the panel (data-review, its row's number) is drawn anew if it still shows that completion.
// What is typed and not sent yet (data-draft) outlives every redraw, and the way to another row and back.
// The body then hears "reviewed" with {id}: the row in the table and the history (data-said) follow.
const FAILED = "That was not kept: the portal cannot be reached. Check the network, then say it again.";
const drafts = new Map(); // "row field" → text
let waiting = Promise.resolve();
let open = 0;
let behind = false; // an answer was not drawn because another was on its way

export const panel = () => document.querySelector("[data-review]");
const nameOf = (field) => `${field.closest("[data-review]").dataset.review} ${field.id}`;

function tell(text) {
  document.body.dispatchEvent(new CustomEvent("toast", { bubbles: true, detail: { text, kind: "bad" } }));
}

function restore() {
  for (const field of panel()?.querySelectorAll("[data-draft]") ?? []) {
    const kept = drafts.get(nameOf(field));
    if (kept !== undefined && field.value !== kept) field.value = kept;
  }
}

function draw(html) {
  behind = false;
  const inside = panel().contains(document.activeElement);
  const unfolded = [...panel().querySelectorAll("[data-question]:has(details[open])")].map((each) => each.dataset.question);
  const spec = { swapStyle: "outerHTML", swapDelay: 0, settleDelay: 0, ignoreTitle: true };
  htmx.swap(panel(), html, spec, { eventInfo: { target: panel(), elt: panel() } });
  restore();
  for (const key of unfolded) panel().querySelector(`[data-question="${Number(key)}"] details`)?.setAttribute("open", "");
  if (inside && document.activeElement === document.body) document.querySelector("#drawer .db")?.focus({ preventScroll: true });
  const told = document.getElementById("told");
  if (told) told.textContent = panel().dataset.told;
}

const why = (html) => new DOMParser().parseFromString(html, "text/html").querySelector("[role=alert]")?.textContent.trim();

// The row in the table as it is now.
function follow(id) {
  const address = panel()?.dataset.reviewRow;
  const here = document.querySelector("[data-rows] table")?.dataset.here;
  if (!address || !here || !document.getElementById(`row-${id}`)) return;
  const row = address.replace(/\/\d+\//, `/${id}/`) + new URL(here, location.href).search;
  htmx.ajax("GET", row, { source: `#row-${id}`, target: `#row-${id}`, swap: "outerHTML" });
}

// The history; what was pressed in it is gone then, and with it the focus.
async function retell(id) {
  const history = document.querySelector(`[data-said="${Number(id)}"]`);
  if (!history) return;
  const around = history.contains(document.activeElement) && history.closest("[tabindex]");
  await htmx.ajax("GET", history.dataset.saidAddress, { source: history, target: history, swap: "outerHTML" });
  if (around && document.activeElement === document.body) around.focus({ preventScroll: true });
}

async function ask(address, id, request, field) {
  const headers = { "HX-Request": "true", "HX-Target": "review", "HX-Current-URL": location.href, ...request.headers };
  let answer;
  try {
    answer = await fetch(address, { ...request, headers, redirect: "error" });
  } catch {
    tell(FAILED);
    return false;
  }
  const elsewhere = answer.headers.get("HX-Redirect");
  if (elsewhere) { location.assign(elsewhere); return false; }
  if (!answer.ok && answer.status !== 422) {
    tell(answer.status === 403 ? "You may not review here any more." : answer.status === 404
      ? "This completion no longer exists, or you may not see it." : `That was not kept: the server answered ${answer.status}. Say it again in a moment.`);
    return false;
  }
  const html = await answer.text();
  if (answer.ok && field) drafts.delete(field);
  const shown = panel()?.dataset.review === id;
  if (shown && open <= 1) draw(html);
  else {
    behind ||= shown;
    if (answer.status === 422) tell(`${shown ? "" : "About another completion: "}${why(html) ?? "That was not kept."}`);
  }
  return answer.ok;
}

// The panel as it is now.
function read() {
  behind = false;
  if (panel()) ask(panel().dataset.reviewPanel, panel().dataset.review, { method: "GET" });
}

export function send(form, button) {
  const id = panel()?.dataset.review ?? form.closest("[data-said]")?.dataset.said;
  const typed = form.querySelector("[data-draft]");
  const field = typed && nameOf(typed);
  const body = new URLSearchParams(new FormData(form, button));
  const headers = { "X-CSRFToken": document.querySelector("meta[name=csrf-token]").content };
  panel()?.setAttribute("aria-busy", "true");
  open += 1;
  waiting = waiting.then(() => ask(form.action, id, { method: "POST", body, headers }, field)).then((kept) => {
    open -= 1;
    if (kept) document.body.dispatchEvent(new CustomEvent("reviewed", { bubbles: true, detail: { id: Number(id), drawn: true } }));
    if (!open) panel()?.removeAttribute("aria-busy");
    if (!open && behind) read();
    return kept;
  });
  return waiting;
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-say]") || !panel()) return;
  event.preventDefault();
  send(form, event.submitter);
});

// Somebody else's part of the page may have said something too: then the panel asks for itself.
document.addEventListener("reviewed", (event) => {
  const { id, drawn } = event.detail ?? {};
  if (!id) return;
  follow(id);
  retell(id);
  if (!drawn && panel()?.dataset.review === String(id)) read();
});

document.addEventListener("input", (event) => {
  const field = event.target;
  if (!field.matches("[data-draft]")) return;
  if (field.value === field.defaultValue) drafts.delete(nameOf(field));
  else drafts.set(nameOf(field), field.value);
});

document.addEventListener("htmx:afterSettle", (event) => {
  if (event.detail.target?.id === "drawer") restore();
});
