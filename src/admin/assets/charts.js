// The overview. Charts: a cross-hair with the values of the slot under it, and a range chosen by dragging. The charts
// themselves are SVG from the relay; their values are in the table below each chart. Live: the page is loaded again.
// @ts-check
import { ready } from "./app.js";

const NAMESPACE = "http://www.w3.org/2000/svg";

/** @param {SVGSVGElement} chart */
function enliven(chart) {
  const figure = chart.closest("figure");
  const rows = [...(figure?.querySelectorAll("tbody tr") ?? [])];
  const names = [...(figure?.querySelectorAll("thead th") ?? [])].map((head) => head.textContent ?? "");
  const tip = figure?.querySelector(".tip");
  const left = Number(chart.dataset.left ?? 0);
  const width = chart.viewBox.baseVal.width - left;
  if (!rows.length || !tip || width <= 0) return;
  const cross = document.createElementNS(NAMESPACE, "line");
  const range = document.createElementNS(NAMESPACE, "rect");
  cross.setAttribute("class", "cross");
  range.setAttribute("class", "range");
  for (const [name, value] of [["y1", "0"], ["y2", String(chart.viewBox.baseVal.height - 20)]]) cross.setAttribute(name, value);
  range.setAttribute("y", "0");
  range.setAttribute("height", String(chart.viewBox.baseVal.height - 20));
  /** @type {number | null} */
  let start = null;

  /** @param {PointerEvent} event */
  const slotAt = (event) => {
    const box = chart.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * chart.viewBox.baseVal.width - left;
    return Math.max(0, Math.min(rows.length - 1, Math.floor((x / width) * rows.length)));
  };
  /** @param {number} slot */
  const place = (slot) => left + (slot * width) / rows.length;
  const time = (/** @type {number} */ slot) => rows[slot]?.querySelector("time")?.getAttribute("datetime") ?? "";

  chart.addEventListener("pointermove", (event) => {
    const slot = slotAt(event);
    const cells = [...(rows[slot]?.children ?? [])];
    tip.textContent = cells.map((cell, index) => (index ? `${names[index]} ${cell.textContent}` : cell.textContent)).join(" · ");
    const x = String(place(slot) + width / rows.length / 2);
    cross.setAttribute("x1", x);
    cross.setAttribute("x2", x);
    if (!cross.parentNode) chart.append(cross);
    if (start !== null) {
      const [from, to] = start < slot ? [start, slot] : [slot, start];
      range.setAttribute("x", String(place(from)));
      range.setAttribute("width", String(place(to + 1) - place(from)));
      if (!range.parentNode) chart.append(range);
    }
  });
  chart.addEventListener("pointerleave", () => {
    cross.remove();
    tip.textContent = "";
  });
  if (chart.dataset.zoom === undefined) return;
  chart.addEventListener("pointerdown", (event) => {
    start = slotAt(event);
    chart.setPointerCapture(event.pointerId);
  });
  chart.addEventListener("pointerup", (event) => {
    const end = slotAt(event);
    const [from, to] = [Math.min(start ?? end, end), Math.max(start ?? end, end)];
    start = null;
    range.remove();
    if (to === from) return;
    const url = new URL(chart.dataset.zoom || location.href, location.href);
    url.searchParams.set("from", time(from));
    url.searchParams.set("to", time(Math.min(to + 1, rows.length - 1)));
    location.assign(url);
  });
}

const enlivenAll = () => {
  for (const chart of document.querySelectorAll("svg.chart")) enliven(/** @type {SVGSVGElement} */ (chart));
};
enlivenAll();

const main = /** @type {HTMLElement} */ (document.querySelector("main"));
const button = /** @type {HTMLButtonElement} */ (document.querySelector("#live"));
let isLive = true;

/** Nothing changes under a pointer, a focus or an open table. */
const isInUse = () =>
  document.hidden || main.contains(document.activeElement) || main.querySelector("details[open], svg.chart:hover") !== null;

function refresh() {
  if (!isLive || isInUse()) return;
  // A document that the browser itself parsed: allowed under Trusted Types, where text as HTML is not.
  const request = new XMLHttpRequest();
  request.responseType = "document";
  request.open("GET", location.href);
  request.onload = () => {
    const fresh = request.responseXML?.querySelector("main");
    if (!isLive || isInUse() || request.status !== 200 || !fresh) return;
    main.replaceChildren(...[...fresh.childNodes].map((node) => document.adoptNode(node)));
    ready(main);
    enlivenAll();
  };
  request.send();
}

button.hidden = false;
button.addEventListener("click", () => {
  isLive = !isLive;
  button.setAttribute("aria-pressed", String(isLive));
  refresh();
});
setInterval(refresh, Number(button.dataset.refresh ?? 5) * 1000);
