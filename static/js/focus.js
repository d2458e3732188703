// Whoever used the keyboard within a part that is drawn anew stays there: htmx finds the element again by its id; where
// there is none any more, such as “Next” on the last page, the heading of the part is focused instead.
let left = null;

document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  const at = document.activeElement;
  left = detail.shouldSwap && at !== document.body && detail.target.contains(at) ? detail.target.id : null;
});

document.addEventListener("htmx:afterSettle", () => {
  const part = left && document.activeElement === document.body ? document.getElementById(left) : null;
  left = null;
  const heading = part?.querySelector("h2");
  if (!heading) return;
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
});
