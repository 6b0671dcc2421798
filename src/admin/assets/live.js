// The list of events while it is live: new lines come from /api/live and are made from the page's own <template>. A browser makes
// six connections to a host, for all its tabs together. So three tabs have a stream; every other asks every two seconds.
// @ts-check
import { localTimes } from "./app.js";

const MAX_ROWS = 500;
const SEATS = ["live-1", "live-2", "live-3"];
const ASK_AGAIN = 2000;
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
      // A sentence here has no marks of code, as in the list that the relay made.
      slot.textContent = name === "outcome" ? line.outcome.replaceAll("`", "") : (line[name] ?? "");
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

/** What came meanwhile, and what has changed. */
async function catchUp() {
  const answer = await fetch(address.replace("/api/live", "/api/events"));
  if (!answer.ok) return;
  const { events } = await answer.json();
  held.push(...events.filter(isNew).reverse());
  flush();
}

/** @param {any} line */
function isNew(line) {
  const row = body.querySelector(`a[href="/events/${CSS.escape(line.id)}"]`)?.closest("tr");
  return row?.querySelector(".tag")?.textContent !== line.status;
}

/** @param {string} text */
const say = (text) => (state.textContent = text);

// Every opening and closing is a new turn; what belongs to an earlier one ends.
let turn = 0;
let isOpen = false;
/** @type {(() => void) | null} */
let leave = null;

/** Takes a seat, and returns what gives it back; null if all are taken, or if the browser has no locks: those need https or a host on this machine. */
async function takeSeat() {
  for (const name of SEATS) {
    /** @type {(() => void) | null} */
    const taken = await new Promise((resolve) => {
      const asked = navigator.locks?.request(name, { ifAvailable: true }, (lock) => lock && new Promise((end) => resolve(() => end(null))));
      void Promise.resolve(asked).then(() => resolve(null));
    });
    if (taken) return taken;
  }
  return null;
}

function open() {
  if (isOpen || isPaused || document.hidden) return;
  isOpen = true;
  turn += 1;
  void begin(turn);
}

/** @param {number} mine */
async function begin(mine) {
  const seat = await takeSeat();
  if (mine !== turn) return seat?.();
  leave = seat;
  if (seat) return stream();
  try {
    await catchUp();
    if (mine === turn) say(`live: every ${ASK_AGAIN / 1000} seconds`);
  } catch {
    if (mine === turn) say("The connection was lost; trying again.");
  }
  setTimeout(() => mine === turn && begin(mine), ASK_AGAIN);
}

function stream() {
  source = new EventSource(new URL(address, location.href));
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
  turn += 1;
  isOpen = false;
  source?.close();
  source = null;
  leave?.();
  leave = null;
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
