// <details data-menu> closes on a click elsewhere, on Escape, and after a choice.
// data-sheet-open="id" and data-sheet-close show and hide a side sheet (class "open") with a shade behind it.
const openMenus = () => document.querySelectorAll("details[data-menu][open]");

function closeSheet() {
  const sheet = document.querySelector("[data-sheet].open");
  if (!sheet) return false;
  sheet.classList.remove("open");
  document.querySelector(".facets-shade")?.remove();
  document.querySelector(`[data-sheet-open="${sheet.id}"]`)?.focus();
  return true;
}

document.addEventListener("click", (event) => {
  for (const menu of openMenus()) {
    const inside = menu.contains(event.target);
    if (!inside || event.target.closest(".items a, .items button:not([data-theme-set])")) menu.open = false;
  }
  const opener = event.target.closest("[data-sheet-open]");
  if (opener) {
    const sheet = document.getElementById(opener.dataset.sheetOpen);
    const shade = document.createElement("div");
    shade.className = "facets-shade";
    shade.dataset.sheetClose = "";
    sheet.before(shade);
    sheet.classList.add("open");
    sheet.querySelector("a, button, input")?.focus();
  } else if (event.target.closest("[data-sheet-close]")) closeSheet();
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.defaultPrevented) return;
  const [menu] = openMenus();
  if (menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
    event.preventDefault();
  } else if (closeSheet()) event.preventDefault();
});
