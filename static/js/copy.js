// data-copy="text" copies the text (with data-copy-address as a whole address); data-copy-from="id" copies what that
// element shows; data-copy-url="address" copies what the server answers there.
function text(button) {
  const { copy, copyFrom, copyUrl } = button.dataset;
  if (copyUrl) return fetch(copyUrl, { redirect: "error" }).then((answer) => (answer.ok ? answer.text() : Promise.reject(answer)));
  if (copyFrom) return document.getElementById(copyFrom).textContent;
  return "copyAddress" in button.dataset ? new URL(copy, location.href).href : copy || location.href;
}

async function put(copied) {
  if (typeof copied === "string") return navigator.clipboard.writeText(copied);
  // Browsers let a page copy only right after a click, so the clipboard gets the answer while it is on its way.
  const blob = copied.then((each) => new Blob([each], { type: "text/plain" }));
  if (window.ClipboardItem) return navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]);
  return navigator.clipboard.writeText(await copied);
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-copy-from], [data-copy-url]");
  if (!button) return;
  let told = { text: "Copied.", kind: "ok" };
  let missing = false;
  try {
    const copied = text(button);
    if (typeof copied !== "string") copied.catch(() => { missing = true; });
    await put(copied);
  } catch {
    told = missing
      ? { text: "There is nothing to copy here: the server gave no text for it.", kind: "warn" }
      : { text: "The browser did not let the page copy. Select the text and copy it by hand.", kind: "warn" };
  }
  button.closest("details[data-menu]")?.removeAttribute("open");
  document.body.dispatchEvent(new CustomEvent("toast", { bubbles: true, detail: told }));
});
