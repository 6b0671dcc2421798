// The tester: Ctrl-Enter tries the event, Tab indents, and the place of a fault is selected in its field.
// @ts-check
import { copy } from "./app.js";

const form = /** @type {HTMLFormElement} */ (document.querySelector("#tester"));

/** @param {HTMLTextAreaElement} field @param {number} line @param {number} column */
function select(field, line, column) {
  const lines = field.value.split("\n");
  const start = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0) + Math.max(0, column - 1);
  field.focus();
  field.setSelectionRange(start, Math.min(field.value.length, start + 1));
  field.scrollTop = Math.max(0, (line - 4) * 19);
}

form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    /** @type {HTMLButtonElement | null} */ (form.querySelector("button[name=do][value=try]"))?.click();
  }
});
for (const fault of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-fault]"))) {
  const field = /** @type {HTMLTextAreaElement | null} */ (form.querySelector(`[name="${fault.dataset.fault}"]`));
  if (field) select(field, Number(fault.dataset.line ?? 1), Number(fault.dataset.column ?? 1));
}
for (const button of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-copy-field]"))) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const field = /** @type {HTMLTextAreaElement | null} */ (form.querySelector(`[name="${button.dataset.copyField}"]`));
    void copy(field?.value ?? "", button);
  });
}
for (const button of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-download]"))) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const field = /** @type {HTMLTextAreaElement | null} */ (form.querySelector(`[name="${button.dataset.download}"]`));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([field?.value ?? ""], { type: "application/toml" }));
    link.download = "mappings.toml";
    link.click();
    URL.revokeObjectURL(link.href);
  });
}
