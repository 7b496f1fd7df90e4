"use strict";

// Utterances to look at and to listen to, and a search over all texts of the split.
(async () => {
  const { make, need, several, grouped, state } = report;
  const about = report.about(), silence = new RegExp(about.silence);
  const $ = (id) => document.getElementById(id);
  report.layerBoxes($("rows"));
  const withAudio = await need("with-audio");
  const list = report.listbox($("list"), {
    label: "Utterances that can be heard and seen",
    show: (entry) => [make("span", { class: "cell-0" }, entry.key), make("span", { class: "cell-1" }, entry.text)],
    choose: (entry) => { state.write({ id: entry.key }); show().catch(report.fail); },
  });
  list.set(withAudio.map(([id, text], number) => ({ key: id, text: text || "no text", number })));

  function save(name, text) {
    const link = make("a", { href: URL.createObjectURL(new Blob([text], { type: "text/plain" })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  let latest = 0;
  async function show() {
    const turn = ++latest;
    const values = state.read();
    if (values.search !== undefined && $("searching")) {
      $("search").value = values.search;
      await search(values.search);
      return;
    }
    const number = Math.max(0, withAudio.findIndex(([id]) => id === values.id));
    const u = await report.utterance(number);
    if (turn !== latest) return;
    list.mark(u.id);
    $("results").replaceChildren();
    const player = make("div");
    const facts = [u.speaker && `Speaker ${u.speaker}, `, `${u.duration.toFixed(2)} s · `].filter(Boolean).join("");
    $("utterance").replaceChildren(
      make("h2", { id: "utterance-title" }, `Utterance ${u.id}`),
      make("div", { class: "head" },
        u.image && make("img", { class: "photo", src: u.image.file, width: u.image.width, height: u.image.height, alt: `The image that this utterance describes${u.text ? `: ${u.text}` : ""}` }),
        make("div", {}, u.text ? make("blockquote", {}, u.text) : make("p", { class: "quiet" }, "no text"), make("p", { class: "quiet" }, facts, make("button", { type: "button", class: "link", onclick: () => save(`${u.id.replace(/[^\w.-]+/g, "_")}.TextGrid`, report.textGrid(u)) }, "Save as TextGrid for Praat")))),
      player);
    report.viewer(player, u, { time: Number(values.t) || 0 });
  }

  // -- search -------------------------------------------------------------------------------------------------

  const wordsOf = (text) => text.toUpperCase().match(/[\p{L}\p{N}'<>_-]+/gu) || [];
  let texts = null;
  async function allTexts() {
    if (!texts) {
      const pieces = await Promise.all(Array.from({ length: about.textPieces }, (_, i) => need(`texts-${i}`)));
      texts = pieces.flat().map(([id, speaker, text, number]) => ({ id, speaker, text, number, words: wordsOf(text) }));
    }
    return texts;
  }
  const fits = (sought, word, last) => (last && sought.endsWith("*") ? word.startsWith(sought.slice(0, -1)) : word === sought);
  // where a sequence of words begins in another
  function starts(words, sought) {
    const firsts = [];
    for (let i = 0; i + sought.length <= words.length; i += 1) if (sought.every((w, j) => fits(w, words[i + j], j === sought.length - 1))) firsts.push(i);
    return firsts;
  }

  async function search(query) {
    const sought = query.toUpperCase().split(/\s+/).filter(Boolean).map((w) => (wordsOf(w)[0] || "") + (w.endsWith("*") ? "*" : "")).filter((w) => w && w !== "*");
    $("utterance").replaceChildren();
    list.mark(null);
    if (!sought.length) {
      $("results").replaceChildren();
      $("searched").textContent = "Type a word.";
      return;
    }
    $("searched").textContent = "Searching …";
    const hits = (await allTexts()).filter((t) => starts(t.words, sought).length);
    const audible = hits.filter((t) => t.number !== null);
    const places = [], unplaced = [];
    for (const hit of audible) {
      const u = await report.utterance(hit.number);
      const words = (u.words || []).filter(([, , label]) => !silence.test(label.trim()));
      const firsts = starts(words.map(([, , label]) => label.toUpperCase()), sought);
      for (const i of firsts) places.push([hit.number, words[i][0], words[i + sought.length - 1][1]]);
      if (!firsts.length) unplaced.push(hit);
    }
    const silent = hits.filter((t) => t.number === null);
    $("searched").textContent = hits.length
      ? `${several(hits.length, "utterance", "utterances")} of ${grouped(about.utterances)}; ${several(places.length, "place", "places")} to hear and see.`
      : `No utterance of ${grouped(about.utterances)} has “${query}”. Whole words are found; end with * to find how words begin.`;
    const cards = make("div");
    const link = (t) => (t.number === null ? t.id : make("a", { href: state.link({ id: t.id }) }, t.id));
    const listed = (title, some) => some.length && make("section", {}, make("h3", {}, title), make("ul", { class: "texts" }, ...some.slice(0, 200).map((t) => make("li", {}, make("span", { class: "cell-0" }, link(t)), " ", t.text))), some.length > 200 && make("p", { class: "quiet" }, `${grouped(some.length - 200)} more are not listed.`));
    $("results").replaceChildren(...[make("h2", {}, `“${query}”`), places.length && make("h3", {}, "To hear and see"), cards, listed("To hear, without aligned words", unplaced), listed("As text alone", silent)].filter(Boolean));
    if (places.length) report.places(cards, places);
  }

  $("searching")?.addEventListener("submit", (event) => {
    event.preventDefault();
    const query = $("search").value.trim();
    $("searched").textContent = "";
    state.write(query ? { search: query } : { id: withAudio[0][0] });
    show().catch(report.fail);
  });
  state.watch(() => show().catch(report.fail));
  await show();
})().catch(report.fail);
