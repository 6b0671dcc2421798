// The list of events while it is live: new lines come from /api/live and are made from the page's own <template>.
// @ts-check
import { localTimes } from "./app.js";

const MAX_ROWS = 500;
const TONES = { accepted: "ok", delivered: "ok", waiting: "wait", held: "skip", skipped: "skip", duplicate: "skip" };
const body = /** @type {HTMLElement} */ (document.querySelector("#events tbody"));
const template = /** @type {HTMLTemplateElement} */ (document.querySelector("#row"));
const button = /** @type {HTMLButtonElement} */ (document.querySelector("#pause"));
const state = /** @type {HTMLElement} */ (document.querySelector("#live-state"));
const address = button.dataset.live ?? "/api/live";
/** @type {EventSource | null} */
let source = null;
let isPaused = false;
let isHovered = false;
let wasLost = false;
/** @type {any[]} */
let held = [];

/** @param {any} line */
function add(line) {
  const row = /** @type {HTMLElement} */ (/** @type {DocumentFragment} */ (template.content.cloneNode(true)).firstElementChild);
  for (const slot of /** @type {NodeListOf<HTMLElement>} */ (row.querySelectorAll("[data-slot]"))) {
    const name = slot.dataset.slot ?? "";
    if (name === "status") {
      slot.className = `tag ${TONES[/** @type {keyof typeof TONES} */ (line.status)] ?? "fail"}`;
      slot.textContent = line.status;
    } else if (name === "at") {
      slot.setAttribute("datetime", line.at);
    } else if (name === "title") {
      slot.textContent = line.name || line.type || "unreadable";
    } else {
      slot.textContent = line[name] ?? "";
    }
    if (slot.matches("a.row-link")) slot.setAttribute("href", `/events/${encodeURIComponent(line.id)}`);
  }
  localTimes(row);
  // An event of which more is known now keeps its place.
  const known = body.querySelector(`a[href="/events/${CSS.escape(line.id)}"]`)?.closest("tr");
  if (known) return known.replaceWith(row);
  document.querySelector("#nothing")?.remove();
  body.prepend(row);
}

function flush() {
  if (isPaused || isHovered) return;
  for (const line of held.splice(0).slice(-MAX_ROWS)) add(line);
  while (body.children.length > MAX_ROWS) body.lastElementChild?.remove();
}

/** What came while the connection was lost. */
async function catchUp() {
  const answer = await fetch(address.replace("/api/live", "/api/events"));
  if (!answer.ok) return;
  const { events } = await answer.json();
  const isNew = (/** @type {any} */ line) => !body.querySelector(`a[href="/events/${CSS.escape(line.id)}"]`);
  held.push(...events.filter(isNew).reverse());
  flush();
}

/** @param {string} text */
const say = (text) => (state.textContent = text);

function open() {
  if (source || isPaused || document.hidden) return;
  const url = new URL(address, location.href);
  source = new EventSource(url);
  source.onopen = () => {
    if (wasLost) void catchUp();
    wasLost = false;
  };
  source.addEventListener("line", (event) => {
    held.push(JSON.parse(event.data));
    if (held.length > MAX_ROWS) held.shift();
    flush();
  });
  source.addEventListener("tick", (event) => {
    const { received, matched, shown } = JSON.parse(event.data);
    say(shown < matched ? `live: ${received} a second; ${matched} fit the filters, ${shown} of them are shown` : `live: ${received} a second`);
  });
  source.onerror = () => {
    wasLost = true;
    // A 503 (16 views are open already) closes the source for good; a lost connection is opened again by the browser.
    if (source?.readyState === EventSource.CLOSED) {
      say("Not live: too many views are open, or the relay stopped. The list stays as it is.");
      close();
      setTimeout(open, 5000);
    } else {
      say("The connection was lost; trying again.");
    }
  };
}

function close() {
  source?.close();
  source = null;
}

button.hidden = false;
button.addEventListener("click", () => {
  isPaused = !isPaused;
  button.setAttribute("aria-pressed", String(isPaused));
  const label = button.querySelector("[data-label]");
  if (label) label.textContent = isPaused ? "Go live" : "Pause";
  if (isPaused) {
    close();
    say("Paused.");
  } else {
    open();
    flush();
  }
});
body.addEventListener("pointerenter", () => (isHovered = true));
body.addEventListener("pointerleave", () => {
  isHovered = false;
  flush();
});
document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
addEventListener("pagehide", close);
open();
