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
    choose: (entry) => { state.write({ id: entry.key, within: narrowed.query || null }); show().catch(report.fail); },
  });
  list.set(withAudio.map(([id, text, speaker], number) => ({ key: id, text: text || "no text", speaker, number })));
  const speakers = [...new Set(withAudio.map(([, , speaker]) => speaker).filter(Boolean))].sort();
  $("speaker").append(make("option", { value: "" }, "all"), ...speakers.map((speaker) => make("option", { value: speaker }, speaker)));
  $("speaker-field").hidden = speakers.length < 2;
  $("speaker").addEventListener("change", () => {
    state.write({ ...state.read(), speaker: $("speaker").value || null });
    show().catch(report.fail);
  });

  // The list has the utterances of the chosen speaker in which the words that are searched for are spoken.
  let narrowed = { query: "", speaker: "" };
  async function narrow(query, speaker) {
    if (query === narrowed.query && speaker === narrowed.speaker) return;
    narrowed = { query, speaker };
    $("speaker").value = speaker;
    const sought = soughtIn(query);
    const ids = sought.length ? new Set((await allTexts()).filter((t) => starts(t.words, sought).length).map((t) => t.id)) : null;
    const n = list.fill((entry) => (!speaker || entry.speaker === speaker) && (!ids || ids.has(entry.key)));
    $("listed").textContent = n < withAudio.length ? `${grouped(n)} of ${several(withAudio.length, "utterance", "utterances")} to hear and see` : "";
  }

  let latest = 0;
  async function show() {
    const turn = ++latest;
    const values = state.read();
    const speaker = speakers.includes(values.speaker) ? values.speaker : "";
    if (values.search !== undefined && $("searching")) {
      $("search").value = values.search;
      await Promise.all([narrow(values.search, speaker), search(values.search, speaker)]);
      return;
    }
    if ($("searching")) { $("search").value = values.within ?? ""; $("searched").textContent = ""; }
    await narrow($("searching") ? values.within ?? "" : "", speaker);
    const asked = withAudio.findIndex(([id]) => id === values.id);
    const number = asked < 0 ? Math.max(0, withAudio.findIndex((row) => !speaker || row[2] === speaker)) : asked;
    const u = await report.pictured(number);
    if (turn !== latest) return;
    list.mark(u.id);
    $("results").replaceChildren();
    const player = make("div");
    const facts = [u.speaker && `Speaker ${u.speaker}, `, `${u.duration.toFixed(2)} s · save as `].filter(Boolean).join("");
    const name = report.fileName(u.id);
    const ending = u.sound.split(".").pop();
    const saving = (text, title, ending, content) => make("button", { type: "button", class: "link", title, onclick: () => report.save(`${name}.${ending}`, content()) }, text);
    const compared = make("section", { "aria-labelledby": "compared" });
    $("utterance").replaceChildren(
      make("h2", { id: "utterance-title" }, `Utterance ${u.id}`),
      make("div", { class: "head" },
        u.image && make("img", { class: "photo", src: u.image.file, width: u.image.width, height: u.image.height, alt: `The image that this utterance describes${u.text ? `: ${u.text}` : ""}` }),
        make("div", {}, u.text ? make("blockquote", {}, u.text) : make("p", { class: "quiet" }, "no text"), make("p", { class: "quiet" }, facts,
          saving("TextGrid", "The rows that are drawn, for Praat", "TextGrid", () => report.textGrid(u)), ", ",
          saving("CSV", "The rows that are drawn, as a table", "csv", () => report.rowsAsCsv(u)), ", ",
          make("button", { type: "button", class: "link", title: "The picture as it is seen", onclick: () => report.savePicture(player.querySelector(".stage"), name).catch(report.fail) }, "PNG"), ", ",
          make("a", { href: u.sound, download: `${name}.${ending}`, title: "The sound" }, ending.toUpperCase()), "; the page's address leads to this moment and these rows."))),
      player, compared);
    const focus = values.code === undefined ? null : { layer: Number(values.layer), code: Number(values.code) };
    const moved = (time) => { if (turn === latest) state.write({ ...state.read(), id: u.id, t: time.toFixed(2) }, { replace: true }); };
    report.viewer(player, u, { time: Number(values.t) || 0, focus, moved });
    report.compare(compared, u);
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

  const soughtIn = (query) => query.toUpperCase().split(/\s+/).filter(Boolean).map((w) => (wordsOf(w)[0] || "") + (w.endsWith("*") ? "*" : "")).filter((w) => w && w !== "*");

  async function search(query, speaker) {
    const sought = soughtIn(query);
    $("utterance").replaceChildren();
    list.mark(null);
    if (!sought.length) {
      $("results").replaceChildren();
      $("searched").textContent = "Type a word.";
      return;
    }
    $("searched").textContent = "Searching …";
    const hits = (await allTexts()).filter((t) => (!speaker || t.speaker === speaker) && starts(t.words, sought).length);
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
