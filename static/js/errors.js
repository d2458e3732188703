// What went wrong with a request, in plain words.
const WORDS = {
  400: "The server did not understand this request. Reload the page and try again.",
  403: "You are not permitted to do this. Ask the person who manages this connection.",
  404: "This no longer exists, or you may not see it. Go back to the list.",
  409: "Somebody changed this meanwhile. Reload the page to see how it is now.",
  413: "This is too big to send.",
  414: "This is too long for an address. Shorten the filter.",
  429: "Too many requests in a short time. Wait a minute and try again.",
};

function tell(text) {
  document.body.dispatchEvent(new CustomEvent("toast", { bubbles: true, detail: { text, kind: "bad" } }));
}

document.addEventListener("htmx:responseError", (event) => {
  const status = event.detail.xhr.status;
  tell(WORDS[status] ?? `The server failed with status ${status}. Nothing on this page was changed. Try again in a moment.`);
});
document.addEventListener("htmx:sendError", () => tell("The portal cannot be reached. Check the network, then try again."));
document.addEventListener("htmx:timeout", () => tell("The portal took too long to answer. Try again in a moment."));
document.addEventListener("htmx:swapError", () => tell("The answer could not be shown. Reload the page."));
