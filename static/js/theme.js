// Runs before the first paint: the reader's theme, and a class saying that scripts work.
// Buttons: data-theme-toggle switches between light and dark, data-theme-set="system|light|dark" chooses.
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const read = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  const chosen = () => (["light", "dark"].includes(read()) ? read() : "system");

  function show() {
    if (chosen() === "system") delete root.dataset.theme;
    else root.dataset.theme = chosen();
    for (const button of document.querySelectorAll("[data-theme-set]")) {
      button.setAttribute("aria-pressed", String(button.dataset.themeSet === chosen()));
    }
  }

  function choose(theme) {
    try { localStorage.setItem("theme", theme); } catch { /* private window: lasts for this page */ }
    show();
    document.dispatchEvent(new CustomEvent("theme-changed"));
  }

  root.classList.add("scripted");
  show();
  document.addEventListener("DOMContentLoaded", show);
  system.addEventListener("change", () => document.dispatchEvent(new CustomEvent("theme-changed")));
  document.addEventListener("click", (event) => {
    const set = event.target.closest("[data-theme-set]");
    if (set) choose(set.dataset.themeSet);
    if (!event.target.closest("[data-theme-toggle]")) return;
    const dark = chosen() === "system" ? system.matches : chosen() === "dark";
    choose(dark === system.matches ? (dark ? "light" : "dark") : "system");
  });
})();
