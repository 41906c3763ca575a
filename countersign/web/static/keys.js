// Keys for people who work without a mouse. Every page is complete without this file.
"use strict";
(() => {
  const store = "countersign-keys";
  const button = document.getElementById("keys");
  let on = localStorage.getItem(store) !== "off";
  let pending = "";
  const rows = () => Array.from(document.querySelectorAll("table.t tbody tr"));
  const selected = () => document.querySelector("tr.is-sel");
  const select = (row) => {
    if (!row) return;
    selected()?.removeAttribute("aria-selected");
    selected()?.classList.remove("is-sel");
    row.classList.add("is-sel");
    row.setAttribute("aria-selected", "true");
    row.scrollIntoView({ block: "nearest" });
  };
  const step = (by) => {
    const all = rows();
    const at = all.indexOf(selected());
    select(all[Math.min(Math.max(at + by, 0), all.length - 1)]);
  };
  const show = () => {
    if (button) {
      button.hidden = false;
      button.textContent = on ? "turn off" : "turn on";
    }
  };
  button?.addEventListener("click", () => {
    on = !on;
    localStorage.setItem(store, on ? "on" : "off");
    show();
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement
      || event.target instanceof HTMLSelectElement;
    if (!on || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/") {
      event.preventDefault();
      document.getElementById("q")?.focus();
    } else if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
    else if (event.key === "Enter" && event.target === document.body) selected()?.querySelector("a.ev")?.click();
    else if (event.key === "l" && pending === "g") document.querySelector(".tabs a")?.click();
    pending = event.key;
  });
  show();
})();
