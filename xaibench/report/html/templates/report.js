"use strict";
// The leaderboard: columns of plain values in the page, of which one page of rows is in the document at a time.
(() => {
  const data = JSON.parse(document.getElementById("board-data").textContent);
  const PAGE = 50;
  const FILTERS = ["suite", "explainer", "metric", "family", "dataset", "model"];
  const byId = (id) => document.getElementById(id);
  const text = (name, i) => {
    const column = data[name];
    return column && column.codes[i] >= 0 ? column.values[column.codes[i]] : "";
  };
  const at = (name, i) => (data[name] ? data[name][i] : null);

  // Short numbers, as in the terminal: three significant digits.
  const number = (v) => {
    if (v === null) return "";
    const size = Math.abs(v);
    if (size && (size < 1e-4 || size >= 1e6)) return v.toExponential(2);
    return size >= 1000 ? v.toFixed(0) : v.toPrecision(3);
  };
  const bytes = (v) => (v === null ? "" : `${(v / 1e6).toFixed(0)} MB`);
  const interval = (low, high) => (low === null || high === null ? "" : `[${number(low)}, ${number(high)}]`);
  const ranks = (i) => {
    const low = at("rank_low", i), high = at("rank_high", i);
    if (low === null || high === null) return at("rank", i) === null ? "" : `${at("rank", i)} by value`;
    return low === high ? `${low}` : `${low}\u2013${high}`;
  };
  const beats = (i) => ({ 1: "yes", 0: "no", "-1": "too few samples", "-2": "loses" })[at("beats", i)] || "";
  const rank = (i) => (at("rank_low", i) === null ? at("rank", i) : at("rank_low", i) + at("rank_high", i) / 1e4);
  const value = (i) => number(at("value", i)) || data.statuses[at("status", i)] || "";

  const COLUMNS = [
    { name: "explainer", head: "explainer", show: (i) => text("explainer", i) },
    { name: "metric", head: "metric", show: (i) => text("metric", i), note: (i) => (at("higher", i) ? "\u2191" : "\u2193") },
    { name: "problem", head: "problem", show: (i) => text("problem", i) },
    { name: "suite", head: "suite", show: (i) => text("suite", i) },
    { name: "family", head: "family", show: (i) => text("family", i) },
    { name: "truth", head: "truth", show: (i) => text("truth", i) },
    { name: "value", head: "value", num: true, show: value, key: (i) => at("value", i), note: (i) => (at("log10", i) ? "log10" : "") },
    { name: "interval", head: "95 % interval", num: true, show: (i) => interval(at("low", i), at("high", i)), key: (i) => at("low", i) },
    { name: "rank", head: "rank", num: true, show: ranks, key: rank },
    { name: "group", head: "ties", show: (i) => text("group", i) },
    { name: "skill", head: "skill", num: true, show: (i) => number(at("skill", i)), key: (i) => at("skill", i), note: (i) => interval(at("skill_low", i), at("skill_high", i)) },
    { name: "beats", head: "beats placebos", show: beats, key: (i) => at("beats", i) },
    { name: "n", head: "n", num: true, show: (i) => (at("n", i) ? String(at("n", i)) : ""), key: (i) => at("n", i), note: (i) => (at("n_undefined", i) ? `${at("n_undefined", i)} undefined` : "") },
    { name: "seconds", head: "explaining, s", num: true, show: (i) => number(at("seconds", i)), key: (i) => at("seconds", i), note: (i) => bytes(at("memory", i)) },
    { name: "score_seconds", head: "scoring, s", num: true, show: (i) => number(at("score_seconds", i)), key: (i) => at("score_seconds", i), note: (i) => bytes(at("score_memory", i)) },
    { name: "note", head: "note", wide: true, show: (i) => text("note", i) },
  ];
  const distinct = (name) => (data[name] ? data[name].values.length : 0);
  const HIDDEN = { suite: distinct("suite") < 2, truth: distinct("truth") < 2, group: !data.group, skill: !data.skill, note: !data.note };
  const SECONDARY = new Set(["metric", "problem", "suite", "family", "truth"]);
  const shown = COLUMNS.filter((c) => !HIDDEN[c.name]);

  // Whatever is wider than the screen says so.
  const hints = new Map();
  const tell = () => {
    for (const box of document.querySelectorAll(".scroll")) {
      if (!hints.has(box)) {
        const hint = document.createElement("p");
        hint.className = "hint";
        hint.setAttribute("aria-hidden", "true");
        hint.textContent = "scrolls sideways \u2192";
        box.before(hint);
        hints.set(box, hint);
      }
      hints.get(box).hidden = box.scrollWidth <= box.clientWidth + 1;
    }
  };
  addEventListener("resize", tell);
  addEventListener("toggle", tell, true);

  const state = { sort: null, down: false, page: 0, rows: [] };
  const table = byId("board-table");
  const [head, body] = [table.tHead, table.tBodies[0]];
  const element = (tag, content, className) => {
    const made = document.createElement(tag);
    // A name may be broken after its underscores.
    (content || "").split("_").forEach((part, k) => made.append(...(k ? ["_", document.createElement("wbr")] : []), part));
    if (className) made.className = className;
    return made;
  };

  const heads = shown.map((column) => {
    const cell = element("th", "", column.num ? "num" : "");
    if (SECONDARY.has(column.name)) cell.classList.add("secondary");
    cell.scope = "col";
    const button = element("button", column.head);
    button.type = "button";
    button.addEventListener("click", () => {
      if (state.sort !== column) [state.sort, state.down] = [column, false];
      else if (!state.down) state.down = true;
      else [state.sort, state.down] = [null, false];
      update();
    });
    cell.append(button);
    return cell;
  });
  const headRow = element("tr");
  headRow.append(...heads);
  head.append(headRow);

  for (const name of FILTERS) {
    const select = byId(`f-${name}`);
    select.append(new Option("all", ""));
    const order = distinct(name) ? data[name].values.map((v, k) => [v, k]).sort((a, b) => (a[0] < b[0] ? -1 : 1)) : [];
    for (const [v, k] of order) select.append(new Option(v, String(k)));
    if (distinct(name) < 2) select.closest("label").hidden = true;
  }

  // Order of the distinct texts, so that sorting compares whole numbers.
  const places = {};
  const placesOf = (name) => {
    if (!places[name] && data[name]) {
      const order = data[name].values.map((v, k) => [v, k]).sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
      places[name] = new Int32Array(order.length);
      order.forEach(([, k], place) => (places[name][k] = place));
    }
    return places[name];
  };
  const keysOf = (column) => {
    const keys = new Float64Array(data.rows);
    const order = column.key ? null : placesOf(column.name);
    for (let i = 0; i < data.rows; i++) {
      const key = column.key ? column.key(i) : order && data[column.name].codes[i] >= 0 ? order[data[column.name].codes[i]] : null;
      keys[i] = key === null ? NaN : key;
    }
    return keys;
  };

  const select = () => {
    const wanted = FILTERS.map((name) => [data[name], byId(`f-${name}`).value]).filter(([, v]) => v !== "");
    const words = byId("f-text").value.toLowerCase().split(/\s+/).filter(Boolean);
    // A word is looked up once per distinct text, not once per row.
    const hits = words.map((word) => ["explainer", "metric", "problem", "suite", "family", "note"].filter((n) => data[n])
      .map((n) => [data[n].codes, data[n].values.map((v) => v.toLowerCase().includes(word))]));
    const controls = byId("f-controls").checked, unscored = byId("f-unscored").checked;
    const rows = [];
    for (let i = 0; i < data.rows; i++) {
      if (!controls && data.control[i]) continue;
      if (!unscored && data.status[i] !== 0) continue;
      if (!wanted.every(([column, v]) => column.codes[i] === +v)) continue;
      if (!hits.every((columns) => columns.some(([codes, found]) => codes[i] >= 0 && found[codes[i]]))) continue;
      rows.push(i);
    }
    if (state.sort) {
      const keys = keysOf(state.sort), sign = state.down ? -1 : 1;
      // What is missing stays last either way; equal keys keep the order of the board.
      rows.sort((a, b) => {
        const [x, y] = [keys[a], keys[b]];
        if (x !== x || y !== y) return (x !== x) - (y !== y) || a - b;
        return sign * (x - y) || a - b;
      });
    }
    return rows;
  };

  const rowOf = (i) => {
    const row = element("tr", "", data.control[i] ? "control" : "");
    for (const column of shown) {
      const content = column.show(i);
      const cell = element(column.name === "explainer" ? "th" : "td", content, column.num ? "num" : column.wide && content ? "wide" : "");
      if (SECONDARY.has(column.name)) cell.classList.add("secondary");
      if (column.name === "explainer") {
        cell.scope = "row";
        // Narrow screens have no room for these columns of their own.
        cell.append(element("span", `${text("metric", i)} ${at("higher", i) ? "\u2191" : "\u2193"} ${text("problem", i)}`, "under"));
      }
      if (column.name === "beats" && content) cell.classList.add(content === "yes" ? "yes" : content === "too few samples" ? "few" : "no");
      const note = column.note ? column.note(i) : "";
      if (note && content) cell.append(column.name === "metric" ? "\u00a0" : " ", element("span", note));
      row.append(cell);
    }
    return row;
  };

  // Columns that say nothing on this page of rows are not shown; one that sorts the table stays.
  const SPARSE = new Set(["seconds", "score_seconds", "skill", "note", "group", "beats", "truth"]);
  const thin = (rows) => {
    shown.forEach((column, k) => {
      const empty = SPARSE.has(column.name) && column !== state.sort && rows.every((i) => !column.show(i));
      heads[k].hidden = empty;
      for (const row of body.rows) row.cells[k].hidden = empty;
    });
    tell();
  };

  const draw = () => {
    const first = state.page * PAGE, last = Math.min(first + PAGE, state.rows.length);
    body.replaceChildren(...state.rows.slice(first, last).map(rowOf));
    thin(state.rows.slice(first, last));
    byId("board-count").textContent = state.rows.length
      ? `Rows ${(first + 1).toLocaleString("en")} to ${last.toLocaleString("en")} of ${state.rows.length.toLocaleString("en")}; the board has ${data.rows.toLocaleString("en")}.`
      : "No row fits these filters.";
    back.disabled = state.page === 0;
    next.disabled = last >= state.rows.length;
    byId("pager").hidden = state.rows.length <= PAGE;
  };
  const turn = (label, step) => {
    const button = element("button", label);
    button.type = "button";
    button.addEventListener("click", () => { state.page += step; draw(); });
    byId("pager").append(button);
    return button;
  };
  const back = turn("Previous page", -1), next = turn("Next page", 1);

  const update = () => {
    heads.forEach((cell, k) => {
      if (shown[k] === state.sort) cell.setAttribute("aria-sort", state.down ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    });
    state.rows = select();
    state.page = 0;
    draw();
  };
  const form = byId("filters");
  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(update));
  update();
  form.hidden = false;
  byId("no-script").hidden = true;

  // What is folded would be missing on paper.
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => { d.open = true; }));
})();
