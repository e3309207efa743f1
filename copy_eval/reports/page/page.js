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

// Charts: drawn from the specifications in the page, in the colours of the style sheet.

const drawings = JSON.parse(document.getElementById("drawings").textContent);
const boxes = [...document.querySelectorAll("#models input")];
const views = new Map();
const PANEL_WIDTH = 380; // of a heat map of six lengths, in pixels

// Vega is stored compressed; a browser older than 2023 cannot unpack it, and shows the tables alone.
async function loadVega() {
  const packed = Uint8Array.from(atob(document.getElementById("vega").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

function theme() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const labels = { labelColor: colour("--text"), titleColor: colour("--text"), labelFontSize: 12, titleFontSize: 13 };
  return {
    background: "transparent",
    header: labels,
    font: style.fontFamily,
    axis: { ...labels, domainColor: colour("--quiet"), gridColor: colour("--rule"), tickColor: colour("--quiet"), titleFontWeight: "normal" },
    axisY: { domain: false, ticks: false },
    legend: { ...labels, labelLimit: 0, titleFontWeight: "normal" },
    view: { stroke: null },
  };
}

// As many heat maps stand abreast as there is room for.
function fit(spec, place) {
  const room = Math.max(1, Math.floor(place.clientWidth / PANEL_WIDTH));
  return spec.facet ? { ...spec, columns: room } : spec;
}

// ast: Vega reads its expressions itself, so that the page's policy need not let it make scripts of them.
async function draw(place) {
  const options = { actions: false, ast: true, config: theme(), defaultStyle: false, renderer: "svg", tooltip: { disableDefaultStyle: true } };
  const { view, finalize } = await vegaEmbed(place, fit(drawings.charts[place.id], place), options);
  views.get(place)?.finalize();
  views.set(place, { view, finalize });
  await show(place);
}

function shownModels() {
  return boxes.filter((box) => box.checked).map((box) => Number(box.value));
}

// A chart of all models has a parameter that says which of them it shows; one of a single model hides as a whole.
async function show(place) {
  if (drawings.charts[place.id].params?.some(({ name }) => name === "shown")) {
    const labels = shownModels().flatMap((model) => drawings.models[model]);
    await views.get(place).view.signal("shown", labels).runAsync();
  }
}

function showModels() {
  const shown = new Set(shownModels());
  for (const element of document.querySelectorAll("[data-model]")) {
    element.hidden = !element.dataset.model.split(" ").some((model) => shown.has(Number(model)));
  }
  document.getElementById("shown").textContent = `${shown.size} of ${boxes.length} shown`;
  for (const place of views.keys()) {
    show(place);
  }
  window.dispatchEvent(new Event("resize")); // a chart that was hidden could not follow the window
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
  for (const place of views.keys()) {
    draw(place);
  }
});

// A browser may remember the boxes of an earlier visit.
showModels();

(async () => {
  await loadVega();
  for (const place of document.querySelectorAll(".chart")) {
    await draw(place);
  }
})();
