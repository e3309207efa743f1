"use strict";

// Tables: a click on a column's button sorts by it, a second click turns the order round.

const collator = new Intl.Collator("en", { numeric: true });

function compare(one, other) {
  return typeof one === "number" && typeof other === "number" ? one - other : collator.compare(one, other);
}

// A cell's value; undefined where there is none, as over the context.
function valueAt(row, column) {
  const cell = row.cells[column];
  return cell.dataset.number === undefined ? cell.dataset.word : Number(cell.dataset.number);
}

function sortBy(header) {
  const table = header.closest("table");
  const body = table.tBodies[0];
  const current = header.getAttribute("aria-sort");
  const direction = current === "none" ? header.dataset.first : current === "ascending" ? "descending" : "ascending";
  const rows = [...body.rows].map((row) => ({ row, value: valueAt(row, Number(header.dataset.column)) }));
  const known = rows.filter(({ value }) => value !== undefined);
  const unknown = rows.filter(({ value }) => value === undefined);
  known.sort((a, b) => (direction === "ascending" ? compare(a.value, b.value) : compare(b.value, a.value)));
  body.append(...[...known, ...unknown].map(({ row }) => row));
  for (const other of table.querySelectorAll("[aria-sort]")) {
    other.setAttribute("aria-sort", other === header ? direction : "none");
  }
}

for (const button of document.querySelectorAll("[aria-sort] button")) {
  button.addEventListener("click", () => sortBy(button.closest("th")));
}

// Charts: drawn from the JSON in the page, in the colours of the style sheet.

const charts = JSON.parse(document.getElementById("charts").textContent);
const boxes = [...document.querySelectorAll("#models input")];
const drawn = [];

// plotly.js is stored compressed; a browser older than 2023 cannot unpack it, and shows the tables alone.
async function loadPlotly() {
  const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

function template() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axis = { gridcolor: colour("--rule"), linecolor: colour("--quiet"), tickcolor: colour("--quiet") };
  return {
    layout: {
      font: { color: colour("--text"), family: style.fontFamily },
      xaxis: axis,
      yaxis: axis,
      hoverlabel: { bgcolor: colour("--panel"), bordercolor: colour("--quiet"), font: { color: colour("--text") } },
    },
  };
}

function shownModels() {
  return new Set(boxes.filter((box) => box.checked).map((box) => Number(box.value)));
}

// What depends on the models that are shown: bands grow fainter the more of them lie on top of each other. The traces of
// a chart over training are of no one model: the chart shows and hides as a whole.
function appearance(trace, shown) {
  return { visible: shown.has(trace.meta), opacity: trace.fill ? Math.min(0.15, 0.9 / shown.size) : 1 };
}

const isOverTraining = (place) => place.closest("[data-model]") !== null;

async function draw(place) {
  const { data, layout } = charts[place.id];
  const shown = shownModels();
  const traces = isOverTraining(place) ? data : data.map((trace) => ({ ...trace, ...appearance(trace, shown) }));
  const options = { displayModeBar: false, responsive: true };
  place.replaceChildren();
  const plotted = Plotly.newPlot(place, traces, { ...layout, template: template() }, options);
  drawn.push(place); // at once, so that a checkbox clicked meanwhile finds it
  await plotted;
}

function showModels() {
  const shown = shownModels();
  const hidden = drawn.filter((place) => place.closest("[hidden]"));
  for (const element of document.querySelectorAll("[data-model]")) {
    element.hidden = !element.dataset.model.split(" ").some((model) => shown.has(Number(model)));
  }
  document.getElementById("shown").textContent = `${shown.size} of ${boxes.length} shown`;
  for (const place of hidden.filter((place) => !place.closest("[hidden]"))) {
    Plotly.Plots.resize(place); // it could not follow the window
  }
  for (const place of drawn.filter((place) => !isOverTraining(place))) {
    const looks = place.data.map((trace) => appearance(trace, shown));
    Plotly.restyle(place, { visible: looks.map((look) => look.visible), opacity: looks.map((look) => look.opacity) });
  }
}

for (const box of boxes) {
  box.addEventListener("change", showModels);
}

for (const button of document.querySelectorAll(".all button")) {
  button.addEventListener("click", () => {
    for (const box of boxes) {
      box.checked = button.value === "all";
    }
    showModels();
  });
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const place of drawn) {
    Plotly.relayout(place, { template: template() });
  }
});

// A browser may remember the boxes of an earlier visit.
showModels();

(async () => {
  await loadPlotly();
  for (const place of document.querySelectorAll(".chart")) {
    await draw(place);
  }
})();
