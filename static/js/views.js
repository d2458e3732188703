// Up and down go between the views, right to the settings of one, left back.
document.addEventListener("keydown", (event) => {
  const here = event.target.closest?.("#views a");
  if (!here || event.altKey || event.ctrlKey || event.metaKey) return;
  const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (way) {
    const views = [...document.querySelectorAll("#views > a, #views .view")];
    const at = views.indexOf(here.closest(".view-line")?.querySelector(".view") ?? here);
    views[at + way]?.focus();
  } else if (event.key === "ArrowRight") here.closest(".view-line")?.querySelector(".ib").focus();
  else if (event.key === "ArrowLeft") here.closest(".view-line")?.querySelector(".view").focus();
  else return;
  event.preventDefault();
});
