// <time data-moment> in the reader's own zone, <time data-ago> kept fresh; the full moment, also in UTC, is in the title.
const full = new Intl.DateTimeFormat("en-GB", { dateStyle: "long", timeStyle: "long" });
const universal = new Intl.DateTimeFormat("en-GB", { dateStyle: "long", timeStyle: "long", timeZone: "UTC" });
const sameYear = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const otherYear = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const SIZES = [[31536000, "y"], [2592000, "mo"], [86400, "d"], [3600, "h"], [60, "min"]];

function age(seconds) {
  if (seconds < 45) return "just now";
  const [size, name] = SIZES.find(([size]) => seconds >= size) ?? [60, "min"];
  return `${Math.max(1, Math.floor(seconds / size))} ${name} ago`;
}

function show(root) {
  for (const element of root.querySelectorAll("time[data-moment], time[data-ago]")) {
    const moment = new Date(element.dateTime);
    if (Number.isNaN(moment.valueOf())) continue;
    const [here, utc] = [full.format(moment), universal.format(moment)];
    element.title = here === utc ? here : `${here}\n${utc}`;
    const seconds = (Date.now() - moment) / 1000;
    if (!("ago" in element.dataset)) {
      const format = moment.getFullYear() === new Date().getFullYear() ? sameYear : otherYear;
      element.textContent = format.format(moment).replace(",", "");
    } else if (seconds >= 0) element.textContent = age(seconds);
  }
}

show(document);
document.addEventListener("htmx:afterSettle", (event) => show(event.detail.target ?? document));
document.addEventListener("htmx:historyRestore", () => show(document));
setInterval(() => show(document), 30000);
