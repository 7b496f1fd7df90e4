"use strict";

// Two layers, of one model or of two, side by side on one utterance: the two rows of codes that are drawn.
(() => {
  const { make, need, percent } = report;
  const about = report.about(), silence = new RegExp(about.silence);
  const TOLERANCE = 0.02;  // seconds between boundaries that count as one

  const titleOf = (number) => about.layers.find((layer) => layer.number === number).title;
  const link = (layer, code) => make("a", { href: `units.html${report.state.link({ layer, code })}` }, code);
  const overlaps = ([start, end], [from, to]) => Math.min(end, to) - Math.max(start, from) > 1e-9;

  // The codes at which both change, seen from the first: of its inner boundaries the share that the other has, too.
  function shared(runs, others) {
    const inner = (some) => some.slice(1).map(([start]) => start);
    const edges = inner(others), own = inner(runs);
    return own.length ? own.filter((edge) => edges.some((other) => Math.abs(edge - other) <= TOLERANCE + 1e-9)).length / own.length : null;
  }

  function numbers(u, sides) {
    const row = (name, of) => [name, ...sides.map(of)];
    return report.table("The whole utterance", ["Measure", ...sides.map((side) => side.title)], [
      row("Runs of codes", ({ runs }) => String(runs.length)),
      row("Runs a second", ({ runs }) => (runs.length / u.duration).toFixed(1)),
      row("Different codes", ({ runs }) => String(new Set(runs.map(([, , code]) => code)).size)),
      row(`Boundaries that the other has within ${1000 * TOLERANCE} ms (%)`, ({ runs }, i) => percent(shared(runs, sides[1 - i].runs))),
    ]);
  }

  // Word by word (without words, phone by phone) the codes of both, with those marked that stand for what is spoken.
  async function spoken(u, sides) {
    const tier = u.words?.length ? "word" : "phone";
    const intervals = (tier === "word" ? u.words : u.phones || []).filter(([, , label]) => !silence.test(label.trim()));
    if (!intervals.length) return [];
    const best = await Promise.all(sides.map(async ({ number }) => new Map((await need(`layer-${number}`)).codes.map((row) => [String(row[0]), row[tier === "word" ? 4 : 5]?.[0]]))));
    const right = [0, 0];
    const cell = (interval, i) => {
      const codes = sides[i].runs.filter((run) => overlaps(run, interval)).map(([, , code]) => code);
      const fits = (code) => best[i].get(code) === interval[2];
      if (codes.some(fits)) right[i] += 1;
      return make("span", { class: "sequence" }, ...codes.flatMap((code) => [fits(code) ? make("strong", {}, link(sides[i].number, code), make("span", { class: "mark" }, " ✓")) : link(sides[i].number, code), " "]));
    };
    const rows = intervals.map((interval) => [interval[2], `${interval[0].toFixed(2)}–${interval[1].toFixed(2)}`, cell(interval, 0), cell(interval, 1)]);
    const count = (i) => `${right[i]} of ${intervals.length} in ${sides[i].title}`;
    return [
      make("p", {}, `A code whose best ${tier} is the one that is spoken (✓): ${count(0)}, ${count(1)}.`),
      report.table(`Codes at each ${tier}`, [tier === "word" ? "Word" : "Phone", "Seconds", ...sides.map((side) => side.title)], rows),
    ];
  }

  // Which codes they have at the same time, by the seconds they share.
  function together([a, b]) {
    const seconds = new Map();
    for (let i = 0, j = 0; i < a.runs.length && j < b.runs.length;) {
      const time = Math.min(a.runs[i][1], b.runs[j][1]) - Math.max(a.runs[i][0], b.runs[j][0]);
      const key = `${a.runs[i][2]} ${b.runs[j][2]}`;
      if (time > 1e-9) seconds.set(key, (seconds.get(key) || 0) + time);
      if (a.runs[i][1] <= b.runs[j][1]) i += 1; else j += 1;
    }
    const most = [...seconds].sort(([, x], [, y]) => y - x).slice(0, 40);
    return report.table("Codes at the same time, by the seconds they share", [a.title, b.title, "Seconds"],
      most.map(([key, time]) => { const [x, y] = key.split(" "); return [link(a.number, x), link(b.number, y), time.toFixed(2)]; }));
  }

  // Choosing two draws their rows, and no other codes; so the address has them.
  report.compare = (host, u) => {
    if (about.layers.length < 2) return;
    const option = (value, text) => make("option", { value }, text);
    const [first, second] = ["first", "second"].map((id) => make("select", { id: `compared-${id}` }, option("", "choose"), ...about.layers.map((layer) => option(layer.number, layer.title))));
    const result = make("div");
    host.replaceChildren(make("h3", { id: "compared" }, "Two layers side by side"),
      make("p", { class: "choices" }, make("label", { for: first.id }, "Compare"), first, make("label", { for: second.id }, "with"), second), result);
    let latest = 0;
    async function fill() {
      if (!host.isConnected) { document.removeEventListener("layers", filled); return; }
      const turn = ++latest;
      const sides = report.rowsOf(u).filter(([, , layer]) => layer !== null).map(([, runs, number]) => ({ runs, number, title: titleOf(number) }));
      if (sides.length !== 2) {
        result.replaceChildren(make("p", { class: "quiet" }, "Choose two layers, of one model or of two: their codes word by word, their boundaries, and which codes they have at the same time."));
        return;
      }
      for (const [i, select] of [first, second].entries()) select.value = String(sides[i].number);
      const words = await spoken(u, sides);
      if (turn === latest) result.replaceChildren(...words, numbers(u, sides), together(sides));
    }
    const choose = () => { if (first.value && second.value && first.value !== second.value) report.drawLayers([Number(first.value), Number(second.value)]); };
    for (const select of [first, second]) select.addEventListener("change", choose);
    const filled = () => fill().catch(report.fail);
    document.addEventListener("layers", filled);
    filled();
  };
})();
