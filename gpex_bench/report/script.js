// Sorts and filters the tables, and opens cells as dialogs. The page is complete without it, so the controls are made here.
"use strict";
(function () {
  function key(cell) {
    if (cell === undefined) return null; // under a wide cell that says why there is no number
    const text = cell.dataset.v === undefined ? cell.textContent.trim() : cell.dataset.v;
    const number = Number(text.replace(/[,%]/g, ""));
    return text === "" ? null : Number.isNaN(number) ? text.toLowerCase() : number;
  }

  function compare(a, b) {
    if (typeof a === typeof b) return a < b ? -1 : a > b ? 1 : 0;
    return typeof a === "number" ? -1 : 1;
  }

  function sort(table, column, header) {
    const up = header.getAttribute("aria-sort") === "descending";
    table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = Array.from(table.tBodies[0].rows, (row) => [key(row.cells[column]), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null); // without a number: always last
      return up ? compare(a, b) : compare(b, a);
    });
    table.tBodies[0].append(...rows.map(([, row]) => row));
  }

  function sortable(table) {
    Array.from(table.tHead.rows[0].cells).forEach((header, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.title = "sort by this column";
      if (header.querySelector("a")) {
        button.textContent = "sort"; // a link keeps its place
        button.className = "beside";
        button.setAttribute("aria-label", "sort by " + header.querySelector("a").textContent);
        header.append(" ", button);
      } else {
        button.append(...header.childNodes);
        header.append(button);
      }
      button.addEventListener("click", () => sort(table, column, header));
    });
  }

  function labelled(words, control) {
    const label = document.createElement("label");
    label.append(words, control);
    return label;
  }

  function filters(place) {
    const rows = Array.from(document.querySelectorAll("table.methods tbody tr"));
    const kinds = Array.from(new Set(rows.map((row) => row.dataset.kind).filter(Boolean))).sort();
    const input = document.createElement("input");
    const select = document.createElement("select");
    input.type = "search";
    select.append(new Option("all kinds", ""), ...kinds.map((kind) => new Option(kind, kind)));
    const apply = () => {
      const wanted = input.value.toLowerCase();
      for (const row of rows) {
        const isOther = select.value && row.dataset.kind && row.dataset.kind !== select.value;
        row.hidden = Boolean(isOther) || !row.textContent.toLowerCase().includes(wanted);
      }
    };
    input.addEventListener("input", apply);
    select.addEventListener("change", apply);
    place.append(labelled("Show methods with", input), labelled("of kind", select));
  }

  function dialogs() {
    const dialog = document.createElement("dialog");
    const title = document.createElement("h2");
    const body = document.createElement("div");
    const close = document.createElement("button");
    close.type = "button";
    close.textContent = "Close";
    close.addEventListener("click", () => dialog.close());
    title.id = "cell-title";
    dialog.setAttribute("aria-labelledby", title.id);
    dialog.append(title, body, close);
    document.body.append(dialog);
    document.querySelectorAll("td details > summary").forEach((summary) => {
      summary.addEventListener("click", (event) => {
        event.preventDefault();
        const cell = summary.closest("td");
        const table = cell.closest("table");
        const head = table.tHead.rows[0].cells[cell.cellIndex].querySelector("a");
        title.textContent = cell.parentElement.querySelector("th a").textContent + ": " + head.textContent + ", " + table.caption.textContent;
        body.replaceChildren(...Array.from(summary.childNodes, (node) => node.cloneNode(true)), summary.nextElementSibling.cloneNode(true));
        dialog.showModal();
      });
    });
  }

  function open(hash) {
    const target = hash.length > 1 && document.getElementById(decodeURIComponent(hash.slice(1)));
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    if (target) target.scrollIntoView();
  }

  document.querySelectorAll("table.sortable").forEach(sortable);
  document.querySelectorAll("#filter").forEach(filters);
  dialogs();
  addEventListener("hashchange", () => open(location.hash));
  open(location.hash);
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { if (!one.closest("td")) one.open = true; }));
})();
