"use strict";
// Draws every figure of the page; again when a metric or a project is chosen, or the device turns to dark colours.
const figures = JSON.parse(document.getElementById("figures").textContent);
const select = document.getElementById("metric");
const boxes = [...document.querySelectorAll("input[data-project]")];
let pointed = null; // the number of the line whose name is pointed at
const dark = matchMedia("(prefers-color-scheme: dark)");
const isTouch = matchMedia("(pointer: coarse)").matches;
const config = {
  responsive: true,
  displaylogo: false,
  displayModeBar: isTouch ? false : "hover",
  // all there are: left to itself, plotly.js adds one that hands the figure to its makers' server
  modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
  plotlyServerURL: "",
  doubleClick: isTouch ? false : "reset+autosize",
};

function draw(name) {
  const { data, layout } = figures[name];
  const style = getComputedStyle(document.documentElement);
  const colour = (variable) => style.getPropertyValue(variable).trim();
  const chosen = select && select.value;
  const left = boxes.filter((box) => !box.checked).map((box) => box.dataset.project);
  const mostBands = (layout.meta && layout.meta.most_bands) || Infinity;
  const hasBands = boxes.length - left.length <= mostBands;
  layout.font.color = colour("--ink");
  layout.modebar = { bgcolor: "rgba(0,0,0,0)", color: colour("--quiet"), activecolor: colour("--ink") };
  for (const axis of Object.keys(layout).filter((key) => /^[xy]axis/.test(key))) {
    layout[axis].gridcolor = layout[axis].linecolor = colour("--line");
  }
  if (isTouch) {
    layout.dragmode = false; // a finger on a figure scrolls the page
    layout.margin.t = 12; // no buttons to make room for
  }
  if (layout.meta && layout.meta[chosen]) {
    layout.yaxis.title = { text: layout.meta[chosen].title };
    layout.yaxis.range = layout.meta[chosen].range.slice();
  }
  for (const trace of data) {
    const isPointed = pointed !== null && trace.legendgroup === pointed;
    trace.visible = (!trace.meta || trace.meta === chosen) && (isPointed || !left.includes(trace.legendgroup));
    if (trace.fill === "toself") {
      trace.visible = trace.visible && (hasBands || isPointed);
    }
    if (name === "curve") {
      trace.opacity = pointed !== null && !isPointed ? 0.15 : trace.fill ? 0.8 : 1;
    }
    if (trace.type === "heatmap") {
      trace.colorscale = [[0, colour("--paper")], [1, colour("--heat")]];
    }
  }
  for (const one of [...(layout.shapes || []), ...(layout.annotations || [])]) {
    one.visible = !left.includes(one.name);
  }
  return Plotly.react(name, data, layout, config);
}

function drawAll() {
  pointed = null; // whoever unticks a name points at it, and wants to see the line go
  for (const one of document.querySelectorAll("[data-metric]")) {
    one.hidden = one.dataset.metric !== select.value;
  }
  Object.keys(figures).forEach(draw);
}

for (const button of document.querySelectorAll("button[data-tick]")) {
  button.addEventListener("click", () => {
    boxes.forEach((box) => { box.checked = button.dataset.tick === "all"; });
    drawAll();
  });
}
for (const box of isTouch ? [] : boxes) {
  box.parentElement.addEventListener("mouseenter", () => { pointed = box.dataset.project; draw("curve"); });
  box.parentElement.addEventListener("mouseleave", () => { pointed = null; draw("curve"); });
}

drawAll();
for (const one of [select, ...boxes, dark]) {
  one?.addEventListener("change", drawAll);
}
