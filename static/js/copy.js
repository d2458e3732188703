// data-copy="text" copies the text; data-copy-from="id" copies what that element shows.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-copy-from]");
  if (!button) return;
  const text = button.dataset.copyFrom
    ? document.getElementById(button.dataset.copyFrom).textContent
    : button.dataset.copy || location.href;
  let told = { text: "Copied.", kind: "ok" };
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    told = { text: "The browser did not let the page copy. Select the text and copy it by hand.", kind: "warn" };
  }
  document.body.dispatchEvent(new CustomEvent("toast", { bubbles: true, detail: told }));
});
