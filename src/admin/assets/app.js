// Every page: local times, keys, copying, dialogs, lists, and the panel beside a list. Without this file everything
// still works by links and forms.
// @ts-check

/** @type {(selector: string, root?: ParentNode) => HTMLElement[]} */
const all = (selector, root = document) => [...root.querySelectorAll(selector)].map((one) => /** @type {HTMLElement} */ (one));
/** @type {(selector: string, root?: ParentNode) => HTMLElement | null} */
const one = (selector, root = document) => root.querySelector(selector);

// Times travel as RFC 3339 in UTC. Pages show them in local time unless the settings say UTC.
const zone = document.documentElement.dataset.times === "utc" ? "UTC" : undefined;
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", timeZone: zone });
const minutes = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: zone });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: zone });
const whole = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "long", timeZone: zone });

/** @param {Date} at @param {string} style */
function shown(at, style) {
  const isToday = day.format(at) === day.format(new Date());
  if (style === "ago") {
    const seconds = Math.round((Date.now() - at.getTime()) / 1000);
    const [amount, unit] = Math.abs(seconds) < 90 ? [seconds, "s"] : Math.abs(seconds) < 5400 ? [Math.round(seconds / 60), "min"]
      : Math.abs(seconds) < 129600 ? [Math.round(seconds / 3600), "h"] : [Math.round(seconds / 86400), "d"];
    return amount < 0 ? `in ${-amount} ${unit}` : `${amount} ${unit} ago`;
  }
  if (style === "minute") return isToday ? minutes.format(at) : `${day.format(at)} ${minutes.format(at)}`;
  if (style === "exact") return `${clock.format(at)}.${String(at.getMilliseconds()).padStart(3, "0")}`;
  return isToday ? clock.format(at) : `${day.format(at)} ${clock.format(at)}`;
}

/** @param {ParentNode} root */
export function localTimes(root) {
  for (const time of all("time[datetime]", root)) {
    const at = new Date(time.getAttribute("datetime") ?? "");
    if (Number.isNaN(at.getTime())) continue;
    time.textContent = shown(at, time.dataset.show ?? "");
    time.title = `${whole.format(at)} · ${at.toISOString()}`;
  }
}

// Copying.
/** @param {string} text @param {HTMLElement} button */
export async function copy(text, button) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Your browser does not allow it";
  }
  setTimeout(() => (button.textContent = before), 1500);
}

// A question of a page is a <details> with a form; here it becomes a dialog.
/** @param {HTMLDetailsElement} details */
function asDialog(details) {
  const summary = /** @type {HTMLElement} */ (one("summary", details));
  const content = /** @type {HTMLElement} */ (summary.nextElementSibling);
  summary.addEventListener("click", (event) => {
    event.preventDefault();
    const dialog = document.createElement("dialog");
    dialog.setAttribute("aria-label", summary.textContent ?? "");
    dialog.append(content);
    document.body.append(dialog);
    dialog.addEventListener("close", () => {
      details.append(content);
      dialog.remove();
      summary.focus();
    });
    dialog.showModal();
  });
}

// Lists: j and k move, Enter opens the event beside the list, o opens its own page.
const links = () => all(".row-link");
/** @param {number} step */
function move(step) {
  const rows = links();
  const at = rows.findIndex((row) => row === document.activeElement || row.closest("tr")?.getAttribute("aria-selected") === "true");
  const next = rows[Math.max(0, Math.min(rows.length - 1, at + step))];
  for (const row of all("tr[aria-selected]")) row.removeAttribute("aria-selected");
  next?.closest("tr")?.setAttribute("aria-selected", "true");
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

/** Opens a page's main part beside the list. @param {string} address */
function openPanel(address) {
  const panel = one("#panel");
  if (!panel) return location.assign(address);
  // A document that the browser itself parsed: allowed under Trusted Types, where text as HTML is not.
  const request = new XMLHttpRequest();
  request.responseType = "document";
  request.open("GET", address);
  request.onload = () => {
    const main = request.responseXML?.querySelector("main");
    if (!main) return location.assign(address);
    panel.replaceChildren(...[...main.childNodes].map((node) => document.adoptNode(node)));
    panel.hidden = false;
    ready(panel);
    panel.scrollIntoView({ block: "nearest" });
    const url = new URL(location.href);
    url.searchParams.set("open", address.split("/").pop() ?? "");
    history.replaceState(null, "", url);
  };
  request.onerror = () => location.assign(address);
  request.send();
}

function closePanel() {
  const panel = one("#panel");
  if (!panel || panel.hidden) return;
  panel.hidden = true;
  panel.replaceChildren();
  const url = new URL(location.href);
  url.searchParams.delete("open");
  history.replaceState(null, "", url);
  (one("tr[aria-selected=true] .row-link") ?? links()[0])?.focus();
}

// Keys. They are off in fields, and wherever the settings say so.
const places = { o: "/", e: "/events", f: "/failures", d: "/#destinations", m: "/mappings", t: "/tester", a: "/accounts", s: "/setup" };
let awaitsPlace = false;
/** @type {Record<string, () => void>} */
const keys = {
  "/": () => one("#find")?.focus(),
  "?": () => /** @type {HTMLDialogElement | null} */ (one("#keys"))?.showModal(),
  g: () => {
    awaitsPlace = true;
    setTimeout(() => (awaitsPlace = false), 1200);
  },
  j: () => move(1),
  k: () => move(-1),
  o: () => /** @type {HTMLAnchorElement | null} */ (one("tr[aria-selected=true] .row-link"))?.click(),
  p: () => one("#pause")?.click(),
  f: () => one(".filters select, .filters input")?.focus(),
  r: () => one("[data-key=replay] summary")?.click(),
  e: () => one("[data-key=export]")?.click(),
  y: () => one("[data-key=copy]")?.click(),
  t: () => one("[data-key=theme]")?.click(),
  ".": () => one("[data-key=newest]")?.click(),
  Escape: closePanel,
};

/** @param {KeyboardEvent} event */
function pressed(event) {
  const target = /** @type {HTMLElement} */ (event.target);
  const isField = target.matches("input, select, textarea") || target.isContentEditable;
  if (event.ctrlKey || event.metaKey || event.altKey || isField || document.documentElement.dataset.keys === "off") return;
  if (one("dialog[open]")) return;
  if (awaitsPlace && event.key in places) {
    awaitsPlace = false;
    return location.assign(places[/** @type {keyof typeof places} */ (event.key)]);
  }
  if (event.key === "Enter" && target.matches(".row-link") && one("#panel")) {
    event.preventDefault();
    return openPanel(/** @type {HTMLAnchorElement} */ (target).href);
  }
  const action = keys[event.key];
  if (action) {
    event.preventDefault();
    action();
  }
}

/** Makes a part of the page alive. @param {ParentNode} root */
export function ready(root) {
  localTimes(root);
  for (const details of all("details.ask", root)) asDialog(/** @type {HTMLDetailsElement} */ (details));
  for (const button of all("[data-copy]", root)) {
    button.hidden = false;
    button.addEventListener("click", () => copy(button.dataset.copy === "link" ? location.href : (button.dataset.copy ?? ""), button));
  }
  for (const select of all("select[data-submit]", root)) {
    select.addEventListener("change", () => /** @type {HTMLSelectElement} */ (select).form?.requestSubmit());
  }
}

// Without a choice the theme is the system's, which only the browser knows.
const theme = /** @type {HTMLButtonElement | null} */ (one("[data-key=theme]"));
if (theme && !document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches) {
  theme.value = "light";
  theme.textContent = "Light theme";
}

ready(document);
document.addEventListener("keydown", pressed);
document.addEventListener("click", (event) => {
  const link = /** @type {HTMLElement} */ (event.target).closest(".row-link");
  const isPlain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.detail > 0;
  if (link && isPlain && one("#panel") && innerWidth > 860) {
    event.preventDefault();
    for (const row of all("tr[aria-selected]")) row.removeAttribute("aria-selected");
    link.closest("tr")?.setAttribute("aria-selected", "true");
    openPanel(/** @type {HTMLAnchorElement} */ (link).href);
  }
});
setInterval(() => {
  for (const time of all("time[data-show=ago]")) localTimes(/** @type {ParentNode} */ (time.parentNode));
}, 10_000);
const opened = new URLSearchParams(location.search).get("open");
if (opened && one("#panel")) openPanel(`/events/${encodeURIComponent(opened)}`);
