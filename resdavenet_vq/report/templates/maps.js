"use strict";

// The matchmap of a pair: while the caption plays, how alike each part of the image is to what is said.
(() => {
  const host = document.getElementById("matchmap");
  if (!host) return;
  const { make, need } = report;
  const { maps } = report.about();
  const $ = (id) => document.getElementById(id);
  const cells = $("cells"), strip = $("strip"), time = $("time"), said = $("said"), audio = $("map-sound"), photo = make("img", { id: "map-photo" });
  cells.before(photo);
  let pair = null, levels = null;
  $("map-model").append(...maps.map((map) => make("option", { value: map.number }, map.model)));

  // from transparent to vermilion: opacity shows the likeness, not hue
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

  async function show() {
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
    drawStrip();
    // begin where something is most alike
    const frame = levels.indexOf(255);
    drawCells(Math.min(pair.duration, (Math.floor(frame / (pair.shape[0] * pair.shape[1])) + 0.5) * pair.period));
  }

  const follow = () => { drawCells(Math.min(audio.currentTime, pair.duration)); if (!audio.paused && !audio.ended) requestAnimationFrame(follow); };
  audio.addEventListener("play", () => { said.setAttribute("aria-live", "off"); follow(); });
  audio.addEventListener("pause", () => said.setAttribute("aria-live", "polite"));
  const seek = (seconds) => { drawCells(seconds); if (audio.readyState) audio.currentTime = seconds; else audio.addEventListener("loadedmetadata", () => { audio.currentTime = seconds; }, { once: true }); };
  time.addEventListener("input", () => seek(Number(time.value)));
  strip.addEventListener("click", (event) => {
    const edges = strip.getBoundingClientRect();
    seek(Math.max(0, Math.min(1, (event.clientX - edges.left) / edges.width)) * pair.duration);
  });
  for (const id of ["map-model", "map-pair"]) $(id).addEventListener("change", () => show().catch(report.fail));
  show().catch(report.fail);
})();
