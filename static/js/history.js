// The browser's Back and Forward: htmx asks the server for the page of that address. Who presses twice, or goes on at once,
// would get whichever answer comes last: only the newest wish is answered, and what came instead of the page is loaded whole.
let restoring = null; // the request for an earlier page
let moving = null; // the request that leads to another address

document.addEventListener("htmx:historyCacheMiss", ({ detail: { xhr } }) => {
  restoring?.abort();
  moving?.abort();
  [restoring, moving] = [xhr, null];
  xhr.onerror = () => location.reload();
});

document.addEventListener("htmx:beforeRequest", ({ detail: { elt, requestConfig, xhr } }) => {
  const pushes = elt.closest("[hx-push-url]")?.getAttribute("hx-push-url") ?? "false";
  if (pushes === "false" || requestConfig.verb !== "get") return;
  restoring?.abort();
  [restoring, moving] = [null, xhr];
});

document.addEventListener("htmx:historyCacheMissLoad", ({ detail: { path, xhr } }) => {
  restoring = null;
  if (new URL(xhr.responseURL).pathname !== new URL(path, location.href).pathname) location.reload();
});
document.addEventListener("htmx:historyCacheMissLoadError", () => location.reload());
