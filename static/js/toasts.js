// Short messages. The server sends the event "toast" with {text, kind}; other modules dispatch it on the body.
// With {href, label} it ends in a link.
const region = () => document.getElementById("toasts");
const LASTS = 6000;

function leave(toast) {
  setTimeout(() => { if (!toast.matches(":hover, :focus-within")) toast.remove(); else leave(toast); }, LASTS);
}

document.addEventListener("toast", (event) => {
  const { text, kind = "ok", href = "", label = "Open" } = event.detail;
  const known = [...region().children].find((toast) => toast.querySelector(".text").firstChild?.data === text);
  if (known) return;
  const toast = document.getElementById("toast-template").content.firstElementChild.cloneNode(true);
  toast.querySelector(".text").textContent = text;
  if (href.startsWith("/")) {
    const link = Object.assign(document.createElement("a"), { className: "link", href, textContent: label });
    toast.querySelector(".text").append(" ", link);
  }
  toast.className = `toast ${kind}`;
  region().append(toast);
  if (kind !== "bad") leave(toast);
});

document.addEventListener("click", (event) => {
  event.target.closest("[data-toast-close]")?.closest("[data-toast]").remove();
});

for (const toast of document.querySelectorAll("[data-toast]:not(.bad, .error)")) leave(toast);
