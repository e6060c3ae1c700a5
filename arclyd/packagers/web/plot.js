// The bitrate of the last minute as a line.

import { bitrate, write } from "./figures.js";

const SVG = "http://www.w3.org/2000/svg";
const SECONDS = 60;
const HEIGHT = 20;

/** Draws `history`, bits a second, oldest first, and says in the caption what the line says. */
export function plot(figure, history) {
  if (!figure.firstElementChild) {
    figure.append(canvas(), document.createElement("figcaption"));
  }
  const top = Math.max(...history, 1);
  const points = history.map((bits, index) => {
    const x = SECONDS - history.length + index;
    return `${x} ${(HEIGHT - (bits / top) * (HEIGHT - 1)).toFixed(2)}`;
  });
  const [area, line] = figure.querySelector("svg").children;
  const first = SECONDS - history.length;
  line.setAttribute("d", points.length ? `M${points.join("L")}` : "");
  area.setAttribute("d", points.length ? `M${first} ${HEIGHT}L${points.join("L")}L${SECONDS - 1} ${HEIGHT}Z` : "");
  write(figure.querySelector("figcaption"), caption(history));
}

function caption(history) {
  if (!history.length) {
    return "No bitrate yet";
  }
  return `Last minute: ${bitrate(Math.min(...history))} to ${bitrate(Math.max(...history))}`;
}

function canvas() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "plot");
  svg.setAttribute("viewBox", `0 0 ${SECONDS - 1} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  svg.append(path("area"), path("line"));
  return svg;
}

function path(name) {
  const element = document.createElementNS(SVG, "path");
  element.setAttribute("class", name);
  return element;
}
