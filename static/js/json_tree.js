// A JSON tree (data-tree): branches with data-later come from data-tree-source when they are opened. A line that is
// clicked or reached by the arrow keys becomes the current one, of which the bar before the tree (data-tree-bar) shows and
// copies path and value. Left and Right fold and unfold, Up, Down, Home and End move.
const LINES = "summary, .row, button.more";
const tree = (element) => element.closest?.("[data-tree]");
const lines = (root) => [...root.querySelectorAll(LINES)].filter((line) => line.checkVisibility());
const nodeOf = (line) => line.closest("[data-n]");

function path(node) {
  const numbers = [];
  for (let each = node; each && !each.parentElement.matches("[data-tree]"); each = each.parentElement.closest("[data-n]")) numbers.unshift(each.dataset.n);
  return numbers.join(".");
}

function shownPath(node) {
  const names = [];
  for (let each = node; each && !each.parentElement.matches("[data-tree]"); each = each.parentElement.closest("[data-n]")) {
    names.unshift((each.matches("details") ? each.firstElementChild : each).querySelector(":scope > .k")?.textContent ?? "");
  }
  return names.join(" / ") || "The whole";
}

function choose(line, focus = false) {
  const root = tree(line);
  for (const other of root.querySelectorAll(".cur")) other.classList.remove("cur");
  line.classList.add("cur");
  if (focus) { line.focus({ preventScroll: true }); line.scrollIntoView({ block: "nearest" }); }
  const node = nodeOf(line);
  const bar = root.previousElementSibling?.matches("[data-tree-bar]") ? root.previousElementSibling : null;
  if (!bar || line.matches("button")) return;
  bar.querySelector("[data-tree-where]").textContent = shownPath(node);
  for (const button of bar.querySelectorAll("[data-tree-copy]")) {
    button.disabled = false;
    button.dataset.copyUrl = `${root.dataset.treeSource}&node=${path(node)}&as=${button.dataset.treeCopy}`;
  }
}

async function grow(root, node, from, place) {
  const answer = await fetch(`${root.dataset.treeSource}&node=${path(node)}&from=${from}`, { redirect: "error" }).catch(() => null);
  if (!answer?.ok) {
    document.body.dispatchEvent(new CustomEvent("toast", { bubbles: true, detail: { text: "This branch could not be read. Try again.", kind: "bad" } }));
    return false;
  }
  const [target, swapStyle] = place;
  htmx.swap(target, await answer.text(), { swapStyle, swapDelay: 0, settleDelay: 0, ignoreTitle: true }, { eventInfo: { target, elt: target } });
  return true;
}

document.addEventListener("toggle", async (event) => {
  const node = event.target;
  const root = tree(node);
  if (!root || !node.open || !node.matches("[data-later]")) return;
  node.removeAttribute("data-later");
  const grown = await grow(root, node, 0, [node.lastElementChild, "innerHTML"]);
  if (!grown) { node.open = false; node.setAttribute("data-later", ""); }
}, true);

document.addEventListener("click", async (event) => {
  const line = event.target.closest(LINES);
  const root = line && tree(line);
  if (!root) return;
  choose(line);
  if (!line.matches("button.more")) return;
  line.disabled = true;
  const before = line.previousElementSibling;
  const grown = await grow(root, nodeOf(line), line.dataset.from, [line, "beforebegin"]);
  if (!grown) { line.disabled = false; return; }
  line.remove();
  const next = before?.nextElementSibling;
  if (next) choose(next.matches("details") ? next.firstElementChild : next, true);
});

document.addEventListener("focusin", (event) => {
  const line = event.target.closest(LINES);
  if (line && tree(line)) choose(line);
});

document.addEventListener("keydown", (event) => {
  const line = event.target.closest(LINES);
  const root = line && tree(line);
  if (!root || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
  const all = lines(root);
  const here = all.indexOf(line);
  const node = nodeOf(line);
  const box = line.matches("summary") ? node : null;
  let next = null;
  if (event.key === "ArrowDown") next = all[here + 1];
  else if (event.key === "ArrowUp") next = all[here - 1];
  else if (event.key === "Home") next = all[0];
  else if (event.key === "End") next = all.at(-1);
  else if (event.key === "ArrowRight" && box) { if (box.open) next = all[here + 1]; else box.open = true; }
  else if (event.key === "ArrowLeft") {
    if (box?.open) box.open = false;
    else next = node.parentElement.closest("details[data-n]")?.firstElementChild;
  } else return;
  event.preventDefault();
  if (next) choose(next, true);
});
