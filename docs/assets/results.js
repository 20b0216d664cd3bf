"use strict";
// Tables of published results: every table can be sorted; large ones are drawn a part at a time and can be filtered.
(() => {
  const PAGE = 50;
  const short = (v) => {
    if (v === null || v === undefined) return "";
    if (typeof v !== "number") return String(v);
    const size = Math.abs(v);
    if (Number.isInteger(v) && size < 1e6) return String(v);
    if (size && (size < 1e-4 || size >= 1e6)) return v.toExponential(2);
    return size >= 1000 ? v.toFixed(0) : v.toPrecision(3);
  };
  const shown = { interval: (v) => (v === null || v[0] === null ? "" : `[${short(v[0])}, ${short(v[1])}]`) };
  const text = (kind, v) => (shown[kind] || short)(v);
  const element = (tag, content, className) => {
    const made = document.createElement(tag);
    // A name may be broken after its underscores.
    String(content || "").split("_").forEach((part, k) => made.append(...(k ? ["_", document.createElement("wbr")] : []), part));
    if (className) made.className = className;
    return made;
  };
  const isNumber = (kind) => ["number", "interval", "rank"].includes(kind);

  // What a cell is sorted by: numbers in it, with their unit, else its text.
  const UNITS = { "\u00b5s": 1e-6, ms: 1e-3, s: 1, MB: 1 };
  const key = (v) => {
    if (Array.isArray(v)) return v[0];
    if (v === null || typeof v === "number") return v;
    const found = /^\[?(-?[\d.,]+(?:e[+-]?\d+)?)(?:[\s,\]-].*)?$/i.exec(v.trim());
    if (!found) return v.trim() === "" ? null : v.trim();
    const unit = /[a-z\u00b5]+$/i.exec(v.trim());
    return parseFloat(found[1].replace(/,/g, "")) * ((unit && UNITS[unit[0]]) || 1);
  };
  const compare = (a, b) => {
    if (a === null || b === null) return (a === null) - (b === null);
    if (typeof a === typeof b) return a < b ? -1 : a > b ? 1 : 0;
    return typeof a === "number" ? -1 : 1;
  };
  // What is missing stays last either way.
  const sorted = (rows, keyOf, down) =>
    rows.map((row, i) => [keyOf(row), i, row])
      .sort(([a, i], [b, j]) => (a === null || b === null ? compare(a, b) : (down ? -1 : 1) * compare(a, b)) || i - j)
      .map(([, , row]) => row);

  const sortable = (heads, onSort) => {
    let at = null, down = false;
    heads.forEach((head, k) => {
      const button = element("button", head.textContent);
      button.type = "button";
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        if (at !== k) [at, down] = [k, false];
        else if (!down) down = true;
        else at = null;
        heads.forEach((other, j) => {
          if (j === at) other.setAttribute("aria-sort", down ? "descending" : "ascending");
          else other.removeAttribute("aria-sort");
        });
        onSort(at, down);
      });
    });
  };

  const small = (table) => {
    const body = table.tBodies[0], rows = [...body.rows];
    sortable([...table.tHead.rows[0].cells], (at, down) =>
      body.replaceChildren(...(at === null ? rows : sorted(rows, (row) => key(row.cells[at].textContent), down))));
  };

  const large = (box) => {
    const { heads, kinds, rows } = JSON.parse(box.querySelector("script").textContent);
    const state = { at: null, down: false, page: 0, rows };
    const table = element("table", "", "xb-sortable"), body = table.createTBody();
    const headRow = table.createTHead().insertRow();
    const cells = heads.map((head, k) => headRow.appendChild(element("th", head, isNumber(kinds[k]) ? "num" : "")));
    cells.forEach((cell) => { cell.scope = "col"; });
    const filters = element("form", "", "xb-filters");
    const field = (label, control) => { const l = element("label", label); l.append(control); filters.append(l); return control; };
    const words = field("Search", document.createElement("input"));
    words.type = "search";
    const choices = kinds.map((kind, k) => {
      if (kind !== "choice") return null;
      const values = [...new Set(rows.map((row) => row[k]).filter((v) => v !== null))].sort();
      if (values.length < 2) return null;
      const select = field(heads[k], document.createElement("select"));
      select.append(new Option("all", ""), ...values.map((v) => new Option(v, v)));
      return select;
    });
    const pager = element("div", "", "xb-pager"), count = element("span", "");
    count.setAttribute("aria-live", "polite");
    const turn = (label, step) => {
      const button = element("button", label);
      button.type = "button";
      button.addEventListener("click", () => { state.page += step; draw(); });
      return button;
    };
    const back = turn("Previous", -1), next = turn("Next", 1);
    pager.append(back, next, count);

    const draw = () => {
      const first = state.page * PAGE, last = Math.min(first + PAGE, state.rows.length);
      body.replaceChildren(...state.rows.slice(first, last).map((row) => {
        const made = document.createElement("tr");
        made.append(...row.map((v, k) => element("td", text(kinds[k], v), isNumber(kinds[k]) ? "num" : "")));
        return made;
      }));
      count.textContent = state.rows.length ? `${first + 1} to ${last} of ${state.rows.length}` : "No row fits.";
      back.disabled = state.page === 0;
      next.disabled = last >= state.rows.length;
    };
    const update = () => {
      const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
      const fits = (row) =>
        choices.every((select, k) => !select || select.value === "" || row[k] === select.value) &&
        wanted.every((word) => row.some((v) => typeof v === "string" && v.toLowerCase().includes(word)));
      const left = rows.filter(fits);
      state.rows = state.at === null ? left : sorted(left, (row) => key(row[state.at]), state.down);
      state.page = 0;
      draw();
    };
    sortable(cells, (at, down) => { [state.at, state.down] = [at, down]; update(); });
    filters.addEventListener("input", update);
    filters.addEventListener("submit", (event) => event.preventDefault());
    const scroll = element("div", "", "xb-scroll");
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "group");
    scroll.setAttribute("aria-label", box.dataset.label);
    scroll.append(table);
    box.querySelector(".xb-noscript").remove();
    box.append(filters, scroll, pager);
    update();
  };

  const start = () => {
    document.querySelectorAll("table.xb-sortable").forEach(small);
    document.querySelectorAll(".xb-drawn").forEach(large);
  };
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start);
  else start();
})();
