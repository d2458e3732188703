// data-dialog-open="id" opens a <dialog>, data-dialog-close closes the one around it.
// What htmx puts into [data-dialog-host] is shown as a dialog; when it becomes empty, the dialog closes.
// data-confirm="Question" on a submit button (or hx-confirm anywhere) asks first;
// data-confirm-text and data-confirm-label say more and name the button.
const host = () => document.querySelector("[data-confirm-host]");
let proceed = null;

function ask(question, asker, then) {
  const { confirmText = "", confirmLabel = "Continue" } = asker.dataset;
  const dialog = host();
  const harmful = asker.classList.contains("danger");
  dialog.querySelector(".title").textContent = question;
  dialog.querySelector("[data-confirm-text]").textContent = confirmText;
  dialog.querySelector("[data-confirm-yes]").textContent = confirmLabel;
  dialog.querySelector("[data-confirm-yes]").classList.toggle("danger", harmful);
  dialog.querySelector("[data-dialog-close]").textContent = harmful ? "Keep as it is" : "Back";
  proceed = then;
  dialog.showModal();
}

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-dialog-open]");
  if (opener) document.getElementById(opener.dataset.dialogOpen).showModal();

  const closer = event.target.closest("[data-dialog-close]");
  if (closer?.closest("dialog")) {
    closer.closest("dialog").close();
    event.preventDefault();
  } else if (event.target.matches("dialog")) event.target.close();

  if (event.target.closest("[data-confirm-yes]")) {
    const then = proceed;
    host().close();
    then?.();
  }

  const button = event.target.closest("button[data-confirm]");
  if (button?.form && !button.disabled) {
    event.preventDefault();
    if (button.form.reportValidity()) ask(button.dataset.confirm, button, () => button.form.requestSubmit(button));
  }
});

document.addEventListener("htmx:confirm", (event) => {
  if (!event.detail.question) return;
  event.preventDefault();
  ask(event.detail.question, event.detail.elt, () => event.detail.issueRequest(true));
});

document.addEventListener("htmx:afterSwap", (event) => {
  const dialog = event.detail.target;
  if (!dialog?.matches?.("[data-dialog-host]")) return;
  const filled = dialog.childElementCount > 0;
  if (filled && !dialog.open) dialog.showModal();
  if (!filled && dialog.open) dialog.close();
});

document.addEventListener("close", (event) => {
  if (event.target.matches("[data-dialog-host]")) event.target.replaceChildren();
  if (event.target === host()) proceed = null;
}, true);
