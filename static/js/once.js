// A form with data-once is sent once: its button turns until the next page is there, and pressing again does nothing.
// Escape, which ends the loading of a page, and coming back to the page let it be sent again.
const clear = () => {
  for (const form of document.querySelectorAll("form[data-once][data-sent]")) delete form.dataset.sent;
  for (const button of document.querySelectorAll("button[aria-busy]")) button.removeAttribute("aria-busy");
};

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || !form.matches("form[data-once]")) return;
  if ("sent" in form.dataset) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "";
  event.submitter?.setAttribute("aria-busy", "true");
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") clear();
});
window.addEventListener("pageshow", clear);
