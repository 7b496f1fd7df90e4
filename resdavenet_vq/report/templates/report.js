"use strict";

// What all pages share: data that arrive as scripts, tables, charts, and lists that arrow keys walk.
const report = (() => {
  const arrived = new Map();
  const waiting = new Map();

  // A page opened from disk may not fetch; so pieces of data are scripts that call `receive`.
  function receive(name, value) { arrived.set(name, value); }
  function need(name) {
    if (!waiting.has(name)) {
      waiting.set(name, new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = `data/${name}.js`;
        script.onload = () => (arrived.has(name) ? resolve(arrived.get(name)) : reject(new Error(`data/${name}.js is damaged`)));
        script.onerror = () => reject(new Error(`data/${name}.js is missing: copy the whole folder of the report`));
        document.head.append(script);
      }));
    }
    return waiting.get(name);
  }

  // A new element; children are elements or plain text, so that nothing of a corpus is ever read as HTML.
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "class") element.className = value;
      else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined && child !== false && child !== 0));
    return element;
  }

  const about = () => JSON.parse(document.getElementById("about").textContent);
  const percent = (share) => (share === null || share === undefined ? "–" : (100 * share).toFixed(1));
  const grouped = (number) => String(number).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
  const several = (number, one, many) => `${grouped(number)} ${number === 1 ? one : many}`;

  function fail(error) {
    const main = document.getElementById("main");
    main.prepend(make("p", { class: "fault", role: "alert" }, error.message));
    throw error;
  }

  // The state of a page lives in its address, so that it can be sent and the back button works. What is chosen
  // for the whole page (`rows`, `speaker`) stays there until it is changed; an empty value is left out.
  const LASTING = ["rows", "speaker"];
  const state = {
    read: () => Object.fromEntries(new URLSearchParams(location.hash.slice(1))),
    link: (values) => `#${new URLSearchParams(Object.entries(values).filter(([, value]) => value !== null && value !== undefined))}`,
    write(values, { replace = false } = {}) {
      const lasting = Object.fromEntries(Object.entries(state.read()).filter(([name]) => LASTING.includes(name)));
      const hash = state.link({ ...values, ...lasting, ...Object.fromEntries(LASTING.filter((name) => name in values).map((name) => [name, values[name]])) });
      if (hash === location.hash) return;
      if (replace) history.replaceState(null, "", hash); else history.pushState(null, "", hash);
    },
    watch(change) { for (const kind of ["popstate", "hashchange"]) window.addEventListener(kind, change); },
  };

  // A list of which one entry is chosen: arrow keys, Home, End and page keys walk it, and choosing follows them.
  function listbox(host, { label, most = 400, show, choose }) {
    host.setAttribute("role", "listbox");
    host.setAttribute("aria-label", label);
    host.tabIndex = 0;
    let entries = [], visible = [], chosen = null, timer = 0;
    const options = () => [...host.querySelectorAll("[role=option]")];
    function mark(key, { scroll = true } = {}) {
      chosen = key;
      let marked = null;
      for (const [i, option] of options().entries()) {
        const is = visible[i].key === key;
        option.setAttribute("aria-selected", String(is));
        if (is) marked = option;
      }
      if (marked) host.setAttribute("aria-activedescendant", marked.id); else host.removeAttribute("aria-activedescendant");
      if (marked && scroll) host.scrollTop += Math.min(0, marked.offsetTop - host.scrollTop) || Math.max(0, marked.offsetTop + marked.offsetHeight - host.scrollTop - host.clientHeight);
    }
    function fill(filter = () => true) {
      const fitting = entries.filter(filter);
      visible = fitting.slice(0, most);
      host.replaceChildren(...visible.map((entry, i) => make("div", { role: "option", id: `${host.id}-${i}`, "aria-selected": "false", class: "option" }, ...show(entry))));
      if (fitting.length > most) host.append(make("p", { class: "quiet" }, `${grouped(fitting.length - most)} more: type above to narrow the list.`));
      if (!fitting.length) host.append(make("p", { class: "quiet" }, "Nothing fits."));
      mark(chosen);
      return fitting.length;
    }
    function pick(i, wait) {
      const entry = visible[Math.max(0, Math.min(visible.length - 1, i))];
      if (!entry) return;
      mark(entry.key);
      clearTimeout(timer);
      timer = setTimeout(() => choose(entry), wait);
    }
    host.addEventListener("keydown", (event) => {
      const at = visible.findIndex((entry) => entry.key === chosen);
      const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + 10, PageUp: at - 10, Home: 0, End: visible.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      pick(to, 90);
    });
    host.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) pick(options().indexOf(option), 0);
    });
    return { set(values) { entries = values; return fill(); }, fill, mark };
  }

  // -- tables -----------------------------------------------------------------------------------------------

  // Tables whose head has buttons are sorted by them: numbers by value, texts by alphabet; missing values come last.
  function sortTable(button) {
    const head = button.closest("th");
    const body = head.closest("table").tBodies[0];
    const column = head.cellIndex;
    const key = (row) => {
      const cell = row.cells[column];
      const number = cell.querySelector("data");
      return number ? Number(number.value) : cell.querySelector(".unknown") ? null : cell.textContent.trim();
    };
    const first = head.dataset.first || "descending";
    const other = first === "descending" ? "ascending" : "descending";
    const order = head.getAttribute("aria-sort") === first ? other : first;
    const sign = order === "ascending" ? 1 : -1;
    const compare = (a, b) => (typeof a === "string" && typeof b === "string" ? a.localeCompare(b) : a < b ? -1 : a > b ? 1 : 0);
    const rows = [...body.rows].map((row) => [key(row), row]);
    rows.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b)));
    body.append(...rows.map(([, row]) => row));
    for (const cell of head.parentElement.cells) cell.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
  }

  // A table with a search field shows the rows whose first cells contain what is typed.
  function filterTable(input) {
    const query = input.value.trim().toLowerCase();
    const rows = [...document.getElementById(input.dataset.filters).tBodies[0].rows];
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(query);
    const left = rows.filter((row) => !row.hidden).length;
    input.closest(".narrow").querySelector("output").textContent = query ? `${left} of ${rows.length} rows` : "";
  }

  // A small table of rows of cells; a cell is a text, an element, or a number with the decimals it is read with.
  function table(caption, heads, rows) {
    const cell = (value, i) => make(i ? "td" : "th", i ? { class: value instanceof Node ? "text" : null } : { scope: "row" }, value);
    return make("div", {}, make("div", { class: "table scroll", tabindex: "0", role: "region", "aria-label": caption },
      make("table", {}, make("caption", {}, caption),
        make("thead", {}, make("tr", {}, ...heads.map((head, i) => make("th", { scope: "col", class: i && !(rows[0]?.[i] instanceof Node) ? null : "text" }, head)))),
        make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map(cell)))))), saver(caption));
  }

  // A button below a table that saves it.
  const saver = (title) => make("button", { type: "button", class: "link saver", "aria-label": `Save as CSV: the table ${title}`, "data-saves": "", "data-name": fileName(title) }, "Save as CSV");

  // Rows as CSV, and a file that the reader saves.
  const csv = (rows) => `${rows.map((row) => row.map((cell) => (/[",\n]/.test(cell) ? `"${String(cell).replaceAll('"', '""')}"` : cell)).join(",")).join("\n")}\n`;
  function save(name, content) {
    const blob = content instanceof Blob ? content : new Blob([content], { type: "text/plain" });
    const link = make("a", { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  const fileName = (text) => text.replace(/[^\w.-]+/g, "_");

  // -- charts -----------------------------------------------------------------------------------------------

  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("(max-width: 40rem)");

  function themed(chart, height) {
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(name).trim();
    const axis = { gridcolor: color("--line"), linecolor: color("--quiet"), zerolinecolor: color("--line"), tickcolor: color("--quiet"), automargin: true };
    const layout = {
      ...chart.layout, paper_bgcolor: color("--page"), plot_bgcolor: "rgba(0,0,0,0)", dragmode: narrow.matches ? false : chart.layout.dragmode ?? "zoom",
      font: { family: getComputedStyle(document.body).fontFamily, size: narrow.matches ? 12 : 13, color: color("--text") },
      hoverlabel: { bgcolor: color("--card"), bordercolor: color("--quiet"), font: { color: color("--text") } },
      legend: { orientation: "h", yanchor: "top", y: -64 / Math.max(150, height - 120), x: 0, ...chart.layout.legend },
      margin: { l: 56, r: 12, t: 12, b: 48, ...chart.layout.margin },
      xaxis: { ...axis, ...chart.layout.xaxis }, yaxis: { ...axis, ...chart.layout.yaxis },
    };
    // on a dark page, black lines of the palette are white, and traces have what they say of it
    const data = chart.data.map((trace) => {
      const own = { ...trace, ...(dark.matches ? trace.meta?.dark : {}) };
      for (const part of ["line", "marker"]) if (dark.matches && own[part]?.color === "#000000") own[part] = { ...own[part], color: "#ffffff" };
      return own;
    });
    return [data, layout];
  }

  // The script that draws charts is large: it is loaded when the first chart comes near.
  let library = null;
  function plotly() {
    library ??= new Promise((resolve, reject) => {
      const script = make("script", { src: "assets/plotly.min.js" });
      script.onload = () => resolve(window.Plotly);
      script.onerror = () => reject(new Error("assets/plotly.min.js is missing: copy the whole folder of the report"));
      document.head.append(script);
    });
    return library;
  }

  const drawn = new Map(), awaited = new Map();
  const near = new IntersectionObserver((entries) => {
    for (const { target } of entries.filter((e) => e.isIntersecting)) { near.unobserve(target); paint(target, awaited.get(target)).catch(fail); }
  }, { rootMargin: "400px" });
  function draw(host, chart) {
    if (drawn.has(host)) paint(host, chart).catch(fail);
    else { awaited.set(host, chart); near.observe(host); }
  }
  async function paint(host, chart) {
    const fresh = !drawn.has(host);
    drawn.set(host, chart);
    await (await plotly()).react(host, ...themed(chart, host.clientHeight), { displayModeBar: false, responsive: true });
    host.dataset.drawn = "yes";
    if (fresh) {
      const save = async () => (await plotly()).downloadImage(host, { format: "png", scale: 2, width: host.clientWidth, height: host.clientHeight, filename: host.id });
      host.after(make("button", { type: "button", class: "link", onclick: () => save().catch(fail) }, "Save as PNG"));
      host.on("plotly_click", (event) => {
        const link = event.points[0].customdata;
        if (typeof link === "string") location.href = link;
      });
    }
  }
  dark.addEventListener("change", () => { for (const [host, chart] of drawn) draw(host, chart); });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("th button");
    if (button) sortTable(button);
    const saving = event.target.closest("button[data-saves]");
    if (saving) {
      const id = saving.dataset.saves;
      save(`${id || saving.dataset.name}.csv`, csv(shownRows(id ? document.getElementById(id) : saving.previousElementSibling.querySelector("table"))));
    }
  });

  // The head and the visible rows of a table; numbers with all their digits, without the notes beside a name. A head over
  // several columns is that of each.
  function shownRows(shown) {
    const text = (cell) => {
      const number = cell.querySelector("data");
      if (number) return number.value;
      const copy = cell.cloneNode(true);
      for (const note of copy.querySelectorAll(".quiet, .interval")) note.remove();
      return copy.querySelector(".unknown") ? "" : copy.textContent.trim();
    };
    return [...shown.rows].filter((row) => !row.hidden).map((row) => [...row.cells].flatMap((cell) => Array(cell.colSpan).fill(text(cell))));
  }
  document.addEventListener("input", (event) => { if (event.target.dataset.filters) filterTable(event.target); });

  // Paper has nothing folded.
  const folded = [];
  window.addEventListener("beforeprint", () => { for (const fold of document.querySelectorAll("details:not([open])")) { folded.push(fold); fold.open = true; } });
  window.addEventListener("afterprint", () => { for (const fold of folded.splice(0)) fold.open = false; });

  window.addEventListener("DOMContentLoaded", () => {
    for (const host of document.querySelectorAll(".chart[data-chart]")) draw(host, JSON.parse(document.getElementById(host.dataset.chart).textContent));
    for (const box of document.querySelectorAll("main .table")) {
      const shown = box.querySelector("table[id]");
      const title = box.getAttribute("aria-label") || document.getElementById(box.getAttribute("aria-labelledby"))?.textContent || document.title;
      if (!shown || !document.querySelector(`[data-saves="${shown.id}"]`)) box.after(saver(title));
    }
    // of all players only one plays
    document.addEventListener("play", (event) => {
      for (const other of document.querySelectorAll("audio")) if (other !== event.target) other.pause();
      if (event.target !== report.player.audio) report.player.stop();
    }, true);
  });

  // -- sound ------------------------------------------------------------------------------------------------

  // Plays a stretch of a file; `tell` hears the time while it plays, and null when it ends.
  const player = {
    audio: new Audio(), token: 0, tell: null,
    stop() {
      player.token += 1;
      player.audio.pause();
      if (player.tell) player.tell(null);
      player.tell = null;
    },
    play(source, start, end, tell) {
      player.stop();
      for (const other of document.querySelectorAll("audio")) other.pause();
      const token = player.token, audio = player.audio;
      player.tell = tell;
      audio.preload = "auto";
      if (!audio.src.endsWith(source)) audio.src = source;
      const step = () => {
        if (token !== player.token) return;
        tell(audio.currentTime);
        if (audio.currentTime >= end || audio.ended) player.stop(); else requestAnimationFrame(step);
      };
      const begin = () => {
        if (token !== player.token) return;
        audio.currentTime = start;
        audio.play().then(step, (error) => { if (token === player.token) { player.stop(); if (error.name !== "AbortError") fail(error); } });
      };
      if (audio.readyState >= 1) begin(); else audio.addEventListener("loadedmetadata", begin, { once: true });
    },
  };

  return { receive, need, make, about, percent, grouped, several, fail, state, listbox, table, csv, save, fileName, draw, player };
})();
