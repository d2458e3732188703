// Adds the CSRF token to htmx requests, but only for our own elements: never for anything inside untrusted text.
document.addEventListener("htmx:configRequest", (event) => {
  const { elt, verb, headers } = event.detail;
  if (verb === "get" || !elt.closest("main[data-app]") || elt.closest(".untrusted")) return;
  headers["X-CSRFToken"] = document.querySelector('meta[name="csrf-token"]').content;
});

// Untrusted text never starts a request at all.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.detail.elt.closest(".untrusted")) event.preventDefault();
});
