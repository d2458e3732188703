// <figure data-chart="JSON"> drawn by uPlot, which is loaded when a page first has a chart.
let library = null;

function load() {
  library ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = document.body.dataset.uplot;
    script.onload = () => done(window.uPlot);
    script.onerror = failed;
    document.head.append(script);
  });
  return library;
}

const colour = (element, name) => getComputedStyle(element).getPropertyValue(name).trim();

function resolve(element, value) {
  // light-dark() is only resolved in a real property.
  element.style.color = value;
  const found = getComputedStyle(element).color;
  element.style.color = "";
  return found;
}

async function draw(figure) {
  const plot = figure.querySelector("[data-chart-plot]");
  const data = JSON.parse(figure.dataset.chart);
  const UPlot = await load();
  plot.replaceChildren();
  const reading = figure.querySelector("[data-chart-reading]");
  const ink = resolve(plot, "var(--fg-3)");
  const line = resolve(plot, "var(--stroke-soft)");
  const axis = { stroke: ink, font: `11px ${colour(document.documentElement, "--font")}`, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1, size: 4 } };
  const keys = [...figure.querySelectorAll(".key")];
  const series = data.lines.map((item, place) => ({
    label: item.label,
    stroke: resolve(plot, getComputedStyle(keys[place]).getPropertyValue("--c")),
    width: 2,
    spanGaps: item.joined,
    points: { show: item.marks || data.xs.length < 30, size: 6 },
  }));
  const chart = new UPlot({
    width: plot.clientWidth,
    height: plot.clientHeight,
    scales: { x: { time: false }, y: data.fromZero ? { range: (_, low, high) => [Math.min(0, low), high * 1.05 || 1] } : {} },
    axes: [{ ...axis, size: 28 }, { ...axis, size: 46 }],
    cursor: { y: false, drag: { x: true, y: false } },
    legend: { show: false },
    series: [{}, ...series],
    hooks: {
      setCursor: [(self) => {
        const at = self.cursor.idx;
        const shown = data.lines.map((item) => item.values[at]).map((value) => (value == null ? "–" : value.toPrecision(4)));
        reading.textContent = at == null ? "" : `${data.x} ${data.xs[at]}: ${shown.join(" · ")}`;
      }],
    },
  }, [data.xs, ...data.lines.map((item) => item.values)], plot);
  new ResizeObserver((_, watcher) => {
    if (!plot.isConnected || !plot.contains(chart.root)) watcher.disconnect();
    else if (plot.clientWidth) chart.setSize({ width: plot.clientWidth, height: plot.clientHeight });
  }).observe(plot);
  figure.dataset.drawn = "";
}

const drawNew = () => document.querySelectorAll("figure[data-chart]:not([data-drawn])").forEach(draw);
const drawAll = () => document.querySelectorAll("figure[data-chart]").forEach(draw);
document.addEventListener("htmx:afterSettle", drawNew);
document.addEventListener("theme-changed", drawAll);
drawNew();
