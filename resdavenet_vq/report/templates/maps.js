"use strict";

// The matchmap of a pair: while the caption plays, how alike each part of the image is to what is said.
(() => {
  const host = document.getElementById("matchmap");
  if (!host) return;
  const { make, need } = report;
  const about = report.about(), { maps } = about;
  const $ = (id) => document.getElementById(id);
  const cells = $("cells"), strip = $("strip"), time = $("time"), said = $("said"), audio = $("map-sound"), photo = make("img", { id: "map-photo" });
  cells.before(photo);
  let pair = null, levels = null;
  $("map-model").append(...maps.map((map) => make("option", { value: map.number, selected: map.first }, map.model)));

  // from transparent to vermilion: opacity shows the likeness, not hue; #scale has the same colors
  const opacity = (level) => Math.max(0, (level - 64) / 191) * 0.85;

  function frameAt(seconds) { return Math.max(0, Math.min(pair.shape[2] - 1, Math.floor(seconds / pair.period))); }

  function drawCells(seconds) {
    const [rows, columns] = pair.shape;
    const t = frameAt(seconds), at = t * rows * columns;
    const context = cells.getContext("2d", { willReadFrequently: true });
    cells.width = columns;
    cells.height = rows;
    const picture = context.createImageData(columns, rows);
    let best = 0;
    for (let i = 0; i < rows * columns; i += 1) {
      const level = levels[at + i];
      if (level > levels[at + best]) best = i;
      picture.data.set([213, 94, 0, Math.round(255 * opacity(level))], 4 * i);
    }
    context.putImageData(picture, 0, 0);
    const word = (pair.words || []).find(([start, end]) => start <= seconds && seconds < end);
    const value = pair.low + (levels[at + best] / 255) * (pair.high - pair.low);
    const text = `${seconds.toFixed(2)} s${word ? `, ${word[2]}` : ""}: most alike is row ${Math.floor(best / columns) + 1} of ${rows}, column ${(best % columns) + 1} of ${columns} (${value.toFixed(1)})`;
    time.value = seconds;
    time.setAttribute("aria-valuetext", text);
    said.textContent = text;
    $("strip-head").style.left = `${(100 * seconds) / pair.duration}%`;
  }

  // the best cell at each time as a bar, and the words below
  function drawStrip() {
    const [rows, columns, frames] = pair.shape;
    const bars = Array.from({ length: frames }, (_, t) => {
      let most = 0;
      for (let i = 0; i < rows * columns; i += 1) most = Math.max(most, levels[t * rows * columns + i]);
      const bar = make("span", { class: "likeness" });
      const start = t * pair.period, end = Math.min(pair.duration, start + pair.period);
      bar.style.left = `${(100 * start) / pair.duration}%`;
      bar.style.width = `${(100 * Math.max(0, end - start)) / pair.duration}%`;
      bar.style.height = `${(100 * most) / 255}%`;
      return bar;
    });
    const words = (pair.words || []).map(([start, end, label]) => {
      const word = make("span", { class: "spoken", title: label }, label);
      word.style.left = `${(100 * start) / pair.duration}%`;
      word.style.width = `${(100 * (end - start)) / pair.duration}%`;
      return word;
    });
    $("bars").replaceChildren(...bars);
    $("map-words").replaceChildren(...words);
  }

  // where the caption is most like a part of the image: of its words, if it has some, else of all frames
  function likest() {
    const cellsOf = pair.shape[0] * pair.shape[1];
    const silence = new RegExp(about.silence);
    const spoken = (pair.words || []).filter(([, , label]) => !silence.test(label.trim()));
    let best = 0, most = -1;
    for (let t = 0; t < pair.shape[2]; t += 1) {
      const middle = (t + 0.5) * pair.period;
      if (spoken.length && !spoken.some(([start, end]) => start <= middle && middle < end)) continue;
      const level = Math.max(...levels.subarray(t * cellsOf, (t + 1) * cellsOf));
      if (level > most) { most = level; best = t; }
    }
    return Math.min(pair.duration, (best + 0.5) * pair.period);
  }

  // The address has the model, the pair and the time.
  const keep = () => report.state.write({ map: maps[$("map-model").selectedIndex].number, pair: pair.id, t: Number(time.value).toFixed(2) }, { replace: true });

  async function show(given = null, id = null) {
    audio.pause();
    const { number, visibleShare } = maps[$("map-model").selectedIndex];
    const pairs = await need(`maps-${number}`);
    const choice = $("map-pair");
    if (choice.dataset.of !== String(number)) {
      const before = choice.selectedIndex;
      choice.replaceChildren(...pairs.map((p, i) => make("option", { value: i }, `${p.id}${p.text ? `: ${p.text}` : ""}`)));
      choice.dataset.of = String(number);
      choice.selectedIndex = Math.max(0, Math.min(before, pairs.length - 1));
    }
    if (id !== null) choice.selectedIndex = Math.max(0, pairs.findIndex((p) => p.id === id));
    pair = pairs[choice.selectedIndex];
    if (!pair) { host.hidden = true; return; }
    levels = Uint8Array.from(atob(pair.levels), (character) => character.charCodeAt(0));
    photo.src = pair.image.file;
    photo.width = pair.image.width;
    photo.height = pair.image.height;
    photo.alt = `The image of the pair${pair.text ? `: ${pair.text}` : ""}`;
    const side = Math.min(pair.image.width, pair.image.height) * visibleShare;
    cells.style.left = `${(50 * (pair.image.width - side)) / pair.image.width}%`;
    cells.style.top = `${(50 * (pair.image.height - side)) / pair.image.height}%`;
    cells.style.width = `${(100 * side) / pair.image.width}%`;
    cells.style.height = `${(100 * side) / pair.image.height}%`;
    audio.src = pair.sound;
    audio.setAttribute("aria-label", `Caption ${pair.id}`);
    time.max = pair.duration;
    $("scale-low").textContent = (pair.low + (64 / 255) * (pair.high - pair.low)).toFixed(1);
    $("scale-high").textContent = pair.high.toFixed(1);
    drawStrip();
    drawCells(given ?? likest());
    keep();
  }

  const follow = () => { drawCells(Math.min(audio.currentTime, pair.duration)); if (!audio.paused && !audio.ended) requestAnimationFrame(follow); };
  audio.addEventListener("play", () => { said.setAttribute("aria-live", "off"); follow(); });
  audio.addEventListener("pause", () => { said.setAttribute("aria-live", "polite"); if (pair) keep(); });
  const seek = (seconds) => { drawCells(seconds); keep(); if (audio.readyState) audio.currentTime = seconds; else audio.addEventListener("loadedmetadata", () => { audio.currentTime = seconds; }, { once: true }); };
  time.addEventListener("input", () => seek(Number(time.value)));
  strip.addEventListener("click", (event) => {
    const edges = strip.getBoundingClientRect();
    seek(Math.max(0, Math.min(1, (event.clientX - edges.left) / edges.width)) * pair.duration);
  });
  for (const id of ["map-model", "map-pair"]) $(id).addEventListener("change", () => show().catch(report.fail));
  function restore() {
    const { map, pair: id, t } = report.state.read();
    const at = maps.findIndex(({ number }) => String(number) === map);
    if (at >= 0) $("map-model").selectedIndex = at;
    show(t === undefined ? null : Math.max(0, Number(t) || 0), id ?? null).catch(report.fail);
  }
  report.state.watch(restore);
  restore();
})();
