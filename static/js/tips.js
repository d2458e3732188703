// [data-tip="id"] shows the element of that id, a popover, while it is pointed at or has the focus.
// Pointing at the popover keeps it; Escape takes it away. Its text is also the button's description (aria-describedby).
let shown = null; // { button, tip }
let leaving = 0;

function place({ button, tip }) {
  const at = button.getBoundingClientRect();
  const size = tip.getBoundingClientRect();
  const left = Math.max(12, Math.min(at.left, innerWidth - size.width - 12));
  const below = at.bottom + 6 + size.height < innerHeight;
  tip.style.left = `${left}px`;
  tip.style.top = `${Math.max(8, below ? at.bottom + 6 : at.top - size.height - 6)}px`;
}

function hide() {
  clearTimeout(leaving);
  if (shown?.tip.isConnected && shown.tip.matches(":popover-open")) shown.tip.hidePopover();
  shown = null;
}

function show(button) {
  clearTimeout(leaving);
  if (shown?.button === button) return;
  hide();
  const tip = document.getElementById(button.dataset.tip);
  if (!tip) return;
  shown = { button, tip };
  tip.showPopover();
  place(shown);
}

const buttonAt = (event) => event.target.closest?.("[data-tip]");
const inTip = (event) => shown && shown.tip.contains(event.target);

document.addEventListener("pointerover", (event) => {
  const button = buttonAt(event);
  if (button) show(button);
  else if (inTip(event)) clearTimeout(leaving);
  else if (shown && document.activeElement !== shown.button) {
    clearTimeout(leaving);
    leaving = setTimeout(hide, 200);
  }
});
document.addEventListener("focusin", (event) => {
  const button = buttonAt(event);
  if (button) show(button);
  else hide();
});
document.addEventListener("click", (event) => {
  const button = buttonAt(event);
  if (button) show(button);
  else if (shown && !inTip(event)) hide();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !shown || event.defaultPrevented) return;
  hide();
  event.preventDefault();
});
addEventListener("scroll", () => shown && place(shown), { capture: true, passive: true });
