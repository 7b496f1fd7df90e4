"use strict";

// The errors of one layer, by pairs of phones: a heat map, and a table of the largest.
window.addEventListener("DOMContentLoaded", () => {
  const choice = document.getElementById("phone-table");
  const { make, need, grouped } = report;
  async function show() {
    const { title, chart, worst, pairs, csv } = await need(`phones-${choice.value}`);
    const host = document.getElementById("phone-chart");
    host.style.height = `${chart.height}px`;
    host.setAttribute("aria-label", `${title}: ${chart.alt}`);
    report.draw(host, chart.figure);
    const head = (text, first) => make("th", { scope: "col", class: first ? "text" : null, "data-first": first, "aria-sort": first ? null : "descending" }, make("button", { type: "button" }, text));
    const number = (error) => make("data", { value: error, title: error }, error.toFixed(1));
    document.getElementById("phone-pairs").replaceChildren(
      make("p", { class: "narrow" }, make("label", {}, "Search the table ", make("input", { type: "search", "data-filters": "pairs", autocomplete: "off" })), " ", make("output", { "aria-live": "polite" })),
      make("div", { class: "table tall scroll", tabindex: "0", role: "region", "aria-label": `Largest errors of ${title}` }, make("table", { id: "pairs" },
        make("caption", {}, title),
        make("thead", {}, make("tr", {}, head("A and X", "ascending"), head("B", "ascending"), head("Error (%)"))),
        make("tbody", {}, ...worst.map(([a, b, error]) => make("tr", {}, make("th", { scope: "row" }, a), make("td", { class: "text" }, b), make("td", {}, number(error))))))),
      make("p", { class: "quiet" }, `The ${worst.length} largest errors of ${grouped(pairs)} pairs; `, make("a", { href: csv, download: true }, "all of them (CSV)"), "."));
  }
  choice.addEventListener("change", () => show().catch(report.fail));
  show().catch(report.fail);
});
