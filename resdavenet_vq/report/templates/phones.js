"use strict";

// The errors of one layer, by pairs of phones: a heat map, and a table of the surest.
window.addEventListener("DOMContentLoaded", () => {
  const choice = document.getElementById("phone-table");
  const { make, need, grouped } = report;
  async function show() {
    const { title, chart, worst, pairs, csv } = await need(`phones-${choice.value}`);
    const host = document.getElementById("phone-chart");
    host.style.height = `${chart.height}px`;
    host.setAttribute("aria-label", `${title}: ${chart.alt}`);
    report.draw(host, chart.figure);
    const head = (text, { first, sorted } = {}) => make("th", { scope: "col", class: first ? "text" : null, "data-first": first, "aria-sort": sorted }, make("button", { type: "button" }, text));
    const number = (value, decimals) => make("td", {}, make("data", { value, title: value }, decimals ? value.toFixed(decimals) : grouped(value)));
    document.getElementById("phone-pairs").replaceChildren(
      make("p", { class: "narrow" }, make("label", {}, "Search the table ", make("input", { type: "search", "data-filters": "pairs", autocomplete: "off" })), " ", make("button", { type: "button", "data-saves": "pairs" }, "Save the rows shown (CSV)"), " ", make("output", { "aria-live": "polite" })),
      make("div", { class: "table tall scroll", tabindex: "0", role: "region", "aria-label": `Largest errors of ${title}` }, make("table", { id: "pairs" },
        make("caption", {}, title),
        make("thead", {}, make("tr", {}, head("A and X", { first: "ascending" }), head("B", { first: "ascending" }), head("Error (%)"), head("Cells"), head("At least (%)", { sorted: "descending" }))),
        make("tbody", {}, ...worst.map(([a, b, error, cells, bound]) => make("tr", {}, make("th", { scope: "row" }, a), make("td", { class: "text" }, b), number(error, 1), number(cells), number(bound, 1)))))),
      make("p", { class: "quiet" }, `The ${worst.length} pairs of ${grouped(pairs)} that are confused most surely: a cell is a comparison in one context by one or two speakers, and few cells easily have an error of 100 %; at least is the lower end of the error's 95 % interval if each cell were one trial. `, make("a", { href: csv, download: true }, "all of them (CSV)"), "."));
  }
  choice.addEventListener("change", () => show().catch(report.fail));
  show().catch(report.fail);
});
