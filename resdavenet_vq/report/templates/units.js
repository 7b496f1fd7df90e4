"use strict";

// The explorer: a code with its words, phones and occurrences, or a word with its codes in every layer.
(async () => {
  const { make, need, percent, several, grouped, state, table } = report;
  const about = report.about();
  const $ = (id) => document.getElementById(id);
  const layerOf = (number) => about.layers.find((layer) => layer.number === Number(number));
  const hasWords = about.has.includes("words");
  const stopWords = new Set(about.stopWords);
  report.layerBoxes($("rows"));

  const select = $("layer");
  select.append(...about.layers.map((layer) => make("option", { value: layer.number }, layer.title)));
  const list = report.listbox($("list"), {
    label: "Codes or words",
    show: (entry) => entry.cells.map((text, i) => make("span", { class: `cell-${i}` }, text)),
    choose: (entry) => go(entry.state),
  });

  let current = {}, latest = 0, listed = "";
  const modeOf = (values) => (values.word !== undefined ? "words" : "codes");

  async function entries(mode, layer) {
    if (mode === "words") {
      return (await need("vocabulary")).map(([word, n]) => ({ key: word, cells: [word, `${grouped(n)}×`], state: { layer, word }, text: word, tells: !stopWords.has(word) }));
    }
    const { codes, frames } = await need(`layer-${layer}`);
    const by = $("order").value;
    const keys = { frames: ([, n]) => -n, number: ([code]) => code, word: ([, , , , word]) => (word ? -word[1] : 0), phone: ([, , , , , phone]) => (phone ? -phone[1] : 0) };
    const ordered = [...codes].sort((a, b) => keys[by](a) - keys[by](b) || b[1] - a[1] || a[0] - b[0]);
    return ordered.map(([code, n, occurrences, silence, word, phone]) => {
      const best = by === "phone" ? phone : word || phone;
      const bestLabel = !hasWords ? `${grouped(occurrences)}×` : silence >= 0.5 ? "silence" : best ? `${best[0]} ${Math.round(100 * best[1])}` : "–";
      return { key: String(code), cells: [String(code), bestLabel, `${percent(n / frames)} %`], state: { layer, code }, tells: !(silence >= 0.5) && !stopWords.has(word?.[0]), text: `${code} ${bestLabel} ${word?.[0] ?? ""} ${phone?.[0] ?? ""}` };
    });
  }

  // What the page opens on: the first entry that stands for neither a stop word nor silence.
  const opening = (all) => all.find((entry) => entry.tells) ?? all[0];

  function filtered() {
    const query = $("filter").value.trim().toLowerCase();
    const exact = /^\d+$/.test(query);
    const n = list.fill((entry) => (!query ? true : exact && current.code !== undefined ? entry.key.startsWith(query) : entry.text.toLowerCase().includes(query)));
    $("matches").textContent = query ? `${n} fit` : "";
  }

  function go(values) { state.write(values); show().catch(report.fail); }

  async function show() {
    const turn = ++latest;
    const values = state.read();
    const layer = layerOf(values.layer) ? Number(values.layer) : about.first;
    const mode = modeOf(values);
    report.player.stop();
    current = { ...values, layer };
    select.value = String(layer);
    for (const radio of document.querySelectorAll("input[name=mode]")) radio.checked = radio.value === mode;
    $("order-field").hidden = mode === "words";
    $("layer-field").hidden = mode === "words";
    const shape = `${mode} ${layer} ${$("order").value}`;
    const all = await entries(mode, layer);
    if (turn !== latest) return;
    if (listed !== shape) { list.set(all); listed = shape; filtered(); }
    if ($("matrix")) $("matrix").href = state.link({ layer, matrix: "phones" });
    if (values.matrix !== undefined && $("matrix")) {
      list.mark(null);
      const built = await matrix(layer);
      if (turn === latest) $("detail").replaceChildren(...built);
      return;
    }
    const key = mode === "words" ? values.word : values.code;
    if (key === undefined || !all.some((entry) => entry.key === key)) {
      if (!all.length) { $("detail").replaceChildren(make("p", { role: "status" }, mode === "words" ? about.needs : "This layer has no codes here.")); return; }
      if (key !== undefined) {
        list.mark(null);
        $("detail").replaceChildren(make("p", { role: "status" }, mode === "words" ? `The word ${key} is not spoken in the split ${about.split}.` : `Code ${key} does not occur in the split ${about.split}.`));
        return;
      }
      state.write(opening(all).state, { replace: true });
      return show();
    }
    list.mark(key);
    const built = mode === "words" ? await word(key) : await code(layer, Number(key));
    if (turn !== latest) return;
    $("detail").replaceChildren(...built);
    $("status").textContent = $("detail").querySelector("h2").textContent;
  }

  const bar = (share) => { const b = make("span", { class: "bar", "aria-hidden": "true" }); b.style.setProperty("--share", share); return b; };
  const scored = (share) => make("span", { class: "scored" }, bar(share), make("span", {}, percent(share)));
  const wordLink = (word, layer) => make("span", {}, make("a", { href: state.link({ layer, word }) }, word), stopWords.has(word) && make("span", { class: "quiet" }, " (stop)"));

  async function code(layer, number) {
    const [{ codes, frames, phones }, details] = await Promise.all([need(`layer-${layer}`), need(`layer-${layer}-codes-${Math.floor(number / about.codesPerPiece)}`)]);
    const [, n, total] = codes.find((row) => row[0] === number);
    const rank = codes.filter((row) => row[1] > n).length + 1;
    const detail = details[number];
    const rows = (labels, link) => labels.map(([label, , p, r, f, hits]) => [link(label), scored(f), percent(p), percent(r), grouped(hits)]);
    const cut = (labels) => labels.map(([label, p, r, f, hits]) => [label, null, p, r, f, hits]);
    const heads = (what) => [what, "F1 (%)", "Precision", "Recall", "Tokens"];
    const places = make("div");
    const built = [
      make("h2", {}, `Code ${number} of ${layerOf(layer).title}`),
      make("p", {}, `${several(n, "frame", "frames")}, ${percent(n / frames)} % of the split ${about.split}, in ${several(total, "occurrence", "occurrences")}; number ${rank} by frequency of ${codes.length} codes that occur.${detail.silence === null ? "" : ` ${percent(detail.silence)} % of its frames touch no word.`}`),
    ];
    if (detail.detects.length) {
      built.push(make("p", {}, "Chosen as the detector of ", ...detail.detects.flatMap(([w, f1, held], i) => [i ? ", " : "", wordLink(w, layer), ` (F1 ${percent(f1)} % where it was chosen${held === null ? "" : `, ${percent(held)} % held out`})`]), "."));
    }
    if (hasWords) built.push(make("div", { class: "pair" },
      detail.words.length ? table(`Words of code ${number}`, heads("Word"), rows(cut(detail.words), (w) => wordLink(w, layer))) : make("p", { class: "quiet" }, "It meets no aligned word."),
      detail.phones.length ? table(`Phones of code ${number}`, heads("Phone"), rows(cut(detail.phones), (p) => p)) : phones.length ? make("p", { class: "quiet" }, "It meets no aligned phone.") : null));
    built.push(make("h3", {}, "Occurrences"), make("p", { class: "quiet" }, occurrenceText(detail.places.length, detail.withAudio, total)));
    if (detail.withAudio) built.push(make("p", {}, saving(`${layerOf(layer).name}-${number}`, (u) => report.runs(u, layer).filter(([, , other]) => other === String(number)))));
    built.push(places);
    await occurrences(places, detail.places, { layer, code: number });
    return built.filter(Boolean);
  }

  // All codes of a layer by phones: the share of a code's frames at a phone, of each code its best phones alone.
  async function matrix(layer) {
    const { codes, phones } = await need(`layer-${layer}`);
    const numbers = [...new Set(codes.map(([code]) => Math.floor(code / about.codesPerPiece)))];
    const details = Object.assign({}, ...await Promise.all(numbers.map((piece) => need(`layer-${layer}-codes-${piece}`))));
    const best = ([code]) => details[code].phones[0];
    const place = (row) => phones.indexOf(best(row)?.[0]);
    const ordered = codes.filter(best).sort((a, b) => place(a) - place(b) || best(b)[1] - best(a)[1]);
    const shares = ordered.map(([code]) => { const of = new Map(details[code].phones.map(([phone, share]) => [phone, share])); return phones.map((phone) => of.get(phone) ?? null); });
    const title = `Codes of ${layerOf(layer).title} × phones`;
    const host = make("div", { class: "chart", id: "matrix-chart", role: "img", "aria-label": `${title}: the share of each code's frames at each phone, as in the saved table` });
    host.style.height = `${Math.max(380, Math.min(5000, 9 * ordered.length + 120))}px`;
    const plain = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
    const axis = { type: "category", showgrid: false, ticks: "" };
    report.draw(host, {
      data: [{
        type: "heatmap", x: phones.map(plain), y: ordered.map(([code]) => String(code)), z: shares.map((row) => row.map((share) => (share === null ? null : Math.round(1000 * share) / 10))), zmin: 0, zmax: 100,
        customdata: ordered.map(([code]) => phones.map(() => state.link({ layer, code }))),
        colorscale: about.shades.light, meta: { dark: { colorscale: about.shades.dark } }, hovertemplate: "code %{y}, phone %{x}: %{z:.1f} % of the code's frames<extra></extra>",
        colorbar: { title: { text: "share of the code's frames (%)", side: "right" }, thickness: 12, outlinewidth: 0 },
      }],
      layout: { xaxis: { ...axis, side: "top", title: { text: "phone" }, tickmode: "linear", tickfont: { size: 10 } }, yaxis: { ...axis, autorange: "reversed", title: { text: "code, in order of its best phone" } }, margin: { t: 60 } },
    });
    const rows = [["code", ...phones], ...ordered.map(([code], i) => [code, ...shares[i].map((share) => share ?? "")])];
    return [
      make("h2", {}, title),
      make("p", {}, `The share of a code's frames at a phone, of each code its ${about.best} best phones by F1; empty are the others. A click opens the code.`),
      make("p", {}, make("button", { type: "button", onclick: () => report.save(`${layerOf(layer).name}-phones.csv`, report.csv(rows)) }, "Save the table (CSV)")),
      make("figure", { class: "card plot" }, host),
    ];
  }

  // Saves every interval that `chosen` names in the utterances that can be heard, with what is spoken there.
  function saving(name, chosen) {
    const spoken = (tier, start, end) => (tier || []).filter(([from, to]) => from < end && to > start).map(([, , label]) => label).join(" ");
    return make("button", { type: "button", onclick: async () => {
      const rows = [["utterance", "speaker", "start", "end", "words", "phones"]];
      for (let i = 0; i < about.withAudio; i += 1) {
        const u = await report.utterance(i);
        for (const [start, end] of chosen(u)) rows.push([u.id, u.speaker ?? "", start, end, spoken(u.words, start, end), spoken(u.phones, start, end)]);
      }
      report.save(`${name}-occurrences.csv`, report.csv(rows));
    } }, "Save all that can be heard (CSV)");
  }

  // Occurrences as cards; those of a chosen speaker alone, where several are heard. The address keeps the choice.
  async function occurrences(host, places, focus) {
    const withAudio = await need("with-audio");
    const speakerOf = ([number]) => withAudio[number][2];
    const speakers = [...new Set(places.map(speakerOf).filter(Boolean))].sort();
    const select = make("select", { id: "speaker" }, make("option", { value: "" }, "all"), ...speakers.map((speaker) => make("option", { value: speaker }, speaker)));
    const chosen = state.read().speaker;
    select.value = speakers.includes(chosen) ? chosen : "";
    const cards = make("div");
    const fill = () => report.places(cards, places.filter((place) => !select.value || speakerOf(place) === select.value), { focus });
    select.addEventListener("change", () => { state.write({ ...state.read(), speaker: select.value || null }, { replace: true }); fill(); });
    if (speakers.length > 1) host.append(make("p", { class: "choices" }, make("label", { for: "speaker" }, "Speaker"), select));
    host.append(cards);
    fill();
  }

  const occurrenceText = (listed, audible, all) => (listed ? `${listed === all ? `All ${grouped(all)}` : `${grouped(listed)} of ${grouped(all)}, drawn at random from the ${grouped(audible)} in utterances that can be heard`}. ` : `None of ${grouped(all)} is in an utterance that can be heard. `)
    + (listed ? "The dashed lines mark where it begins and ends; sound and picture begin 0.3 s before." : "");

  async function word(label) {
    const vocabulary = await need("vocabulary");
    const place = vocabulary.findIndex((row) => row[0] === label);
    const [, n] = vocabulary[place];
    const [, detail] = (await need(`words-${Math.floor(place / about.wordsPerPiece)}`))[place % about.wordsPerPiece];
    const places = make("div");
    const save = saving(report.fileName(label), (u) => (u.words || []).filter(([, , other]) => other === label));
    const tables = about.layers.filter((layer) => detail.codes[layer.number]).map((layer) => make("section", {},
      table(`${label} in ${layer.title}`, ["Code", "F1 (%)", "Precision", "Recall", "Tokens"],
        detail.codes[layer.number].slice(0, 6).map(([c, p, r, f, hits]) => [make("a", { href: state.link({ layer: layer.number, code: c }) }, String(c)), scored(f), percent(p), percent(r), `${grouped(hits)} of ${grouped(n)}`]))));
    const built = [
      make("h2", {}, `The word ${label}`),
      make("p", {}, `Spoken ${grouped(n)} ${n === 1 ? "time" : "times"} in the aligned utterances of the split ${about.split}${stopWords.has(label) ? "; a stop word, which word detection leaves out" : ""}. Its best codes in each layer, side by side:`),
      make("div", { class: "side-by-side" }, ...tables),
      make("h3", {}, "Where it is spoken"), make("p", { class: "quiet" }, occurrenceText(detail.places.length, detail.withAudio, n)), detail.withAudio ? make("p", {}, save) : "", places,
    ];
    await occurrences(places, detail.places, { word: label });
    return built;
  }

  select.addEventListener("change", () => go({ layer: select.value }));
  $("order").addEventListener("change", () => show().catch(report.fail));
  $("filter").addEventListener("input", filtered);
  for (const radio of document.querySelectorAll("input[name=mode]")) {
    radio.addEventListener("change", () => { $("filter").value = ""; go(radio.value === "words" ? { layer: current.layer, word: "" } : { layer: current.layer }); });
  }
  const follow = async () => {
    const values = state.read();
    if (values.word === "" && hasWords) state.write(opening(await entries("words", values.layer)).state, { replace: true });
    await show();
  };
  go = (values) => { state.write(values); follow().catch(report.fail); };
  state.watch(() => follow().catch(report.fail));
  await follow();
})().catch(report.fail);
